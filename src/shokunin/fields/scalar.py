"""One field's model: proposes values, judges them with boosted trees, and says the best one or that there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shokunin.errors import ArtefactError, UsageError
from shokunin.fields.candidates import Mention, Segment, mentions, segments
from shokunin.fields.dates import Order
from shokunin.fields.memory import Memory, memory_from_dict
from shokunin.fields.places import Places
from shokunin.fields.proposals import BLOCK_NUMBERS, VALUE_NUMBERS, Proposals, propose_blocks, propose_values
from shokunin.fields.signs import LinearSigns, Signs, mention_signs, segment_signs
from shokunin.fields.style import Style, write
from shokunin.forms import Field, Found

Numbers = npt.NDArray[np.float32]
Seen = dict[tuple[Any, ...], tuple[Sequence[Any], Signs]]
"""What was looked at in one document, for the fields that look at the same."""
LEAST = -8.0
"""The log-odds of a guess that nothing speaks for."""


@dataclass(frozen=True)
class Setup:
    """What is looked at in a document, and how.

    Attributes:
        order: which number of a date is the day.
        before, behind: words at which lines are cut.
        most_lines: a text value has at most so many lines.
        marked: only amounts with decimals or a currency are looked at.
    """

    order: Order = "dmy"
    before: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    most_lines: int = 1
    marked: bool = False


@dataclass(frozen=True)
class Judgement:
    """Logistic regressions on what the trees say of the best value and of the next one.

    Attributes:
        right: weights of (best, lead, bias): the log-odds that the best value is right.
        absent: the same for: the document does not say the field.
        nothing: the log-odds that it does not, where it offers no value at all.
    """

    right: tuple[float, float, float]
    absent: tuple[float, float, float]
    nothing: float


@dataclass(frozen=True)
class ScalarModel:
    """A field of one value; without `signs` and `trees` nothing was learned, and it is never found."""

    field: Field
    setup: Setup
    style: Style
    judgement: Judgement
    memory: Memory
    signs: LinearSigns | None = None
    trees: str | None = None

    def open(self) -> OpenScalar:
        """Ready to answer."""
        return OpenScalar(self)


class OpenScalar:
    """A `ScalarModel` with its trees in memory."""

    def __init__(self, model: ScalarModel) -> None:
        self.model = model
        self._trees = None if model.trees is None else booster(model.trees)

    def find(self, page: Places, seen: Seen | None = None) -> Found:
        """The field's value in a document; `seen` is what other fields looked at in it, and is added to."""
        model = self.model
        if model.signs is None or self._trees is None:
            return Found(None, model.judgement.nothing)
        looked, signs = look(page, model.field, model.setup, seen)
        proposals = propose(page, model.field, model.setup, looked, model.signs.logits(signs), model.memory)
        judged = judge(self._trees, proposals.numbers)
        best, score = decide(model.judgement, judged)
        if best is None:
            return Found(None, score)
        return Found(
            self._written(page, proposals, best), score, proposals.spans[best] if proposals.literal[best] else None
        )

    def _written(self, page: Places, proposals: Proposals, best: int) -> Any:
        start, end = proposals.spans[best]
        return proposals.spelled[best] or write(
            self.model.style, self.model.field, page.text[start:end], self.model.setup.order
        )


def look(page: Places, field: Field, setup: Setup, seen: Seen | None = None) -> tuple[Sequence[Any], Signs]:
    """The mentions or pieces of a document that matter to a field, and their signs; taken from `seen` where they are there."""
    what = (field.type, setup.before, setup.behind, setup.order, setup.marked)
    if seen is not None and what in seen:
        return seen[what]
    if field.type == "text":
        pieces = segments(page, setup.before, setup.behind)
        out: tuple[Sequence[Any], Signs] = pieces, segment_signs(page, pieces)
    else:
        found = mentions(page, field.type, setup.order)
        if setup.marked:
            found = [m for m in found if m.decimals or m.marked]
        out = found, mention_signs(page, found)
    if seen is not None:
        seen[what] = out
    return out


def propose(
    page: Places, field: Field, setup: Setup, looked: Sequence[Any], logits: Numbers, memory: Memory
) -> Proposals:
    """The values that the mentions or pieces amount to."""
    if field.type == "text":
        pieces: Sequence[Segment] = looked
        return propose_blocks(page, pieces, logits, memory, setup.most_lines)
    found: Sequence[Mention] = looked
    return propose_values(page, found, logits, memory)


def booster(text: str) -> Any:
    """Boosted trees from their text.

    Raises:
        ArtefactError: it is none, or of trees that judge by other numbers.
    """
    lightgbm = trees_library()
    try:
        trees = lightgbm.Booster(model_str=text)
    except (lightgbm.basic.LightGBMError, TypeError, ValueError) as error:
        raise ArtefactError(f"the trees of a field are damaged: {error}") from error
    if trees.num_feature() not in (VALUE_NUMBERS, BLOCK_NUMBERS):
        raise ArtefactError(f"the trees of a field judge by {trees.num_feature()} numbers; expected {VALUE_NUMBERS}")
    return trees


def trees_library() -> Any:
    """LightGBM.

    Raises:
        UsageError: it lacks the OpenMP library of the system.
    """
    try:
        import lightgbm
    except OSError as error:
        raise UsageError(
            f"LightGBM cannot be loaded: {error}; it needs OpenMP: apt install libgomp1, or on macOS brew install libomp"
        ) from error
    return lightgbm


def judge(trees: Any, numbers: Numbers) -> npt.NDArray[np.float64]:
    """Log-odds of each proposal, shape (n,)."""
    if not len(numbers):
        return np.zeros(0)
    return np.asarray(trees.predict(numbers, raw_score=True, num_threads=1), np.float64)


def decide(judgement: Judgement, judged: npt.NDArray[np.float64]) -> tuple[int | None, float]:
    """The number of the value to give, or None for "it is not there", and the log-odds that this is right."""
    if not len(judged):
        return None, judgement.nothing
    top = best_and_lead(judged)
    right, absent = (_log_odds(weights, top) for weights in (judgement.right, judgement.absent))
    return (None, absent) if absent > right else (int(judged.argmax()), right)


def best_and_lead(judged: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The best log-odds, and how far it is ahead of the second best (10 at most)."""
    order = np.sort(judged)
    return float(order[-1]), min(float(order[-1] - order[-2]) if len(order) > 1 else 10.0, 10.0)


def scalar_to_dict(model: ScalarModel) -> dict[str, Any]:
    """What JSON keeps of a model; the numbers and trees are kept beside it."""
    return {
        "name": model.field.name,
        "type": model.field.type,
        "setup": asdict(model.setup),
        "style": asdict(model.style),
        "judgement": asdict(model.judgement),
        "memory": model.memory.to_dict(),
        "vocabulary": None if model.signs is None else model.signs.words,
    }


def scalar_from_dict(kept: dict[str, Any], tensors: dict[str, Numbers], name: str, folder: Path) -> ScalarModel:
    """The inverse; raises KeyError, TypeError, ValueError or OSError where the files are not what they should be."""
    setup, words = dict(kept["setup"]), kept["vocabulary"]
    signs = None if words is None else LinearSigns.of(words, tensors, name)
    return ScalarModel(
        Field(kept["name"], kept["type"]),
        Setup(
            setup["order"],
            tuple(setup["before"]),
            tuple(setup["behind"]),
            int(setup["most_lines"]),
            bool(setup["marked"]),
        ),
        Style(**kept["style"]),
        judgement_from(**kept["judgement"]),
        memory_from_dict(kept["memory"]),
        signs,
        None if signs is None else (folder / f"{name}.trees.txt").read_text(encoding="utf-8"),
    )


def judgement_from(right: Sequence[float], absent: Sequence[float], nothing: float) -> Judgement:
    """A judgement as it was kept; raises ValueError, TypeError or IndexError where that is none."""
    told = Judgement((right[0], right[1], right[2]), (absent[0], absent[1], absent[2]), nothing)
    if not all(isinstance(n, float | int) and math.isfinite(n) for n in (*told.right, *told.absent, told.nothing)):
        raise ValueError("a number of the judgement is not finite")
    return told


def _log_odds(weights: tuple[float, float, float], top: tuple[float, float]) -> float:
    return weights[0] * top[0] + weights[1] * top[1] + weights[2]
