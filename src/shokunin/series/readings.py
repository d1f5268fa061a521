"""Sensor tables as even grids: one row a day, hour or cycle for every unit, holes filled and remembered as filled.

A table is wide (a column per channel) or long (a column that names the channel and one with the value); it may be
unsorted, repeat times, and skip them. Readings of one step are averaged. Rows are streamed: what is kept is one sum a
unit, step and channel.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from shokunin.errors import DataError
from shokunin.progress import Progress, silent
from shokunin.series.columns import Columns
from shokunin.series.moments import Moments, moment_text

SECONDS = {"minute": 60, "hour": 3600, "day": 86400, "cycle": 1}
NO_UNIT, NO_TIME, NO_NUMBER = "no unit", "no time that can be read", "no number in any channel"
NO_CHANNEL = "a channel that is not among those asked for"
SHORT = "a stretch of readings shorter than a window"
SHOWN = 5
BLOCK = 20_000
"""Rows that are turned into numbers at a time."""
FAR = 3.4e38
"""What is further from zero is no reading: a grid holds 4-byte numbers."""
LARGEST = 200_000_000
"""Numbers that the grids may hold together (4 bytes each): far beyond a fleet's daily history, far below a broken clock's."""


class Grid(BaseModel):
    """How readings become an even grid.

    Attributes:
        step: what one row of the grid stands for; `cycle` counts whole numbers (runs, cycles, kilometres), not time.
        times: steps of so many minutes, hours, days or cycles.
        longest_gap: a hole of more steps than this is not filled: the unit's history is cut there. By default the
            window's length.
        shortest: stretches of fewer steps are left out; by default the window's length.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    step: Literal["minute", "hour", "day", "cycle"] = "day"
    times: int = Field(default=1, ge=1)
    longest_gap: int = Field(default=90, ge=0)
    shortest: int = Field(default=90, ge=1)

    @property
    def seconds(self) -> int:
        """Of one step; for cycles, cycles."""
        return SECONDS[self.step] * self.times

    def when(self, step: int) -> str:
        """A step as a person reads it."""
        return str(step * self.times) if self.step == "cycle" else moment_text(step * self.seconds, self.step)

    def written(self, step: int) -> str | int:
        """A step's beginning as a table can say it in any of its time zones: `2024-03-01T00:00:00+00:00`, or the cycle."""
        if self.step == "cycle":
            return step * self.times
        return datetime.fromtimestamp(step * self.seconds, UTC).isoformat()

    def span(self, steps: int) -> str:
        """So many steps as a person reads them: `1 day`, `30 cycles`."""
        count = steps * self.times
        return f"{count:,} {self.step}{'' if count == 1 else 's'}"


@dataclass(frozen=True)
class Stretch:
    """An unbroken part of one unit's history.

    Attributes:
        unit: which unit; its number in `Readings.units`.
        start: the step of the first row, counted from 1 January 1970 (UTC or local time as the table has it), or from
            cycle 0.
        values: float32 of shape (n, channels); NaN only where a channel has no reading in the whole stretch.
        filled: bool of shape (n, channels): no reading, the value is its predecessor's (or, at the beginning, its
            successor's).
    """

    unit: int
    start: int
    values: npt.NDArray[np.float32]
    filled: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Readings:
    """A fleet's history on even grids.

    Attributes:
        units: names.
        channels: names, in the order of the columns of every stretch.
        stretches: by unit, then time; a unit whose history has long holes has several.
        grid: what one row is.
        facts: rows `in`, `used`, `aside` by reason, `first` places of each; duplicates; gaps; what was filled.
    """

    units: tuple[str, ...]
    channels: tuple[str, ...]
    stretches: tuple[Stretch, ...]
    grid: Grid
    facts: dict[str, Any] = field(default_factory=dict)

    def when(self, step: int) -> str:
        """A step as a person reads it."""
        return self.grid.when(step)


@dataclass(frozen=True)
class StepSums:
    """One unit's readings as sums a step, which a grid is made of.

    Attributes:
        steps: int64 (n,), rising.
        sums: float64 (n, channels).
        counts: int32 (n, 1 + channels): rows of the table, then readings of each channel; a step may have no reading.
    """

    steps: npt.NDArray[np.int64]
    sums: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.steps)

    def take(self, rows: Any) -> StepSums:
        """The steps at `rows` (numbers, a mask or a slice)."""
        return StepSums(self.steps[rows], self.sums[rows], self.counts[rows])

    def newest(self, grid: Grid) -> Stretch:
        """The newest unbroken stretch, of the unit 0; there is at least one step."""
        means = _means(self.sums, self.counts)
        part = _cut(self.steps, grid.longest_gap)[-1]
        return _stretch(0, self.steps[part], means[part])


def added(parts: Sequence[StepSums]) -> StepSums:
    """Sums of the same channels put together; what was read of one step is averaged, whichever part it came in."""
    sums = _Sums()
    for part in parts:
        sums.take_in(part.steps, part.sums, part.counts)
    return sums.whole(parts[0].sums.shape[1])


def read_sums(
    rows: Iterable[tuple[str, Mapping[str, Any]]], columns: Columns, grid: Grid
) -> tuple[dict[str, StepSums], dict[str, Any]]:
    """What `read_readings` makes its grids of: each unit's sums, and the facts about the rows; for few rows.

    Raises:
        DataError: times with and without a time zone are mixed, or nothing is usable.
    """
    taking = _Taking(columns, grid)
    taking.take(list(rows))
    return taking.sums(), taking.facts()


def read_readings(
    rows: Iterable[tuple[str, Mapping[str, Any]]],
    columns: Columns,
    grid: Grid,
    *,
    broken: Callable[[], Sequence[tuple[str, str]]] = tuple,
    progress: Progress = silent,
) -> Readings:
    """The grids of all units.

    Args:
        rows: (origin, row) pairs in any order.
        columns: what the columns mean.
        grid: how the grid is made.
        broken: asked after the last row: (origin, reason) of the rows that the reader of the file could not read.
        progress: told of the rows read.

    Raises:
        DataError: times with and without a time zone are mixed, the grids would be absurdly large (a broken clock),
            or nothing is usable.
    """
    taking = _Taking(columns, grid)
    block: list[tuple[str, Mapping[str, Any]]] = []
    for pair in rows:
        block.append(pair)
        if len(block) >= BLOCK:
            taking.take(block)
            block = []
            progress("reading rows", taking.rows, None)
    taking.take(block)
    for origin, reason in broken():
        taking.rows += 1
        taking.set_aside(reason, origin)
    return taking.readings()


class _Taking:
    """The sums so far, and the book of rows."""

    def __init__(self, columns: Columns, grid: Grid) -> None:
        self._columns, self._grid = columns, grid
        self._moments = Moments(grid.step == "cycle", columns.timezone, columns.date_order)
        self._channels: dict[str, int] = {name: i for i, name in enumerate(columns.channels)}
        self._open = columns.is_long and not columns.channels
        self._units: dict[str, _Sums] = {}
        self.rows, self._aside, self._first = 0, Counter[str](), dict[str, list[str]]()
        self._text: Counter[str] = Counter()

    def set_aside(self, reason: str, origin: str) -> None:
        self._aside[reason] += 1
        shown = self._first.setdefault(reason, [])
        if len(shown) < SHOWN:
            shown.append(origin)

    def take(self, block: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        self.rows += len(block)
        c, seconds = self._columns, self._grid.seconds
        places: dict[str, list[int]] = {}
        steps: list[int] = []
        cells: list[list[float]] = []
        places_of: list[int] = []
        for origin, row in block:
            unit = str(row.get(c.unit) or "").strip() if c.unit else "all"
            if not unit:
                self.set_aside(NO_UNIT, origin)
                continue
            moment = self._moments.read(row.get(c.time), origin)
            if moment is None:
                self.set_aside(NO_TIME, origin)
                continue
            found = self._long(row) if c.is_long else self._wide(row)
            if isinstance(found, str):
                self.set_aside(found, origin)
                continue
            channel, values = found
            places.setdefault(unit, []).append(len(steps))
            steps.append(math.floor(moment / seconds))
            cells.append(values)
            places_of.append(channel)
        if not steps:
            return
        table = np.asarray(cells)
        if c.is_long:
            table = np.full((len(steps), max(len(self._channels), 1)), np.nan)
            table[np.arange(len(steps)), places_of] = np.asarray(cells)[:, 0]
        at = np.asarray(steps, dtype=np.int64)
        for unit, chosen in places.items():
            self._units.setdefault(unit, _Sums()).add(at[chosen], table[chosen])

    def _wide(self, row: Mapping[str, Any]) -> tuple[int, list[float]] | str:
        """The reading of every channel, NaN where there is none; or why there is none at all."""
        values, some = [], False
        for name in self._channels:
            cell = row.get(name)
            value = number(cell)
            if value is None:
                if cell is not None and cell != "":
                    self._text[name] += 1
                value = math.nan
            else:
                some = True
            values.append(value)
        return (0, values) if some else NO_NUMBER

    def _long(self, row: Mapping[str, Any]) -> tuple[int, list[float]] | str:
        """The number of the channel and its reading; or why there is none."""
        name = str(row.get(str(self._columns.channel)) or "").strip()
        if self._open and name:
            self._channels.setdefault(name, len(self._channels))
        if name not in self._channels:
            return NO_CHANNEL
        cell = row.get(str(self._columns.value))
        value = number(cell)
        if value is None:
            if cell is not None and cell != "":
                self._text[name] += 1
            return NO_NUMBER
        return self._channels[name], [value]

    def facts(self) -> dict[str, Any]:
        """Of the rows so far."""
        aside = {"rows": {"in": self.rows, "used": self.rows - sum(self._aside.values()), "aside": dict(self._aside)}}
        return {**aside, "cells_that_are_no_numbers": dict(self._text), "times": self._moments.facts()}

    def sums(self) -> dict[str, StepSums]:
        """By unit."""
        return {name: self._units[name].whole(len(self._channels)) for name in self._names()}

    def _names(self) -> list[str]:
        if not self._units:
            why = ", ".join(f"{n} with {reason!r}" for reason, n in self._aside.most_common(3)) or "there are none"
            raise DataError(
                f"no row has a unit, a time and a number ({why}); check the columns of unit, time and channels"
            )
        return sorted(self._units)

    def readings(self) -> Readings:
        names, width = self._names(), len(self._channels)
        stretches: list[Stretch] = []
        short: list[tuple[str, int]] = []
        kept: list[str] = []
        gaps = repeated = 0
        for name in names:
            whole = self._units[name].whole(width)
            steps, means, counts = whole.steps, _means(whole.sums, whole.counts), whole.counts
            repeated += int(np.maximum(counts[:, 1:] - 1, 0).max(axis=1, initial=0).sum())
            parts = _cut(steps, self._grid.longest_gap)
            gaps += len(parts) - 1
            long = [p for p in parts if int(steps[p][-1] - steps[p][0]) + 1 >= self._grid.shortest]
            if lost := int(counts[:, 0].sum()) - sum(int(counts[p, 0].sum()) for p in long):
                self._aside[SHORT] += lost
                self._first.setdefault(SHORT, []).append(name)
            if long:
                kept.append(name)
            else:
                short.append((name, len(steps)))
            self._room(name, sum(len(s) for s in stretches), [steps[p] for p in long], width)
            stretches += [_stretch(len(kept) - 1, steps[part], means[part]) for part in long]
        if not kept:
            longest = max(n for _, n in short)
            raise DataError(
                f"none of the {len(names)} units has {self._grid.shortest} readings in a row (the longest has {longest}); "
                "choose a shorter window or a finer step"
            )
        used = self.rows - sum(self._aside.values())
        constant = [c for c, i in self._channels.items() if _constant(stretches, i)]
        facts = {
            "rows": {
                "in": self.rows,
                "used": used,
                "aside": dict(self._aside),
                "first": {k: v[:SHOWN] for k, v in self._first.items()},
            },
            "units": {"in": len(names), "used": len(kept), "too_short": [n for n, _ in short]},
            "averaged": repeated,
            "long_gaps": gaps,
            "filled_share": float(np.mean([s.filled.mean() for s in stretches])) if stretches else 0.0,
            "cells_that_are_no_numbers": dict(self._text),
            "constant_channels": constant,
            "times": self._moments.facts(),
        }
        return Readings(tuple(kept), tuple(self._channels), tuple(stretches), self._grid, facts)

    def _room(self, name: str, rows: int, parts: Sequence[npt.NDArray[np.int64]], width: int) -> None:
        if (rows + sum(int(p[-1] - p[0]) + 1 for p in parts)) * width <= LARGEST:
            return
        raise DataError(
            f"unit {name!r} has readings from {self._when(parts[0][0])} to {self._when(parts[-1][-1])}: the grid of one row "
            f"a {self._grid.step} would hold more than {LARGEST:,} numbers; choose a longer step, or correct its times"
        )

    def _when(self, step: np.int64) -> str:
        return self._grid.when(int(step))


class _Sums:
    """One unit's sums a step, compacted whenever the newly come outweigh the known."""

    def __init__(self) -> None:
        self._steps: list[npt.NDArray[np.int64]] = []
        self._sums: list[npt.NDArray[np.float64]] = []
        self._counts: list[npt.NDArray[np.int32]] = []
        self._known, self._new = 0, 0

    def add(self, steps: npt.NDArray[np.int64], table: npt.NDArray[np.float64]) -> None:
        there = ~np.isnan(table)
        counts = np.c_[np.ones(len(steps), dtype=np.int32), there.astype(np.int32)]
        self.take_in(steps, np.where(there, table, 0.0), counts)

    def take_in(
        self, steps: npt.NDArray[np.int64], sums: npt.NDArray[np.float64], counts: npt.NDArray[np.int32]
    ) -> None:
        self._steps.append(steps)
        self._sums.append(sums)
        self._counts.append(counts)
        self._new += len(steps)
        if self._new > max(1000, self._known):
            self._compact(max(s.shape[1] for s in self._sums))

    def whole(self, width: int) -> StepSums:
        """Steps in order, with what they sum up to."""
        self._compact(width)
        return StepSums(self._steps[0], self._sums[0], self._counts[0])

    def _compact(self, width: int) -> None:
        steps = np.concatenate(self._steps)
        known, place = np.unique(steps, return_inverse=True)
        sums, counts = np.zeros((len(known), width)), np.zeros((len(known), width + 1), dtype=np.int32)
        at = 0
        for s, c in zip(self._sums, self._counts, strict=True):  # older blocks of a long table know fewer channels
            where = place[at : at + len(s)]
            np.add.at(sums[:, : s.shape[1]], where, s)
            np.add.at(counts[:, : c.shape[1]], where, c)
            at += len(s)
        self._steps, self._sums, self._counts = [known], [sums], [counts]
        self._known, self._new = len(known), 0


def number(cell: Any) -> float | None:
    """A cell's finite number, or None; a decimal comma is read where it cannot be anything else."""
    kind = type(cell)
    if kind is float or kind is int or (isinstance(cell, (int, float)) and kind is not bool):
        return float(cell) if -FAR <= cell <= FAR else None
    try:
        value = float(cell)
    except (TypeError, ValueError, OverflowError):
        if not isinstance(cell, str) or cell.count(",") != 1 or "." in cell:
            return None
        try:
            value = float(cell.replace(",", "."))
        except ValueError:
            return None
    return value if -FAR <= value <= FAR else None


def _means(sums: npt.NDArray[np.float64], counts: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """The mean a step and channel; NaN: none."""
    with np.errstate(invalid="ignore"):
        return np.asarray(sums / counts[:, 1:], dtype=np.float32)


def _cut(steps: npt.NDArray[np.int64], longest_gap: int) -> list[slice]:
    ends = np.flatnonzero(np.diff(steps) > longest_gap + 1) + 1
    edges = [0, *ends.tolist(), len(steps)]
    return [slice(a, b) for a, b in pairwise(edges)]


def _stretch(unit: int, steps: npt.NDArray[np.int64], means: npt.NDArray[np.float32]) -> Stretch:
    start, length = int(steps[0]), int(steps[-1] - steps[0]) + 1
    values = np.full((length, means.shape[1]), np.nan, dtype=np.float32)
    values[steps - start] = means
    return Stretch(unit, start, *carried(values))


def carried(values: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Even rows (n, channels) whose holes, NaN, take the reading before (at the beginning: after); and which were holes."""
    filled = np.isnan(values)
    last = np.where(filled, -1, np.arange(len(values))[:, None])
    np.maximum.accumulate(last, axis=0, out=last)
    first = (~filled).argmax(axis=0)  # 0 where a channel never speaks, whose values stay NaN
    return np.take_along_axis(values, np.where(last < 0, first, last), axis=0), filled


def _constant(stretches: Sequence[Stretch], channel: int) -> bool:
    """Whether a channel never moves within any stretch (or never speaks)."""
    for stretch in stretches:
        column = stretch.values[:, channel]
        if not np.isnan(column[0]) and column.min() != column.max():
            return False
    return True
