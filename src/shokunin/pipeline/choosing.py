"""Which kind of work rows are, and which of their columns it reads: what the user said, else what the rows show."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from shokunin.curate.answer_columns import FIELDS, answer_column, columns_of_fields, guess_answer_columns
from shokunin.curate.columns import Columns, guess_columns
from shokunin.curate.table import Table
from shokunin.dataset import Dataset
from shokunin.discover.answers import CHAT, CLASSIFY, EXTRACT, GENERATE
from shokunin.fields.schema import fields_of, guess_fields
from shokunin.language.sql import sql_like
from shokunin.pipeline.kinds import kind_of_answers
from shokunin.task import KINDS, Task
from shokunin.tasks import kind

SAMPLE = 2_000
"""So many rows are looked at to see what nobody said."""


def kind_of_rows(table: Table, sample: Sequence[Mapping[str, str]], target: str | None) -> str:
    """The kind of work that a table shows: labels unless its answers are plainly something else.

    Args:
        table: the rows.
        sample: some of them.
        target: the column with the answers, or several with its fields, as the user said.
    """
    if columns_of_fields(target, table.columns):
        return EXTRACT
    column = target or answer_column(table.columns)
    if column is None or column not in table.columns:
        return CLASSIFY
    answers = [row[column].strip() for row in sample if row.get(column, "").strip()]
    if answers and all(sql_like(answer) for answer in answers):
        return GENERATE  # however often the same query comes again
    found = kind_of_answers(answers)
    # Short answers that hardly ever come twice may be labels that are too many; curation says what is wrong with them.
    return {CHAT: GENERATE}.get(found, found if found in KINDS else CLASSIFY)


def as_field(work: str, target: str | None, sample: Sequence[Mapping[str, str]]) -> str | None:
    """The target; of an extraction a column of plain values is the one field to find, and not a column of JSON objects.

    Args:
        work: the kind.
        target: as the user said.
        sample: some of the rows.
    """
    if work != EXTRACT or target is None:
        return target
    cells = [row[target].strip() for row in sample if row.get(target, "").strip()]
    return f"{target}," if cells and not any(cell.startswith("{") for cell in cells) else target


def columns_for(
    work: str,
    table: Table,
    sample: Sequence[Mapping[str, str]],
    task: Task | None,
    *,
    inputs: Sequence[str] | None,
    target: str | None,
    group: str | None,
    guess_group: bool,
) -> Columns:
    """The columns that a kind of work reads.

    Raises:
        DataError: a column does not exist, or a guess would be a toss-up.
    """
    if kind(work).LABELS:
        return guess_columns(table.columns, sample, inputs=inputs, target=target, group=group, guess_group=guess_group)
    given = target
    if given is not None and task is not None and given not in table.columns:
        wanted = answer_columns(task, table.columns)
        given = given if wanted == (given,) else ",".join(wanted) + ","
    return guess_answer_columns(
        table.columns, sample, inputs=inputs, target=given, group=group, guess_group=guess_group
    )


def answer_columns(task: Task, columns: Sequence[str]) -> tuple[str, ...]:
    """The columns that rows with these columns need for their answers: the target, or one for each field of the answer.

    All of them: where one was missing, its field would count as one that the document does not say.
    """
    fields = task.options.get("fields")
    if task.target not in columns and fields:
        names = tuple(field.name for field in fields_of(fields))
        if any(name in columns and name not in task.inputs for name in names):
            return names
    return (task.target,)


def settled(
    task: Task, table: Table, sample: Sequence[Mapping[str, str]], target: str | None, folder: Path = Path()
) -> Task:
    """The task with what its kind needs to know, read off the rows where nobody said it.

    Args:
        task: what is known of it.
        table: the rows.
        sample: some of them.
        target: the column with the answers, or several with its fields, as the user said.
        folder: the project's.

    Raises:
        TaskError: the options are wrong, or the rows do not show what is missing.
    """
    the_kind = kind(task.kind)
    if not the_kind.LABELS:
        fields = columns_of_fields(target, table.columns)
        if fields and "fields" not in task.options:
            told: dict[str, Any] = {
                f.name: f.type for f in guess_fields([{name: row[name] or None for name in fields} for row in sample])
            }
            task = replace(task, target=FIELDS, options={**task.options, "fields": told})
        task = the_kind.settle(task, sample)
    the_kind.check(task, folder)
    return task


def settled_again(task: Task, told: Mapping[str, Any], dataset: Dataset) -> Task:
    """The task with what is read off the training side alone; `told` are the options that somebody gave.

    Which fields there are is not read but asked, and stays.
    """
    rows = [
        {**example.inputs, task.target: example.expected or ""}
        for example in (*dataset.train, *dataset.validation, *dataset.none)
    ]
    kept = rows if len(rows) <= SAMPLE else [rows[i] for i in sorted(random.Random(0).sample(range(len(rows)), SAMPLE))]
    return kind(task.kind).settle(replace(task, options=dict(told)), kept)
