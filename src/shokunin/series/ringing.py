"""How a detector rang in time that it had not seen: against a budget, before failures, and beside whoever rings at random.

A detector of what is strange foresees nothing, so failures that become known later are all that can say what its
alarms were worth. An alarm is right where a failure came within a chosen time after it. Time is calm where none did;
only there is an alarm false, and only there does the budget count. Windows that still hold the step of a failure are
neither: an alarm in them comes late.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shokunin.errors import DataError
from shokunin.series.alarms import Alarm, AlarmRecord, raise_alarms, record, watched_events
from shokunin.series.by_chance import ByChance, by_chance
from shokunin.series.labels import UNKNOWN, from_failures
from shokunin.series.proof import month_of
from shokunin.series.quietness import Quiet, counted, week_of
from shokunin.series.readings import Grid, Readings
from shokunin.series.windows import Windows

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Met:
    """Windows beside the failures that are known.

    Attributes:
        horizon: an alarm is right if a failure comes within so many steps after it.
        labels: int8 (n,): a failure came in that time (1), none did (0), or nobody can say (-1).
        late: mask (n,), the window still holds the step of a failure, and no other failure is known to come; its label is -1.
        events: by unit number, the steps of failures with a window in the horizon before them; nobody could have caught others.
    """

    horizon: int
    labels: npt.NDArray[np.int8]
    late: Mask
    events: Mapping[int, Sequence[int]]

    @property
    def judged(self) -> int:
        """How many failures those are."""
        return sum(map(len, self.events.values()))


@dataclass(frozen=True)
class Ringing:
    """How one threshold rang.

    Attributes:
        all: every alarm.
        calm: those that count against the budget, in the time that does.
        late: alarms in windows that still hold the step of a failure; the record has them among its open ones.
        record: right and false alarms, failures caught; None where no failures are known.
        chance: what random alarms would have caught; None likewise.
    """

    all: Quiet
    calm: Quiet
    late: int
    record: AlarmRecord | None
    chance: ByChance | None


def usual_horizon(window: int, budget: float, grid: Grid) -> int:
    """Steps before a failure in which an alarm counts for it, where nobody says: half the time between two alarms of the budget.

    So whoever rings at random, as often as the budget allows, catches at most about four failures of ten. At least a window,
    as what is strange stays in it for so long; otherwise at most 30 days (of cycles: 100).
    """
    return max(window, min(int(week_of(grid) / budget / 2), int(month_of(grid))))


def met(readings: Readings, windows: Windows, failures: Mapping[str, Sequence[int]], horizon: int) -> Met:
    """Which windows come before failures, and which failures can be judged.

    Args:
        readings: of the units.
        windows: of them, those that are judged.
        failures: by unit of the readings, the steps at which it failed.
        horizon: in steps.

    Raises:
        DataError: no failure has a window in the horizon before it.
    """
    grid = readings.grid
    events: dict[int, list[int]] = {}
    late = np.zeros(len(windows), dtype=bool)
    for name, given in failures.items():
        unit, steps = readings.units.index(name), sorted(given)
        own = np.flatnonzero(windows.unit == unit)
        ends = windows.step[own]
        events[unit] = watched_events(np.sort(ends), steps, horizon)
        late[own] = np.searchsorted(steps, ends, side="right") > np.searchsorted(steps, ends - windows.length + 1)
    if not any(events.values()):
        dates = sorted(step for steps in failures.values() for step in steps)
        first, last = grid.when(int(windows.step.min())), grid.when(int(windows.step.max()))
        raise DataError(
            f"none of the {len(dates):,} failures has a window of its unit in the {grid.span(horizon)} before it: they are from "
            f"{grid.when(dates[0])} to {grid.when(dates[-1])}, the judged windows end from {first} to {last}; give the "
            "readings of the time before them, or a longer --horizon"
        )
    labels = from_failures(readings, windows, failures, (horizon,))[:, 0]
    late &= labels != 1
    return Met(horizon, np.where(late, UNKNOWN, labels).astype(np.int8), late, events)


def rang(
    windows: Windows,
    scores: Floats,
    threshold: float,
    calm: Mask,
    known: Met | None,
    stand: int,
    grid: Grid,
    *,
    stride: int = 1,
    seed: int = 0,
) -> Ringing:
    """What a threshold rang.

    Args:
        windows: n of them.
        scores: shape (n,).
        threshold: alarms are raised from here on.
        calm: mask (n,), the windows in which an alarm counts against the budget; at least one.
        known: the failures, if there are any to be known.
        stand: steps for which an alarm stands.
        grid: what a step is.
        stride: steps from window to window.
        seed: of what is drawn.
    """

    labels = np.full(len(windows), UNKNOWN, dtype=np.int8) if known is None else known.labels
    alarms = raise_alarms(windows.unit, windows.step, scores, labels, threshold, stand)

    def those_in(mask: Mask) -> list[Alarm]:
        marked = raise_alarms(windows.unit, windows.step, scores, mask.astype(np.int8), threshold, stand)
        return [alarm for alarm, mark in zip(alarms, marked, strict=True) if mark.outcome == 1]

    everything = counted(alarms, windows, grid, stride=stride)
    within = counted(those_in(calm), windows.take(np.flatnonzero(calm)), grid, stride=stride)
    if known is None:
        return Ringing(everything, within, 0, None, None)
    found = record(
        windows.unit, windows.step, scores, labels, known.events, threshold, known.horizon, stand=stand, seed=seed
    )
    chance = by_chance(windows.unit, windows.step, alarms, known.events, known.horizon, stand, seed=seed)
    return Ringing(everything, within, len(those_in(known.late)), found, chance)
