"""The journal: lines appended to files, whole the moment `append` returns, waiting there for the database.

One `write` puts a line into the operating system's hands, where the end of this process cannot reach it. Files
("segments") are numbered; the writer takes one when the next has begun, and removes it once the database has it.
"""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shokunin.files import disk_error

JOURNAL = "journal"
LOCK = ".recording.lock"
"""Both in the project's `traffic` folder. Whoever holds the lock may write or empty the journal."""
JOURNAL_BYTES = 512 << 20
"""The most that may wait for a database that does not answer; beyond it exchanges are dropped and counted."""
_NAME = re.compile(r"(\d{12})\.journal")
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


@dataclass(slots=True)
class Segment:
    """One file of the journal, and how much is in it."""

    path: Path
    rows: int = 0
    size: int = 0
    handle: int = -1


class Journal:
    """The journal in `folder`; whoever makes one holds the folder's lock.

    Attributes:
        left: how many rows an earlier process left behind.
        rows: how many rows are in the journal now.

    Raises:
        ProjectError: the folder cannot be written.
    """

    def __init__(self, folder: Path, *, limit: int = JOURNAL_BYTES) -> None:
        self._folder = folder
        self._limit = limit
        self._lock = threading.Lock()
        self._ended = False
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._closed = [_measured(path) for path in segments(folder)]
            self._number = max((int(s.path.stem) for s in self._closed), default=0)
            self._active: Segment | None = self._begin()
        except OSError as error:
            raise disk_error(error, folder) from error
        self.left = self.rows = sum(s.rows for s in self._closed)
        self._size = sum(s.size for s in self._closed)

    def append(self, line: bytes) -> None:
        """Hand one line to the operating system, whole or not at all.

        Raises:
            OSError: it could not be written; nothing of it is in the journal.
        """
        with self._lock:
            if self._ended:
                raise OSError(errno.EBADF, "the journal is closed")
            if self._size + len(line) > self._limit:
                raise OSError(errno.EDQUOT, f"{self._limit} bytes wait for the database, the most allowed")
            if self._active is None:
                self._active = self._begin()
            active = self._active
            try:
                if os.write(active.handle, line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                self._take_back(active)
                raise
            active.rows += 1
            active.size += len(line)
            self.rows += 1
            self._size += len(line)

    @property
    def active_bytes(self) -> int:
        """The size of the segment that is being written."""
        active = self._active
        return active.size if active else 0

    def turn(self) -> None:
        """End the segment that is being written, if there is something in it, and begin the next.

        It is on disk afterwards, for a power cut too.

        Raises:
            OSError: the disk does not say that it is.
        """
        active = self._active
        if active is not None and not active.rows:
            return
        following: Segment | None = None
        with suppress(OSError):  # a full disk: then the next `append` tries
            following = self._begin()
        with self._lock:
            active, self._active = self._active, following
            if active is not None:
                self._closed.append(active)
        if active is not None:
            handle, active.handle = active.handle, -1
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def waiting(self) -> list[Segment]:
        """The ended segments, oldest first."""
        return list(self._closed)

    def done(self, segment: Segment) -> None:
        """Remove a segment whose rows are in the database."""
        with suppress(FileNotFoundError):
            segment.path.unlink()
        with self._lock:
            self._closed.remove(segment)
            self.rows -= segment.rows
            self._size -= segment.size

    def close(self) -> None:
        """End the segment that is being written; an empty one is removed, the others wait for the next start."""
        with self._lock:
            active, self._active, self._ended = self._active, None, True
            if active is None:
                return
            with suppress(OSError):
                os.fsync(active.handle)
            os.close(active.handle)
            if not active.rows:
                active.path.unlink(missing_ok=True)

    def _begin(self) -> Segment:
        self._number += 1
        path = self._folder / f"{self._number:012}.journal"
        return Segment(path, handle=os.open(path, _FLAGS, 0o600))

    def _take_back(self, active: Segment) -> None:
        """Cut off what was written of a line; where even that fails, go on in another segment."""
        try:
            os.ftruncate(active.handle, active.size)
        except OSError:
            with suppress(OSError):
                os.close(active.handle)
            active.handle = -1
            self._closed.append(active)
            self._active = None


def segments(folder: Path) -> list[Path]:
    """The journal's files, oldest first."""
    try:
        return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))
    except FileNotFoundError:
        return []


def lines_in(path: Path) -> Iterator[tuple[bytes, bool]]:
    """The lines of a segment, each with whether it is whole: the last one lacks its end if the process died in it."""
    with path.open("rb") as file:
        for line in file:  # a file of bytes is split at "\n" only
            yield line.removesuffix(b"\n"), line.endswith(b"\n")


def _measured(path: Path) -> Segment:
    rows = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            rows += chunk.count(b"\n")
    return Segment(path, rows, path.stat().st_size)
