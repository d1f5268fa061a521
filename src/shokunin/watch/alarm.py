"""A quick alarm: the last audits disagree more often than they may. It starts actions; the promise does not rest on it.

Shiryaev and Roberts' procedure on the likelihood ratio of a higher rate of disagreement against the limit; as an
e-detector (Shin, Ramdas and Rinaldo, arXiv 2203.03532) it needs no model of the change: while the rate stays at or below the
limit, whatever else happens, a false alarm comes on average after `PATIENCE` audits or later.
"""

from __future__ import annotations

PATIENCE = 3000.0
SUSPICION = 600.0
"""From here on it is worth looking closer: more audits, no other consequence."""
RATIOS = (2.0, 4.0)
"""The rates to be quick at, as multiples of the limit."""


class Alarm:
    """Fed with audited answers, in the order in which their outcomes arrive."""

    def __init__(self, max_error: float) -> None:
        """`max_error`: the rate of disagreement that is allowed."""
        rates = [min(ratio * max_error, (1 + max_error) / 2) for ratio in RATIOS]
        self._wrong = [rate / max_error for rate in rates]
        self._right = [(1 - rate) / (1 - max_error) for rate in rates]
        self.reset()

    def reset(self) -> None:
        """Forget all evidence."""
        self.evidence = [0.0] * len(RATIOS)
        self.since = 0

    def add(self, agrees: bool) -> None:
        """Take one more outcome into account."""
        factors = self._right if agrees else self._wrong
        self.evidence = [(1 + e) * factor for e, factor in zip(self.evidence, factors, strict=True)]
        self.since = 0 if self.level < 1 else self.since + 1

    @property
    def level(self) -> float:
        """How strong the evidence is; on average over time at most the number of audits while nothing is wrong."""
        return sum(self.evidence) / len(self.evidence)

    @property
    def suspects(self) -> bool:
        """Whether it is worth looking closer."""
        return self.level >= SUSPICION

    @property
    def rings(self) -> bool:
        """Whether the rate of disagreement has risen above the limit."""
        return self.level >= PATIENCE
