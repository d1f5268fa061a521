"""Parquet: rows streamed by DuckDB, a few thousand at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb

from shokunin.curate.table import Broken, Row, Table, as_text, check_header, fault
from shokunin.errors import DataError

BATCH = 4096
MEMORY = "512MB"


def read_parquet(path: Path) -> Table:
    """A Parquet file as a Table; dates are written in ISO form, other values than strings as JSON, null is empty.

    Raises:
        DataError: the file is not Parquet, or has no columns or rows.
    """
    with _connect() as connection:
        try:
            result = connection.execute(f"SELECT * FROM read_parquet({_quoted(path)}) LIMIT 1")
            names = [column[0] for column in result.description or []]
            some = result.fetchone()
        except duckdb.Error as error:
            raise _not_parquet(path, error) from error
    columns = check_header(names, repr(str(path)))
    if some is None:
        raise DataError(f"{str(path)!r} is empty; expected at least one row")

    def start(broken: Broken) -> Iterator[tuple[str, Row]]:
        return _rows(path, columns, broken)

    return Table(columns, {"name": path.name, "format": "parquet"}, start)


def _rows(path: Path, columns: tuple[str, ...], broken: Broken) -> Iterator[tuple[str, Row]]:
    number = 1
    with _connect() as connection:
        try:
            result = connection.execute(f"SELECT * FROM read_parquet({_quoted(path)})")
            while batch := result.fetchmany(BATCH):
                for values in batch:
                    number += 1
                    origin = f"{path.name}:{number}"
                    if any(isinstance(value, bytes) for value in values):
                        broken.append((origin, "a cell of raw bytes"))
                        continue
                    row = {name: _cell(value) for name, value in zip(columns, values, strict=True)}
                    if problem := fault(row):
                        broken.append((origin, problem))
                        continue
                    yield origin, row
        except duckdb.Error as error:
            raise _not_parquet(path, error) from error


def _cell(value: object) -> str:
    iso = getattr(value, "isoformat", None)
    return str(iso()) if iso else as_text(value)


def _connect() -> duckdb.DuckDBPyConnection:
    # The order of rows is part of their origin, so it is kept; nothing is fetched from anywhere.
    settings = {"memory_limit": MEMORY, "threads": 1, "autoinstall_known_extensions": False}
    connection = duckdb.connect(":memory:", config=settings)
    connection.execute("SET enable_progress_bar = false")  # it would be drawn on stdout, into a command's JSON
    return connection


def _quoted(path: Path) -> str:
    # DuckDB reads * ? and [ in a file name as patterns; a class of one character stands for the character itself.
    name = "".join(f"[{c}]" if c in "*?[" else c for c in str(path))
    return "'" + name.replace("'", "''") + "'"


def _not_parquet(path: Path, error: Exception) -> DataError:
    return DataError(f"{str(path)!r} is not a readable Parquet file: {str(error).splitlines()[0]}")
