"""Quota: how much each client has used, and whether it may go on; concurrent requests cannot overshoot, restarts forget nothing.

Minutes slide: requests and tokens are counted by the second, and what is older than 60 seconds counts no more, so that no
60 seconds ever hold more than the limit. A bucket that refills would let twice as much through in its first minute, and
a fixed minute twice as much around its end. Days and months are those of the calendar in UTC, as on a bill.

What a request may cost is set aside when it is let in (`admit`, `reserve`) and replaced by what it did cost (`settle`).
Usage is counted by the client's name, so a second key or a new one does not start at nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from types import TracebackType

from shokunin.serve.callers import Allowance, Caller
from shokunin.serve.ledger import Ledger, period_end
from shokunin.serve.refusal import Refusal
from shokunin.template.tokens import BYTES_PER_TOKEN

LONG_SECONDS = 60.0
"""Clients that wait by themselves should not wait longer than this; beyond it they are told not to try again."""

_UNLIMITED = Allowance()


class Quota:
    """Lets requests in as long as their client's limits allow.

    Args:
        ledger: where usage is counted; one in memory unless given.
    """

    def __init__(self, ledger: Ledger | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self.ledger = ledger or Ledger(None, clock=clock)
        self._clock = clock
        self._reserved: dict[str, list[float]] = {}  # name: [tokens, cost]

    def admit(self, caller: Caller, tokens: int = 0, cost: float | None = 0.0) -> Ticket:
        """Let a request in and set aside what it may use.

        Args:
            caller: whose it is.
            tokens: the most it is expected to read and write.
            cost: the most that upstreams are expected to charge for it, US dollars; None: nobody knows.

        Raises:
            Refusal: 429 `rate_limit_exceeded` with `Retry-After`; 403 `price_unknown`, money is limited and `cost` is None.
        """
        ticket = Ticket(self, caller, self._clock())
        if caller.limits == _UNLIMITED:
            return ticket
        self._check(caller, requests=1, tokens=max(1, tokens), cost=cost)
        self.ledger.add(caller.name, ticket.time, requests=1)
        ticket.hold(tokens, cost or 0.0)
        return ticket

    def headers(self, caller: Caller) -> dict[str, str]:
        """The `x-ratelimit-…` headers, as OpenAI's clients know them; for tokens of the day where no minute is limited."""
        limits, now = caller.limits, self._clock()
        if limits == _UNLIMITED:
            return {}
        found: dict[str, str] = {}
        requests, tokens, _ = self.ledger.minute(caller.name, now)
        reset = self.ledger.minute_end(caller.name, now)
        if limits.requests_per_minute is not None:
            found |= _headers("requests", limits.requests_per_minute, requests, reset)
        held = self._reserved.get(caller.name, (0.0, 0.0))[0]
        if limits.tokens_per_minute is not None:
            found |= _headers("tokens", limits.tokens_per_minute, tokens + held, reset)
        elif limits.tokens_per_day is not None:
            used = self.ledger.day(caller.name, now)[1]
            found |= _headers("tokens", limits.tokens_per_day, used + held, period_end(now, "day") - now)
        return found

    def _check(self, caller: Caller, *, requests: int, tokens: int, cost: float | None) -> None:
        if cost is None and caller.limits.money:
            raise Refusal(
                403,
                "this key's money is limited, and what this model costs is not known here; "
                "the owner of this server can state it under [prices] in shokunin.toml",
                "price_unknown",
            )
        now = self._clock()
        for what, limit, wait in self._exceeded(caller, now, requests, tokens, cost or 0.0):
            raise self._too_much(caller, what, limit, wait)

    def _exceeded(
        self, caller: Caller, now: float, requests: int, tokens: int, cost: float
    ) -> Iterator[tuple[str, float, float]]:
        """Each limit that would be exceeded, with the seconds until it would not be; infinite if never."""
        name, limits = caller.name, caller.limits
        held_tokens, held_cost = self._reserved.get(name, (0.0, 0.0))
        a_minute = (requests or tokens) and (limits.requests_per_minute or limits.tokens_per_minute)
        last_requests, last_tokens, _ = self.ledger.minute(name, now) if a_minute else (0.0, 0.0, 0.0)
        if requests and limits.requests_per_minute is not None:
            limit = limits.requests_per_minute
            if last_requests + requests > limit:
                yield "requests per minute", limit, self.ledger.minute_wait(name, now, 0, limit - requests)
        if tokens and limits.tokens_per_minute is not None:
            limit = limits.tokens_per_minute
            if last_tokens + held_tokens + tokens > limit:
                yield "tokens per minute", limit, self.ledger.minute_wait(name, now, 1, limit - held_tokens - tokens)
        if tokens and limits.tokens_per_day is not None:
            limit = limits.tokens_per_day
            if self.ledger.day(name, now)[1] + held_tokens + tokens > limit:
                yield "tokens per day", limit, _until(now, "day", tokens > limit)
        if cost and limits.usd_per_day is not None:
            most = limits.usd_per_day
            if self.ledger.day(name, now)[2] + held_cost + cost > most + _DUST:
                yield "US dollars per day", most, _until(now, "day", cost > most)
        if cost and limits.usd_per_month is not None:
            most = limits.usd_per_month
            if self.ledger.month(name, now)[2] + held_cost + cost > most + _DUST:
                yield "US dollars per month", most, _until(now, "month", cost > most)

    def _too_much(self, caller: Caller, what: str, limit: float, wait: float) -> Refusal:
        headers = {name.replace("-", "_"): value for name, value in self.headers(caller).items()}
        if math.isinf(wait):
            message = f"this request alone may use more than the {limit:g} {what} of its key; ask for less at a time"
            return Refusal(429, message, "rate_limit_exceeded", x_should_retry="false", **headers)
        seconds = max(1, math.ceil(wait))
        if wait > LONG_SECONDS:
            headers["x_should_retry"] = "false"
        message = (
            f"the {limit:g} {what} of this key are used up; ask again in {_duration(seconds)}, or with another key"
        )
        return Refusal(429, message, "rate_limit_exceeded", retry_after=str(seconds), **headers)


_DUST = 1e-9
"""Of sums of money in floating point this much is no money."""


class Ticket:
    """A request that was let in. As a context manager it counts what was set aside unless something else was settled."""

    def __init__(self, quota: Quota, caller: Caller, now: float) -> None:
        self.time = now
        self._quota = quota
        self._caller = caller
        self._tokens = 0.0
        self._cost = 0.0
        self._open = caller.limits != _UNLIMITED

    def reserve(self, tokens: int = 0, cost: float | None = 0.0) -> None:
        """Set aside more, for instance before an upstream is asked that charges for it.

        Raises:
            Refusal: as `Quota.admit`; what was set aside before stays so.
        """
        if self._open:
            self._quota._check(self._caller, requests=0, tokens=tokens, cost=cost)
            self.hold(tokens, cost or 0.0)

    def settle(self, tokens: int | None, cost: float | None = 0.0) -> None:
        """Count what the request did use instead of what was set aside; later calls count nothing.

        Args:
            tokens: read and written; None: nobody knows, so what was set aside is counted.
            cost: what upstreams charged; None likewise.
        """
        if self._open:
            tokens = round(self._tokens) if tokens is None else tokens
            cost = self._cost if cost is None else cost
            self.hold(-self._tokens, -self._cost)
            self._open = False
            self._quota.ledger.add(self._caller.name, self.time, tokens=tokens, cost=cost)

    def release(self) -> None:
        """Nothing was used: only the request itself counts."""
        self.settle(0, 0.0)

    def hold(self, tokens: float, cost: float) -> None:
        """Set aside without asking."""
        held = self._quota._reserved.setdefault(self._caller.name, [0.0, 0.0])
        self._tokens, self._cost = self._tokens + tokens, self._cost + cost
        held[0], held[1] = max(0.0, held[0] + tokens), max(0.0, held[1] + cost)
        if held[0] < 0.5 and held[1] < _DUST:
            del self._quota._reserved[self._caller.name]

    def __enter__(self) -> Ticket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.settle(None, None)


EXPECTED_TOKENS = 256
"""What a reply is taken to need when a request sets no limit, until its real count is known."""


def estimate_tokens(body_bytes: int, completion: int | None = None, choices: int = 1) -> int:
    """The tokens a request may use: a quarter of its bytes, and what it lets the model write (`EXPECTED_TOKENS` if unsaid)."""
    return -(-body_bytes // BYTES_PER_TOKEN) + (EXPECTED_TOKENS if completion is None else completion) * choices


def _headers(what: str, limit: float, used: float, reset: float) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{what}": f"{limit:.0f}",
        f"x-ratelimit-remaining-{what}": f"{max(0.0, limit - used):.0f}",
        f"x-ratelimit-reset-{what}": _duration(math.ceil(reset)),
    }


def _duration(seconds: int) -> str:
    """`6m0s`, as OpenAI writes it."""
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _until(now: float, period: str, never: bool) -> float:
    return math.inf if never else period_end(now, period) - now
