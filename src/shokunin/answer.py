"""Answer and Predictor: what prove and serve see of a model, and all they see."""

from __future__ import annotations

from collections.abc import Generator, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

Inputs = Mapping[str, str]
"""The input fields of one row by name, for instance `{"text": "where is my parcel?"}`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a predictor says to one input.

    Attributes:
        value: the answer, or None when there is a `problem`.
        confidence: the calibrated probability that `value` is right, 0 to 1.
        answered_by: who answered, for instance `inquiries@3`.
        problem: why there is no value; None when there is one.
        sure: whether the confidence reaches the specialist's own escalation threshold.
        seconds: time the answer took, its share of the batch.
        cost: what the answer cost, in US dollars; 0 for one's own machine.
        scores: the likeliest values with their calibrated probabilities, largest first.
        details: what else the kind says of its answer, ready for JSON; of fields found, `fields`: each with its value,
            confidence and span.
        tokens: of what was written, as the model's own tokenizer counts them; 0 where nothing was, or there is none.
        cut: there is no value, since what was written reached the longest answer before its end.
    """

    value: str | None
    confidence: float
    answered_by: str
    problem: str | None = None
    sure: bool = True
    seconds: float = 0.0
    cost: float = 0.0
    scores: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    tokens: int = 0
    cut: bool = False


class Predictor(Protocol):
    """Turns a batch of inputs into as many answers, in the same order."""

    def predict(self, batch: Sequence[Inputs]) -> list[Answer]:
        """Answer every input; one bad row gives an Answer with a problem, never an exception."""


@runtime_checkable
class JointPredictor(Predictor, Protocol):
    """A predictor whose costly part others share: those with an equal `group` can be asked in one go."""

    @property
    def group(self) -> Hashable:
        """Equal for predictors that share."""

    def predict_jointly(self, work: Sequence[tuple[Predictor, Sequence[Inputs]]]) -> list[list[Answer]]:
        """What each predictor of this group answers to its batch, as `predict` would, in the same order."""


@runtime_checkable
class StreamingPredictor(Predictor, Protocol):
    """A predictor whose answers may be had while they are written."""

    @property
    def streams(self) -> bool:
        """Whether an answer comes in more than one piece."""

    def stream(self, inputs: Inputs) -> Generator[str | Answer, None, None]:
        """The value in pieces as it is written, then the answer; closing the generator stops the work.

        The pieces together are the value, unless the answer has a problem: then they are what was written until then.
        Any number of threads may ask at once.
        """
