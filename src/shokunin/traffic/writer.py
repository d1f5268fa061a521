"""The thread behind the recorder: segments into the database, waiting and trying again; old rows out of it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from shokunin.errors import StoreError
from shokunin.traffic.journal import Journal
from shokunin.traffic.replay import replay

if TYPE_CHECKING:
    from shokunin.traffic.store import Store

PAUSE = 0.1
"""Seconds between two looks at the journal; a transaction and a flush to disk each."""
LONGEST_PAUSE = 10.0
TURN_BYTES = 8 << 20
PRUNE_SECONDS = 3600.0
DAY = 86400.0
STOP_SECONDS = 30.0
_log = logging.getLogger("shokunin.traffic")


class Writer:
    """Moves what is in `journal` into `store`; one thread.

    Attributes:
        problem: why the database takes nothing at the moment, or None.
        dropped: rows that the database would not take, and damaged lines.
        torn: lines without an end, left by a process that died in writing them.
    """

    def __init__(
        self, journal: Journal, store: Store, *, retention_days: float | None, clock: Callable[[], float]
    ) -> None:
        self.problem: str | None = None
        self.dropped = 0
        self.torn = 0
        self._journal = journal
        self._store = store
        self._retention_days = retention_days
        self._clock = clock
        self._prepared = False
        self._pause = PAUSE
        self._prune_at = 0.0
        self._wake = threading.Event()
        self._stopping = False
        self._rounds = threading.Condition()
        self._begun = self._ended = 0
        self._thread = threading.Thread(target=self._run, name="traffic-writer", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is left, once, and end."""
        self._stopping = True
        self._wake.set()
        self._thread.join(STOP_SECONDS)

    def flush(self, seconds: float) -> bool:
        """Wait for a whole round that begins from now on; whether the journal was empty after it."""
        end = time.monotonic() + seconds
        with self._rounds:
            wanted = self._begun + 1
            while self._ended < wanted:
                self._wake.set()
                left = end - time.monotonic()
                if left <= 0 or not self._thread.is_alive():
                    return False
                self._rounds.wait(min(left, 1.0))
        return self.problem is None

    def _run(self) -> None:
        while True:
            stopping = self._stopping
            with self._rounds:
                self._begun += 1
            try:
                self._round()
                self._well()
            except Exception as error:  # whatever it is, this thread goes on: it is tried again
                self._failed(error)
            with self._rounds:
                self._ended = self._begun
                self._rounds.notify_all()
            if stopping:
                return
            self._wake.wait(self._pause)
            self._wake.clear()

    def _round(self) -> None:
        if self.problem is None or self._stopping or self._journal.active_bytes > TURN_BYTES:
            self._journal.turn()  # else there is enough to wait already, and a segment a try would be many
        if not self._prepared:
            self._store.prepare()
            self._prepared = True
        self._empty()
        if self.problem is not None:  # it works again, so the rest can follow
            self._journal.turn()
            self._empty()
        self._prune()

    def _empty(self) -> None:
        for segment in self._journal.waiting():
            result = replay(segment.path, self._store)
            self._journal.done(segment)
            self.dropped += result.refused + result.damaged
            self.torn += result.torn

    def _prune(self) -> None:
        """Delete one slice of what is older than it may be; the next slice has its turn in the next round."""
        now = self._clock()
        if self._retention_days is None or now < self._prune_at or self._stopping:
            return
        from shokunin.traffic.erasure import prune

        if prune(self._store, before=now - self._retention_days * DAY, slices=1) == 0:
            self._prune_at = now + PRUNE_SECONDS
            self._store.give_back()

    def _well(self) -> None:
        if self.problem is not None:
            _log.warning("the database takes traffic again")
        self.problem, self._pause = None, PAUSE

    def _failed(self, error: Exception) -> None:
        said = str(error) if isinstance(error, (StoreError, OSError)) else type(error).__name__
        if self.problem is None:
            _log.error("traffic waits in the journal: %s", said)
        self.problem = "the database takes nothing at the moment; exchanges wait in the journal"
        self._pause = min(LONGEST_PAUSE, self._pause * 2)
