"""A document or a file of rows in, the answer or the same rows with answers out: streaming, nothing half-written."""

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
from shokunin.curate.documents.apart import ApartReader
from shokunin.curate.documents.content import HEAD
from shokunin.curate.documents.content import is_document as begins_as_document
from shokunin.curate.documents.rows import inputs_of
from shokunin.curate.read import read_rows
from shokunin.curate.read_jsonl import objects
from shokunin.curate.table import Table
from shokunin.errors import DataError, UsageError
from shokunin.fields.inputs import LAYOUT, TEXT
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


def is_document(input: str, out: Path | None) -> bool:
    """Whether INPUT of `predict` names one PDF or picture, whose answer is to be shown; told by what is in it."""
    if out is not None or not _is_file(input):
        return False
    try:
        with Path(input).open("rb") as file:
            return begins_as_document(file.read(HEAD))
    except OSError as error:
        raise DataError(f"cannot read {input!r}: {error.strerror}; check its permissions") from error


def predict_document(specialist: Specialist, path: Path, *, progress: Progress = silent) -> Answer:
    """Answer what a document says.

    Raises:
        DocumentError: it cannot be read.
        MissingExtraError: a library of the extra `documents` is not installed.
        DataError: the specialist reads other fields than a document's text.
    """
    reader = ApartReader()
    try:
        document = reader.read(path, progress=progress)
    finally:
        reader.close()
    row = inputs_of(document)
    needed = specialist.task.inputs
    if len(needed) == 1:
        row = {needed[0]: row[TEXT], LAYOUT: row[LAYOUT]}
    if missing := [name for name in needed if name not in row]:
        raise DataError(
            f"{specialist.id!r} reads the field {missing[0]!r} too, which a document alone does not say; give a file of rows "
            "with a column that names the documents"
        )
    return specialist.predict(row)


def is_rows_file(input: str, out: Path | None) -> bool:
    """Whether INPUT of `predict` names a file of rows or, with `--out`, a folder of documents (else it is a text).

    Raises:
        UsageError: a file without `--out`, or `--out` without a file.
    """
    there = _is_file(input) or (out is not None and _is_folder(input))
    if there and out is None:
        raise UsageError(f"{input!r} is a file; say where the answers go with --out FILE")
    if out is not None and not there:
        raise UsageError(f"{input!r} is not a file; --out is for files of rows and folders of documents")
    return there


def _is_file(input: str) -> bool:
    try:
        return len(input) < 4096 and "\n" not in input and Path(input).is_file()
    except (OSError, ValueError):
        return False


def _is_folder(input: str) -> bool:
    try:
        return len(input) < 4096 and "\n" not in input and Path(input).is_dir()
    except (OSError, ValueError):
        return False


def predict_file(specialist: Specialist, path: Path, out: Path | None, *, progress: Progress = silent) -> Done:
    """Answer every row of a file, or every document of a folder; broken ones come out too, with a problem.

    Where the rows name documents, their text and layout are not written out again.

    Raises:
        DataError: the file lacks an input column, or has one that the answers would overwrite.
        UsageError: `out` is neither CSV, TSV nor JSONL, or is the input itself.
        ProjectError: `out` cannot be written, or the disk is full.
    """
    if out is None or out.suffix.lower() not in (".csv", ".tsv", ".jsonl"):
        raise UsageError(f"answers are written as .csv, .tsv or .jsonl, not as {str(out)!r}")
    if out.exists() and out.samefile(path):
        raise UsageError(f"{str(out)!r} is the input itself; choose another name")
    table = read_rows(path, progress=progress)
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
    columns = tuple(c for c in table.columns if "documents" not in table.about or c not in (TEXT, LAYOUT))
    if writer is not None:
        writer.writerow([*columns, *ADDED])
    rows = sure = problems = 0
    source = table.rows()
    # From JSONL to JSONL a number stays a number: the object itself goes out again.
    same = suffix == ".jsonl" and table.about["format"] == "jsonl" and path.is_file()
    originals = objects(path) if same else None
    while batch := list(islice(source, BATCH)):
        answers = specialist.predict([row for _, row in batch])
        for (origin, row), answer in zip(batch, answers, strict=True):
            given = {c: row[c] for c in columns}
            whole = given if originals is None else next(value for place, value in originals if place == origin)
            _write_row(writer, file, columns, whole, answer)
            sure += answer.sure and answer.problem is None
            problems += answer.problem is not None
        rows += len(batch)
        progress("answering rows", rows, None)
    for origin, reason in table.broken:
        _write_row(
            writer, file, columns, {}, Answer(None, 0.0, specialist.id, problem=f"{origin}: {reason}", sure=False)
        )
        rows, problems = rows + 1, problems + 1
    return rows, sure, problems


def _write_row(writer: Any, file: TextIO, columns: tuple[str, ...], row: Mapping[str, Any], answer: Answer) -> None:
    added = (answer.value or "", round(answer.confidence, 6), answer.answered_by, answer.problem or "")
    if writer is not None:
        writer.writerow([*(row.get(c, "") for c in columns), *added])
    else:
        file.write(json.dumps({**row, **dict(zip(ADDED, added, strict=True))}) + "\n")
