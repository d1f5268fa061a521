"""From journal to database: the rows of a segment in transactions; a segment replayed twice counts once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shokunin.errors import ProjectError
from shokunin.files import exclusive
from shokunin.traffic.journal import JOURNAL, LOCK, lines_in, segments
from shokunin.traffic.lines import row_of

if TYPE_CHECKING:
    from shokunin.traffic.store import Store

BATCH_ROWS = 256
BATCH_BYTES = 4 << 20
_log = logging.getLogger("shokunin.traffic")


@dataclass(slots=True)
class Replayed:
    """What became of a segment's lines.

    Attributes:
        stored: in the database now.
        torn: the last line had no end: the process died while writing it, so its reply never ended either.
        damaged: lines that are not as they were written.
        refused: rows that the database would not take.
    """

    stored: int = 0
    torn: int = 0
    damaged: int = 0
    refused: int = 0


def replay(path: Path, store: Store) -> Replayed:
    """Store a segment's rows; the segment stays.

    Raises:
        StoreError: the database cannot be used at the moment; the same segment may be replayed later.
        OSError: the segment cannot be read.
    """
    result = Replayed()
    for rows in _batches(path, result):
        refused = store.insert(rows)
        result.refused += refused
        result.stored += len(rows) - refused
    if result.damaged:
        _log.error("%d lines of the journal %r are damaged and are dropped", result.damaged, path.name)
    return result


def settle(folder: Path, store: Store) -> Replayed | None:
    """Store what a killed server left in the journal of `folder`; None when a server records there at the moment.

    Raises:
        StoreError: the database cannot be used at the moment; the journal is as it was.
        OSError: the journal cannot be read.
    """
    total = Replayed()
    if not segments(folder / JOURNAL):  # one that records has one open at any time
        return total
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive(folder / LOCK, seconds=0.0))
        except ProjectError:
            return None
        for path in segments(folder / JOURNAL):
            result = replay(path, store)
            path.unlink()
            for name in ("stored", "torn", "damaged", "refused"):
                setattr(total, name, getattr(total, name) + getattr(result, name))
    return total


def _batches(path: Path, result: Replayed) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    size = 0
    for line, whole in lines_in(path):
        if not whole:
            result.torn += 1
            continue
        try:
            rows.append(row_of(line))
        except (ValueError, TypeError, AttributeError, RecursionError):
            result.damaged += 1
            continue
        size += len(line)
        if len(rows) == BATCH_ROWS or size > BATCH_BYTES:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows
