"""The rows being curated, and the book that is kept of those set aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from shokunin.curate import redact
from shokunin.curate.answer_texts import texts_in, with_texts
from shokunin.curate.table import SET_ASIDE_SURROGATE, SURROGATE, Table
from shokunin.dataset import Example
from shokunin.errors import DataError
from shokunin.progress import Progress

Rows = npt.NDArray[np.int64]
NO_TEXT = "no text"
NO_LABEL, NO_ANSWER = "no label", "no answer"
SHOWN_ORIGINS = 5
EXCERPT = 200


@dataclass
class Intake:
    """All usable rows, those of the test file after the others.

    Attributes:
        examples: n examples; labels trimmed.
        texts: their n texts, the input fields under each other.
        is_test: shape (n,): whether a row came from the test file.
        alive: shape (n,): whether a row has not been set aside since.
        rows_in: number of rows that came in, usable or not.
        aside: number of rows set aside, by reason.
        origins: for each reason, where the first few of them came from.
        personal: pieces of personal data found, by kind; `rows` is the number of rows with any.
    """

    examples: list[Example] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    is_test: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    alive: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    rows_in: int = 0
    aside: Counter[str] = field(default_factory=Counter)
    origins: dict[str, list[str]] = field(default_factory=dict)
    personal: Counter[str] = field(default_factory=Counter)

    def drop(self, rows: Rows, reason: str) -> None:
        """Set aside these rows, all of them still alive."""
        assert self.alive[rows].all() and len(np.unique(rows)) == len(rows)
        self.alive[rows] = False
        for row in rows.tolist():
            self.note(reason, self.examples[row].origin)

    def note(self, reason: str, origin: str) -> None:
        """Count one row that is set aside."""
        self.aside[reason] += 1
        shown = self.origins.setdefault(reason, [])
        if len(shown) < SHOWN_ORIGINS:
            shown.append(origin)

    def learnable(self) -> Rows:
        """The living rows that are not from the test file."""
        return np.flatnonzero(self.alive & ~self.is_test)

    def excerpt(self, row: int) -> str:
        """The beginning of a row's text, to be shown."""
        text = self.texts[row]
        return text if len(text) <= EXCERPT else text[: EXCERPT - 1] + "…"

    def label(self, row: int) -> str:
        """The label of a row."""
        return self.examples[row].expected or ""


def text_of(example: Example, names: Sequence[str] = ()) -> str:
    """The text of a row as it is compared with others: its inputs under each other, or those of these names."""
    values = [example.inputs[name] for name in names if name in example.inputs] or list(example.inputs.values())
    return values[0] if len(values) == 1 else "\n".join(values)


def take_in(
    examples: Iterable[Example],
    test: Iterable[Example] | None,
    *,
    names: Sequence[str] = (),
    tables: Sequence[Table],
    set_aside: Mapping[str, int],
    mask: bool,
    answers: bool = False,
    progress: Progress,
) -> Intake:
    """Read all examples; set aside those without text, label or answer; find (and mask) personal data.

    Args:
        examples: the rows to learn from.
        test: those of a given test file.
        names: the inputs whose texts are compared with each other; by default all that a row has.
        tables: what they are read from.
        set_aside: rows set aside before, by reason.
        mask: replace personal data.
        answers: whether the answers are texts, in which there may be some too, and not labels.
        progress: told how far it is.

    Raises:
        DataError: no row is usable, or rows got lost between the tables and the examples.
    """
    intake = Intake()
    intake.aside.update(set_aside)
    intake.rows_in = sum(set_aside.values())
    how: dict[str, Any] = {"names": names, "mask": mask, "answers": answers, "progress": progress}
    _read_side(intake, examples, "", tables[:1], **how)
    learning = len(intake.examples)
    if test is not None:
        _read_side(intake, test, "test file: ", tables[1:2], **how)
    intake.is_test = np.arange(len(intake.examples)) >= learning
    intake.alive = np.ones(len(intake.examples), dtype=bool)
    for side, count in (("rows", learning), ("test file", len(intake.examples) - learning)):
        if count == 0 and (side == "rows" or test is not None):
            reasons = ", ".join(f"{n} with {reason!r}" for reason, n in intake.aside.most_common(5)) or "there are none"
            wanted = "an answer" if answers else "a label"
            raise DataError(f"the {side} have no row with a text and {wanted} ({reasons}); check --input and --target")
    return intake


def _read_side(
    intake: Intake,
    examples: Iterable[Example],
    side: str,
    tables: Sequence[Table],
    *,
    names: Sequence[str],
    mask: bool,
    answers: bool,
    progress: Progress,
) -> None:
    labels: dict[str, str] = {}
    seen = 0
    for seen, example in enumerate(examples, 1):
        if seen % 10_000 == 0:
            progress(f"{side}reading rows", seen, None)
        text = text_of(example, names)
        label = (example.expected or "").strip()
        if problem := example.problem or _problem(text, label, NO_ANSWER if answers else NO_LABEL):
            intake.note(side + problem, example.origin)
            continue
        label = labels.setdefault(label, label)  # one string for a label, not one a row
        masked = _look_for_personal(intake, example, names, mask=mask, answer=label if answers else None)
        if masked is not None:
            example = replace(example, inputs=masked[0], expected=label if masked[1] is None else masked[1])
            text = text_of(example, names)
        elif label is not example.expected:
            example = replace(example, expected=label)
        intake.examples.append(example)
        intake.texts.append(text)
    given = seen
    for table in tables:
        for origin, reason in table.broken:
            intake.note(side + reason, origin)
        given = table.given
        intake.rows_in += len(table.broken)
    if given != seen:
        raise DataError(f"{given} rows were read but {seen} arrived; this is a mistake in the program, not in the rows")
    intake.rows_in += seen


def _problem(text: str, label: str, without: str) -> str | None:
    if not text or text.isspace():
        return NO_TEXT
    if not label:
        return without
    if (not text.isascii() and SURROGATE.search(text)) or (not label.isascii() and SURROGATE.search(label)):
        return SET_ASIDE_SURROGATE
    return None


def _look_for_personal(
    intake: Intake, example: Example, names: Sequence[str], *, mask: bool, answer: str | None
) -> tuple[dict[str, str], str | None] | None:
    """Count personal data; the masked inputs and answer if there was any and it is to be masked.

    Only in the inputs of these names, by default in all: the places of a document's lines are numbers that name nobody.
    `answer` is None where it is a label.
    """
    looked_at = [name for name in example.inputs if not names or name in names]
    said = [] if answer is None else list(texts_in(answer))
    found = [
        item for text in (*map(example.inputs.__getitem__, looked_at), *said) for item in redact.find_personal(text)
    ]
    intake.personal.update(item.kind for item in found)
    intake.personal["rows"] += bool(found)
    if not (found and mask):
        return None
    masked = redact.mask_together([*map(example.inputs.__getitem__, looked_at), *said])
    inputs = {**example.inputs, **dict(zip(looked_at, masked, strict=False))}
    return inputs, None if answer is None else with_texts(answer, masked[len(looked_at) :])
