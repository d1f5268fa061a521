"""Rows that name documents: each gets two columns more, the document's text and the places of its lines.

A document is read once, however often the rows are gone through: what came of it is kept in a scratch file.
"""

from __future__ import annotations

import json
import tempfile
import weakref
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from shokunin.curate.documents.apart import ApartReader
from shokunin.curate.documents.content import SUFFIXES
from shokunin.curate.documents.limits import DocumentLimits
from shokunin.curate.table import Broken, Row, Table, fault
from shokunin.errors import DataError, DocumentError
from shokunin.fields.inputs import LAYOUT, TEXT
from shokunin.forms import Document
from shokunin.progress import Progress, silent

FILE = "file"
NAMES = (FILE, "filename", "file_name", "document", "path", "pdf", "scan", "image", "ファイル", "ファイル名")
"""Names that a column of documents has; of two columns with documents the one with the earlier name is meant."""
LOOKED_AT = 50
PLAIN = frozenset({".txt"})


def with_documents(
    table: Table, column: str, folder: Path, *, limits: DocumentLimits | None = None, progress: Progress = silent
) -> Table:
    """The rows with the text and the layout of the documents that a column names; what cannot be read is set aside.

    Args:
        table: the rows.
        column: names the documents, relative to `folder`, which they must not leave.
        folder: where they are.
        limits: what is read.
        progress: told after every document.

    Raises:
        DataError: the rows have a column that would be written over.
        MissingExtraError: when the rows are read: a library is not installed.
    """
    for name in (TEXT, LAYOUT):
        if name in table.columns:
            raise DataError(
                f"{table.about['name']!r} has a column {name!r} and names documents in {column!r}, whose {name} would go "
                "there; rename it, or leave out one of the two"
            )
    documents = _Documents(column, folder.resolve(), limits or DocumentLimits(), progress)

    def start(broken: Broken) -> Iterator[tuple[str, Row]]:
        offset = 0
        for number, (origin, row) in enumerate(table.start(broken), 1):
            text, layout, problem, offset = documents.of(row, offset, number)
            whole = {**row, TEXT: text, LAYOUT: layout}
            problem = problem or fault(whole)
            if problem:
                broken.append((origin, problem))
            else:
                yield origin, whole

    return Table((*table.columns, TEXT, LAYOUT), {**table.about, "documents": column}, start)


def document_column(table: Table, folder: Path) -> str | None:
    """The column that names documents, if one does: nearly all of its values end as documents do, and one is there.

    Raises:
        DataError: a column that is named for it names documents, and none of them is there.
    """
    rows = [row for _, row in islice(table.rows(), LOOKED_AT)]
    table.broken, table.given = [], 0
    found = [name for name in table.columns if _names_documents([row.get(name, "").strip() for row in rows])]
    found.sort(key=lambda name: NAMES.index(name.casefold()) if name.casefold() in NAMES else len(NAMES))
    for name in found:
        if any(_exists(folder, row.get(name, "").strip()) for row in rows):
            return name
    if found and found[0].casefold() in NAMES and TEXT not in table.columns:
        first = next(value for row in rows if (value := row.get(found[0], "").strip()))
        raise DataError(
            f"{table.about['name']!r} names documents in column {found[0]!r}, and none of the first is there, for "
            f"instance {first!r}; names are looked for from {str(folder)!r} on, where the rows are"
        )
    return None


def layout_of(document: Document) -> str:
    """The places of a document's lines as JSON, as `shokunin.fields.inputs` reads them; empty if no line has one."""
    if all(line.box is None for line in document.lines):
        return ""
    places = [None if line.box is None else [*map(_short, line.box), line.page] for line in document.lines]
    return json.dumps(places, separators=(",", ":"))


def inputs_of(document: Document) -> dict[str, str]:
    """The two columns of a document."""
    return {TEXT: document.text, LAYOUT: layout_of(document)}


class _Documents:
    """The documents of a table in its rows' order, each read once."""

    def __init__(self, column: str, folder: Path, limits: DocumentLimits, progress: Progress) -> None:
        self._column = column
        self._folder = folder
        self._progress = progress
        self._kept = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the table)
        self._close = weakref.finalize(self, self._kept.close)
        self._reader = ApartReader(limits)

    def of(self, row: Row, offset: int, number: int) -> tuple[str, str, str | None, int]:
        """Text, layout, what is wrong or None, and where the next row's is kept."""
        self._kept.seek(offset)
        line = self._kept.readline()
        if not line:
            line = json.dumps(self._read(row[self._column].strip())).encode() + b"\n"
            self._kept.write(line)
            self._progress("reading documents", number, None)
        text, layout, problem = json.loads(line)
        return text, layout, problem, offset + len(line)

    def _read(self, name: str) -> tuple[str, str, str | None]:
        if not name:
            return "", "", "no document is named"
        if "://" in name:
            return "", "", "an address instead of a file; documents are not fetched: save it beside the rows"
        try:
            path = (self._folder / name).resolve()
        except (OSError, ValueError):
            return "", "", "no name that a file can have"
        if not path.is_relative_to(self._folder):
            return "", "", "a file outside the folder of the rows; put it inside"
        try:
            document = self._reader.read(path, name=name)
        except DocumentError as error:
            return "", "", error.reason
        return document.text, layout_of(document), None


def _names_documents(values: list[str]) -> bool:
    filled = [value for value in values if value]
    ends = [Path(value).suffix.lower() if len(value) < 1024 and "\n" not in value else "" for value in filled]
    read = sum(end in SUFFIXES or end in PLAIN for end in ends)
    return any(end in SUFFIXES for end in ends) and read >= 0.9 * len(filled)


def _exists(folder: Path, name: str) -> bool:
    try:
        return bool(name) and (folder / name).is_file()
    except (OSError, ValueError):
        return False


def _short(value: float) -> float:
    rounded = round(value, 1)
    return int(rounded) if rounded == int(rounded) else rounded
