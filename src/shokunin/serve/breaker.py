"""Breaker: after some failures in a row an upstream is left alone for a while, then asked once to see if it is back."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from typing import Literal

from shokunin.errors import UsageError

State = Literal["closed", "open", "half_open"]
"""`closed`: requests pass; `open`: none does; `half_open`: one is under way to see whether the upstream is back."""

WINDOW = 20
"""Outcomes over which the share of failures is taken."""
SHARE = 0.5
"""With more failures than this among the last `WINDOW` outcomes it opens, even if none came in a row."""
JITTER = 0.2
"""The pause is drawn from `seconds` ± this share, so that many processes do not all ask again at one moment."""


class Breaker:
    """A circuit breaker for one upstream; no thread, no timer: it looks at the clock when it is asked.

    Args:
        failures: so many in a row open it.
        seconds: the pause before it is tried again.
        clock: seconds that only grow.
        draw: a number from 0 to 1, for the jitter.

    Raises:
        UsageError: a number is not above 0.
    """

    def __init__(
        self,
        failures: int = 5,
        seconds: float = 15.0,
        *,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        if failures < 1 or not seconds > 0:
            raise UsageError(f"a breaker needs numbers above 0, not failures={failures!r} and seconds={seconds!r}")
        self._failures = failures
        self._seconds = seconds
        self._clock = clock
        self._draw = draw
        self._state: State = "closed"
        self._until = 0.0
        self._turn = 0
        self._probing = False
        self._in_a_row = 0
        self._last: deque[bool] = deque(maxlen=WINDOW)

    @property
    def state(self) -> State:
        """What it is at this moment."""
        if self._state == "open" and self._clock() >= self._until:
            return "half_open"
        return self._state

    @property
    def wait_seconds(self) -> float:
        """How long no request passes; 0 unless open."""
        return max(0.0, self._until - self._clock()) if self._state == "open" else 0.0

    def admit(self) -> int | None:
        """A ticket for one request, to be given to `report` with what became of it; None: do not ask now."""
        if self._state == "closed":
            return self._turn
        if self._state == "open":
            if self._clock() < self._until:
                return None
            self._enter("half_open")
        if self._probing:
            return None
        self._probing = True
        return self._turn

    def probing(self, ticket: int) -> bool:
        """Whether the request with this ticket is the one that everybody waits for."""
        return ticket == self._turn and self._state == "half_open"

    def report(self, ticket: int, good: bool | None) -> None:
        """What became of a request: True, False, or None where it says nothing of the upstream.

        Requests admitted before the last change of state are not listened to: they say how it was.
        """
        if ticket != self._turn:
            return
        if self._state == "half_open":
            self._probing = False
            if good is not None:
                self._enter("closed" if good else "open")
        elif good is not None:
            self._last.append(good)
            self._in_a_row = 0 if good else self._in_a_row + 1
            if self._in_a_row >= self._failures or self._mostly_failures():
                self._enter("open")

    def _mostly_failures(self) -> bool:
        return len(self._last) == WINDOW and self._last.count(False) > SHARE * WINDOW

    def _enter(self, state: State) -> None:
        self._state = state
        self._turn += 1
        self._probing = False
        self._in_a_row = 0
        self._last.clear()
        if state == "open":
            self._until = self._clock() + self._seconds * (1 + JITTER * (2 * self._draw() - 1))
