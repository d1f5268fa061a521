"""The forms in which an example reaches a learner and an engine: a small closed vocabulary.

A task kind says which forms it can give, a learner which one it eats; adding a form is an architectural decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Form = Literal["labelled_text", "conversation", "labelled_fields", "series_window"]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TextLessons:
    """Texts with one label each: the form `labelled_text`.

    Attributes:
        texts: n texts, as the kind's codec wrote them.
        labels: shape (n,), int64, indices into `names`.
        names: the k label names, in the order of the model's outputs.
        groups: shape (n,), int64; rows of one group (near-duplicates, one customer) must stay on one side of any split.
    """

    texts: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    names: tuple[str, ...]
    groups: npt.NDArray[np.int64]
    form: Form = field(default="labelled_text", init=False)

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: npt.NDArray[np.int64]) -> TextLessons:
        """The lessons at `rows`, in that order."""
        return TextLessons(tuple(self.texts[i] for i in rows), self.labels[rows], self.names, self.groups[rows])


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a language model is handed: the form `conversation`.

    Attributes:
        messages: what was said so far, each with `role` and `content`; the model writes the next one.
        schema: the JSON Schema, as JSON text, that the answer must obey; None: any text.
        longest: the answer has at most so many tokens.
    """

    messages: tuple[Mapping[str, str], ...]
    schema: str | None = None
    longest: int = 256


@dataclass(frozen=True)
class Conversations:
    """Conversations with the answer each should get.

    Attributes:
        asked: n conversations.
        answers: n answers, as the model should write them.
        groups: shape (n,), int64; rows of one group must stay on one side of any split.
    """

    asked: tuple[Conversation, ...]
    answers: tuple[str, ...]
    groups: Rows
    form: Form = field(default="conversation", init=False)

    def __len__(self) -> int:
        return len(self.asked)

    def take(self, rows: Rows) -> Conversations:
        """The lessons at `rows`, in that order."""
        return Conversations(
            tuple(self.asked[i] for i in rows), tuple(self.answers[i] for i in rows), self.groups[rows]
        )


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a document, or one stretch of text on it, and where it stands.

    Attributes:
        text: what it says.
        box: left, top, right, bottom in any one unit, top left being 0; None where nobody knows.
        page: 0, 1, 2 …
    """

    text: str
    box: tuple[float, float, float, float] | None = None
    page: int = 0


@dataclass(frozen=True, slots=True)
class Document:
    """A document to find fields in. A span (start, end) counts characters of `text`."""

    lines: tuple[Line, ...]

    @property
    def text(self) -> str:
        """The lines under each other."""
        return "\n".join(line.text for line in self.lines)


FieldType = Literal["text", "date", "money", "number", "id", "list"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field to find.

    Attributes:
        name: as in the answer.
        type: how its values are compared and written; a `list` holds rows of `parts`.
        parts: the fields of one row of a list.
    """

    name: str
    type: FieldType = "text"
    parts: tuple[Field, ...] = ()


@dataclass(frozen=True)
class FieldLessons:
    """Documents with the fields each holds: the form `labelled_fields`; an engine is handed a `Document`.

    Attributes:
        documents: n documents.
        expected: n mappings from a field's name to its value; None where the document does not say it.
        fields: what to find.
        groups: shape (n,), int64; rows of one group must stay on one side of any split.
    """

    documents: tuple[Document, ...]
    expected: tuple[Mapping[str, Any], ...]
    fields: tuple[Field, ...]
    groups: Rows
    form: Form = field(default="labelled_fields", init=False)

    def __len__(self) -> int:
        return len(self.documents)

    def take(self, rows: Rows) -> FieldLessons:
        """The lessons at `rows`, in that order."""
        return FieldLessons(
            tuple(self.documents[i] for i in rows),
            tuple(self.expected[i] for i in rows),
            self.fields,
            self.groups[rows],
        )


Lessons = TextLessons | Conversations | FieldLessons
"""What a learner may be handed; which of these it eats, it says."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a language model wrote: the raw output for a `Conversation`.

    Attributes:
        text: the answer.
        logprobs: natural logarithms of the tokens' probabilities, in their order; empty where the engine does not tell.
        finished: False where the longest answer was reached first.
        tokens_in: tokens of the prompt.
        problem: why there is no text, for instance a prompt longer than the model's context; None when there is.
        tokens_out: tokens of the answer with the one that ends it; 0 where the writer has no tokenizer.
    """

    text: str
    logprobs: tuple[float, ...] = ()
    finished: bool = True
    tokens_in: int = 0
    problem: str | None = None
    tokens_out: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """One field's value, as a learner found it in a document.

    Attributes:
        value: the value in its canonical spelling (a list of rows for a list); None: it is not there.
        score: the log-odds that the value is right, before calibration.
        span: where it stands in the document's text, (start, end); None where it is not in the source as such.
    """

    value: Any
    score: float
    span: tuple[int, int] | None = None


FoundFields = Mapping[str, Found]
"""The raw output for a `Document`: one `Found` for every field."""


@dataclass(frozen=True, slots=True)
class Sign:
    """One channel of readings that speaks for an event.

    Attributes:
        channel: its name; `text` is what the unit is called.
        push: what it adds to the log-odds of the event.
        outside_for: how many steps in a row, up to now, it has been outside its normal range.
        moving_for: how many steps in a row it has been rising (above 0) or falling (below 0), if that is worth a word.
    """

    channel: str
    push: float
    outside_for: int = 0
    moving_for: int = 0


@dataclass(frozen=True, slots=True)
class Precedent:
    """An event of the past, before which a window looked like this one.

    Attributes:
        unit: whose event it was.
        event: its step.
        ahead: how many steps before it the window ended.
        distance: how far the two are apart.
        near: from which distance on likeness is not worth a word.
    """

    unit: str
    event: int
    ahead: int
    distance: float
    near: float


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a window of readings says of the time ahead: the raw output for a series window.

    Attributes:
        logits: calibrated log-odds of an event at or within each horizon.
        signs: what speaks for it, loudest first; empty where no alarm is near.
        known: whether the unit was measured against its own past; else against the fleet's.
        precedent: what it looks like, where an alarm is near and anything looks like it.
    """

    logits: tuple[float, ...]
    signs: tuple[Sign, ...] = ()
    known: bool = True
    precedent: Precedent | None = None


@dataclass(frozen=True, slots=True)
class Strange:
    """How strange a window of readings is beside a normal period: the raw output where no failures were there to learn from.

    Attributes:
        score: the natural logarithm of its strangeness over the threshold; an alarm from 0 on.
        since: for how many steps, up to now, it has been strange; 0 where it is not.
        signs: which channels are, loudest first; `push` is each one's share.
        apart: pairs of channels that used to move together and no longer do.
        still: channels that stand still for longer than they did in normal time, and for how many steps.
        known: whether the unit was measured against its own normal level; else against the fleet's.
        longer: whether it may have begun before: no earlier step was looked at.
    """

    score: float
    since: int = 0
    signs: tuple[Sign, ...] = ()
    apart: tuple[tuple[str, str], ...] = ()
    still: tuple[tuple[str, int], ...] = ()
    known: bool = True
    longer: bool = False


Raw = npt.NDArray[np.float32] | Sequence[Written] | Sequence[FoundFields] | Sequence[Foreseen] | Sequence[Strange]
"""What an engine gives for a batch: log-scores of shape (n, k), or what it wrote, found, foresaw or finds strange, one a row."""
