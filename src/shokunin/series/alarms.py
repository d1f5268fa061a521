"""From scores to alarms, and what they are worth to whoever gets up at night: right, wrong, failures caught, days ahead.

An alarm for the horizon h says "within h". It stands for h steps, in which no second one is raised, and it was right
if the event came in that time. So nothing is gained by ringing always: every h steps that is one more wrong alarm.
Where what is asked is whether the event comes exactly h steps later (`at`), an alarm is about that step alone and stands
for one step, and only the alarm about its very step catches an event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shokunin.metrics import Interval, wilson
from shokunin.series.labels import When

Steps = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]
CANDIDATES = 300
"""Thresholds that are tried."""
DRAWS = 1000


@dataclass(frozen=True)
class Alarm:
    """One alarm: whose, when, and whether the event came (1), did not (0), or the history ends before anyone could know (-1)."""

    unit: int
    step: int
    outcome: int


@dataclass(frozen=True)
class AlarmRecord:
    """What a threshold would have meant.

    Attributes:
        threshold: an alarm is raised where the score reaches it.
        alarms: all of them, by unit and time.
        right, wrong, open: how many came true, did not, or cannot be known.
        unit_steps: steps that were watched, over all units.
        events: events that had a watched step within the horizon before them (`at`: on the step that is about them).
        caught: those with an alarm within the horizon before them (`at`: on that step).
        ahead: for each event caught, the steps from its first such alarm to it.
        precision: of the alarms whose outcome is known, the share that were right; drawn over units.
        recall: the share of events caught; drawn over units.
    """

    threshold: float
    alarms: tuple[Alarm, ...]
    right: int
    wrong: int
    open: int
    unit_steps: int
    events: int
    caught: int
    ahead: tuple[int, ...]
    precision: Interval | None
    recall: Interval | None

    def each(self, steps: float) -> tuple[float, float]:
        """Alarms, and wrong alarms, per unit in `steps` steps."""
        share = steps / max(self.unit_steps, 1)
        return len(self.alarms) * share, self.wrong * share


def raise_alarms(
    units: Steps, steps: Steps, scores: Scores, labels: npt.NDArray[np.int8], threshold: float, horizon: int
) -> list[Alarm]:
    """The alarms of a threshold, from scores of watched steps in any order; each stands for `horizon` steps."""
    hot = np.flatnonzero(scores >= threshold)
    hot = hot[np.lexsort((steps[hot], units[hot]))]
    whose, when, outcomes = units[hot], steps[hot], labels[hot]
    out: list[Alarm] = []
    i = 0
    while i < len(hot):
        unit, step = int(whose[i]), int(when[i])
        out.append(Alarm(unit, step, int(outcomes[i])))
        same = int(np.searchsorted(whose, unit, side="right"))
        i += int(np.searchsorted(when[i:same], step + horizon, side="left")) if horizon else 1
    return out


def record(
    units: Steps,
    steps: Steps,
    scores: Scores,
    labels: npt.NDArray[np.int8],
    events: Mapping[int, Sequence[int]],
    threshold: float,
    horizon: int,
    *,
    stand: int | None = None,
    when: When = "within",
    seed: int = 0,
) -> AlarmRecord:
    """What a threshold would have meant on watched steps.

    Args:
        units, steps: whose and which step each row is, shape (n,).
        scores: shape (n,).
        labels: whether the event came within the horizon, or at its end; int8 of shape (n,).
        events: by unit, the steps of the events.
        threshold: alarms are raised from here on.
        horizon: in steps.
        stand: steps for which an alarm stands; by default what such an alarm is about (`stands_for`).
        when: what it is about.
        seed: of the intervals' draws.
    """
    alarms = raise_alarms(
        units, steps, scores, labels, threshold, stands_for(horizon, when) if stand is None else stand
    )
    outcome = np.asarray([a.outcome for a in alarms], dtype=np.int64)
    ahead: list[int] = []
    per_unit: dict[int, list[int]] = {}  # right, known, caught, events
    for unit in np.unique(units).tolist():
        watched = np.sort(steps[units == unit])
        own = np.asarray([a.step for a in alarms if a.unit == unit], dtype=np.int64)
        mine = [a for a in alarms if a.unit == unit]
        caught = seen = 0
        for event in watched_events(watched, events.get(unit, ()), horizon, when):
            seen += 1
            first, last = _reach(event, horizon, when)
            before = own[(own >= first) & (own <= last)]
            if len(before):
                caught += 1
                ahead.append(int(event - before[0]))
        per_unit[unit] = [sum(a.outcome == 1 for a in mine), sum(a.outcome >= 0 for a in mine), caught, seen]
    table = np.asarray(list(per_unit.values()), dtype=np.float64).reshape(-1, 4)
    return AlarmRecord(
        float(threshold), tuple(alarms), int((outcome == 1).sum()), int((outcome == 0).sum()), int((outcome < 0).sum()),
        len(units), int(table[:, 3].sum()), int(table[:, 2].sum()), tuple(ahead),
        _ratio(table[:, 0], table[:, 1], seed), _ratio(table[:, 2], table[:, 3], seed),
    )  # fmt: skip


def stands_for(horizon: int, when: When) -> int:
    """Steps for which an alarm stands: as long as what it is about lasts."""
    return horizon if when == "within" else 1


def _reach(event: int, horizon: int, when: When) -> tuple[int, int]:
    """The first and the last step on which an alarm would be about the event."""
    return event - horizon, event - 1 if when == "within" else event - horizon


def watched_events(watched: Steps, events: Sequence[int], horizon: int, when: When = "within") -> list[int]:
    """A unit's events that an alarm on a watched step (of `watched`, rising) could be about: nobody could catch others."""
    reaches = ((event, *_reach(event, horizon, when)) for event in sorted(set(events)))
    ends = ((event, np.searchsorted(watched, [first, last + 1])) for event, first, last in reaches)
    return [event for event, (first, after) in ends if after > first]


def threshold_for_budget(
    units: Steps,
    steps: Steps,
    scores: Scores,
    labels: npt.NDArray[np.int8],
    stand: int,
    *,
    allowed: float,
    wrong: bool = False,
) -> float:
    """Of the thresholds with at most `allowed` alarms in all (`wrong`: that many wrong ones) the one with most right alarms.

    Of equals the lowest. The lowest of all is often worse, though it rings more: an alarm that comes too early stands in
    the way of the one that would have been right. Infinity, which never rings, where even the highest score would ring
    too often. An alarm stands for `stand` steps.
    """
    best, most = np.inf, 0
    for threshold in _candidates(scores)[::-1].tolist():
        raised = raise_alarms(units, steps, scores, labels, threshold, stand)
        if (sum(a.outcome == 0 for a in raised) if wrong else len(raised)) > allowed:
            break
        right = sum(a.outcome == 1 for a in raised)
        if right >= most:
            best, most = threshold, right
    return best


def threshold_for_alarms(
    units: Steps,
    steps: Steps,
    scores: Scores,
    labels: npt.NDArray[np.int8],
    events: Mapping[int, Sequence[int]],
    horizon: int,
    *,
    when: When = "within",
) -> float:
    """The threshold whose alarms have the best F1: the share of alarms that are right, and the share of events caught.

    Not the F1 of rows: where half of all rows come before an event, that is best when it always rings. Of equally good
    thresholds the middle one: at their edge the next unit would fall off. Infinity where no event could be caught.
    Arguments as for `record`.
    """
    reaches = [
        (unit, *_reach(event, horizon, when))
        for unit in np.unique(units).tolist()
        for event in sorted(set(events.get(unit, ())))
    ]
    seen = [(u, first, last) for u, first, last in reaches if ((units == u) & (steps >= first) & (steps <= last)).any()]
    best, equal = 0.0, [np.inf]
    for candidate in _candidates(scores)[::-1].tolist():
        alarms = raise_alarms(units, steps, scores, labels, candidate, stands_for(horizon, when))
        rung: dict[int, list[int]] = {}
        for alarm in alarms:
            rung.setdefault(alarm.unit, []).append(alarm.step)
        caught = sum(any(first <= step <= last for step in rung.get(u, ())) for u, first, last in seen)
        right, known = sum(a.outcome == 1 for a in alarms), sum(a.outcome >= 0 for a in alarms)
        precision, recall = right / max(known, 1), caught / max(len(seen), 1)
        f1 = 2 * precision * recall / (precision + recall) if caught and right else 0.0
        if f1 > best:
            best, equal = f1, [candidate]
        elif best and f1 == best:
            equal.append(candidate)
    return float(equal[len(equal) // 2])


def threshold_for_f1(scores: Scores, labels: npt.NDArray[np.int8]) -> float:
    """The threshold with the best F1 over rows whose label is known, as the paper chooses (there, on the test side)."""
    known = labels >= 0
    order = np.argsort(-scores[known], kind="stable")
    ordered, y = scores[known][order], labels[known][order].astype(np.float64)
    ends = np.r_[np.flatnonzero(np.diff(ordered)), len(ordered) - 1]
    hits = np.cumsum(y)[ends]
    f1 = 2 * hits / (ends + 1 + max(y.sum(), 1e-12))
    return float(ordered[ends[int(f1.argmax())]])


def row_scores(scores: Scores, labels: npt.NDArray[np.int8], threshold: float) -> dict[str, float]:
    """Precision, recall, F1, false-positive rate and accuracy over rows, as papers print them."""
    known = labels >= 0
    hot, y = scores[known] >= threshold, labels[known] == 1
    tp, fp, fn, tn = (int(v.sum()) for v in (hot & y, hot & ~y, ~hot & y, ~hot & ~y))
    return {
        "precision": tp / max(tp + fp, 1), "recall": tp / max(tp + fn, 1), "f1": 2 * tp / max(2 * tp + fp + fn, 1),
        "fpr": fp / max(fp + tn, 1), "accuracy": (tp + tn) / max(len(y), 1), "tp": tp, "fp": fp, "fn": fn, "tn": tn,
    }  # fmt: skip


def _candidates(scores: Scores) -> Scores:
    """Rising thresholds: the scores' quantiles, finer towards the top, where alarms are few."""
    shares = 1 - np.geomspace(1 / max(len(scores), 2), 1, CANDIDATES)
    return np.unique(np.r_[np.quantile(scores, shares), scores.max()])


def _ratio(parts: npt.NDArray[np.float64], wholes: npt.NDArray[np.float64], seed: int) -> Interval | None:
    """The sum of parts over that of wholes, units drawn; None where there is nothing to divide by."""
    if wholes.sum() <= 0:
        return None
    value = float(parts.sum() / wholes.sum())
    bound = wilson(int(parts.sum()), int(wholes.sum()))
    if len(parts) < 2 or value in (0.0, 1.0):  # a draw of equals would claim to be certain
        return bound
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(DRAWS):
        w = np.bincount(rng.integers(0, len(parts), len(parts)), minlength=len(parts))
        if w @ wholes > 0:
            drawn.append(float(w @ parts / (w @ wholes)))
    low, high = np.quantile(drawn, [0.025, 0.975]) if drawn else (0.0, 1.0)
    return Interval(value, float(low), float(high))
