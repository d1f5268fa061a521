"""XLSX: the first sheet, streamed; an archive that would unpack to something enormous is refused unopened."""

from __future__ import annotations

import datetime as dt
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl

from shokunin.curate.table import Broken, Row, Table, check_header, fault
from shokunin.errors import DataError

LARGEST = 1 << 29
"""Bytes that a workbook may unpack to; a million rows of short text are about 150 MB."""
MOST_PACKED = 200
"""Ratio of unpacked to packed bytes above which a part larger than 16 MB is taken for a trap."""
MOST_ROWS = 1_048_576


def read_xlsx(path: Path) -> Table:
    """The first sheet of a workbook as a Table; formulas as their last computed value, dates in ISO form.

    Raises:
        DataError: the file is no workbook, is damaged, is a decompression bomb, or its sheet has no header.
    """
    _check_archive(path)
    book = _open(path)
    sheet = book.worksheets[0].title if book.worksheets else None
    others = [s.title for s in book.worksheets[1:]]
    book.close()
    if sheet is None:
        raise DataError(f"{str(path)!r} has no sheet with cells")
    header = next((cells for _, cells in _records(path) if cells), None)
    if header is None:
        raise DataError(f"{str(path)!r}, sheet {sheet!r} is empty; expected a header line and at least one row")
    columns = check_header(header, f"{str(path)!r}, sheet {sheet!r},")
    about: dict[str, Any] = {"name": path.name, "format": "xlsx", "sheet": sheet}
    if others:
        about["sheets_not_read"] = others

    def start(broken: Broken) -> Iterator[tuple[str, Row]]:
        return _rows(path, columns, broken)

    return Table(columns, about, start)


def _rows(path: Path, columns: tuple[str, ...], broken: Broken) -> Iterator[tuple[str, Row]]:
    header_seen = False
    for number, cells in _records(path):
        if not cells:
            continue
        if not header_seen:
            header_seen = True
            continue
        origin = f"{path.name}:{number}"
        if len(cells) > len(columns):
            broken.append((origin, f"{len(cells)} cells where the header has {len(columns)}"))
            continue
        # A spreadsheet does not store the empty cells at the end of a row.
        row = dict(zip(columns, cells + [""] * (len(columns) - len(cells)), strict=True))
        if problem := fault(row):
            broken.append((origin, problem))
            continue
        yield origin, row


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(row number, cells up to the last one that is not empty)."""
    book = _open(path)
    try:
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # the size written in the file need not be true
        for number, values in enumerate(sheet.iter_rows(values_only=True), 1):
            if number > MOST_ROWS:
                raise DataError(f"{str(path)!r} claims more than {MOST_ROWS:,} rows; save it as CSV")
            cells = [_cell(value) for value in values]
            while cells and not cells[-1]:
                cells.pop()
            yield number, cells
    except DataError:
        raise
    except Exception as error:  # openpyxl lets through whatever a damaged archive or XML makes it stumble over
        raise DataError(f"{str(path)!r} is a damaged workbook ({error}); open and save it in a spreadsheet") from error
    finally:
        book.close()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    return str(value)


def _check_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, OSError) as error:
        raise DataError(f"{str(path)!r} is not an Excel workbook (.xlsx): {error}; save it as .xlsx or CSV") from error
    # The sizes can be trusted: zipfile stops reading a part at the size that is written for it.
    size = sum(part.file_size for part in parts)
    if size > LARGEST:
        raise DataError(
            f"{str(path)!r} unpacks to {size / 1e6:,.0f} MB, more than the {LARGEST / 1e6:,.0f} MB that are read from "
            "a workbook; save the sheet as CSV"
        )
    for part in parts:
        if part.file_size > 1 << 24 and part.file_size > MOST_PACKED * max(1, part.compress_size):
            raise DataError(
                f"{str(path)!r}: part {part.filename!r} unpacks to {part.file_size / 1e6:,.0f} MB from "
                f"{part.compress_size / 1e3:,.0f} kB, which looks like a trap; save the sheet as CSV"
            )


def _open(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl warns about styles and validation rules, which are not read
            return openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
    except Exception as error:  # as above
        raise DataError(f"{str(path)!r} is not a readable Excel workbook: {error}; save it as .xlsx again") from error
