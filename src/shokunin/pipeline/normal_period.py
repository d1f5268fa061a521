"""Which part of a history is normal (to a date, by a label, or all), and which of it is learnt from, held out and tested.

No window of one side shares a reading with another side. Labels of bad states are never learnt from and never chosen
by: windows with such a reading are only judged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from shokunin.errors import DataError, UsageError
from shokunin.series.labels import apart
from shokunin.series.lessons import SeriesLessons
from shokunin.series.moments import Moments
from shokunin.series.quietness import stand_of
from shokunin.series.readings import Readings
from shokunin.series.split import Split, by_units
from shokunin.series.windows import Windows, windows_of
from shokunin.tasks.anticipate_failures import Options

WINDOW = {"minute": 60, "hour": 24, "day": 7, "cycle": 10}
"""Steps of a window where nobody said: long enough to see how sensors move together, short enough to be told soon."""
SHARES = (0.5, 0.25, 0.25)
"""Of normal time: to learn from, to hold out, to test; that a budget is kept needs much of it to be shown."""
LEAST = {"learn from": 10, "hold out": 3, "test": 3}
"""So many windows' lengths of normal time each side needs."""
Rows = npt.NDArray[np.int64]
States = list[npt.NDArray[np.int8]]


@dataclass(frozen=True)
class NormalPeriod:
    """A history and what of it is normal.

    Attributes:
        options: what was asked.
        readings: the channels that are looked at.
        windows: all of them.
        state: shape (n,), of each window's newest step: 1 bad, 0 normal, -1 nobody said.
        split: normal windows that are learnt from (`train`), that thresholds and the choice come from (`validation`),
            and that are tested.
        labelled: the windows whose newest step is in the bad state.
        watched: the windows after the normal time of which nobody says whether they are normal.
        gone: channels that are not looked at, and why.
        still: channels that never move, and are looked at because they may not.
    """

    options: Options
    readings: Readings
    windows: Windows
    state: npt.NDArray[np.int8]
    split: Split
    labelled: Rows
    watched: Rows
    gone: tuple[tuple[str, str], ...]
    still: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def stand(self) -> int:
        """Steps for which an alarm stands."""
        return stand_of(self.options.window, self.options.alarms_a_week, self.readings.grid)

    def lessons(self) -> SeriesLessons:
        """What the learners are handed: the training windows are normal."""
        labels = np.zeros((len(self.windows), 1), dtype=np.int8)
        return SeriesLessons(
            self.readings,
            self.windows,
            labels,
            (1,),
            "within",
            self.split.train,
            self.split.validation,
            self.split.known,
        )


def normal_period(readings: Readings, options: Options, *, tested: bool = True) -> NormalPeriod:
    """What is normal, and the sides.

    Args:
        readings: of the sensors, and of the label column if there is one.
        options: settled.
        tested: whether a test side is needed.

    Raises:
        UsageError: whole units are tested, and each is to be measured against itself.
        DataError: there is too little normal time, or no channel moves in it.
    """
    if options.split == "unit" and options.measured_by == "unit":
        raise UsageError(
            "split='unit' with scale='unit': units that are tested have no normal time of their own to be measured against; "
            "measure all against the fleet (scale='fleet', the default there), or split by time (split='time')"
        )
    states: States = [np.zeros(len(s), dtype=np.int8) for s in readings.stretches]
    if options.column is not None:
        readings, taken = apart(readings, [options.column])
        states = [np.where(np.isnan(v), -1, v > 0).astype(np.int8) for v in taken[options.column]]
    windows = windows_of(readings, options.window, stride=options.stride)
    now, clean = states_of(windows, states)
    last = _until(options, readings)
    normal = np.flatnonzero(clean & (windows.step <= last))
    split = _sides(readings, windows, normal, options)
    known = [
        (s, mask & (state != 1) & (np.arange(s.start, s.start + len(s)) <= last))
        for (s, mask), state in zip(split.known, states, strict=True)
    ]
    _enough(split, options, readings, tested)
    split = Split(split.train, split.validation, split.test, known, split.facts)
    readings, gone, still = _looked_at(readings, windows, split)
    if gone:
        known = [(new, mask) for new, (_, mask) in zip(readings.stretches, known, strict=True)]
        split = Split(split.train, split.validation, split.test, known, split.facts)
    facts = {
        "normal": "all of the history" if options.normal_until is None else f"up to {options.normal_until}",
        "labelled": options.column, "windows": {"normal": len(normal), "of": len(windows)},
    }  # fmt: skip
    labelled = np.flatnonzero(now == 1) if options.column is not None else np.zeros(0, dtype=np.int64)
    watched = np.flatnonzero((windows.step > last) & (now < 1))
    return NormalPeriod(options, readings, windows, now, split, labelled, watched, gone, still, facts)


def states_of(windows: Windows, states: States) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.bool_]]:
    """The state of each window's newest step, and whether no step of it is in the bad state."""
    now, clean = np.zeros(len(windows), dtype=np.int8), np.zeros(len(windows), dtype=bool)
    for number in np.unique(windows.stretch).tolist():
        rows = np.flatnonzero(windows.stretch == number)
        bad = np.concatenate([[0], np.cumsum(states[number] == 1)])
        end = windows.end[rows]
        now[rows] = states[number][end]
        clean[rows] = bad[end + 1] == bad[end + 1 - windows.length]
    return now, clean


def _until(options: Options, readings: Readings) -> float:
    """The last step of the normal time."""
    if options.normal_until is None:
        return math.inf
    moments = Moments(options.step == "cycle", options.timezone, options.date_order)
    moment = moments.read(options.normal_until, "normal_until")
    if moment is None:
        raise DataError(f"normal_until={options.normal_until!r} is no time; write it as in the readings")
    step = math.floor(moment / readings.grid.seconds)
    first = min(s.start for s in readings.stretches)
    if step < first:
        raise DataError(
            f"normal_until={options.normal_until!r} is before the first reading, {readings.when(first)}; nothing would be normal"
        )
    return step


def _sides(readings: Readings, windows: Windows, normal: Rows, options: Options) -> Split:
    """Shares of the normal windows by time with a window between, or whole units."""
    if not len(normal):
        raise DataError(
            "no window is normal: every one holds a reading that the label calls bad, or is after `normal_until`; choose a "
            "shorter window, or another label column"
        )
    if options.split == "unit":
        found = by_units(
            readings, windows.take(normal), folds=options.folds, fold=options.fold, seed=options.seed, validation=0.25
        )
        return Split(normal[found.train], normal[found.validation], normal[found.test], found.known, found.facts)
    steps = np.sort(windows.step[normal])
    shares = np.cumsum(options.shares) / sum(options.shares)
    one, two = (int(steps[max(0, min(len(steps), round(share * len(steps))) - 1)]) for share in shares[:2])
    ends, starts = windows.step[normal], windows.step[normal] - windows.length + 1
    sides = [normal[ends <= one], normal[(starts > one) & (ends <= two)], normal[starts > two]]
    known = [(s, np.arange(s.start, s.start + len(s)) <= one) for s in readings.stretches]
    facts = {
        "by": "time", "purge": windows.length, "cuts": [readings.when(one), readings.when(two)],
        "windows": {"in": len(normal), "train": len(sides[0]), "validation": len(sides[1]), "test": len(sides[2])},
        "units_only_in_test": [
            readings.units[u] for u in np.setdiff1d(windows.unit[sides[2]], windows.unit[sides[0]]).tolist()
        ][:50],
    }  # fmt: skip
    return Split(sides[0], sides[1], sides[2], known, facts)


def _enough(split: Split, options: Options, readings: Readings, tested: bool) -> None:
    length, grid = options.window, readings.grid
    for (what, times), rows in zip(LEAST.items(), (split.train, split.validation, split.test), strict=True):
        there = len(rows) * options.stride
        if there < times * length and (what != "test" or tested):
            raise DataError(
                f"too little normal time to {what}: {grid.span(there)} over all units, and windows of {grid.span(length)} need "
                f"at least {grid.span(times * length)}; choose a shorter window (--option window={max(2, there // times)}), "
                "give a longer history, or a later `normal_until`"
            )


def _looked_at(
    readings: Readings, windows: Windows, split: Split
) -> tuple[Readings, tuple[tuple[str, str], ...], tuple[str, ...]]:
    """The readings without channels that say nothing, those channels, and those that never move and may not."""
    gone: list[tuple[str, str]] = []
    still: list[str] = []
    held = _rows_of(readings, windows, split.validation)
    for i, name in enumerate(readings.channels):
        learnt = [(s.unit, s.values[mask, i]) for s, mask in split.known if mask.any()]
        if not any(np.isfinite(v).any() for _, v in learnt):
            gone.append((name, "no reading of it in the normal time that was learnt from"))
            continue
        levels = {u: {float(x) for x in np.unique(v[np.isfinite(v)]).tolist()[:2]} for u, v in learnt}
        if any(len(level) > 1 for level in levels.values()):
            continue
        later = {
            s.unit: np.unique(s.values[mask, i][np.isfinite(s.values[mask, i])])
            for s, mask in zip(readings.stretches, held, strict=True)
        }
        if any(len(v) > 1 or (len(v) and levels.get(u) and float(v[0]) not in levels[u]) for u, v in later.items()):
            gone.append((name, "it never moved in the normal time that was learnt from, and did in later normal time"))
        else:
            still.append(name)
    if len(gone) + len(still) == len(readings.channels):
        shown = ", ".join(map(repr, readings.channels[:8]))
        raise DataError(
            f"no channel moves in the normal period ({shown}); there is nothing to learn what is normal from: choose other "
            "sensors, or another normal period"
        )
    return (apart(readings, [name for name, _ in gone])[0] if gone else readings), tuple(gone), tuple(still)


def _rows_of(readings: Readings, windows: Windows, rows: Rows) -> list[npt.NDArray[np.bool_]]:
    """Which rows of each stretch are in one of the windows."""
    edges = [np.zeros(len(s) + 1, dtype=np.int64) for s in readings.stretches]
    for stretch, end in zip(windows.stretch[rows].tolist(), windows.end[rows].tolist(), strict=True):
        edges[stretch][end - windows.length + 1] += 1
        edges[stretch][end + 1] -= 1
    return [np.cumsum(edge[:-1]) > 0 for edge in edges]
