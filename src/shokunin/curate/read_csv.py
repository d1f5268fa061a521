"""CSV and TSV: separator and quoting sniffed, records streamed, records split on line feed and carriage return only."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from shokunin.curate.encoding import sniff_encoding
from shokunin.curate.table import LONGEST_CELL, SET_ASIDE_BYTES, SET_ASIDE_LONG, Broken, Row, Table, check_header, fault
from shokunin.errors import DataError

SEPARATORS = (",", "\t", ";", "|")
SAMPLE = 1 << 17
SAMPLE_RECORDS = 200
LONGEST_RECORD = 4 * LONGEST_CELL
SKIPPED = "\x00skipped"
"""Stands in for a record that is too long to be read; a zero byte never gets into a text table."""


def read_csv(path: Path, *, encoding: str | None = None, separator: str | None = None) -> Table:
    """A CSV or TSV file as a Table; what is not given is sniffed.

    A record with another number of cells than the header, with an oversized cell, or with bytes outside the encoding is
    set aside. Empty lines are no rows. The first record is the header.

    Raises:
        DataError: the file is empty or binary, mixes encodings, or its header repeats a name.
    """
    encoding = encoding or sniff_encoding(path)
    dialect = _sniff_dialect(path, encoding, separator)
    # The module's limit is process-wide; it is only ever raised, the limit that counts is enforced by `_Lines`.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_RECORD))
    with _open(path, encoding) as file:
        header = next((record for _, record in _records(file, dialect, str(path)) if record), None)
    if header is None:
        raise DataError(f"{str(path)!r} is empty; expected a header line and at least one row")
    if header[0].startswith(SKIPPED):
        raise DataError(f"{str(path)!r}: {SET_ASIDE_LONG} in the header line; is this a table?")
    columns = check_header(header, repr(str(path)))
    for name in columns:
        if fault({"": name}):
            raise DataError(f"{str(path)!r}: the header has {SET_ASIDE_BYTES} ({encoding}): {name!r}; save it as UTF-8")
    about = {
        "name": path.name,
        "format": "tsv" if dialect["delimiter"] == "\t" else "csv",
        "encoding": encoding,
        "separator": dialect["delimiter"],
    }

    def start(broken: Broken) -> Iterator[tuple[str, Row]]:
        with _open(path, encoding) as file:
            yield from _rows(file, dialect, path, columns, broken)

    return Table(columns, about, start)


def _open(path: Path, encoding: str) -> TextIO:
    # newline="" splits on \n, \r and \r\n and leaves them as they are: U+2028, U+0085 and the like stay inside cells.
    errors = "surrogateescape" if encoding.startswith(("utf-8", "ascii")) else "strict"
    return path.open(encoding=encoding, errors=errors, newline="")


def _rows(
    file: TextIO, dialect: dict[str, Any], path: Path, columns: tuple[str, ...], broken: Broken
) -> Iterator[tuple[str, Row]]:
    width = len(columns)
    header_seen = False
    for number, record in _records(file, dialect, str(path)):
        if not record:
            continue
        if not header_seen:
            header_seen = True
            continue
        origin = f"{path.name}:{number}"
        if record[0] == SKIPPED:
            broken.append((origin, SET_ASIDE_LONG))
            continue
        if len(record) > width and not any(record[width:]):
            del record[width:]  # spreadsheets leave empty cells at the end
        if len(record) != width:
            broken.append((origin, f"{len(record)} cells where the header has {width}"))
            continue
        row = dict(zip(columns, record, strict=True))
        if problem := fault(row):
            broken.append((origin, problem))
            continue
        yield origin, row


def _records(file: TextIO, dialect: dict[str, Any], name: str) -> Iterator[tuple[int, list[str]]]:
    """(record number, cells); an empty line is a record without cells."""
    lines = _Lines(file, name, quoted=dialect["quoting"] != csv.QUOTE_NONE)
    reader = csv.reader(lines, **dialect)
    number = 0
    while True:
        number += 1
        lines.begin()
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{name!r}, line {lines.number}: not readable as CSV: {error}") from error
        except UnicodeDecodeError as error:
            raise DataError(
                f"{name!r}, near line {lines.number + 1}: bytes that are not {file.encoding}; save the file as UTF-8"
            ) from error
        if len(lines.record) > 1 and _malformed(lines.record, dialect):
            # A stray quote has run into the next one: the rows between them would be lost in one cell.
            raise lines.never_closed()
        yield number, [] if number == 1 and _names_separator(record, dialect["delimiter"]) else record


def _names_separator(record: list[str], delimiter: str) -> bool:
    """Whether this is the line `sep=;` that Excel understands; it is no header."""
    return record == ["sep=", ""] or record == [f"sep={delimiter}"]


class _Lines:
    """The physical lines of a file, each at most as long as a record may be."""

    def __init__(self, file: TextIO, name: str, *, quoted: bool) -> None:
        self.file = file
        self.name = name
        self.quoted = quoted
        self.number = 0
        self.first = 1
        self.length = 0
        self.record: list[str] = []

    def begin(self) -> None:
        """A new record starts."""
        self.length = 0
        self.first = self.number + 1
        self.record.clear()

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self.file.readline(LONGEST_RECORD)
        if not line:
            if self.length:
                raise self.never_closed()  # the reader asks for a further line of a record only inside quotes
            raise StopIteration
        self.number += 1
        if len(line) >= LONGEST_RECORD and line[-1] not in "\r\n":
            if self.length:
                raise self.never_closed()
            self._skip(line)
            return SKIPPED + "\n"
        self.length += len(line)
        if self.length > LONGEST_RECORD:
            raise self.never_closed()
        self.record.append(line)
        return line

    def _skip(self, line: str) -> None:
        """Read on to the end of the record; an odd number of quotes so far means that the line end is inside a cell."""
        quotes = line.count('"')
        while line:
            line = self.file.readline(LONGEST_RECORD)
            quotes += line.count('"')
            if line.endswith(("\n", "\r")):
                if not self.quoted or quotes % 2 == 0:
                    return
                self.number += 1
        if self.quoted and quotes % 2:
            raise self.never_closed()

    def never_closed(self) -> DataError:
        """The error for a quote that swallows what follows it."""
        return DataError(
            f"{self.name!r}, line {self.first}: a quote is opened there and not closed as it should be; "
            "double the quotes inside cells, or save the file from a spreadsheet again"
        )


def _sniff_dialect(path: Path, encoding: str, separator: str | None) -> dict[str, Any]:
    """The separator and quoting that give the most regular table over the first records."""
    with _open(path, encoding) as file:
        try:
            sample = file.read(SAMPLE)
        except UnicodeDecodeError as error:
            raise DataError(f"{str(path)!r} is not {encoding}: {error.reason}; save it as UTF-8") from error
    whole = len(sample) < SAMPLE
    if sample[:4] == "sep=" and sample[4:5] in SEPARATORS and sample[5:6] in "\r\n":
        separator = sample[4]
        sample = sample[5:].lstrip("\r\n")
    expected = separator or ("\t" if path.suffix.lower() in (".tsv", ".tab") else ",")
    best: tuple[float, dict[str, Any]] | None = None
    for candidate in (separator,) if separator else sorted(SEPARATORS, key=lambda s: s != expected):
        # Files with tabs are often written without any quoting; with other separators that is rare.
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE) if candidate == "\t" else (csv.QUOTE_MINIMAL,):
            dialect = {"delimiter": candidate, "quoting": quoting, "doublequote": True, "strict": False}
            score = _regularity(sample, dialect, whole)
            # The expected separator, and quotes that mean something, win ties.
            if best is None or score > best[0] + 1e-9:
                best = (score, dialect)
    assert best is not None
    return best[1]


def _regularity(sample: str, dialect: dict[str, Any], whole: bool) -> float:
    """Share of the first records with as many cells as the header, if that is more than one; 0 for a single column."""
    lines = [line + "\n" for line in sample.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    lines = lines if whole else lines[:-1]
    try:
        records = [r for r in islice(csv.reader(lines, **dialect), SAMPLE_RECORDS) if r]
    except csv.Error:
        return 0.0
    if not records or len(records[0]) < 2:
        return 0.0
    counts = Counter(map(len, records))
    return counts[len(records[0])] / len(records) - (0.25 if _malformed(lines, dialect) else 0.0)


def _malformed(lines: list[str], dialect: dict[str, Any]) -> bool:
    """Whether quotes are used as no CSV writer would: text after a closing quote."""
    try:
        for _ in islice(csv.reader(lines, **{**dialect, "strict": True}), SAMPLE_RECORDS):
            pass
    except csv.Error as error:
        return "unexpected end" not in str(error)  # the sample may end inside a cell
    return False
