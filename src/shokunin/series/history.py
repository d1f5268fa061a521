"""One unit's newest steps, kept so that a caller sends only what is new; its windows are those of the whole table.

What is kept are the sums behind the grid (`StepSums`) of the newest `window + longest gap` steps. All that is older is one
row in front of them: the last reading of each channel, which is what a hole at a window's beginning is filled with. So
the newest window is the very one that `read_readings` would make of everything that was ever sent, except for readings
that come later than that many steps; they are left out and counted.

Readings of one step are averaged, as in training, whichever request they came in. A window that is sent whole is
answered as it is; of it, only steps from the newest known one on are taken into what is kept, in place of what was known
of that step (all of it, where what was known is no window and so cannot answer).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shokunin.errors import DataError
from shokunin.series.readings import StepSums, Stretch, added, read_sums
from shokunin.series.sent import Shape, grid_of, lists_of, notes_of, parse_sent, rows_of, step_of, transposed


@dataclass(frozen=True)
class History:
    """What is kept of one unit.

    Attributes:
        sums: the newest steps, and one row for all before.
        timed: whether the steps are times or cycles; else they count the readings that came, from 0.
    """

    sums: StepSums
    timed: bool

    @property
    def until(self) -> int:
        """The newest step."""
        return int(self.sums.steps[-1])


@dataclass(frozen=True)
class Completed:
    """A request with what is known put in.

    Attributes:
        readings: as `read_sent` reads them; None where there is a `problem`.
        history: what is known now; None: nothing.
        problem: why there is no window yet.
        notes: sentences about readings that were left out.
    """

    readings: str | None
    history: History | None
    problem: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Came:
    """What a request brought: its steps; whether they have times; whether they are a window by themselves."""

    sums: StepSums
    timed: bool
    whole: bool
    notes: tuple[str, ...] = ()


def complete(unit: str, readings: str, known: History | None, shape: Shape, *, latest: int | None = None) -> Completed:
    """A window for what was asked, and what is to be kept.

    Args:
        unit: whose.
        readings: JSON as `read_sent` takes it, or fewer steps of it, or none (`[]`).
        known: what was kept.
        shape: what is expected.
        latest: no reading can be of a later step than this; None: any step can be.

    Raises:
        DataError: the readings cannot be read, come from the future, or have no times where those known have (or the
            other way round).
    """
    told = parse_sent(unit, readings)
    if not told:
        return _answer(unit, known, shape, ())
    came = _rows_came(unit, told, shape) if isinstance(told, list) else _lists_came(unit, told, known, shape)
    if came.timed and latest is not None and int(came.sums.steps[-1]) > latest:
        raise DataError(
            f"the newest reading of {unit!r} is of {shape.grid.when(int(came.sums.steps[-1]))}, which is yet to come; "
            "correct its time, or say the `timezone` of times that carry none"
        )
    if came.whole:
        return Completed(readings, _from_newest(known, came, shape), notes=came.notes)
    if known is not None and came.timed != known.timed:
        raise DataError(
            f"what is known of {unit!r} has {'' if known.timed else 'no '}times, and what was sent has "
            f"{'' if came.timed else 'none'}".rstrip()
            + f"; send {shape.length} steps in a row, with their times, to begin anew"
        )
    if known is None:
        return _answer(unit, History(trimmed(came.sums, shape), came.timed), shape, came.notes)
    oldest = known.until - _kept(shape) + 1
    late = came.sums.steps < oldest if known.timed else np.zeros(len(came.sums), dtype=bool)
    notes = came.notes
    if late.any():
        span = shape.grid.span(_kept(shape))
        lost = int(late.sum())
        notes += (f"{lost} step{'' if lost == 1 else 's'} left out: more than {span} older than the newest known one",)
    fresh = came.sums.take(~late)
    sums = trimmed(added([known.sums, fresh]), shape) if len(fresh) else known.sums
    return _answer(unit, History(sums, known.timed), shape, notes)


def trimmed(sums: StepSums, shape: Shape) -> StepSums:
    """The newest steps, and one row for all before: of each channel the last reading of the stretch that it ends."""
    first = int(np.searchsorted(sums.steps, int(sums.steps[-1]) - _kept(shape) + 1))
    if first <= 1:
        return sums
    cuts = np.flatnonzero(np.diff(sums.steps[:first]) > shape.grid.longest_gap + 1)
    old = sums.take(slice(int(cuts[-1]) + 1 if len(cuts) else 0, first))
    front_sums, front_counts = np.zeros((1, sums.sums.shape[1])), np.zeros((1, sums.counts.shape[1]), dtype=np.int32)
    front_counts[0, 0] = old.counts[-1, 0]
    for channel in range(sums.sums.shape[1]):
        heard = np.flatnonzero(old.counts[:, 1 + channel])
        if len(heard):
            front_sums[0, channel] = old.sums[heard[-1], channel]
            front_counts[0, 1 + channel] = old.counts[heard[-1], 1 + channel]
    rest = sums.take(slice(first, None))
    return StepSums(np.r_[old.steps[-1:], rest.steps], np.r_[front_sums, rest.sums], np.r_[front_counts, rest.counts])


def _kept(shape: Shape) -> int:
    return shape.length + shape.grid.longest_gap


def _answer(unit: str, known: History | None, shape: Shape, notes: tuple[str, ...]) -> Completed:
    if known is None:
        return Completed(
            None, None, f"no readings of {unit!r} are known; send {shape.length} steps in a row, oldest first"
        )
    stretch = known.sums.newest(shape.grid)
    if len(stretch) < shape.length:
        until = f", up to {shape.grid.when(known.until)}" if known.timed else ""
        problem = (
            f"{len(stretch)} of the {shape.length} steps in a row that a window has are known of {unit!r}{until}; they "
            f"are kept: send {shape.length - len(stretch)} more, or a whole window"
        )
        return Completed(None, known, "; ".join([problem, *notes]))
    return Completed(_text(stretch, known, shape), known, notes=notes)


def _text(stretch: Stretch, known: History, shape: Shape) -> str:
    lists: dict[str, Any] = lists_of(stretch, len(stretch) - 1, shape.length, shape.channels)
    if known.timed:
        lists[shape.columns.time] = shape.grid.written(known.until)
    return json.dumps(lists)


def _from_newest(known: History | None, came: _Came, shape: Shape) -> History:
    """What is kept once a whole window came: from the newest known step on, what it says."""
    if known is None or not known.timed:
        return History(trimmed(came.sums, shape), came.timed)
    if not came.timed:
        return known
    if int(came.sums.steps[-1]) < known.until:
        # What cannot answer gives way: else one reading with a time or cycle far too high would stand in the way for ever.
        usable = len(known.sums.newest(shape.grid)) >= shape.length
        return known if usable else History(trimmed(came.sums, shape), True)
    newer = came.sums.take(came.sums.steps >= known.until)
    before = known.sums.take(known.sums.steps < known.until)
    return History(trimmed(added([before, newer]), shape), True)


def _rows_came(unit: str, rows: Sequence[Any], shape: Shape) -> _Came:
    by_unit, facts = read_sums(rows_of(unit, rows, shape), shape.columns, shape.grid)
    (sums,) = by_unit.values()
    return _Came(sums, True, len(sums.newest(shape.grid)) >= shape.length, notes_of(facts))


def _lists_came(unit: str, told: Mapping[str, Any], known: History | None, shape: Shape) -> _Came:
    time = told.get(shape.columns.time)
    if isinstance(time, list):
        return _rows_came(unit, transposed(unit, told, shape), shape.wide)
    values = grid_of(unit, told, shape, shortest=1)
    until = step_of(unit, time, shape)
    if until is not None:
        first = until - len(values) + 1
    else:
        first = 0 if known is None or len(values) >= shape.length else known.until + 1
    there = ~np.isnan(values)
    counts = np.c_[np.ones(len(values), dtype=np.int32), there.astype(np.int32)]
    steps = np.arange(first, first + len(values), dtype=np.int64)
    sums = StepSums(steps, np.where(there, values, 0.0), counts)
    timed = until is not None or (known is not None and known.timed and len(values) < shape.length)
    return _Came(sums, timed, len(values) >= shape.length)
