"""Everything that is known in one term of a promise; it can be saved, put back, and counted anew from a record."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from shokunin.errors import UsageError
from shokunin.metrics import rows_needed
from shokunin.watch.alarm import Alarm
from shokunin.watch.bound import COUNTS, AuditBound, Level
from shokunin.watch.status import State
from shokunin.watch.tighten import CONCLUSIVE, Pair, higher_threshold, safe_threshold

PAIRS = 400
"""Of audited answers so many are kept to choose thresholds."""
ROWS = 4
"""To say whether a lower threshold is safe again, so many times as many rows are looked at as could show it at all."""
LOOK_AGAIN = 25
"""After so many answers the audit rate is chosen anew, even if no audit has returned; after so many rows it is looked
whether a lower threshold is safe again."""


class Term:
    """What has been given, audited and decided since the promise began.

    Attributes:
        number: 1, 2, 3 …
        state: what is done with answers.
        reason: why, a sentence.
        thresholds: from the calibrated one to the present one, each higher than the one before.
        given: answers given.
        rate: the probability with which the next one is to be audited.
        certified: its level, where nothing needs to be checked until an audit begins or returns.
        until_look: answers until the rate is chosen anew.
        until_relax: rows until it is looked whether a lower threshold is safe.
        bound: counts answers and audits.
        alarm: fed with the outcomes of audits.
        pairs: the last of them.
        rows: what shows whether a lower threshold is safe, since the threshold was last changed.
    """

    def __init__(self, number: int, *, max_error: float, confidence: float, thresholds: list[float]) -> None:
        self.number = number
        self.state: State = "kept" if len(thresholds) == 1 else "tightened"
        self.reason = ""
        self.thresholds = thresholds
        self.given = 0
        self.rate, self.until_look, self.until_relax = 1.0, 0, LOOK_AGAIN
        self.certified: Level | None = None
        self.bound, self.alarm = AuditBound(1 - confidence), Alarm(max_error)
        self.pairs: deque[Pair] = deque(maxlen=PAIRS)
        self.rows: deque[Pair] = deque(maxlen=ROWS * rows_needed(max_error, 1 - confidence))
        self._max_error, self._delta = max_error, 1 - confidence

    @property
    def threshold(self) -> float:
        """The present one."""
        return self.thresholds[-1]

    def learn(self, rate: float, agrees: bool, confidence: float) -> None:
        """Take the outcome of an audit into account, beyond its being counted."""
        self.pairs.append((confidence, agrees, 1 / rate))
        self.alarm.add(agrees)

    def higher_threshold(self) -> float | None:
        """Where the threshold should be raised to, judged by the last audits; None: no threshold helps."""
        recent = list(self.pairs)[-max(2 * self.alarm.since, CONCLUSIVE) :]
        higher = higher_threshold(self.threshold, [p for p in recent if p[0] >= self.threshold], self._max_error)
        return None if higher is None or higher <= self.threshold else higher

    def safe_threshold(self) -> float | None:
        """The lowest threshold of this term that the rows show to be safe."""
        return safe_threshold(self.thresholds, self.rows, self._max_error, self._delta)

    def count_anew(self, given: Mapping[float, int], audits: Iterable[tuple[float, bool | None, float]]) -> None:
        """Replace what was counted; see `PromiseWatch.replay`.

        Raises:
            UsageError: there are more audits with a rate than answers.
        """
        counts = {rate: dict.fromkeys(COUNTS, 0) for rate in given}
        self.pairs.clear()
        self.alarm.reset()
        for rate, agrees, confidence in audits:
            if rate not in counts:
                raise UsageError(f"an audit with rate {rate!r} is on record, but no answer that was given with it")
            counts[rate]["lost" if agrees is None else "agreed" if agrees else "wrong"] += 1
            if agrees is not None:
                self.learn(rate, agrees, confidence)
        for rate, count in counts.items():
            rest = given[rate] - sum(count.values())
            if rest < 0:
                raise UsageError(f"more audits than answers with rate {rate!r} are on record; the record is not whole")
            count["lost" if rate == 1 else "unseen"] += rest
        self.given, self.until_look, self.certified = sum(given.values()), 0, None
        self.bound.restore([{"rate": rate, **count} for rate, count in counts.items()])

    def to_dict(self) -> dict[str, Any]:
        """Everything that counts, ready for JSON."""
        return {
            "term": self.number,
            "state": self.state,
            "reason": self.reason,
            "thresholds": list(self.thresholds),
            "given": self.given,
            "rate": self.rate,
            "until_look": self.until_look,
            "until_relax": self.until_relax,
            "bound": self.bound.to_dict(),
            "alarm": self.alarm.evidence,
            "since": self.alarm.since,
            "pairs": [list(pair) for pair in self.pairs],
            "rows": [list(row) for row in self.rows],
        }

    def restore(self, value: Mapping[str, Any]) -> None:
        """Put back what `to_dict` gave.

        Raises:
            KeyError, TypeError, ValueError: the value is not what `to_dict` gives.
        """
        self.number, self.state, self.reason = int(value["term"]), value["state"], str(value["reason"])
        self.thresholds = [float(threshold) for threshold in value["thresholds"]]
        self.given, self.rate = int(value["given"]), float(value["rate"])
        self.until_look, self.until_relax = int(value["until_look"]), int(value["until_relax"])
        self.bound.restore(list(value["bound"]))
        self.alarm.evidence, self.alarm.since = [float(e) for e in value["alarm"]], int(value["since"])
        self.pairs.extend((float(c), bool(a), float(w)) for c, a, w in value["pairs"])
        self.rows.extend((float(c), bool(a), float(w)) for c, a, w in value["rows"])
        if not self.thresholds:
            raise ValueError("'thresholds'")
