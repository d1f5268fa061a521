"""The journal of bought replies: one line a call, on disk before the call counts as done, so that nothing is paid for twice.

Lines are JSON. `{"key", "text", "usd", …}` is a reply. Where money is spent, `{"begun": n, "usd"}` goes before each attempt with
the most that it can cost, and `{"ended": n, "usd"}` says what an attempt without a reply may have cost. An attempt that a dead
process never ended counts at its most. A last line that was cut off by the end of a process is taken away.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shokunin.distill.teacher import Reply
from shokunin.errors import ArtefactError
from shokunin.files import disk_error, exclusive

CALLS = "calls.jsonl"


class Journal:
    """The open journal; make one with `open_journal`. Safe to use from many threads.

    Attributes:
        spent: US dollars so far, by all runs, attempts under way at their most.
        bought: how many replies this run has added.
        reused: how many times it has found one.
    """

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self.spent = 0.0
        self.bought = 0
        self.reused = 0
        self._handle = handle
        self._lock = threading.Lock()
        self._open: dict[int, float] = {}
        self._replies: dict[str, Reply] = {}
        self._next = 0
        self._load()

    def __len__(self) -> int:
        return len(self._replies)

    def find(self, key: str) -> Reply | None:
        """The reply that was bought for this key, if any."""
        with self._lock:
            reply = self._replies.get(key)
            self.reused += reply is not None
            return reply

    def peek(self, key: str) -> Reply | None:
        """As `find`, without counting it as used."""
        return self._replies.get(key)

    def begin(self, most: float) -> int:
        """Note an attempt that may cost up to `most` US dollars; its number."""
        with self._lock:
            number, self._next = self._next, self._next + 1
            if most > 0:
                self._write({"begun": number, "usd": most}, settle=False)
            self._open[number] = most
            self.spent += most
            return number

    def end(self, number: int, usd: float) -> None:
        """Note that an attempt ended without a reply, and what it may have cost."""
        with self._lock:
            most = self._close(number, usd)
            if most > 0:
                self._write({"ended": number, "usd": usd}, settle=usd > 0)

    def keep(self, number: int, key: str, reply: Reply, usd: float, **about: Any) -> None:
        """Note the reply to an attempt; it is on disk when this returns."""
        line = {
            "key": key, "text": reply.text, "finished": reply.finished, "tokens_in": reply.tokens_in,
            "tokens_out": reply.tokens_out, "usd": usd, "attempt": number, **about,
        }  # fmt: skip
        with self._lock:
            self._write(line, settle=True)
            self._close(number, usd)
            self._replies[key] = reply
            self.bought += 1

    def _close(self, number: int, usd: float) -> float:
        most = self._open.pop(number)
        self.spent += usd - most
        return most

    def _write(self, value: dict[str, Any], *, settle: bool) -> None:
        line = json.dumps(value).encode("ascii") + b"\n"
        try:
            if os.write(self._handle, line) != len(line):
                raise OSError(28, os.strerror(28))
            if settle:
                os.fsync(self._handle)
        except OSError as error:
            raise disk_error(error, self.path) from error

    def _load(self) -> None:
        whole = 0
        begun: dict[int, float] = {}
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break  # a process died while it wrote this
                whole += len(line)
                try:
                    self._take(json.loads(line), begun)
                except (ValueError, KeyError, TypeError) as error:
                    raise ArtefactError(
                        f"{str(self.path)!r}, line {number}: no bought reply; take the line out to go on without it"
                    ) from error
        self.spent += sum(begun.values())
        self._next = max(self._next, max(begun, default=-1) + 1)
        if whole < self.path.stat().st_size:
            os.truncate(self.path, whole)

    def _take(self, line: dict[str, Any], begun: dict[int, float]) -> None:
        usd = float(line["usd"])
        if "begun" in line:
            begun[int(line["begun"])] = usd
            self._next = max(self._next, int(line["begun"]) + 1)
            return
        begun.pop(int(line["ended"] if "ended" in line else line["attempt"]), None)
        self.spent += usd
        if "key" in line:
            self._next = max(self._next, int(line["attempt"]) + 1)
            self._replies[str(line["key"])] = Reply(
                str(line["text"]), int(line["tokens_in"]), int(line["tokens_out"]), bool(line["finished"])
            )


@contextmanager
def open_journal(folder: Path) -> Iterator[Journal]:
    """The journal in `folder`, which is made; one process at a time.

    Raises:
        ProjectError: another process distils this task, or the folder cannot be written.
        ArtefactError: a line is not what this program writes.
    """
    path = folder / CALLS
    with exclusive(folder / ".lock", seconds=1):
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o600)
        except OSError as error:
            raise disk_error(error, path) from error
        try:
            yield Journal(path, handle)
        finally:
            os.close(handle)
