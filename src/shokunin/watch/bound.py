"""A bound on all disagreements from the few that a coin chose to look at; it holds at every moment, whatever drifts.

Answers i = 1, 2, … are given. D_i is 1 if the reference would have said something else. Answer i is *audited* (the
reference is asked) when a coin A_i comes up, with a probability q_i that is settled before the coin is thrown. Nothing is
assumed about the D_i: they may drift, be chosen by an enemy who knows all coins thrown so far, or depend on q_i. Only
A_i is random.

For any 0 < l <= 1 let

    M_n(l) = product over i <= n with D_i = 1 of  (1 - l A_i) / (1 - l q_i).

Given the past, q_i and D_i, the expectation of (1 - l A_i) is 1 - l q_i, so each factor has expectation 1 and M(l) is a
non-negative martingale that begins at 1: a wealth, if one bets the share l against the coin at every disagreement. So is
any mixture with fixed weights. By Ville's inequality (1939) the mixture stays below 1/delta at *all* times with
probability at least 1 - delta. (Waudby-Smith and Ramdas, arXiv 2010.09686, estimate means by betting; Howard et al., arXiv
1810.08240, give bounds for all times. Here the only bets are on our own coin, so nothing about the data is assumed. With
g = -log(1 - l q), e = -log(1 - l) this is exp(g * disagreements - e * seen ones) of the Cramér-Chernoff kind.)

The D_i of answers that were not audited are unknown, so the bound is the largest number S of disagreements that some
choice of them explains with a mixture below 1/delta. A factor 1 / (1 - l q) is smaller for smaller q, for every l at
once, so the choice that explains most puts unseen disagreements where the coin was least likely to find them, as many as
there are unaudited answers with that probability. That is exact, and takes one pass over the few probabilities in use.

What is not known counts against us. An audit whose outcome is still outstanding, or was lost, is taken for a disagreement
that was seen: of all outcomes this leaves M smallest at any S. No assumption about why audits get lost is needed. An
answer that could not have been audited (q = 0) is taken for a disagreement. Where q = 1 nothing is unseen and the count
is exact.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

BETS = ((0.9, 0.25), (0.6, 0.30), (0.35, 0.25), (0.18, 0.12), (0.08, 0.08))
"""Shares to bet, and what each counts for in the mixture. About sqrt(2 log(1/delta) / k) is best when k disagreements
have been seen: nearly all before the first, a twelfth after a thousand. At 95 % the bound is then within a tenth of what
the best single bet for each k up to 150 would give, and 15 to 40 % above a bound that may be looked at only once."""
COUNTS = ("unseen", "agreed", "wrong", "lost", "pending")
LARGEST = 700.0
"""Of exponents; far beyond any 1/delta, and `exp` does not overflow."""


@dataclass(slots=True)
class Level:
    """The answers that were given with one audit probability.

    Attributes:
        rate: the probability.
        unseen: how many were not audited.
        agreed: audits in which the reference said the same.
        wrong: audits in which it did not.
        lost: audits without an outcome.
        pending: audits whose outcome is outstanding.
        gains: for each bet, by how much one unseen disagreement raises the logarithm of its wealth.
        costs: for each bet, by how much one seen disagreement lowers it.
    """

    rate: float
    unseen: int = 0
    agreed: int = 0
    wrong: int = 0
    lost: int = 0
    pending: int = 0
    gains: tuple[float, ...] = field(init=False, repr=False)
    costs: tuple[float, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.gains = tuple(-math.log1p(-bet * self.rate) for bet, _ in BETS)
        self.costs = tuple(math.log1p(-bet) + gain for (bet, _), gain in zip(BETS, self.gains, strict=True))


class AuditBound:
    """Counts answers and audits; knows how many disagreements there can be in all."""

    def __init__(self, delta: float) -> None:
        """`delta`: the probability with which the bound may ever fail."""
        self.delta = delta
        self._logs: list[float]
        self._settled: list[float]
        self._levels: list[Level] = []  # the lowest audit probability first
        self._begin()

    @property
    def levels(self) -> tuple[Level, ...]:
        """What was given with each audit probability, the lowest first; to be read, not changed."""
        return tuple(self._levels)

    @property
    def known(self) -> int:
        """Disagreements that were seen, and audits without an outcome, which count as such."""
        return self._known

    @property
    def pending(self) -> int:
        """Audits whose outcome is outstanding."""
        return self._pending

    def level(self, rate: float) -> Level:
        """The level with this audit probability, made if it is new."""
        for found in self._levels:
            if found.rate == rate:
                return found
        made = Level(rate)
        self._levels.append(made)
        self._levels.sort(key=lambda level: level.rate)
        return made

    def give(self, level: Level, audit: bool) -> None:
        """Count an answer of one of this bound's levels; `audit` is how the coin fell."""
        if audit:
            level.pending += 1
            self._pending += 1
            self._known += 1
            self._logs = [log + cost for log, cost in zip(self._logs, level.costs, strict=True)]
        else:
            level.unseen += 1

    def resolve(self, rate: float, agrees: bool | None) -> None:
        """Count the outcome of an outstanding audit; None: it was lost.

        Raises:
            ValueError: no audit with this probability is outstanding.
        """
        level = self.level(rate)
        if not level.pending:
            raise ValueError(f"no audit with probability {rate!r} is outstanding")
        level.pending -= 1
        self._pending -= 1
        if agrees:
            level.agreed += 1
            self._known -= 1
            self._logs = [log - cost for log, cost in zip(self._logs, level.costs, strict=True)]
            return
        self._settled = [log + cost for log, cost in zip(self._settled, level.costs, strict=True)]
        if agrees is None:
            level.lost += 1
        else:
            level.wrong += 1

    def excludes(
        self, total: int, *, giving: Level | None = None, unlimited: Level | None = None, pending: bool = True
    ) -> bool:
        """Whether `total` or more disagreements are ruled out.

        Args:
            total: a number of disagreements.
            giving: also rule it out after one more answer of this level, whatever that is and however its coin falls.
            unlimited: rule it out however many more answers of this level are given, as long as no audit finds a
                disagreement.
            pending: whether outstanding audits count as disagreements; without them this is what would be known if
                they all agreed.
        """
        logs, known = (self._logs, self._known) if pending else (self._settled, self._known - self._pending)
        if giving is not None:
            # Audited and wrong is the worst that can become of it, for every bet. At rate 0 it is unseen and wrong.
            known += 1
            if giving.rate > 0:
                logs = [log + cost for log, cost in zip(logs, giving.costs, strict=True)]
        unseen = total - known
        if unseen <= 0:
            return False
        for level in self._levels:
            taken = unseen if level is unlimited or unseen < level.unseen else level.unseen
            if taken:
                logs = [log + taken * gain for log, gain in zip(logs, level.gains, strict=True)]
                unseen -= taken
                if not unseen:
                    return sum([math.exp(log if log < LARGEST else LARGEST) for log in logs]) >= 1 / self.delta
        return True  # there are not so many answers whose outcome is unknown

    def count(self) -> int:
        """With probability 1 - delta there are at no time more disagreements than this says at that time."""
        low, high = self._known, self._known + sum(level.unseen for level in self._levels)
        while low < high:
            middle = (low + high) // 2
            if self.excludes(middle + 1):
                high = middle
            else:
                low = middle + 1
        return low

    def to_dict(self) -> list[dict[str, Any]]:
        """The counts, ready for JSON."""
        return [
            {"rate": level.rate, **{name: getattr(level, name) for name in COUNTS}}
            for level in self._levels
            if any(getattr(level, name) for name in COUNTS)
        ]

    def restore(self, levels: list[Mapping[str, Any]]) -> None:
        """Put back what `to_dict` gave, in place of what was counted so far."""
        self._levels = []
        self._begin()
        for saved in levels:
            level = self.level(float(saved["rate"]))
            for name in COUNTS:
                setattr(level, name, int(saved[name]))
        for level in self._levels:
            seen = level.wrong + level.lost
            self._known += seen + level.pending
            self._pending += level.pending
            self._settled = [log + seen * cost for log, cost in zip(self._settled, level.costs, strict=True)]
            self._logs = [
                log + (seen + level.pending) * cost for log, cost in zip(self._logs, level.costs, strict=True)
            ]

    def _begin(self) -> None:
        self._known = self._pending = 0
        # The logarithm of each bet's weighted wealth, if all disagreements were those that were seen: with audits that are
        # outstanding, and without.
        self._logs = [math.log(weight) for _, weight in BETS]
        self._settled = list(self._logs)
