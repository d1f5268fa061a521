"""The record as a file: JSONL in the shape that other tools read (`timestamp, workload_id, client_id, request,
response`, then ours), or Parquet."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from shokunin.errors import MissingExtraError, UsageError
from shokunin.files import disk_error, writing_bytes
from shokunin.traffic.lines import BODIES, HEAD
from shokunin.traffic.reading import EVERYTHING, Filter, rows
from shokunin.traffic.store import Store

FIRST = ("timestamp", "workload_id", "client_id")
REST = ("id", *sorted(set(HEAD) - {*FIRST, "id"}))
KINDS = (".jsonl", ".parquet")
MEMORY = "256MB"
LONGEST_LINE = 64 << 20
_PARQUET = {
    **dict.fromkeys(("timestamp", "seconds", "confidence", "first_byte_seconds", "cost", "audit_rate"), "DOUBLE"),
    **dict.fromkeys(("status", "prompt_tokens", "completion_tokens"), "BIGINT"),
    "audited": "BOOLEAN",
    "agrees": "BOOLEAN",
}


def export(
    store: Store, path: Path, which: Filter = EVERYTHING, *, progress: Callable[[int], None] = lambda done: None
) -> int:
    """Write the exchanges that fit, oldest first, to a file that appears when it is whole; returns how many.

    In JSONL each line is ASCII, so "\\n" is the only thing that ends one. In Parquet bodies are text that holds JSON.

    Args:
        store: the record.
        path: a name that ends in `.jsonl` or `.parquet`.
        which: a filter.
        progress: told how many were written so far.

    Raises:
        UsageError: the name ends otherwise.
        MissingExtraError: Parquet is asked for and duckdb is not installed.
        ProjectError: the file cannot be written; `path` is as it was.
        StoreError: the database cannot be used at the moment; likewise.
    """
    if path.suffix not in KINDS:
        raise UsageError(f"{str(path)!r} should end in {' or '.join(KINDS)}, which says how it is written")
    if path.suffix == ".parquet":
        return _parquet(store, path, which, progress)
    return _lines(rows(store, which), path, line_of_export, progress)


def line_of_export(row: Mapping[str, Any]) -> str:
    """One line of JSON; the bodies, which are JSON already, are put in as they are."""
    head = _json({name: row[name] for name in FIRST})
    bodies = ",".join(f'"{name}":{row[name] or "null"}' for name in BODIES)
    return f"{head[:-1]},{bodies},{_json({name: row[name] for name in REST})[1:]}\n"


def _flat_line(row: Mapping[str, Any]) -> str:
    return _json({name: row[name] for name in (*FIRST, *BODIES, *REST)}) + "\n"


def _lines(
    found: Iterator[Mapping[str, Any]],
    path: Path,
    write: Callable[[Mapping[str, Any]], str],
    progress: Callable[[int], None],
) -> int:
    count = 0
    with writing_bytes(path) as file:
        for row in found:
            file.write(write(row).encode("ascii"))
            count += 1
            if count % 1000 == 0:
                progress(count)
    progress(count)
    return count


def _parquet(store: Store, path: Path, which: Filter, progress: Callable[[int], None]) -> int:
    """Through a file of lines, which DuckDB turns into columns without holding them all."""
    try:
        import duckdb
    except ModuleNotFoundError as error:
        raise MissingExtraError("duckdb", "parquet") from error
    columns = ", ".join(f"'{name}': '{_PARQUET.get(name, 'VARCHAR')}'" for name in (*FIRST, *BODIES, *REST))
    settings = {"memory_limit": MEMORY, "threads": 1, "autoinstall_known_extensions": False}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as name:
            flat, made = Path(name, "flat.jsonl"), Path(name, "made.parquet")
            count = _lines(rows(store, which), flat, _flat_line, progress)
            source = (
                f"read_json({_quoted(flat)}, format='newline_delimited', columns={{{columns}}}, "
                f"maximum_object_size={LONGEST_LINE})"
            )
            with duckdb.connect(":memory:", config=settings) as connection:
                connection.execute("SET enable_progress_bar = false")  # it would be drawn on stdout
                connection.execute(f"COPY (SELECT * FROM {source}) TO {_quoted(made)} (FORMAT parquet)")
            with writing_bytes(path) as file, made.open("rb") as whole:
                while chunk := whole.read(1 << 20):
                    file.write(chunk)
    except OSError as error:
        raise disk_error(error, path) from error
    except duckdb.Error as error:
        raise UsageError(f"{str(path)!r} could not be written: {str(error).splitlines()[0]}") from error
    return count


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
