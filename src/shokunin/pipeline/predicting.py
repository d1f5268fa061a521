"""A file of rows in, the same rows with answers out: streaming, in batches, nothing half-written."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from shokunin.answer import Answer
from shokunin.curate.read import read_rows
from shokunin.curate.read_jsonl import objects
from shokunin.curate.table import Table
from shokunin.errors import DataError, UsageError
from shokunin.files import writing
from shokunin.progress import Progress, silent
from shokunin.specialist import Specialist

BATCH = 256
ADDED = ("answer", "confidence", "answered_by", "problem")


@dataclass(frozen=True)
class Done:
    """What `predict_file` did.

    Attributes:
        out: where the answers are.
        rows: rows written; as many as were read, the broken ones included.
        sure: answers whose confidence reaches the specialist's threshold.
        problems: rows without an answer; their `problem` says why.
        seconds: how long it took.
    """

    out: str
    rows: int
    sure: int
    problems: int
    seconds: float


def is_rows_file(input: str, out: Path | None) -> bool:
    """Whether INPUT of `predict` names a file of rows (else it is a text).

    Raises:
        UsageError: a file without `--out`, or `--out` without a file.
    """
    try:
        there = len(input) < 4096 and "\n" not in input and Path(input).is_file()
    except (OSError, ValueError):
        there = False
    if there and out is None:
        raise UsageError(f"{input!r} is a file; say where the answers go with --out FILE")
    if out is not None and not there:
        raise UsageError(f"{input!r} is not a file; --out is for files of rows")
    return there


def predict_file(specialist: Specialist, path: Path, out: Path | None, *, progress: Progress = silent) -> Done:
    """Answer every row of a file; broken rows come out too, with a problem.

    Raises:
        DataError: the file lacks an input column, or has one that the answers would overwrite.
        UsageError: `out` is neither CSV, TSV nor JSONL, or is the input itself.
        ProjectError: `out` cannot be written, or the disk is full.
    """
    if out is None or out.suffix.lower() not in (".csv", ".tsv", ".jsonl"):
        raise UsageError(f"answers are written as .csv, .tsv or .jsonl, not as {str(out)!r}")
    if out.exists() and out.samefile(path):
        raise UsageError(f"{str(out)!r} is the input itself; choose another name")
    table = read_rows(path)
    _check_columns(specialist, table)
    start = time.perf_counter()
    with writing(out) as file:
        rows, sure, problems = _write(specialist, table, path, out.suffix.lower(), file, progress)
    return Done(str(out), rows, sure, problems, time.perf_counter() - start)


def _check_columns(specialist: Specialist, table: Table) -> None:
    missing = [c for c in specialist.task.inputs if c not in table.columns]
    if missing:
        raise DataError(
            f"{specialist.id!r} reads the column {missing[0]!r}; the rows have {', '.join(map(repr, table.columns))}"
        )
    taken = [c for c in ADDED if c in table.columns]
    if taken:
        raise DataError(f"the rows have a column {taken[0]!r} already, which the answers would overwrite; rename it")


def _write(
    specialist: Specialist, table: Table, path: Path, suffix: str, file: TextIO, progress: Progress
) -> tuple[int, int, int]:
    writer = (
        None
        if suffix == ".jsonl"
        else csv.writer(file, delimiter="\t" if suffix == ".tsv" else ",", lineterminator="\n")
    )
    if writer is not None:
        writer.writerow([*table.columns, *ADDED])
    rows = sure = problems = 0
    source = table.rows()
    # From JSONL to JSONL a number stays a number: the object itself goes out again.
    same = suffix == ".jsonl" and table.about["format"] == "jsonl"
    originals = objects(path) if same else None
    while batch := list(islice(source, BATCH)):
        answers = specialist.predict([row for _, row in batch])
        for (origin, row), answer in zip(batch, answers, strict=True):
            whole = row if originals is None else next(value for place, value in originals if place == origin)
            _write_row(writer, file, table.columns, whole, answer)
            sure += answer.sure and answer.problem is None
            problems += answer.problem is not None
        rows += len(batch)
        progress("answering rows", rows, None)
    for origin, reason in table.broken:
        _write_row(
            writer, file, table.columns, {}, Answer(None, 0.0, specialist.id, problem=f"{origin}: {reason}", sure=False)
        )
        rows, problems = rows + 1, problems + 1
    return rows, sure, problems


def _write_row(writer: Any, file: TextIO, columns: tuple[str, ...], row: Mapping[str, Any], answer: Answer) -> None:
    added = (answer.value or "", round(answer.confidence, 6), answer.answered_by, answer.problem or "")
    if writer is not None:
        writer.writerow([*(row.get(c, "") for c in columns), *added])
    else:
        file.write(json.dumps({**row, **dict(zip(ADDED, added, strict=True))}) + "\n")
