"""What whoever rings as often at random would have caught: each unit's number of alarms, at times that are drawn by lot.

Alarms that are drawn keep as far apart as those of the detector, and each unit rings as often as it did. So there is
nothing to be gained by ringing often, nor by knowing which units are always bad: only by ringing at the right time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shokunin.metrics import Interval
from shokunin.series.alarms import Alarm, watched_events

Steps = npt.NDArray[np.int64]
DRAWS = 2000


@dataclass(frozen=True)
class ByChance:
    """What random alarms catch.

    Attributes:
        caught: events: the mean over the draws, and the middle 95 % of them.
        p: how likely random alarms catch at least as many as the detector did.
    """

    caught: Interval
    p: float


def by_chance(
    units: Steps,
    steps: Steps,
    alarms: Sequence[Alarm],
    events: Mapping[int, Sequence[int]],
    horizon: int,
    stand: int,
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> ByChance:
    """What as many alarms at random steps would have caught.

    Args:
        units, steps: whose and which step each watched row is, shape (n,).
        alarms: the detector's.
        events: by unit, the steps of the events.
        horizon: steps before an event in which an alarm catches it.
        stand: steps for which an alarm stands.
        seed: of the draws.
        draws: how many.
    """
    rng = np.random.default_rng(seed)
    total, detector = np.zeros(draws, dtype=np.int64), 0
    for unit in sorted({alarm.unit for alarm in alarms}):
        watched = np.sort(steps[units == unit])
        own = np.asarray([a.step for a in alarms if a.unit == unit], dtype=np.int64)
        seen = watched_events(watched, events.get(unit, ()), horizon)
        if not seen:
            continue
        placed = _placed(len(watched), len(own), _apart(watched, stand), rng, draws)
        for event in seen:
            detector += bool(((own >= event - horizon) & (own < event)).any())
            first, after = np.searchsorted(watched, [event - horizon, event])
            total += ((placed >= first) & (placed < after)).any(axis=1)
    low, high = np.quantile(total, [0.025, 0.975]).tolist()
    return ByChance(Interval(float(total.mean()), low, high), float((1 + (total >= detector).sum()) / (1 + draws)))


def _apart(watched: Steps, stand: int) -> int:
    """How many watched rows an alarm's standing takes."""
    usual = int(np.median(np.diff(watched))) if len(watched) > 1 else 1
    return -(-stand // max(usual, 1))


def _placed(rows: int, alarms: int, apart: int, rng: np.random.Generator, draws: int) -> Steps:
    """Row numbers (draws, alarms), rising, no two nearer than `apart`, all such sets equally likely."""
    if alarms > 1:  # across holes a detector's alarms may be nearer by rows than by steps
        apart = max(1, min(apart, (rows - 1) // (alarms - 1)))
    room = rows - (alarms - 1) * (apart - 1)
    chosen = np.stack([np.sort(rng.choice(room, alarms, replace=False, shuffle=False)) for _ in range(draws)])
    return np.asarray(chosen + np.arange(alarms) * (apart - 1), dtype=np.int64)
