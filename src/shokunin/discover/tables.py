"""Records in a table with a header (CSV, TSV): cells that hold JSON are read, empty ones are left out."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import IO, Any

from shokunin.discover.lines import LONGEST, NOT_UTF8, TOO_LONG, Found
from shokunin.errors import DataError
from shokunin.recorded.values import parsed

SEPARATORS = (",", "\t", ";")
NEVER_CLOSED = "a quote that is never closed"
WIDTH = "another number of cells than the header"
BAD_CSV = "not a line of a table"
_REPLIES = ("output", "completion", "reply")
"""Cells that stay texts: a reply that is JSON has to keep its wording."""


def table_rows(stream: IO[bytes]) -> Iterator[Found]:
    """(number of the record, object or reason) for every line below the header, which is record 1.

    Raises:
        DataError: there is no header.
    """
    # The module's limit is process-wide; it is only ever raised, the limit that counts is that of `_records`.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST))
    records = _records(stream)
    _, header = next(records, (1, b""))
    separator = separator_of(header)
    names = header if isinstance(header, str) else _cells(header.removeprefix(b"\xef\xbb\xbf"), separator)
    if isinstance(names, str):
        raise DataError(f"the header cannot be read: {names}; expected the names of the columns in the first line")
    for number, record in records:
        cells = record if isinstance(record, str) else _cells(record, separator)
        if isinstance(cells, str):
            yield number, cells
        elif len(cells) != len(names):
            yield number, WIDTH
        else:
            yield number, {n: c if n in _REPLIES else parsed(c) for n, c in zip(names, cells, strict=True) if c}


def separator_of(header: bytes | str) -> str:
    """What stands between the cells of a header."""
    text = header if isinstance(header, str) else header.decode(errors="replace")
    return max(SEPARATORS, key=text.count)


def _records(stream: IO[bytes]) -> Iterator[tuple[int, Any]]:
    """(number, bytes or reason) for every record that is not blank; line feeds within quotes do not end one."""
    number = 0
    while line := stream.readline(LONGEST):
        pieces, size = [line], len(line)
        quotes = line.count(b'"')
        while quotes % 2 or pieces[-1][-1:] != b"\n":
            line = stream.readline(LONGEST)
            if not line:
                break
            quotes += line.count(b'"')
            size += len(line)
            if size <= LONGEST:
                pieces.append(line)
            else:
                pieces = [line[-1:]]
        record = b"".join(pieces)
        if size <= LONGEST and not record.strip():
            continue
        number += 1
        if size > LONGEST:
            yield number, TOO_LONG
        else:
            yield number, NEVER_CLOSED if quotes % 2 else record


def _cells(record: bytes, separator: str) -> list[str] | str:
    try:
        text = record.decode()
    except UnicodeDecodeError:
        return NOT_UTF8
    try:
        # One text with its line feeds: the reader must not be given the lines one by one.
        return next(csv.reader([text], delimiter=separator))
    except (csv.Error, StopIteration):
        return BAD_CSV
