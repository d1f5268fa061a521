"""The rows that a teacher is to label: those without an answer that repeat no test row, no validation row and no other row."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from shokunin.dataset import Dataset, Example
from shokunin.distill.extend import LEAK, text_of
from shokunin.errors import DataError
from shokunin.pipeline import rows as row_stage
from shokunin.pipeline.likeness import Likeness
from shokunin.progress import Progress
from shokunin.tasks import Codec

REPEATED = "the same text as another row"
HELD_BACK = "nearly the same as a validation row"
NOT_WANTED = "beyond the number of rows that was asked for"

Given = str | Path | Sequence[Mapping[str, Any]]


def rows_to_label(
    data: row_stage.Data,
    more: Given | None,
    dataset: Dataset,
    codec: Codec,
    *,
    known: Likeness,
    sealed: Likeness,
    wanted: int | None,
    seed: int,
    progress: Progress,
) -> tuple[list[Example], Counter[str], int]:
    """Rows to label, how many are not to be labelled by reason, and how many of all came from `data`.

    Args:
        data: what the dataset was made of.
        more: further rows; their answers are not looked at.
        dataset: the owner's rows, curated.
        codec: of the kind.
        known: the texts that were learnt from; those that are kept, and the validation rows', are added.
        sealed: the texts of the test rows.
        wanted: at most so many are kept, drawn by chance; None: all.
        seed: for the draw.
        progress: told how far it is.

    Raises:
        DataError: some of `more` cannot be read.
    """
    own = _without_answer(data, dataset)
    judged_by = Likeness(text_of(e.inputs, dataset.task.inputs) for e in dataset.validation)
    dropped: Counter[str] = Counter()
    kept: list[Example] = []
    rows = [*own, *_further(more, dataset)]
    for number, example in enumerate(rows):
        if number % 500 == 0:
            progress("comparing rows with those that are known", number, len(rows))
        text = text_of(example.inputs, dataset.task.inputs)
        if problem := example.problem or codec.problem(example.inputs):
            dropped[problem] += 1
        elif sealed.repeats(text):
            dropped[LEAK] += 1
        elif judged_by.repeats(text):
            dropped[HELD_BACK] += 1
        elif known.is_there(text):
            dropped[REPEATED] += 1
        else:
            known.add(text)
            kept.append(example)
    if wanted is not None and wanted < len(kept):
        places = sorted(random.Random(seed).sample(range(len(kept)), wanted))
        dropped[NOT_WANTED] += len(kept) - wanted
        kept = [kept[i] for i in places]
    known.add_all([text_of(e.inputs, dataset.task.inputs) for e in dataset.validation])
    return kept, dropped, len(own)


def _without_answer(data: row_stage.Data, dataset: Dataset) -> list[Example]:
    """The rows of `data` that curation set aside for want of an answer."""
    if row_stage.finished(data) is not None:
        return []
    assert not isinstance(data, Dataset)
    source: Given = data
    if isinstance(data, (str, Path)) and (Path(data) / "task.toml").is_file():
        # Curation has made sure that there is just one.
        source = next(p for p in (Path(data) / "rows").glob("*") if p.is_file() and not p.name.startswith("."))
    found, _ = row_stage.examples_of(source, dataset.task, needs_target=False)
    return [e for e in found if e.expected is None and text_of(e.inputs, dataset.task.inputs).strip()]


def _further(more: Given | None, dataset: Dataset) -> list[Example]:
    if more is None:
        return []
    found, table = row_stage.examples_of(more, dataset.task, needs_target=False)
    if table.broken:
        origin, reason = table.broken[0]
        raise DataError(
            f"{len(table.broken):,} of the rows without answers cannot be read; the first is {origin!r}: {reason}"
        )
    # What is wrong with an answer that is not looked at does not matter.
    return [e if e.expected is None else replace(e, expected=None, problem=None) for e in found]
