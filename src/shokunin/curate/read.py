"""Files to raw rows: which reader a file needs is told by its name; rows that name documents get what is in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from shokunin.curate.documents.content import SUFFIXES
from shokunin.curate.table import Table
from shokunin.errors import DataError, MissingExtraError
from shokunin.fields.inputs import TEXT
from shokunin.files import sha256_of
from shokunin.progress import Progress, silent
from shokunin.template import Template

READS = (
    "CSV (.csv, .txt), TSV (.tsv, .tab), JSONL (.jsonl, .ndjson), Parquet (.parquet, .pq), Excel (.xlsx, .xlsm) "
    "and documents (.pdf, .png, .jpg, .tif, .webp, or a folder of them)"
)

HINTS = {
    ".json": " (write one object a line and call it .jsonl)",
    ".xls": " (save it as .xlsx)",
    ".ods": " (save it as .xlsx)",
    ".gz": " (unpack it first)",
    ".zip": " (unpack it first)",
}


def read_rows(
    path: Path,
    templates: Sequence[Template] = (),
    *,
    find_template: bool = False,
    documents: bool = True,
    progress: Progress = silent,
) -> Table:
    """The rows of a file, to be streamed; here the encoding is checked and the header read.

    A column that names documents beside the file (PDF, scans) adds two: their text, and where each line of it stands. A
    document alone is a row, and so is each in a folder.

    Args:
        path: the file.
        templates: how recorded conversations in it are phrased.
        find_template: look for that in the file, if it holds conversations.
        documents: read the documents that a column names, and folders of them.
        progress: told after every document, when the rows are gone through.

    Raises:
        MissingExtraError: it is Parquet, and the reader's library is not installed.
        DataError: the file is missing, empty, of a kind that is not read, or not what its name says.
    """
    path = Path(path)
    if path.is_dir() and documents:
        from shokunin.curate.documents.folder import read_folder

        return read_folder(path, progress=progress)
    if path.is_dir():
        raise DataError(f"{str(path)!r} is a folder; expected a file with rows: {READS}")
    if not path.exists():
        raise DataError(f"{str(path)!r} does not exist; expected a file with rows: {READS}")
    if not path.is_file():
        raise DataError(f"{str(path)!r} is not a regular file; save the rows to disk first")
    if path.stat().st_size == 0:
        raise DataError(f"{str(path)!r} is empty; expected a header line and at least one row")
    table = _reader(path, templates, find_template)
    if documents:
        table = _with_documents(path, table, progress)
    table.about["bytes"] = path.stat().st_size
    table.about["sha256"] = sha256_of(path)
    return table


def _with_documents(path: Path, table: Table, progress: Progress) -> Table:
    if TEXT in table.columns or table.templates or table.about["format"] in ("openai_chat", "traffic"):
        return table
    from shokunin.curate.documents.rows import document_column, with_documents

    column = document_column(table, path.parent)
    return table if column is None else with_documents(table, column, path.parent, progress=progress)


def _reader(path: Path, templates: Sequence[Template], find_template: bool) -> Table:
    suffix = path.suffix.lower()
    # The libraries behind a format are loaded when a file asks for it.
    if suffix in (".csv", ".tsv", ".tab", ".txt"):
        from shokunin.curate.read_csv import read_csv

        return read_csv(path)
    if suffix in (".jsonl", ".ndjson", ".jsonlines"):
        from shokunin.curate.read_jsonl import read_jsonl

        return read_jsonl(path, templates, find_template=find_template)
    if suffix in (".parquet", ".pq"):
        try:
            from shokunin.curate.read_parquet import read_parquet
        except ModuleNotFoundError as error:
            raise MissingExtraError("duckdb", "parquet") from error
        return read_parquet(path)
    if suffix in (".xlsx", ".xlsm"):
        from shokunin.curate.read_xlsx import read_xlsx

        return read_xlsx(path)
    if suffix in SUFFIXES:
        from shokunin.curate.documents.folder import of_files

        return of_files([path.name], path.name)
    hint = HINTS.get(suffix, "")
    raise DataError(f"{str(path)!r}: files ending in {suffix!r} are not read{hint}; expected {READS}")
