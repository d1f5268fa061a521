"""How many disagreements are allowed, and how much of that may be spent on auditing less.

With all answers audited even the first can be judged, but luck needs room: a specialist that is well within the limit errs in
runs. `settle` is where the limit stops being a fixed number k. k is the smallest for which a specialist with two thirds of
the allowed rate would have more than k disagreements in the first `settle` answers once in a hundred times (Poisson). That
is k = 34, so settle = 680 for 5 % and 3,400 for 1 %. The audit share has no part in it: audits begin at every answer and
thin out only as the bound leaves room, so the share says how far they may thin out, not when evidence begins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

USUAL = 2 / 3
"""The share of the allowed rate that a specialist is expected to use."""
BAD_LUCK = 0.01
"""The probability with which such a specialist may be handed back for bad luck before `settle`."""
RESERVE = 0.05
LUCK = 8
"""What is left to runs of bad luck: this share of the limit, and this number of disagreements. Where two thirds of the limit is
the rule, one of eight more comes about once in 250."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Of the first n answers at most `max_error * max(n, settle)` may differ.

    Attributes:
        max_error: the share.
        settle: until so many answers a fixed number is allowed.
    """

    max_error: float
    settle: int

    def at(self, given: int) -> int:
        """Disagreements allowed among so many answers."""
        return math.floor(self.max_error * max(given, self.settle) + 1e-9)

    def to_spend(self, given: int) -> int:
        """How many of them the bound may use up without need, because answers are not audited; can be negative."""
        limit = self.at(given)
        to_come = USUAL * self.max_error * max(0, self.settle - given)
        return math.floor(limit - to_come - max(LUCK, RESERVE * limit))


def settle_at(max_error: float) -> int:
    """From how many answers on the limit is a share."""
    allowed = 1
    while _more_than(allowed, USUAL * allowed) > BAD_LUCK:
        allowed += 1
    return math.ceil(allowed / max_error - 1e-9)


def audit_rates(share: float) -> tuple[float, ...]:
    """The audit probabilities in use, lowest first: the share, doubled until it is 1."""
    rates = [share] if share > 0 else []
    while rates and rates[-1] < 1:
        rates.append(min(1.0, 2 * rates[-1]))
    return tuple(rates)


def _more_than(count: int, mean: float) -> float:
    """The probability that a Poisson number with this mean is larger than `count`."""
    return 1 - sum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count + 1))
