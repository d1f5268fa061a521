"""The promise kept online: which answers may be given, which are audited, and when to stop.

**What is promised.** Of the first n answers given in a term, for every n at once, at most `max_error * max(n, settle)`
differ from what the upstream would have said, with probability `confidence`: over our own coins, whatever the
requests do.

**Why it holds.** Before an answer is given, `AuditBound` must rule out more disagreements than are allowed after it, even
if it is wrong, is not found out, or its audit never returns. If that fails at the lowest audit probability a higher one is
tried; at 1 an answer can add one disagreement at most. If that fails too the answer is not given. So at every n the
number allowed lies above a bound that fails at no time with probability `confidence`. Everything else in this module, the
alarm, tighter thresholds, the audit rate, may be chosen freely: it can only make the promise cheaper or dearer.

**settle.** With all answers audited even the first can be judged, but luck needs room: a specialist that is well within the
limit errs in runs. `settle` is where the limit stops being a fixed number k. k is the smallest for which a specialist with
two thirds of the allowed rate would have more than k disagreements in the first `settle` answers once in a hundred times.
That is k = 34, so settle = 680 for 5 % and 3,400 for 1 %. The audit share has no part in it: audits begin at
every answer and thin out only as the bound leaves room, so the share says how far they may thin out.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from shokunin.errors import UsageError
from shokunin.metrics import rows_needed
from shokunin.watch.alarm import Alarm
from shokunin.watch.bound import AuditBound, Level
from shokunin.watch.status import Change, Decision, State, WatchEvent, WatchStatus
from shokunin.watch.tighten import CONCLUSIVE, Pair, higher_threshold, safe_threshold

RESERVE = 0.05
LUCK = 8
"""Audits thin out only while the bound that would follow leaves this share of the limit, and this number of
disagreements, for runs of bad luck: where two thirds of the limit is the rule, one of eight more comes about once in 250."""
FIRST = 0.25
"""Of the answers until `settle` this share is audited without exception."""
USUAL = 2 / 3
"""The share of the allowed rate that a specialist is expected to use."""
BAD_LUCK = 0.01
"""The probability with which such a specialist may be handed back for bad luck before `settle`."""
CLOSE = 2
"""When the bound leaves room for so many disagreements for every step that is left, the threshold is raised."""
STEPS = 3
"""So often the threshold is raised in a term; then all is handed back."""
PAIRS = 400
"""Of audited answers so many are kept to choose thresholds."""
ROWS = 4
"""To say whether a lower threshold is safe again, so many times as many rows are looked at as could show it at all."""
LOOK_AGAIN = 25
"""After so many answers the audit rate is chosen anew, even if no audit has returned; after so many rows it is looked
whether a lower threshold is safe again."""


class Coin(Protocol):
    """What throws the coins, for instance `random.SystemRandom()`; nobody who sees requests may foresee it."""

    def random(self) -> float:
        """A number, evenly distributed in [0, 1)."""


class PromiseWatch:
    """The watch over one version of one specialist; no clock, no input or output, one thread."""

    def __init__(
        self,
        *,
        max_error: float,
        confidence: float,
        threshold: float,
        audit_share: float,
        rng: Coin,
        settle: int | None = None,
    ) -> None:
        """Begin the first term.

        Args:
            max_error: the task's; the share of answers that may differ from the upstream's.
            confidence: the task's `promise_confidence`.
            threshold: the calibrated one; above 1: nothing is answered.
            audit_share: audits thin out to this share of the answers; 0: nothing may be audited, so nothing is watched.
            rng: throws the coins.
            settle: by default chosen as the module says.

        Raises:
            UsageError: a share that is none.
        """
        for name, value in (("max_error", max_error), ("confidence", confidence)):
            if not 0 < value < 1:
                raise UsageError(f"{name!r} is {value!r}; expected a share above 0 and below 1")
        if not 0 <= audit_share <= 1:
            raise UsageError(f"'audit_share' is {audit_share!r}; expected a share from 0 (no audits) to 1 (all)")
        if settle is not None and settle < 1:
            raise UsageError(f"'settle' is {settle!r}; expected a number of answers, at least 1")
        self.max_error, self.confidence, self.audit_share = max_error, confidence, audit_share
        self.settle = settle_at(max_error) if settle is None else settle
        self._calibrated = threshold
        self._rates = audit_rates(audit_share)
        self._rng = rng
        self._events: list[WatchEvent] = []
        self._term = 0
        self._threshold = threshold
        self._certified: Level | None = None
        self._begin(threshold, "the promise begins; every answer is audited until there is evidence")

    # ---- what the gateway calls ----

    def decide(self, confidence: float, *, auditable: bool = True) -> Decision:
        """Whether to give an answer with this confidence, and whether to audit it; it counts as given if so.

        Args:
            confidence: the specialist's, in the answer.
            auditable: False while the upstream is known to be out of reach, so that no coin is thrown. Such an answer
                counts as a disagreement, and is given only while there is room for it.
        """
        if self._state == "handed_back":
            return Decision(False, False, 0.0, "handed_back", self._term)
        if not confidence >= self._threshold:
            return Decision(False, False, 0.0, "unsure", self._term)
        if self._state == "unwatched":
            self._given += 1
            return Decision(True, False, 0.0, "sure", self._term)
        level = self._certified if auditable and self._until_look > 0 else None
        level = level or self._affordable(auditable)
        if level is None:
            return self._refuse(auditable)
        audit = level.rate > 0 and self._rng.random() < level.rate
        self._given += 1
        self._until_look -= 1
        self._bound.give(level, audit)
        if audit or not auditable:
            self._certified = None
        return Decision(True, audit, level.rate, "sure", self._term)

    def audited(self, rate: float, agrees: bool | None, confidence: float, *, term: int | None = None) -> None:
        """The outcome of one audit.

        Args:
            rate: of the decision.
            agrees: whether the upstream said the same; None: it will never be known, which counts as a disagreement. Try
                an audit again before giving it up.
            confidence: of the answer.
            term: of the decision; outcomes of a former term are ignored.

        Raises:
            ValueError: no audit with this rate is outstanding.
        """
        if term is not None and term != self._term:
            return
        self._bound.resolve(rate, agrees)
        if not agrees or rate < 1:
            self._until_look = 0
        if agrees is not None:
            self._pairs.append((confidence, agrees, 1 / rate))
            self._alarm.add(agrees)
        if self._state in ("handed_back", "unwatched"):
            return
        if self._alarm.rings:
            self._tighten("the last audits disagree more often than allowed")
        elif agrees is False and self._in_danger():
            self._tighten("the bound is close to the limit")
        elif self._state == "tightened" and agrees is not None:
            self._rows.append((confidence, agrees, 1 / rate))
            self._relax()

    def compared(self, confidence: float, agrees: bool | None) -> None:
        """What the specialist would have said to a request that the upstream answered; None: cannot be told."""
        if self._state in ("tightened", "handed_back") and agrees is not None and confidence >= self._calibrated:
            self._rows.append((confidence, agrees, 1.0))
            if self._state == "tightened":
                self._relax()

    def resume(self) -> None:
        """Answer again, as a new term with a promise of its own.

        At the threshold that the rows since handing back show to be safe; where they show none, at the last one.
        """
        safe = self._safe() if self._state == "handed_back" else None
        threshold = self._threshold if safe is None else safe
        self._begin(threshold, "the owner resumed; a new promise begins, and every answer is audited for a while")

    def take_events(self) -> list[WatchEvent]:
        """The changes of state since this was last called, oldest first."""
        taken, self._events = self._events, []
        return taken

    @property
    def status(self) -> WatchStatus:
        """How the promise stands."""
        levels = self._bound.levels
        agreed, wrong, lost = (sum(getattr(x, name) for x in levels) for name in ("agreed", "wrong", "lost"))
        bound = None if self._state == "unwatched" else self._bound.count()
        safe = self._safe() if self._state == "handed_back" else None
        answering = self._state in ("kept", "tightened")
        return WatchStatus(
            promise=self._sentence(),
            state=self._state,
            term=self._term,
            threshold=self._threshold,
            given=self._given,
            audited=agreed + wrong,
            disagreements=wrong,
            pending=self._bound.pending,
            lost=lost,
            bound=bound,
            bound_share=bound / self._given if bound is not None and self._given else None,
            limit=self._limit(self._given),
            settle=self.settle,
            max_error=self.max_error,
            confidence=self.confidence,
            rate=self._rate if answering else 0.0,
            reason=self._reason,
            would_resume=safe is not None,
            resume_threshold=safe,
        )

    # ---- restarts ----

    def to_dict(self) -> dict[str, Any]:
        """Everything that counts, ready for JSON."""
        return {
            "max_error": self.max_error,
            "confidence": self.confidence,
            "audit_share": self.audit_share,
            "settle": self.settle,
            "calibrated": self._calibrated,
            "threshold": self._threshold,
            "thresholds": self._thresholds,
            "term": self._term,
            "state": self._state,
            "reason": self._reason,
            "given": self._given,
            "rate": self._rate,
            "until_look": self._until_look,
            "until_relax": self._until_relax,
            "bound": self._bound.to_dict(),
            "alarm": self._alarm.evidence,
            "since": self._alarm.since,
            "pairs": [list(pair) for pair in self._pairs],
            "rows": [list(row) for row in self._rows],
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], *, rng: Coin) -> PromiseWatch:
        """Go on from what `to_dict` gave.

        Outstanding audits stay outstanding: audit them again, or report them as lost.

        Raises:
            UsageError: the value is not what `to_dict` gives.
        """
        try:
            made = cls(
                max_error=float(value["max_error"]),
                confidence=float(value["confidence"]),
                threshold=float(value["calibrated"]),
                audit_share=float(value["audit_share"]),
                rng=rng,
                settle=int(value["settle"]),
            )
            made._threshold, made._thresholds = float(value["threshold"]), [float(t) for t in value["thresholds"]]
            made._term, made._state, made._reason = int(value["term"]), value["state"], str(value["reason"])
            made._given, made._rate = int(value["given"]), float(value["rate"])
            made._until_look, made._until_relax = int(value["until_look"]), int(value["until_relax"])
            made._bound.restore(list(value["bound"]))
            made._alarm.evidence, made._alarm.since = [float(e) for e in value["alarm"]], int(value["since"])
            made._pairs.extend((float(c), bool(a), float(w)) for c, a, w in value["pairs"])
            made._rows.extend((float(c), bool(a), float(w)) for c, a, w in value["rows"])
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"the saved state of the watch lacks or garbles {error}; remove it to begin anew"
            ) from error
        return made

    def replay(self, given: Mapping[float, int], audits: Iterable[tuple[float, bool | None, float]]) -> None:
        """Count this term anew from the record of traffic, after a crash.

        Args:
            given: how many answers were given with each audit rate.
            audits: rate, outcome and confidence of every audit whose outcome is on record, oldest first. Answers with
                rate 1 that lack one count as lost; of the others it is not known whether the coin fell, so the record
                must name audits that began and never ended, as lost (None).

        Raises:
            UsageError: there are more audits with a rate than answers.
        """
        counts = {rate: {"rate": rate, "unseen": 0, "agreed": 0, "wrong": 0, "lost": 0, "pending": 0} for rate in given}
        self._pairs.clear()
        self._alarm.reset()
        for rate, agrees, confidence in audits:
            if rate not in counts:
                raise UsageError(f"an audit with rate {rate!r} is on record, but no answer that was given with it")
            counts[rate]["lost" if agrees is None else "agreed" if agrees else "wrong"] += 1
            if agrees is not None:
                self._pairs.append((confidence, agrees, 1 / rate))
                self._alarm.add(agrees)
        for rate, count in counts.items():
            rest = given[rate] - sum(int(count[name]) for name in ("agreed", "wrong", "lost"))
            if rest < 0:
                raise UsageError(f"more audits than answers with rate {rate!r} are on record; the record is not whole")
            count["lost" if rate == 1 else "unseen"] += rest
        self._given, self._certified = sum(given.values()), None
        self._bound.restore(list(counts.values()))
        self._until_look = 0
        if self._state in ("kept", "tightened") and self._alarm.rings:
            self._tighten("the last audits disagree more often than allowed")

    # ---- within ----

    def _begin(self, threshold: float, reason: str) -> None:
        before: State = "unwatched" if self._term == 0 else self._state
        self._term += 1
        self._bound, self._alarm = AuditBound(1 - self.confidence), Alarm(self.max_error)
        self._pairs: deque[Pair] = deque(maxlen=PAIRS)
        self._rows: deque[Pair] = deque(maxlen=ROWS * rows_needed(self.max_error, 1 - self.confidence))
        self._given, self._rate, self._until_look, self._until_relax = 0, 1.0, 0, LOOK_AGAIN
        self._certified = None
        self._threshold, self._thresholds = threshold, sorted({self._calibrated, threshold})
        self._state: State = "kept" if threshold == self._calibrated else "tightened"
        self._reason = reason
        if self.audit_share == 0:
            self._state, self._rate = "unwatched", 0.0
            self._reason = "nothing may be sent out for audits: the promise rests on the calibration alone"
        if self._term > 1:
            self._note("resumed", before)

    def _sentence(self) -> str:
        rest = f"at most {100 * self.max_error:g} % of all, with {100 * self.confidence:g} % confidence"
        if self._state == "unwatched":
            return f"{rest}, as far as requests are like the validation rows; nothing watches whether they are"
        first = f"at most {self._limit(0)} of the first {self.settle} answers differ from the upstream's"
        return f"{first}, from then on {rest}"

    def _limit(self, given: int) -> int:
        """Disagreements allowed among so many answers."""
        return math.floor(self.max_error * max(given, self.settle) + 1e-9)

    def _affordable(self, auditable: bool) -> Level | None:
        """The level for the next answer, or None if even a full audit leaves no room."""
        over = self._limit(self._given + 1) + 1
        if not auditable:
            nothing = self._bound.level(0.0)
            return nothing if self._bound.excludes(over, giving=nothing) else None
        if self._until_look <= 0:
            self._choose_rate()
        for rate in self._rates:
            if rate >= self._rate:
                level = self._bound.level(rate)
                if self._bound.excludes(over, giving=level):
                    return level
        return None

    def _choose_rate(self) -> None:
        """The lowest rate at which the bound stays well below the limit even if one more audit finds a disagreement."""
        self._rate, self._until_look, self._certified = 1.0, LOOK_AGAIN, None
        if self._alarm.suspects or self._given < FIRST * self.settle:
            return
        limit = self._limit(self._given + 1)
        to_come = USUAL * self.max_error * max(0, self.settle - self._given)
        over = math.floor(limit - to_come - max(LUCK, RESERVE * limit)) + 1
        for rate in self._rates[:-1]:
            level = self._bound.level(rate)
            if self._bound.excludes(over, giving=level, unlimited=level):
                # However many answers of this level follow, this stays true until the next of them is audited or an
                # outcome comes in: nothing needs to be checked until then.
                self._rate, self._certified = rate, level
                return

    def _refuse(self, auditable: bool) -> Decision:
        if not auditable:
            return Decision(False, False, 0.0, "not_auditable", self._term)
        if self._bound.excludes(self._limit(self._given + 1) + 1, giving=self._bound.level(1.0), pending=False):
            return Decision(False, False, 0.0, "audits_outstanding", self._term)
        self._hand_back("one more answer could break the promise")
        return Decision(False, False, 0.0, "handed_back", self._term)

    def _in_danger(self) -> bool:
        limit = self._limit(self._given)
        close = min(CLOSE * (STEPS + 1 - len(self._thresholds)), limit // 4)
        return not self._bound.excludes(limit - close + 1, pending=False)

    def _tighten(self, why: str) -> None:
        if len(self._thresholds) > STEPS:
            self._hand_back(f"{why}, and higher thresholds did not help")
            return
        recent = list(self._pairs)[-max(2 * self._alarm.since, CONCLUSIVE) :]
        pairs = [pair for pair in recent if pair[0] >= self._threshold]
        higher = higher_threshold(self._threshold, pairs, self.max_error)
        if higher is None or higher <= self._threshold:
            self._hand_back(f"{why}, and the surest answers are no better")
            return
        before, self._state = self._state, "tightened"
        self._threshold = higher
        self._thresholds.append(higher)
        self._alarm.reset()
        self._rows.clear()
        self._reason = f"{why}, so the threshold was raised to {higher:.4g}"
        self._note("tightened", before)

    def _relax(self) -> None:
        """Go back to a lower threshold of this term where the bound leaves room and the rows show that it is safe."""
        self._until_relax -= 1
        if self._until_relax > 0:
            return
        self._until_relax = LOOK_AGAIN
        if self._rate == 1:
            return
        safe = self._safe()
        if safe is None or safe >= self._threshold:
            return
        self._thresholds = [t for t in self._thresholds if t <= safe]
        self._threshold, self._state = safe, "kept" if safe == self._calibrated else "tightened"
        self._rows.clear()
        self._reason = f"the last rows show that a threshold of {safe:.4g} is safe again"
        self._note("relaxed", "tightened")

    def _hand_back(self, why: str) -> None:
        before, self._state = self._state, "handed_back"
        self._rows.clear()
        self._reason = f"{why}: everything goes to the upstream until the owner resumes"
        self._note("handed_back", before)

    def _safe(self) -> float | None:
        return safe_threshold(self._thresholds, self._rows, self.max_error, 1 - self.confidence)

    def _note(self, what: Change, before: State) -> None:
        self._events.append(
            WatchEvent(
                what=what,
                term=self._term,
                before=before,
                after=self._state,
                threshold=self._threshold,
                given=self._given,
                bound=0 if self._state == "unwatched" else self._bound.count(),
                limit=self._limit(self._given),
                reason=self._reason,
            )
        )


def settle_at(max_error: float) -> int:
    """From how many answers on the limit is a share; see the module."""
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
