"""The log of decisions: who changed what, one line each, every line sealed with the one before; what was cut or changed shows.

Requests are in the record of traffic; in here are the few events by which one can tell later why the server did what it did:
its starts and stops with what it served, promotions, keys made and revoked, a promise tightened or handed back, traffic
erased.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

from shokunin.errors import ArtefactError, UsageError
from shokunin.files import disk_error, exclusive

Event = Literal[
    "log_repaired",
    "server_started",
    "server_stopped",
    "specialist_promoted",
    "specialist_rolled_back",
    "specialists_changed",
    "key_created",
    "key_revoked",
    "promise_tightened",
    "promise_relaxed",
    "promise_handed_back",
    "promise_resumed",
    "traffic_erased",
]
"""What may be written."""

FILE = "decisions.jsonl"
"""Its name in a project's folder of traffic."""

GENESIS = "0" * 64
"""What the first line gives as the line before."""

_LONGEST = 1 << 20


@dataclass(frozen=True)
class Decision:
    """One line.

    Attributes:
        n: its number, from 1.
        time: when, UTC.
        what: which event.
        who: who did it: the server, a key's name, a user of this machine.
        details: plain facts; never bodies, keys or secrets.
        previous: the hash of the line before.
        hash: SHA-256 over all of the above.
    """

    n: int
    time: str
    what: str
    who: str
    details: dict[str, Any]
    previous: str
    hash: str


@dataclass(frozen=True)
class Verdict:
    """What `verify` found: how many lines, and the hash of the last, which stands for all of them."""

    lines: int
    head: str


class DecisionLog:
    """Appends to the log; several processes may, one at a time.

    A last line that was cut off by a crash is taken away when the next one is written, and a line says so. A log that is
    damaged elsewhere gets no more lines.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock

    def append(self, what: Event, who: str, **details: Any) -> Decision:
        """Write one line; it is on disk when this returns, which takes milliseconds: not for the event loop.

        Raises:
            UsageError: the details are no plain JSON, or too much of it.
            ArtefactError: the last line of the log is not as it was written.
            ProjectError: the disk is full, or cannot be written.
        """
        assert what in get_args(Event)
        try:
            size = len(_canonical(details))
        except (TypeError, ValueError) as error:
            raise UsageError(f"the details of {what!r} are no plain JSON: {error}") from error
        if size > _LONGEST // 2:
            raise UsageError(f"the details of {what!r} have {size} bytes; say less")
        with exclusive(self.path.with_name(f".{self.path.name}.lock"), seconds=10.0):
            try:
                with os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
                    end, torn = _end(file)
                    last = _last(file, end, self.path)
                    lines = []
                    if torn:
                        last = self._next(last, "log_repaired", "shokunin", {"bytes_removed": torn})
                        lines.append(last)
                    made = self._next(last, what, who, details)
                    file.seek(end)
                    file.write(b"".join(_line(one) for one in (*lines, made)))
                    file.truncate()
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise disk_error(error, self.path) from error
        return made

    def read(self) -> Iterator[Decision]:
        """Every line, oldest first, each checked against the one before.

        Raises:
            ArtefactError: the first line that is not as it was written.
        """
        previous, n = GENESIS, 0
        try:
            with self.path.open("rb") as file:
                while raw := file.readline(_LONGEST):
                    n += 1
                    one = _checked(raw, n, previous, self.path)
                    previous = one.hash
                    yield one
        except FileNotFoundError:
            return

    def _next(self, last: Decision | None, what: str, who: str, details: dict[str, Any]) -> Decision:
        n, previous = (1, GENESIS) if last is None else (last.n + 1, last.hash)
        when = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        body = {"n": n, "time": when, "what": what, "who": who, "details": details, "previous": previous}
        return Decision(**body, hash=_hash(body))  # type: ignore[arg-type]


def verify(path: Path, *, head: str | None = None) -> Verdict:
    """Check every line of a log.

    A chain cannot show that its end was cut off whole lines at a time; a hash noted earlier can: give it as `head`.

    Args:
        path: the log; none is a log without lines.
        head: the hash of a line that must be in it.

    Raises:
        ArtefactError: names the first line that is wrong, or says that `head` is missing.
    """
    lines, last, seen = 0, GENESIS, head in (None, GENESIS)
    for one in DecisionLog(path).read():
        lines, last = one.n, one.hash
        seen = seen or last == head
    if not seen:
        raise ArtefactError(
            f"{str(path)!r} has no line with the hash {head!r}: its end was cut off, or it is another log"
        )
    return Verdict(lines, last)


def _canonical(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def _hash(body: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(body)).hexdigest()


def _line(one: Decision) -> bytes:
    return _canonical(one.__dict__) + b"\n"


def _checked(raw: bytes, n: int, previous: str, path: Path) -> Decision:
    """The decision on a line that is byte for byte as it was written."""
    where = f"line {n} of {str(path)!r}"
    if not raw.endswith(b"\n"):
        raise ArtefactError(
            f"{where} is not complete: a crash cut it off, and the next entry removes it, or it was changed"
        )
    try:
        one = Decision(**json.loads(raw))
        same = _line(one) == raw
    except (ValueError, TypeError, RecursionError) as error:
        raise ArtefactError(f"{where} is not one of ours: it was changed") from error
    body = {key: value for key, value in one.__dict__.items() if key != "hash"}
    if not same or _hash(body) != one.hash:
        raise ArtefactError(f"{where} was changed: it is not what its hash says")
    if one.n != n or one.previous != previous:
        raise ArtefactError(f"{where} does not follow the line before: lines were removed, added or moved")
    return one


def _end(file: BinaryIO) -> tuple[int, int]:
    """Where the last whole line ends, and how many bytes of a torn one follow."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _LONGEST))
    tail = file.read(_LONGEST)
    torn = len(tail) - (tail.rfind(b"\n") + 1)
    return size - torn, torn


def _last(file: BinaryIO, end: int, path: Path) -> Decision | None:
    """The last whole line, checked in itself; None if there is none."""
    start = max(0, end - _LONGEST)
    file.seek(start)
    lines = file.read(end - start).splitlines(keepends=True)
    if not lines:
        return None
    try:
        claimed = json.loads(lines[-1])
        return _checked(lines[-1], claimed["n"], claimed["previous"], path)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ArtefactError(f"the last line of {str(path)!r} was changed; nothing is added to a damaged log") from error
