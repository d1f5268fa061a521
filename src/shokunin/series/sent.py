"""A window as a caller sends it: a unit's newest readings as JSON, read by the rules that the training table was read by.

Two shapes: rows as in the table (`[{"time": "2026-03-01", "vibration": 1.2}, …]`), or one list a channel, oldest first,
step after step (`{"vibration": [1.1, null, 1.2, …]}`). Lists may come with the time of their newest step
(`"time": "2026-03-01"`) or with a list of times, which makes rows of them. More than a window may be sent; a hole at a
window's beginning is then filled with the reading before it, as in training.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from shokunin.errors import DataError
from shokunin.series.columns import Columns
from shokunin.series.lessons import SeriesWindow
from shokunin.series.moments import Moments
from shokunin.series.readings import Grid, Readings, Stretch, carried, number, read_sums
from shokunin.series.windows import Windows

LONGEST = 100_000
"""Rows, or steps, that one request may send."""


@dataclass(frozen=True)
class Sent:
    """One window that was sent.

    Attributes:
        window: what an engine is handed.
        until: the step of its newest reading; None where no times were sent.
        notes: sentences about what was sent and not used.
    """

    window: SeriesWindow
    until: int | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shape:
    """What a window has to look like.

    Attributes:
        columns: what the columns of rows mean; `channels` are those of the model, in its order, also for long tables.
        grid: what a step is.
        length: steps of a window.
    """

    columns: Columns
    grid: Grid
    length: int

    @property
    def channels(self) -> tuple[str, ...]:
        """In the order of a window's columns."""
        return self.columns.channels

    @property
    def wide(self) -> Shape:
        """The same for a table with a column a channel."""
        return replace(self, columns=self.columns.model_copy(update={"channel": None, "value": None}))


def read_sent(unit: str, readings: str, shape: Shape) -> Sent:
    """The newest window of what was sent.

    Args:
        unit: whose readings they are.
        readings: JSON in one of the two shapes.
        shape: what is expected.

    Raises:
        DataError: it is no such JSON, has too few steps in a row, or mixes times with and without zones.
    """
    told = parse_sent(unit, readings)
    if isinstance(told, list):
        return _newest(unit, told, shape)
    if isinstance(told.get(shape.columns.time), list):
        return _newest(unit, transposed(unit, told, shape), shape.wide)
    values, filled = carried(grid_of(unit, told, shape, shortest=shape.length).astype(np.float32))
    at = slice(len(values) - shape.length, None)
    until = step_of(unit, told.get(shape.columns.time), shape)
    return Sent(SeriesWindow(values[at], filled[at], unit), until)


def parse_sent(unit: str, readings: str) -> list[Any] | dict[str, Any]:
    """The JSON: rows, or one list a channel.

    Raises:
        DataError: it is neither.
    """
    try:
        told = json.loads(readings)
    except (ValueError, RecursionError) as error:
        raise DataError(f"the readings of {unit!r} are no JSON: {error}; send rows, or one list a channel") from error
    if not isinstance(told, (list, dict)):
        raise DataError(
            f"the readings of {unit!r} are {type(told).__name__}; send a list of rows, or one list a channel"
        )
    return told


def as_sent(readings: Readings, windows: Windows, row: int) -> tuple[dict[str, str], int]:
    """The inputs that ask about a window of a history, and its last step.

    As many steps before the window go along as its first holes need, so that they are filled as in the history.
    """
    stretch = readings.stretches[int(windows.stretch[row])]
    lists = lists_of(stretch, int(windows.end[row]), windows.length, readings.channels)
    return {"unit": readings.units[int(windows.unit[row])], "readings": json.dumps(lists)}, int(windows.step[row])


def lists_of(stretch: Stretch, end: int, length: int, channels: Sequence[str]) -> dict[str, list[float | None]]:
    """The window of a stretch that ends in its row `end`, and as much before it as its first holes need; null is a hole."""
    first = end - length + 1
    back = first
    for channel in range(len(channels)):
        heard = np.flatnonzero(~stretch.filled[: first + 1, channel])
        back = min(back, int(heard[-1]) if len(heard) else 0)
    values, filled = stretch.values[back : end + 1], stretch.filled[back : end + 1]
    return {
        name: [
            None if gone else value for value, gone in zip(values[:, i].tolist(), filled[:, i].tolist(), strict=True)
        ]
        for i, name in enumerate(channels)
    }


def rows_of(unit: str, rows: Sequence[Any], shape: Shape) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Rows as a table's, each with its place.

    Raises:
        DataError: there are none, too many, or one is no row, or of another unit.
    """
    if not rows:
        raise DataError(f"no readings of {unit!r} were sent, and none are known; a window has {shape.length} steps")
    if len(rows) > LONGEST:
        raise DataError(f"{len(rows):,} rows of {unit!r} were sent; at most {LONGEST:,} at a time")
    named = shape.columns.unit
    for place, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise DataError(f"readings[{place}] of {unit!r} is no row of columns, such as {_example(shape)}")
        whose = unit if named is None else str(row.get(named) or unit).strip()
        if whose != unit:
            raise DataError(
                f"readings[{place}] is of {whose!r} ({named!r}), and was sent for {unit!r}; send each unit's apart"
            )
        yield f"readings[{place}]", row if named is None else {**row, named: unit}


def transposed(unit: str, lists: Mapping[str, Any], shape: Shape) -> list[dict[str, Any]]:
    """Lists with a list of times as rows.

    Raises:
        DataError: a channel has no list, or they are not of one length.
    """
    names = (shape.columns.time, *shape.channels)
    _check_lists(unit, lists, names)
    return [dict(zip(names, cells, strict=True)) for cells in zip(*(lists[n] for n in names), strict=True)]


def grid_of(unit: str, lists: Mapping[str, Any], shape: Shape, *, shortest: int) -> npt.NDArray[np.float64]:
    """Lists without times as (steps, channels); NaN: a hole.

    Raises:
        DataError: a channel has no list, they are not of one length, too short or too long, or a cell is no number.
    """
    steps = _check_lists(unit, lists, shape.channels)
    if not shortest <= steps <= LONGEST:
        raise DataError(
            f"{steps:,} steps of {unit!r} were sent; a window has {shape.length}, at most {LONGEST:,} are read"
        )
    values = np.full((steps, len(shape.channels)), np.nan)
    for i, name in enumerate(shape.channels):
        for place, cell in enumerate(lists[name]):
            value = None if cell is None else number(cell)
            if value is None and cell is not None:
                raise DataError(f"{name}[{place}] of {unit!r} is {cell!r}, no number; a hole is null")
            values[place, i] = np.nan if value is None else value
    return values


def step_of(unit: str, time: Any, shape: Shape) -> int | None:
    """The step of the time that lists end with; None: none was sent.

    Raises:
        DataError: it is no time.
    """
    if time is None:
        return None
    columns, grid = shape.columns, shape.grid
    moments = Moments(grid.step == "cycle", columns.timezone, columns.date_order)
    moment = None if isinstance(time, (dict, bool)) else moments.read(time, columns.time)
    if moment is None:
        raise DataError(f"{columns.time!r} of {unit!r} is {time!r}, no time; it is that of the newest step")
    return math.floor(moment / grid.seconds)


def notes_of(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Sentences about rows and cells that were sent and could not be used."""
    aside = [
        f"{n:,} {'row was' if n == 1 else 'rows were'} left out: {why}" for why, n in facts["rows"]["aside"].items()
    ]
    text = [
        f"{n:,} {'cell' if n == 1 else 'cells'} of {name!r} with text, which is no number, counted as a hole"
        for name, n in facts["cells_that_are_no_numbers"].items()
    ]
    return (*aside, *text)


def _newest(unit: str, rows: Sequence[Any], shape: Shape) -> Sent:
    by_unit, facts = read_sums(rows_of(unit, rows, shape), shape.columns, shape.grid)
    (sums,) = by_unit.values()
    stretch = sums.newest(shape.grid)
    until = stretch.start + len(stretch) - 1
    if len(stretch) < shape.length:
        raise DataError(
            f"{len(stretch)} steps in a row of {unit!r} were sent, up to {shape.grid.when(until)}; a window has "
            f"{shape.length} (a hole of more than {shape.grid.span(shape.grid.longest_gap)} breaks a row)"
        )
    at = slice(len(stretch) - shape.length, None)
    return Sent(SeriesWindow(stretch.values[at], stretch.filled[at], unit), until, notes_of(facts))


def _check_lists(unit: str, lists: Mapping[str, Any], names: Sequence[str]) -> int:
    for name in names:
        if not isinstance(lists.get(name), list):
            raise DataError(f"the readings of {unit!r} have no list {name!r}; send one for each of {_few(names)}")
    lengths = {name: len(lists[name]) for name in names}
    if len(set(lengths.values())) > 1:
        raise DataError(f"the lists of {unit!r} are not of one length: {lengths}; a hole is null")
    return lengths[names[0]]


def _example(shape: Shape) -> str:
    c = shape.columns
    row = {c.channel: shape.channels[0], c.value: 1.2} if c.is_long else {shape.channels[0]: 1.2}
    return json.dumps({c.time: "…", **row}, ensure_ascii=False)


def _few(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:8])) + (" …" if len(names) > 8 else "")
