"""A window as a caller sends it: a unit's newest readings as JSON, read by the rules that the training table was read by.

Two shapes: rows as in the table (`[{"time": "2026-03-01", "vibration": 1.2}, …]`), or one list a channel, oldest first,
step after step (`{"vibration": [1.1, null, 1.2, …]}`). More than a window may be sent; a hole at a window's beginning is
then filled with the reading before it, as in training.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shokunin.errors import DataError
from shokunin.series.columns import Columns
from shokunin.series.lessons import SeriesWindow
from shokunin.series.readings import Grid, Readings, carried, number, read_readings
from shokunin.series.windows import Windows

LONGEST = 100_000
"""Rows, or steps, that one request may send."""


@dataclass(frozen=True)
class Sent:
    """One window that was sent.

    Attributes:
        window: what an engine is handed.
        until: the step of its newest reading; None where no times were sent.
    """

    window: SeriesWindow
    until: int | None


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


def read_sent(unit: str, readings: str, shape: Shape) -> Sent:
    """The newest window of what was sent.

    Args:
        unit: whose readings they are.
        readings: JSON in one of the two shapes.
        shape: what is expected.

    Raises:
        DataError: it is no such JSON, has too few steps in a row, or mixes times with and without zones.
    """
    try:
        told = json.loads(readings)
    except (ValueError, RecursionError) as error:
        raise DataError(f"the readings of {unit!r} are no JSON: {error}; send rows, or one list a channel") from error
    if isinstance(told, list):
        return _newest(unit, _of_rows(unit, told, shape), shape)
    if isinstance(told, dict):
        return _of_lists(unit, told, shape)
    raise DataError(f"the readings of {unit!r} are {type(told).__name__}; send a list of rows, or one list a channel")


def as_sent(readings: Readings, windows: Windows, row: int) -> tuple[dict[str, str], int]:
    """The inputs that ask about a window of a history, and its last step.

    As many steps before the window go along as its first holes need, so that they are filled as in the history.
    """
    stretch = readings.stretches[int(windows.stretch[row])]
    end = int(windows.end[row])
    first = end - windows.length + 1
    back = first
    for channel in range(len(readings.channels)):
        heard = np.flatnonzero(~stretch.filled[: first + 1, channel])
        back = min(back, int(heard[-1]) if len(heard) else 0)
    if not back < first:
        back = first
    lists = {
        name: [
            None if gone else float(value)
            for value, gone in zip(
                stretch.values[back : end + 1, i].tolist(), stretch.filled[back : end + 1, i].tolist(), strict=True
            )
        ]
        for i, name in enumerate(readings.channels)
    }
    return {"unit": readings.units[int(windows.unit[row])], "readings": json.dumps(lists)}, int(windows.step[row])


def _of_rows(unit: str, rows: Sequence[Any], shape: Shape) -> Readings:
    if not rows:
        raise DataError(f"no readings of {unit!r} were sent, and none are known; a window has {shape.length}")
    if len(rows) > LONGEST:
        raise DataError(f"{len(rows):,} rows of {unit!r} were sent; at most {LONGEST:,} at a time")
    named = shape.columns.unit

    def told() -> Any:
        for place, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise DataError(f"readings[{place}] of {unit!r} is no row of columns, such as {_example(shape)}")
            yield f"readings[{place}]", row if named is None else {**row, named: unit}

    return read_readings(told(), shape.columns, shape.grid.model_copy(update={"shortest": 1}))


def _newest(unit: str, found: Readings, shape: Shape) -> Sent:
    stretch = found.stretches[-1]
    if len(stretch) < shape.length:
        until = shape.grid.when(stretch.start + len(stretch) - 1)
        raise DataError(
            f"{len(stretch)} steps in a row of {unit!r} were sent, up to {until}; a window has {shape.length} "
            f"(a hole of more than {shape.grid.span(shape.grid.longest_gap)} breaks a row)"
        )
    at = slice(len(stretch) - shape.length, None)
    window = SeriesWindow(stretch.values[at], stretch.filled[at], unit)
    return Sent(window, stretch.start + len(stretch) - 1)


def _of_lists(unit: str, lists: Mapping[str, Any], shape: Shape) -> Sent:
    for name in shape.channels:
        if not isinstance(lists.get(name), list):
            raise DataError(
                f"the readings of {unit!r} have no list {name!r}; send one for each of {_few(shape.channels)}"
            )
    lengths = {name: len(lists[name]) for name in shape.channels}
    steps = max(lengths.values())
    if len(set(lengths.values())) > 1:
        raise DataError(f"the lists of {unit!r} are not of one length: {lengths}; a hole is null")
    if not shape.length <= steps <= LONGEST:
        raise DataError(
            f"{steps:,} steps of {unit!r} were sent; a window has {shape.length}, at most {LONGEST:,} are read"
        )
    values = np.full((steps, len(shape.channels)), np.nan, dtype=np.float32)
    for i, name in enumerate(shape.channels):
        for place, cell in enumerate(lists[name]):
            value = None if cell is None else number(cell)
            if value is None and cell is not None:
                raise DataError(f"{name}[{place}] of {unit!r} is {cell!r}, no number; a hole is null")
            values[place, i] = np.nan if value is None else value
    values, filled = carried(values)
    at = slice(steps - shape.length, None)
    return Sent(SeriesWindow(values[at], filled[at], unit), None)


def _example(shape: Shape) -> str:
    c = shape.columns
    row = {c.channel: shape.channels[0], c.value: 1.2} if c.is_long else {shape.channels[0]: 1.2}
    return json.dumps({c.time: "…", **row}, ensure_ascii=False)


def _few(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:8])) + (" …" if len(names) > 8 else "")
