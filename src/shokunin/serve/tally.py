"""Tally: the last day by the hour, in memory: how many requests went which way, what was spent and what was saved."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from shokunin.cost import US_DOLLARS, Currency
from shokunin.exchange import Exchange, Route

HOURS = 24
"""Hours that are kept, the running one included."""
REPLIES: tuple[Route, ...] = ("local", "fallback", "escalated", "passed", "refused")
"""Routes that end with a reply to a client."""


@dataclass(slots=True)
class Hour:
    """What happened in one hour, or in several that were added up.

    Attributes:
        start: when it began, seconds since 1970.
        routes: exchanges by route.
        spent: what upstreams charged, audits included, US dollars.
        unpriced: calls to an upstream whose price is not known.
        saved: what local answers would have cost, US dollars.
        unvalued: local answers of which that is not known.
    """

    start: float
    routes: Counter[str] = field(default_factory=Counter)
    spent: float = 0.0
    unpriced: int = 0
    saved: float = 0.0
    unvalued: int = 0

    @property
    def requests(self) -> int:
        """Requests of clients."""
        return sum(self.routes[route] for route in REPLIES)

    @property
    def answered(self) -> int:
        """Requests that got an answer, from whomever."""
        return self.requests - self.routes["refused"]


class Tally:
    """Counts exchanges by the hour of this machine's clock; used from one thread.

    Args:
        saving: of a local answer, what the upstream would have charged, US dollars; None where that is not known.
        prices_as_of: the day of the price book that amounts rest on; None: they rest on none.
        currency: in which amounts are shown.
        clock: the time now, seconds since 1970.
    """

    def __init__(
        self,
        *,
        saving: Callable[[Exchange], float | None] = lambda exchange: None,
        prices_as_of: str | None = None,
        currency: Currency = US_DOLLARS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._saving = saving
        self.prices_as_of = prices_as_of
        self.currency = currency
        self._clock = clock
        self._hours: deque[Hour] = deque([Hour(hour_of(clock()))], maxlen=HOURS)
        self.since = clock()

    def observe(self, exchange: Exchange) -> None:
        """Count one finished exchange in the running hour."""
        hour = self._now()
        hour.routes[exchange.route] += 1
        if exchange.upstream and exchange.route != "fallback":
            if exchange.cost is None:
                hour.unpriced += exchange.problem is None and exchange.status < 400
            elif 0 <= exchange.cost < math.inf:
                hour.spent += exchange.cost
        if exchange.route == "local":
            saved = self._saving(exchange)
            if saved is None or not 0 <= saved < math.inf:
                hour.unvalued += 1
            else:
                hour.saved += saved

    def hours(self) -> list[Hour]:
        """The last 24 hours, oldest first, the empty ones too."""
        latest = self._now().start
        kept = {hour.start: hour for hour in self._hours}
        starts = [hour_of(latest - 3600 * back + 1) for back in range(HOURS - 1, -1, -1)]
        return [kept.get(start, Hour(start)) for start in starts]

    def today(self) -> Hour:
        """Everything since midnight on this machine's clock."""
        day = time.localtime(self._clock())[:3]
        return added_up(hour for hour in self._hours if time.localtime(hour.start)[:3] == day)

    def this_hour(self) -> Hour:
        """The running hour."""
        return self._now()

    def _now(self) -> Hour:
        now = self._clock()
        latest = self._hours[-1]
        if not 0 <= now - latest.start < 3600:
            start = hour_of(now)
            if start != latest.start:
                latest = Hour(start)
                self._hours.append(latest)
        return latest


def hour_of(seconds: float) -> float:
    """When the hour of a time began on this machine's clock, seconds since 1970."""
    clock = time.localtime(seconds)
    return math.floor(seconds) - 60 * clock.tm_min - clock.tm_sec


def added_up(hours: Iterable[Hour]) -> Hour:
    """Several hours as one, which begins with the first."""
    total = Hour(0.0)
    for hour in hours:
        total.start = total.start or hour.start
        total.routes.update(hour.routes)
        total.spent += hour.spent
        total.unpriced += hour.unpriced
        total.saved += hour.saved
        total.unvalued += hour.unvalued
    return total
