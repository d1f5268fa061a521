"""The recorder: `record` appends to the journal on the request path, a thread behind it moves rows to the database.

What is promised: an exchange for which `record` returned True survives the end of this process in any way, at once; it
survives a power cut once its segment has turned, which is at most `PAUSE` seconds and one flush to disk later. It is
in the database after that, when the database answers. Nothing that fails here reaches an answer: it is counted, and
said in `problem` and, once for each change, in the log.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from shokunin.errors import ProjectError, StoreError
from shokunin.exchange import Exchange
from shokunin.files import exclusive
from shokunin.traffic.journal import JOURNAL, JOURNAL_BYTES, LOCK, Journal
from shokunin.traffic.lines import BODY_BYTES, line_of
from shokunin.traffic.writer import Writer

if TYPE_CHECKING:
    from shokunin.traffic.store import Store

LOCK_SECONDS = 3.0
"""A server that is being replaced has this long to let go."""
LEFT_SECONDS = 600.0
"""What an earlier process left may be as much as the journal takes."""
_log = logging.getLogger("shokunin.traffic")


class TrafficRecorder:
    """Keeps exchanges; implements `exchange.Recorder`. Made by `open_recorder`.

    Attributes:
        store: the database, for reading.
        recorded: how many exchanges were taken since the start.
        dropped: how many were lost: the journal could not be written, or the database would not take the row.
    """

    def __init__(
        self, journal: Journal, store: Store, writer: Writer, hold: ExitStack, *, bodies: bool, body_bytes: int
    ) -> None:
        self.store = store
        self.recorded = 0
        self._dropped = 0
        self._journal = journal
        self._writer = writer
        self._hold = hold
        self._bodies = bodies
        self._body_bytes = body_bytes
        self._problem: str | None = None
        self._lost = 0

    def record(self, exchange: Exchange) -> bool:
        """Keep it, so that it survives a kill of this process; False, never an exception, if that was not possible."""
        try:
            self._journal.append(line_of(exchange, bodies=self._bodies, body_bytes=self._body_bytes))
        except OSError as error:
            self._drop(f"the journal cannot be written: {error.strerror}")
            return False
        except Exception as error:
            # A mistake of ours in an exchange must not become the client's error.
            self._drop(f"an exchange cannot be written down: {type(error).__name__}")
            return False
        self.recorded += 1
        if self._problem is not None:
            _log.warning("traffic is recorded again; %d exchanges were lost", self._lost)
            self._problem, self._lost = None, 0
        return True

    @property
    def problem(self) -> str | None:
        """Why exchanges are being lost, or are held up on their way to the database, at the moment; or None."""
        return self._problem or self._writer.problem

    @property
    def dropped(self) -> int:
        """How many exchanges were lost since the start."""
        return self._dropped + self._writer.dropped

    @property
    def waiting(self) -> int:
        """How many exchanges are in the journal and not yet in the database."""
        return self._journal.rows

    def flush(self, seconds: float = 10.0) -> bool:
        """Wait until the database has what was recorded so far; whether it has."""
        return self._writer.flush(seconds)

    def close(self) -> None:
        """Write everything down and stop; what the database does not take now waits in the journal."""
        self._writer.stop()
        self._journal.close()
        self.store.close()
        self._hold.close()

    def _drop(self, problem: str) -> None:
        self._dropped += 1
        self._lost += 1
        if self._problem is None:
            _log.error("traffic is not being recorded: %s", problem)
        self._problem = problem


def open_recorder(
    folder: Path,
    *,
    url: str | None = None,
    bodies: bool = True,
    retention_days: float | None = None,
    body_bytes: int = BODY_BYTES,
    journal_bytes: int = JOURNAL_BYTES,
    clock: Callable[[], float] = time.time,
) -> TrafficRecorder:
    """Record into `folder`; what an earlier process left in the journal goes into the database first.

    Args:
        folder: the project's `traffic` folder; one recorder at a time.
        url: the database; by default SQLite in the folder.
        bodies: whether requests and replies are kept.
        retention_days: exchanges older than this are deleted, at the start and every hour.
        body_bytes: a body that takes more as JSON is replaced by a note of its size.
        journal_bytes: the most that may wait for a database that does not answer.
        clock: seconds since 1970.

    Raises:
        ProjectError: somebody else records here, the folder cannot be written, or the record is another release's.
        UsageError: the URL is not one of SQLite or PostgreSQL.
        MissingExtraError: PostgreSQL is asked for and psycopg is not installed.
    """
    from shokunin.traffic.connect import connect
    from shokunin.traffic.store import Store

    with ExitStack() as stack:
        _lock(stack, folder, LOCK_SECONDS)
        store = Store(*connect(folder, url, create=True))
        stack.callback(store.close)
        try:
            store.prepare()
        except StoreError as error:
            _log.error("%s; exchanges wait in the journal", error)
        journal = Journal(folder / JOURNAL, limit=journal_bytes)
        writer = Writer(journal, store, retention_days=retention_days, clock=clock)
        recorder = TrafficRecorder(journal, store, writer, stack.pop_all(), bodies=bodies, body_bytes=body_bytes)
        writer.start()
        if journal.left:
            writer.flush(LEFT_SECONDS)  # whoever reads the record next should find all of it
        return recorder


def _lock(stack: ExitStack, folder: Path, seconds: float) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        stack.enter_context(exclusive(folder / LOCK, seconds=seconds))
    except OSError as error:
        raise ProjectError(f"cannot record traffic in {str(folder)!r}: {error.strerror}") from error
    except ProjectError as error:
        raise ProjectError(
            f"cannot record traffic in {str(folder)!r}, where one server records at a time: {error}"
        ) from error
