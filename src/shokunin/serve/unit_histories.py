"""Unit histories: what the server knows of each unit's newest readings, so that a caller sends only what is new.

They stand in front of specialists that read windows: `Memory.complete` puts what is known into a request, and keeps what
came with it. Codec and predictor know nothing of it. Histories lie in one SQLite file, or in memory where nothing is to
be kept. Each is written before its request is answered, and survives the end of this process in any way; a power cut can
cost the last ones, since the disk is flushed only now and then (write-ahead log, `synchronous=NORMAL`), but never damages
the file. Of too many units those that were asked about longest ago are forgotten. The file belongs to one process at
a time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from shokunin.answer import Inputs
from shokunin.errors import DataError, ProjectError
from shokunin.files import disk_error
from shokunin.series.history import Completed, History, complete
from shokunin.series.readings import StepSums
from shokunin.series.sent import Shape
from shokunin.serve.refusal import Refusal

MOST = 10_000
"""Units."""
AHEAD = 86_400
"""Seconds that a reading may lie in the future: clocks differ, and times without a zone may be of any."""
_log = logging.getLogger("shokunin.serve")
_TABLE = """
CREATE TABLE IF NOT EXISTS histories (
    shape TEXT NOT NULL, unit TEXT NOT NULL, used INTEGER NOT NULL, timed INTEGER NOT NULL, sums BLOB NOT NULL,
    UNIQUE (shape, unit)
);
CREATE INDEX IF NOT EXISTS by_use ON histories (used);
"""


class UnitHistories:
    """The newest readings of all units of all specialists. Safe to use from several threads."""

    def __init__(
        self, path: Path | None = None, *, most: int = MOST, clock: Callable[[], float] = time.time, waits: float = 3.0
    ) -> None:
        """Nothing is opened until the first specialist asks for its `memory`.

        Args:
            path: the file; None: nothing outlives this process.
            most: units that are kept.
            clock: the time, in seconds since 1970.
            waits: seconds that another process has to let go of the file.
        """
        self._most, self._clock, self._path, self._waits = most, clock, path, waits
        self._lock = threading.Lock()
        self._open: sqlite3.Connection | None = None
        self._count = self._used = 0

    def memory(self, specialist: str, shape: Shape) -> Memory:
        """The units of one specialist; another version of it shares them, if its windows look the same.

        Raises:
            ProjectError: another process holds the file, it is damaged, or it cannot be written.
        """
        with self._lock:
            if self._open is None:
                self._open, self._count, self._used = _opened(self._path, self._waits)
        about = [specialist, shape.columns.model_dump(), shape.grid.model_dump(), shape.length]
        return Memory(self, hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32], shape)

    @property
    def _rows(self) -> sqlite3.Connection:
        assert self._open is not None, "there is a memory, so it was opened"
        return self._open

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._open is not None:
                self._open.close()

    def complete(self, key: str, shape: Shape, unit: str, readings: str) -> Completed:
        """What is known put into a request, and kept.

        Raises:
            DataError: the readings cannot be read.
            sqlite3.Error: the disk is full or broken.
        """
        grid = shape.grid
        latest = None if grid.step == "cycle" else math.floor((self._clock() + AHEAD) / grid.seconds)
        with self._lock:
            found = self._rows.execute(
                "SELECT timed, sums FROM histories WHERE shape = ? AND unit = ?", (key, unit)
            ).fetchone()
            known = None if found is None else _read(found[0], found[1], shape)
            done = complete(unit, readings, known, shape, latest=latest)
            if done.history is not None:
                self._keep(key, unit, done.history, new=found is None, changed=done.history is not known)
        return done

    def names(self, key: str) -> list[str]:
        """The units that are known."""
        with self._lock:
            return [name for (name,) in self._rows.execute("SELECT unit FROM histories WHERE shape = ?", (key,))]

    def _keep(self, key: str, unit: str, history: History, *, new: bool, changed: bool) -> None:
        self._used += 1
        with self._rows:
            if not changed:
                self._rows.execute(
                    "UPDATE histories SET used = ? WHERE shape = ? AND unit = ?", (self._used, key, unit)
                )
                return
            row = (key, unit, self._used, int(history.timed), _written(history))
            self._rows.execute("INSERT OR REPLACE INTO histories VALUES (?, ?, ?, ?, ?)", row)
            over = self._count + new - self._most
            if over > 0:
                self._rows.execute(
                    "DELETE FROM histories WHERE rowid IN (SELECT rowid FROM histories ORDER BY used LIMIT ?)", (over,)
                )
        self._count += int(new) - max(over, 0)


@dataclass(frozen=True)
class Memory:
    """What is known of one specialist's units."""

    histories: UnitHistories
    key: str
    shape: Shape

    def complete(self, inputs: Inputs) -> tuple[Inputs, str | None]:
        """The inputs with a window in them, and why there is none, or None; what came is kept either way.

        Where no unit of that name is known and no readings came, the only known unit whose name occurs in it is meant:
        `how is pump 3?`.

        Raises:
            Refusal: 503, it could not be kept.
        """
        unit, readings = str(inputs.get("unit", "")).strip(), str(inputs.get("readings", "[]"))
        if not unit:
            return inputs, None  # the codec says what is wrong with it
        try:
            done = self.histories.complete(self.key, self.shape, unit, readings)
            if done.history is None:
                named = mentioned(unit, self.histories.names(self.key))
                if len(named) > 1:
                    shown = ", ".join(map(repr, named[:5]))
                    return inputs, f"several units are named: {shown}{' …' if len(named) > 5 else ''}; ask for one"
                if named:
                    unit = named[0]
                    done = self.histories.complete(self.key, self.shape, unit, readings)
        except DataError as error:
            return inputs, str(error)
        except sqlite3.Error as error:
            _log.error("the readings of a unit could not be kept: %s", error)
            raise Refusal(
                503, "the readings could not be kept; send them again later", "not_kept", retry_after="10"
            ) from error
        if done.readings is None:
            return inputs, done.problem
        notes = {"notes": json.dumps(done.notes)} if done.notes and done.readings != readings else {}
        return {"unit": unit, "readings": done.readings, **notes}, None


def mentioned(text: str, names: list[str]) -> list[str]:
    """The names that occur in a text as words of their own; one inside a longer one that occurs does not count."""
    low, found = text.casefold(), []
    for name in sorted(names, key=len, reverse=True):
        word = name.casefold()
        at = low.find(word)
        while word and at >= 0:
            end = at + len(word)
            if not (_runs_on(low[max(at - 1, 0) : at], word[0]) or _runs_on(word[-1], low[end : end + 1])):
                found.append(name)
                low = low[:at] + "\0" * len(word) + low[end:]
            at = low.find(word, end)
    return list(dict.fromkeys(found))


def _runs_on(left: str, right: str) -> bool:
    """Whether two neighbouring characters are of one word or number; scripts without spaces have no such words."""
    return all(c.isdigit() or c.lower() != c.upper() for c in (left, right))


def _opened(path: Path | None, waits: float) -> tuple[sqlite3.Connection, int, int]:
    """The file, how many units are in it, and the number of the last use."""
    rows = None
    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        rows = sqlite3.connect(":memory:" if path is None else path, timeout=waits, check_same_thread=False)
        rows.execute("PRAGMA locking_mode=EXCLUSIVE")
        rows.execute("PRAGMA journal_mode=WAL")
        rows.execute("PRAGMA synchronous=NORMAL")
        rows.executescript(_TABLE)
        count, used = rows.execute("SELECT COUNT(*), COALESCE(MAX(used), 0) FROM histories").fetchone()
    except OSError as error:
        raise disk_error(error, path or Path()) from error
    except sqlite3.Error as error:
        if rows is not None:
            rows.close()
        raise _damaged(path, error) from error
    return rows, count, used


def _damaged(path: Path | None, error: sqlite3.Error) -> ProjectError:
    if "locked" in str(error):
        return ProjectError(
            f"another server keeps the units' readings in {str(path)!r}; stop it, or serve with --no-record, which keeps "
            "them in memory"
        )
    return ProjectError(
        f"the units' readings in {str(path)!r} cannot be used: {error}; move the file away, and units begin anew"
    )


def _written(history: History) -> bytes:
    s = history.sums
    return bytes(save({"steps": s.steps, "sums": s.sums, "counts": s.counts}))


def _read(timed: int, data: bytes, shape: Shape) -> History | None:
    """What was kept; None where it cannot be read any more, as if the unit were new."""
    try:
        found: Mapping[str, np.ndarray] = load(data)
        sums = StepSums(found["steps"], found["sums"], found["counts"])
    except (SafetensorError, KeyError):
        return None
    width = len(shape.channels)
    fits = len(sums) and sums.sums.shape == (len(sums), width) and sums.counts.shape == (len(sums), 1 + width)
    return History(sums, bool(timed)) if fits else None
