"""The promise kept online: which answers may be given, which are audited, and when to stop.

**What is promised.** Of the first n answers given in a term, for every n at once, at most `max_error * max(n, settle)`
differ from what the upstream would have said, with probability `confidence`: over our own coins, whatever the
requests do.

**Why it holds.** Before an answer is given, `AuditBound` must rule out more disagreements than are allowed after it, even
if it is wrong, is not found out, or its audit never returns. If that fails at the lowest audit probability a higher one is
tried; at 1 an answer can add one disagreement at most. If that fails too the answer is not given. So at every n the
number allowed lies above a bound that fails at no time with probability `confidence`. Everything else in this module, the
alarm, tighter thresholds, the audit rate, may be chosen freely: it can only make the promise cheaper or dearer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from shokunin.errors import UsageError
from shokunin.watch.bound import Level
from shokunin.watch.limit import Limit, audit_rates, settle_at
from shokunin.watch.status import Change, Decision, State, WatchEvent, WatchStatus
from shokunin.watch.term import LOOK_AGAIN, Term

FIRST = 0.25
"""Of the answers until `settle` this share is audited without exception."""
CLOSE = 2
"""When the bound leaves room for so many disagreements for every step that is left, the threshold is raised."""
STEPS = 3
"""So often the threshold is raised in a term; then all is handed back."""


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
            settle: until so many answers a fixed number may differ; by default as `shokunin.watch.limit` says.

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
        self.limit = Limit(max_error, settle_at(max_error) if settle is None else settle)
        self._calibrated = threshold
        self._rates = audit_rates(audit_share)
        self._rng = rng
        self._events: list[WatchEvent] = []
        self._term = self._begin(1, threshold, "the promise begins; every answer is audited until there is evidence")

    @property
    def settle(self) -> int:
        """Until so many answers a fixed number of them may differ."""
        return self.limit.settle

    # ---- what the gateway calls ----

    def decide(self, confidence: float, *, auditable: bool = True) -> Decision:
        """Whether to give an answer with this confidence, and whether to audit it; it counts as given if so.

        Args:
            confidence: the specialist's, in the answer.
            auditable: False while the upstream is known to be out of reach, so that no coin is thrown. Such an answer
                counts as a disagreement, and is given only while there is ample room for it.
        """
        term = self._term
        if term.state == "handed_back":
            return self._refusal("handed_back")
        if not confidence >= term.threshold:
            return self._refusal("unsure")
        if term.state == "unwatched":
            term.given += 1
            return Decision(True, False, 0.0, "sure", term.number)
        level = term.certified if auditable and term.until_look > 0 else None
        level = level or self._affordable(auditable)
        if level is None:
            return self._refuse(auditable)
        audit = level.rate > 0 and self._rng.random() < level.rate
        term.given += 1
        term.until_look -= 1
        term.bound.give(level, audit)
        if audit or not auditable:
            term.certified = None
        return Decision(True, audit, level.rate, "sure", term.number)

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
        now = self._term
        if term is not None and term != now.number:
            return
        now.bound.resolve(rate, agrees)
        if not agrees or rate < 1:
            now.until_look = 0
        if agrees is None:
            return
        now.learn(rate, agrees, confidence)
        if now.state in ("handed_back", "unwatched"):
            return
        if now.alarm.rings:
            self._tighten("the last audits disagree more often than allowed")
        elif not agrees and self._in_danger():
            self._tighten("the bound is close to the limit")
        elif now.state == "tightened":
            now.rows.append((confidence, agrees, 1 / rate))
            self._relax()

    def lose_outstanding(self) -> None:
        """Give up every audit that is outstanding, as after a restart when nobody asks them any more."""
        for level in self._term.bound.levels:
            for _ in range(level.pending):
                self.audited(level.rate, None, 0.0)

    def compared(self, confidence: float, agrees: bool | None) -> None:
        """What the specialist would have said to a request that the upstream answered; None: cannot be told."""
        term = self._term
        if term.state in ("tightened", "handed_back") and agrees is not None and confidence >= self._calibrated:
            term.rows.append((confidence, agrees, 1.0))
            if term.state == "tightened":
                self._relax()

    def resume(self) -> None:
        """Answer again, as a new term with a promise of its own.

        At the threshold that the rows since handing back show to be safe; where they show none, at the last one.
        """
        before, safe = self._term, self._resume_threshold()
        reason = "the owner resumed; a new promise begins, and every answer is audited for a while"
        self._term = self._begin(before.number + 1, before.threshold if safe is None else safe, reason)
        self._note("resumed", before.state)

    def take_events(self) -> list[WatchEvent]:
        """The changes of state since this was last called, oldest first."""
        taken, self._events = self._events, []
        return taken

    @property
    def status(self) -> WatchStatus:
        """How the promise stands."""
        term, safe = self._term, self._resume_threshold()
        agreed, wrong, lost = (sum(getattr(x, name) for x in term.bound.levels) for name in ("agreed", "wrong", "lost"))
        bound = None if term.state == "unwatched" else term.bound.count()
        return WatchStatus(
            promise=self._sentence(),
            state=term.state,
            term=term.number,
            threshold=term.threshold,
            given=term.given,
            audited=agreed + wrong,
            disagreements=wrong,
            pending=term.bound.pending,
            lost=lost,
            bound=bound,
            bound_share=bound / term.given if bound is not None and term.given else None,
            limit=self.limit.at(term.given),
            settle=self.settle,
            max_error=self.max_error,
            confidence=self.confidence,
            rate=term.rate if term.state in ("kept", "tightened") else 0.0,
            reason=term.reason,
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
            **self._term.to_dict(),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], *, rng: Coin) -> PromiseWatch:
        """Go on from what `to_dict` gave.

        Outstanding audits stay outstanding: audit them again, or `lose_outstanding`.

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
            made._term.restore(value)
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
        self._term.count_anew(given, audits)
        if self._term.state in ("kept", "tightened") and self._term.alarm.rings:
            self._tighten("the last audits disagree more often than allowed")

    # ---- within ----

    def _begin(self, number: int, threshold: float, reason: str) -> Term:
        thresholds = sorted({self._calibrated, threshold})
        term = Term(number, max_error=self.max_error, confidence=self.confidence, thresholds=thresholds)
        term.reason = reason
        if self.audit_share == 0:
            term.state, term.rate = "unwatched", 0.0
            term.reason = "nothing may be sent out for audits: the promise rests on the calibration alone"
        return term

    def _sentence(self) -> str:
        rest = f"at most {100 * self.max_error:g} % of all, with {100 * self.confidence:g} % confidence"
        if self._term.state == "unwatched":
            return f"{rest}, as far as requests are like the validation rows; nothing watches whether they are"
        first = f"at most {self.limit.at(0)} of the first {self.settle} answers differ from the upstream's"
        return f"{first}, from then on {rest}"

    def _affordable(self, auditable: bool) -> Level | None:
        """The level for the next answer, or None if even a full audit leaves no room."""
        term = self._term
        if not auditable:
            nothing = term.bound.level(0.0)
            return nothing if term.bound.excludes(self.limit.to_spend(term.given + 1) + 1, giving=nothing) else None
        if term.until_look <= 0:
            self._choose_rate()
        for rate in self._rates:
            if rate >= term.rate:
                level = term.bound.level(rate)
                if term.bound.excludes(self.limit.at(term.given + 1) + 1, giving=level):
                    return level
        return None

    def _choose_rate(self) -> None:
        """The lowest rate at which the bound stays well below the limit even if one more audit finds a disagreement."""
        term = self._term
        term.rate, term.until_look, term.certified = 1.0, LOOK_AGAIN, None
        if term.alarm.suspects or term.given < FIRST * self.settle:
            return
        over = self.limit.to_spend(term.given + 1) + 1
        for rate in self._rates[:-1]:
            level = term.bound.level(rate)
            if term.bound.excludes(over, giving=level, unlimited=level):
                # However many answers of this level follow, this stays true until the next of them is audited or an
                # outcome comes in: nothing needs to be checked until then.
                term.rate, term.certified = rate, level
                return

    def _refusal(self, reason: str) -> Decision:
        return Decision(False, False, 0.0, reason, self._term.number)

    def _refuse(self, auditable: bool) -> Decision:
        if not auditable:
            return self._refusal("not_auditable")
        bound, over = self._term.bound, self.limit.at(self._term.given + 1) + 1
        if bound.excludes(over, giving=bound.level(1.0), pending=False):
            return self._refusal("audits_outstanding")
        self._hand_back("one more answer could break the promise")
        return self._refusal("handed_back")

    def _in_danger(self) -> bool:
        limit = self.limit.at(self._term.given)
        close = min(CLOSE * (STEPS + 1 - len(self._term.thresholds)), limit // 4)
        return not self._term.bound.excludes(limit - close + 1, pending=False)

    def _tighten(self, why: str) -> None:
        term = self._term
        if len(term.thresholds) > STEPS:
            self._hand_back(f"{why}, and higher thresholds did not help")
            return
        higher = term.higher_threshold()
        if higher is None:
            self._hand_back(f"{why}, and the surest answers are no better")
            return
        before, term.state = term.state, "tightened"
        term.thresholds.append(higher)
        term.alarm.reset()
        term.rows.clear()
        term.reason = f"{why}, so the threshold was raised to {higher:.4g}"
        self._note("tightened", before)

    def _relax(self) -> None:
        """Go back to a lower threshold of this term where the bound leaves room and the rows show that it is safe."""
        term = self._term
        term.until_relax -= 1
        if term.until_relax > 0:
            return
        term.until_relax = LOOK_AGAIN
        safe = term.safe_threshold() if term.rate < 1 else None
        if safe is None or safe >= term.threshold:
            return
        term.thresholds = [threshold for threshold in term.thresholds if threshold <= safe]
        term.state = "kept" if safe == self._calibrated else "tightened"
        term.rows.clear()
        term.reason = f"the last rows show that a threshold of {safe:.4g} is safe again"
        self._note("relaxed", "tightened")

    def _hand_back(self, why: str) -> None:
        term = self._term
        before, term.state = term.state, "handed_back"
        term.rows.clear()
        term.reason = f"{why}: everything goes to the upstream until the owner resumes"
        self._note("handed_back", before)

    def _resume_threshold(self) -> float | None:
        return self._term.safe_threshold() if self._term.state == "handed_back" else None

    def _note(self, what: Change, before: State) -> None:
        term = self._term
        self._events.append(
            WatchEvent(
                what=what,
                term=term.number,
                before=before,
                after=term.state,
                threshold=term.threshold,
                given=term.given,
                bound=0 if term.state == "unwatched" else term.bound.count(),
                limit=self.limit.at(term.given),
                reason=term.reason,
            )
        )
