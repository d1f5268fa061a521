"""The ledger: what each client used, by the second and by day and month; written down every second, shared by servers.

Each server adds what it has counted since the last time to the file, under a lock, and goes on from the sum. So two servers
of one project count together, a second behind each other, and a server that is killed forgets a second at most.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from shokunin.errors import ArtefactError, ShokuninError
from shokunin.files import exclusive, read_json, write_json

FORMAT = 1
MINUTE = 60
_LARGEST = 256 << 20
_log = logging.getLogger("shokunin.serve")

Sums = tuple[float, float, float]
"""Requests, tokens, US dollars."""


@dataclass
class Account:
    """What one client used: by second (the last minute's) and by period (`2026-11-22`, `2026-11`)."""

    seconds: dict[int, list[float]] = field(default_factory=dict)
    periods: dict[str, list[float]] = field(default_factory=dict)

    def add(self, second: int, periods: tuple[str, ...], sums: Sums) -> None:
        """Count it once in each."""
        for line in (
            self.seconds.setdefault(second, [0.0, 0.0, 0.0]),
            *(self.periods.setdefault(period, [0.0, 0.0, 0.0]) for period in periods),
        ):
            for i, value in enumerate(sums):
                line[i] += value

    def merge(self, other: Account) -> None:
        """Count all that the other has."""
        for second, sums in other.seconds.items():
            self.add(second, (), (sums[0], sums[1], sums[2]))
        for period, sums in other.periods.items():
            line = self.periods.setdefault(period, [0.0, 0.0, 0.0])
            line[:] = [a + b for a, b in zip(line, sums, strict=True)]

    def forget(self, now: float) -> None:
        """Drop what counts no more."""
        day, month = _day(now), _month(now)
        self.seconds = {s: line for s, line in self.seconds.items() if s >= int(now) - MINUTE}
        self.periods = {p: line for p, line in self.periods.items() if p >= (day if len(p) == len(day) else month)}


Accounts = dict[str, Account]


class Ledger:
    """Usage of all clients. All methods but `kept` belong to one thread.

    Args:
        path: the file; None: in memory only.

    Raises:
        ArtefactError: the file cannot be used.
    """

    def __init__(self, path: Path | None, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._seen: tuple[int, ...] = ()
        self._kept: Accounts = self._read()
        self._sending: Accounts = {}
        self._pending: Accounts = {}
        self.problem: str | None = None

    def add(self, name: str, when: float, *, requests: int = 0, tokens: float = 0.0, cost: float = 0.0) -> None:
        """Count what a request used that was let in at `when`."""
        account = self._pending.setdefault(name, Account())
        account.add(int(when), (_day(when), _month(when)), (requests, tokens, cost))
        if len(account.seconds) > 2 * MINUTE:
            account.forget(self._clock())

    def minute(self, name: str, now: float) -> Sums:
        """Used in the last 60 seconds, and in what began the second before them."""
        oldest, requests, tokens, cost = int(now) - MINUTE, 0.0, 0.0, 0.0
        for second, line in self._seconds(name):
            if second >= oldest:
                requests, tokens, cost = requests + line[0], tokens + line[1], cost + line[2]
        return requests, tokens, cost

    def day(self, name: str, now: float) -> Sums:
        """Used today."""
        return self._period(name, _day(now))

    def month(self, name: str, now: float) -> Sums:
        """Used this month."""
        return self._period(name, _month(now))

    def minute_wait(self, name: str, now: float, which: int, most: float) -> float:
        """Seconds until the last minute has at most `most` requests (`which` = 0) or tokens (1); infinite if never."""
        if most < 0:
            return float("inf")
        used = self.minute(name, now)[which]
        for second, line in sorted(self._seconds(name), key=lambda pair: pair[0]):
            if second >= int(now) - MINUTE:
                used -= line[which]
                if used <= most:
                    return second + MINUTE + 1 - now
        return 1.0

    def minute_end(self, name: str, now: float) -> float:
        """Seconds until the last minute is empty."""
        return max((second + MINUTE + 1 - now for second, _ in self._seconds(name)), default=0.0)

    @asynccontextmanager
    async def kept(self, every: float = 1.0) -> AsyncIterator[None]:
        """Write down what is used, every second and at the end of the block."""
        stop = asyncio.Event()
        task = asyncio.create_task(self._keep(stop, every))
        try:
            yield
        finally:
            stop.set()
            await task

    async def _keep(self, stop: asyncio.Event, every: float) -> None:
        stopping = False
        while not stopping:
            try:
                await asyncio.wait_for(stop.wait(), every)
                stopping = True
            except TimeoutError:
                pass
            await self._write()

    async def _write(self) -> None:
        """Add what is new to the file; if that fails, it stays new."""
        if self._path is None:
            return
        self._sending, self._pending = self._pending, {}
        try:
            self._kept = await asyncio.to_thread(self._exchange, self._sending)
            if self.problem is not None:
                _log.info("the use of keys is written down again")
            self.problem = None
        except (ShokuninError, OSError) as error:
            for name, account in self._pending.items():
                self._sending.setdefault(name, Account()).merge(account)
            self._pending = self._sending
            for account in self._pending.values():
                account.forget(self._clock())
            if self.problem is None:
                _log.error("the use of keys cannot be written down; a restart would forget it: %s", error)
            self.problem = str(error)
        finally:
            self._sending = {}

    def _exchange(self, new: Accounts) -> Accounts:
        """The file's accounts with `new` added; runs in a thread."""
        assert self._path is not None
        if not new:
            return self._kept if _fingerprint(self._path) == self._seen else self._read()
        with exclusive(self._path.with_name(f".{self._path.name}.lock"), seconds=10.0):
            accounts = self._read()
            for name, account in new.items():
                accounts.setdefault(name, Account()).merge(account)
            for name in list(accounts):
                accounts[name].forget(self._clock())
                if not accounts[name].periods:
                    del accounts[name]
            clients = {
                name: {"seconds": {str(s): line for s, line in account.seconds.items()}, "periods": account.periods}
                for name, account in accounts.items()
            }
            write_json(self._path, {"format": FORMAT, "clients": clients}, private=True)
            self._seen = _fingerprint(self._path)
        return accounts

    def _read(self) -> Accounts:
        if self._path is None:
            return {}
        self._seen = _fingerprint(self._path)
        if not self._seen:
            return {}
        value = read_json(self._path, limit=_LARGEST)
        try:
            if value["format"] != FORMAT:
                raise ValueError(f"its format is {value['format']!r}; this release reads {FORMAT}")
            return {str(name): _account(one) for name, one in value["clients"].items()}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ArtefactError(
                f"{str(self._path)!r} is not a file of usage: {error}; without it all keys start at nothing"
            ) from error

    def _seconds(self, name: str) -> Iterator[tuple[int, list[float]]]:
        for book in (self._kept, self._sending, self._pending):
            account = book.get(name)
            if account is not None:
                yield from account.seconds.items()

    def _period(self, name: str, period: str) -> Sums:
        requests = tokens = cost = 0.0
        for book in (self._kept, self._sending, self._pending):
            line = book[name].periods.get(period) if name in book else None
            if line is not None:
                requests, tokens, cost = requests + line[0], tokens + line[1], cost + line[2]
        return requests, tokens, cost


def period_end(now: float, period: str) -> float:
    """When the day or month of `now` ends, seconds since 1970."""
    start = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "month":
        start = start.replace(day=28) + timedelta(days=4)
        return start.replace(day=1).timestamp()
    return (start + timedelta(days=1)).timestamp()


def _fingerprint(path: Path) -> tuple[int, ...]:
    """What changes when the file does; empty if there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _account(value: dict[str, Any]) -> Account:
    return Account(
        {int(second): _line(line) for second, line in value["seconds"].items()},
        {str(period): _line(line) for period, line in value["periods"].items()},
    )


def _line(value: list[Any]) -> list[float]:
    requests, tokens, cost = value
    return [float(requests), float(tokens), float(cost)]


def _day(now: float) -> str:
    return _days(int(now // 86400))[0]


def _month(now: float) -> str:
    return _days(int(now // 86400))[1]


@lru_cache(maxsize=8)
def _days(number: int) -> tuple[str, str]:
    day = time.strftime("%Y-%m-%d", time.gmtime(number * 86400))
    return day, day[:7]
