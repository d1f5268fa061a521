"""What was to come when a window ended: a failure, an excursion, a marked state, `at` a horizon or `within` it.

A window ends at step e; a horizon h counts steps from there. `within` h: it happens at e + 1 … e + h. `at` h: it
happens at e + h exactly, which is a rarer and less useful question, but the one that some published figures answer. A
label is 1, 0, or -1 where the history does not tell: it ends before the horizon does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from shokunin.errors import DataError
from shokunin.series.readings import Readings
from shokunin.series.scaling import Scale
from shokunin.series.windows import Windows

Labels = npt.NDArray[np.int8]
When = Literal["at", "within"]
UNKNOWN = -1


def from_failures(
    readings: Readings,
    windows: Windows,
    failures: Mapping[str, Sequence[int]],
    horizons: Sequence[int],
    *,
    when: When = "within",
) -> Labels:
    """Labels from the steps at which units failed; int8 of shape (n, horizons).

    Raises:
        DataError: no unit has that name, no failure falls into its unit's history and horizon, or a horizon is not a
            positive number.
    """
    if strangers := sorted(set(failures) - set(readings.units)):
        raise DataError(
            f"failures of {strangers[:5]!r}, but no readings; units with readings are "
            f"{list(readings.units[:10])!r}: spell them alike"
        )
    _check(horizons)
    out = np.full((len(windows), len(horizons)), UNKNOWN, dtype=np.int8)
    last = last_steps(readings)
    for unit, name in enumerate(readings.units):
        rows = np.flatnonzero(windows.unit == unit)
        known = np.unique(np.asarray(failures.get(name, ()), dtype=np.int64))
        # A failure ends the record it is in, so what is before it is known up to there.
        seen = max(last[unit], known[-1]) if len(known) else last[unit]
        steps = windows.step[rows]
        for j, h in enumerate(horizons):
            if when == "within":
                hit = np.searchsorted(known, steps + h, side="right") > np.searchsorted(known, steps, side="right")
            else:
                hit = np.isin(steps + h, known)
            out[rows, j] = np.where(hit, 1, np.where(steps + h <= seen, 0, UNKNOWN))
    if not (out == 1).any():
        raise DataError(
            "no failure falls within a horizon of any window; check the units' names and the dates of the failures"
        )
    return out


def from_remaining(
    windows: Windows, remaining: Sequence[npt.NDArray[np.floating]], horizons: Sequence[int], *, when: When = "within"
) -> Labels:
    """Labels from the remaining life, in steps, at every row of every stretch (NaN: not known); int8 of shape (n, horizons)."""
    _check(horizons)
    left = np.empty(len(windows))
    for number in np.unique(windows.stretch):
        rows = windows.stretch == number
        left[rows] = remaining[number][windows.end[rows]]
    with np.errstate(invalid="ignore"):
        hit = [left <= h if when == "within" else np.round(left) == h for h in horizons]
    return np.where(np.isnan(left)[:, None], UNKNOWN, np.stack(hit, axis=1)).astype(np.int8)


def from_states(
    readings: Readings,
    windows: Windows,
    states: Sequence[npt.NDArray[np.int8]],
    horizons: Sequence[int],
    *,
    when: When = "within",
    offset: int = 0,
) -> Labels:
    """Labels from a state (1, 0, or -1: not known) at every row of every stretch; int8 of shape (n, horizons).

    Args:
        readings: the stretches.
        windows: what is labelled.
        states: for every stretch, int8 of shape (rows,).
        horizons: in steps; 0 asks for the state at the window's end itself (`at` only).
        when: `at` or `within`.
        offset: horizons count from so many steps after the window's end. The paper's rule has 1: its window ends the
            day before.
    """
    _check(horizons, least=0 if when == "at" else 1)
    out = np.full((len(windows), len(horizons)), UNKNOWN, dtype=np.int8)
    for unit in np.unique(windows.unit):
        numbers = [i for i, s in enumerate(readings.stretches) if s.unit == unit]
        first = min(readings.stretches[i].start for i in numbers)
        length = max(readings.stretches[i].start + len(readings.stretches[i]) for i in numbers) - first
        line = np.full(length, UNKNOWN, dtype=np.int8)
        for i in numbers:
            line[readings.stretches[i].start - first :][: len(states[i])] = states[i]
        ones, dark = (np.r_[0, np.cumsum(line == value)] for value in (1, UNKNOWN))
        rows = np.flatnonzero(windows.unit == unit)
        begin = windows.step[rows] - first + offset
        for j, h in enumerate(horizons):
            if when == "at":
                place = begin + h
                out[rows, j] = np.where(place < length, line[np.minimum(place, length - 1)], UNKNOWN)
                continue
            a, b = np.minimum(begin + 1, length), np.minimum(begin + h + 1, length)
            unseen = (dark[b] > dark[a]) | (begin + h >= length)
            out[rows, j] = np.where(ones[b] > ones[a], 1, np.where(unseen, UNKNOWN, 0))
    return out


def excursions(readings: Readings, scale: Scale, channels: Sequence[str] | None = None) -> list[npt.NDArray[np.int8]]:
    """The state "outside its normal range" of every row of every stretch: 1 where any of the channels (default: all) is outside.

    A row on which no reading was taken is not known: its value is only its predecessor's.
    """
    chosen = (
        [readings.channels.index(c) for c in channels] if channels is not None else list(range(len(readings.channels)))
    )
    rows = scale.rows(readings.units)
    out = []
    for stretch in readings.stretches:
        outside = scale.outside(stretch.values, rows[stretch.unit])[:, chosen] & ~stretch.filled[:, chosen]
        dark = stretch.filled[:, chosen].all(axis=1)
        out.append(np.where(outside.any(axis=1), 1, np.where(dark, UNKNOWN, 0)).astype(np.int8))
    return out


def apart(readings: Readings, names: Sequence[str]) -> tuple[Readings, dict[str, list[npt.NDArray[np.float32]]]]:
    """The readings without the channels `names`, and those channels, one array a stretch, NaN where nothing was recorded.

    Raises:
        DataError: there is no such channel, or nothing would be left.
    """
    for name in names:
        if name not in readings.channels:
            raise DataError(f"there is no channel {name!r}; there are {list(readings.channels)!r}")
    keep = [i for i, c in enumerate(readings.channels) if c not in names]
    if not keep:
        raise DataError(f"beside {list(names)!r} there is no channel; a sensor is needed to foresee anything from")
    taken: dict[str, list[npt.NDArray[np.float32]]] = {}
    for name in names:
        i = readings.channels.index(name)
        taken[name] = [np.where(s.filled[:, i], np.float32(np.nan), s.values[:, i]) for s in readings.stretches]
    stretches = tuple(type(s)(s.unit, s.start, s.values[:, keep], s.filled[:, keep]) for s in readings.stretches)
    channels = tuple(readings.channels[i] for i in keep)
    return Readings(readings.units, channels, stretches, readings.grid, readings.facts), taken


def last_steps(readings: Readings) -> npt.NDArray[np.int64]:
    """The last step of every unit's history, shape (units,)."""
    out = np.zeros(len(readings.units), dtype=np.int64)
    for s in readings.stretches:
        out[s.unit] = max(out[s.unit], s.start + len(s) - 1)
    return out


def _check(horizons: Sequence[int], *, least: int = 1) -> None:
    if not horizons or any(h < least for h in horizons) or len(set(horizons)) < len(horizons):
        raise DataError(
            f"horizons {list(horizons)!r} make no sense; write different whole numbers of steps, at least {least}"
        )
