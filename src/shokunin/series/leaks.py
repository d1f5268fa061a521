"""Columns that know the answer: a counter of remaining life, a copy of the label, a reading entered after the event.

A sensor that foresees failures well is what one hopes for, so only what is nearly perfect is called a leak: one
number, read at the window's end, that ranks all windows (almost) without a mistake; that has the same value so many
steps before every event, though events come in no regular time; or that is another channel's future. A counter of
the time since the last event knows nothing but the past and is none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shokunin.series.labels import When
from shokunin.series.readings import Readings
from shokunin.series.windows import Rows, Windows

PERFECT = 0.999
"""Area under the curve of a single reading from here on is too good to be a sensor."""
LEAST_POSITIVES = 10
SAME, OFTEN = 0.99, 0.8
"""Share of rows on which a channel must equal another's future; of one with `MANY` values, which chance does not hit, `OFTEN`.

Where several readings are averaged to one, a row that is missing changes the mean on one side only.
"""
MANY = 50
WEEK = 7 * 86400
COMPARED = 30
"""Rows that are needed to say so, and windows beyond one a distance to say that a channel counts down."""
COUNTING, EVENTS = 0.99, 5
"""Share of a channel's moves that the distance to the next event has to explain, and events that it has to do so for."""


@dataclass(frozen=True)
class Leak:
    """A channel, and why it seems to know the answer."""

    channel: str
    why: str


@dataclass(frozen=True)
class _Ends:
    """The ends of m windows: what each channel reads there, and where the next and the last event are.

    Attributes:
        values: float32 (m, channels).
        read: bool (m, channels), whether it was read there and not only carried on.
        labels: int8 (m, horizons).
        ahead, since: int64 (m,), steps to the next event and from the last one; -1: there is none.
        event: int64 (m,), a number for the next event of its unit; -1: there is none.
        weekday: int64 (m,), which step of the week it is; of cycles all 0.
    """

    values: npt.NDArray[np.float32]
    read: npt.NDArray[np.bool_]
    labels: npt.NDArray[np.int8]
    ahead: Rows
    since: Rows
    event: Rows
    weekday: Rows


def find_leaks(
    readings: Readings,
    windows: Windows,
    labels: npt.NDArray[np.int8],
    horizons: Sequence[int],
    rows: Rows,
    *,
    events: Mapping[int, Sequence[int]] | None = None,
    when: When = "within",
) -> list[Leak]:
    """The channels that seem to know the answer.

    Windows that end on an event are left out: their labels look at the time after it, where a counter of the time to
    the event stands at 0 and already means the one that has just come.

    Args:
        readings: the history.
        windows: of it.
        labels: int8 (n, horizons).
        horizons: in steps.
        rows: the windows to look at: those of the training side.
        events: by unit number, the steps of the events.
        when: what the labels mean.
    """
    ends = _ends(readings, windows.take(rows), labels[rows], events or {})
    word = "within" if when == "within" else "in"
    out: list[Leak] = []
    for c, name in enumerate(readings.channels):
        why = _perfect(ends, c, [f"{word} {readings.grid.span(h)}" for h in horizons])
        if why is None and _counts_down(ends, c, 2 * max(horizons)):
            why = "so many steps before every event it says the same, though events come in no regular time"
        if why is not None:
            out.append(Leak(name, why))
    known = {leak.channel for leak in out}
    return out + [leak for leak in _futures(readings, horizons) if leak.channel not in known]


def _ends(
    readings: Readings, chosen: Windows, labels: npt.NDArray[np.int8], events: Mapping[int, Sequence[int]]
) -> _Ends:
    """The windows that end on a step with a reading and without an event."""
    values = np.empty((len(chosen), len(readings.channels)), dtype=np.float32)
    read = np.empty(values.shape, dtype=bool)
    for number in np.unique(chosen.stretch):
        at = chosen.stretch == number
        values[at] = readings.stretches[number].values[chosen.end[at]]
        read[at] = ~readings.stretches[number].filled[chosen.end[at]]
    ahead, since, event = _distances(chosen, events)
    keep = read.any(axis=1) & (since != 0)
    period = 1 if readings.grid.step == "cycle" else WEEK // math.gcd(WEEK, readings.grid.seconds)
    weekday = chosen.step[keep] % period
    return _Ends(values[keep], read[keep], labels[keep], ahead[keep], since[keep], event[keep], weekday)


def _distances(windows: Windows, events: Mapping[int, Sequence[int]]) -> tuple[Rows, Rows, Rows]:
    """Of each window's end: steps to the next event, steps from the last (0 on its own step), the next one's number."""
    ahead, since, event = (np.full(len(windows), -1, dtype=np.int64) for _ in range(3))
    order = np.argsort(windows.unit, kind="stable")
    units, before = windows.unit[order], 0
    for unit, steps in events.items():
        known = np.unique(np.asarray(steps, dtype=np.int64))
        first, after = np.searchsorted(units, [unit, unit + 1])
        own = order[first:after]
        if not len(own) or not len(known):
            continue
        at = windows.step[own]
        place = np.searchsorted(known, at, side="right")
        coming, gone = place < len(known), place > 0
        ahead[own] = np.where(coming, known[np.minimum(place, len(known) - 1)] - at, -1)
        event[own] = np.where(coming, before + place, -1)
        since[own] = np.where(gone, at - known[np.maximum(place - 1, 0)], -1)
        before += len(known)
    return ahead, since, event


def _perfect(ends: _Ends, c: int, spans: Sequence[str]) -> str | None:
    """Why a channel ranks windows (almost) without a mistake, if it does: by its reading, or by being read at all."""
    read = ends.read[:, c]
    for j, span in enumerate(spans):
        known = ends.labels[:, j] >= 0
        good = known & read & np.isfinite(ends.values[:, c])
        area = _area(ends.values[good, c], ends.labels[good, j] == 1)
        if area >= PERFECT:
            return f"its value alone tells what comes {span} (AUC {area:.4f})"
        area = 0.5 if read.all() else _area(read[known], ends.labels[known, j] == 1)
        if area >= PERFECT:
            return f"whether it was read at all tells what comes {span} (AUC {area:.4f})"
    return None


def _area(scores: npt.NDArray[np.generic], positive: npt.NDArray[np.bool_]) -> float:
    """Area under the curve, whichever way the scores go; 0.5 where there are too few windows of one kind."""
    from scipy.stats import rankdata

    positives = int(positive.sum())
    negatives = len(positive) - positives
    if min(positives, negatives) < LEAST_POSITIVES:
        return 0.5
    area = float((rankdata(scores)[positive].sum() - positives * (positives + 1) / 2) / (float(positives) * negatives))
    return max(area, 1 - area)


def _counts_down(ends: _Ends, c: int, furthest: int) -> bool:
    """Whether a channel's reading, or its being read, is nothing but the distance to the next event, at most `furthest` away.

    What is the distance from the last event as well (they come in regular time) knows no more than the past does, and what
    is the day of the week (failures are written down on Mondays, and a sensor is read on them) no more than the calendar.
    """
    near = (ends.ahead > 0) & (ends.ahead <= furthest)
    good = near & ends.read[:, c] & np.isfinite(ends.values[:, c])
    for rows, told in ((good, ends.values[:, c]), (near, ends.read[:, c])):
        if len(np.unique(ends.event[rows])) < EVENTS:
            continue
        values, after = told[rows].astype(np.float64), ends.since[rows] > 0
        if not _depends(values, ends.ahead[rows]) or _depends(values, ends.weekday[rows]):
            continue
        if not _depends(values[after], ends.since[rows][after]):
            return True
    return False


def _depends(values: npt.NDArray[np.float64], on: Rows) -> bool:
    """Whether values move, and (almost) all of that with `on`: the correlation ratio, corrected for its groups."""
    if not len(values):
        return False
    levels, place = np.unique(on, return_inverse=True)
    free = len(values) - len(levels)
    whole = float(((values - values.mean()) ** 2).sum())
    if free < COMPARED or whole <= 0:
        return False
    means = np.bincount(place, weights=values) / np.bincount(place)
    inside = float(((values - means[place]) ** 2).sum())
    return inside / free <= (1 - COUNTING) * whole / (len(values) - 1)


def _futures(readings: Readings, horizons: Sequence[int]) -> list[Leak]:
    """Channels that equal another channel some horizon later, and not now."""
    moves = [_moves(readings, horizon) for horizon in horizons]
    shares = [_share(readings, c) for c in range(len(readings.channels))]
    out = []
    for a, name in enumerate(readings.channels):
        for b, other in enumerate(readings.channels):
            for horizon, moved in zip(horizons, moves, strict=True) if a != b else ():
                if _is_future(readings, a, b, horizon, int(moved[b]), shares[b]):
                    out.append(Leak(name, f"it is what {other!r} will read {readings.grid.span(horizon)} later"))
                    break
    return out


def _moves(readings: Readings, horizon: int) -> npt.NDArray[np.int64]:
    """How often each channel moves, from `horizon` steps after each stretch's beginning on; shape (channels,)."""
    out = np.zeros(len(readings.channels), dtype=np.int64)
    for s in readings.stretches:
        if len(s) > horizon:
            out += (np.diff(s.values[horizon:], axis=0) != 0).sum(axis=0)
    return out


def _share(readings: Readings, channel: int) -> float:
    """On what share of the rows another channel has to equal the future of this one."""
    values: set[float] = set()
    for s in readings.stretches:
        values |= set(np.unique(s.values[:, channel]).tolist())
        if len(values) >= MANY:
            return OFTEN
    return SAME


def _is_future(readings: Readings, a: int, b: int, horizon: int, most: int, share: float) -> bool:
    """Whether a equals b's future on so large a `share` of the steps on which b moves and a is read.

    Left off once that cannot be any more: `most` is on how many steps b moves at all.
    """
    if most < COMPARED or horizon < 1:
        return False
    compared = missed = now = 0
    for s in readings.stretches:
        if len(s) <= horizon:
            continue
        x, y = s.values[:, a], s.values[:, b]
        moved = np.diff(y[horizon:], prepend=y[horizon]) != 0  # a constant equals its future and means nothing
        moved &= ~s.filled[:-horizon, a]  # what was only carried on equals the future of the step before
        compared += int(moved.sum())
        missed += int((moved & ~np.isclose(x[:-horizon], y[horizon:], rtol=1e-6, atol=0)).sum())
        if missed > (1 - share) * most:
            return False
        now += int((np.isclose(x[:-horizon], y[:-horizon], rtol=1e-6, atol=0) & moved).sum())
    return compared >= COMPARED and missed <= (1 - share) * compared and now < share * compared
