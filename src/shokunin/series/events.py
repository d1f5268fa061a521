"""Two small tables beside the readings: when units failed, and what they are called.

Every row is used or set aside with a reason. A failure of a unit that nobody reads, or of another time than the
readings', says nothing: counted as an event it would be a figure about nothing, and one dated years too late would make
everything before it time without a failure.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shokunin.errors import DataError
from shokunin.series.columns import TIME, UNIT, Columns
from shokunin.series.moments import Moments
from shokunin.series.readings import NO_UNIT, SHOWN, Grid, Readings

Rows = Iterable[tuple[str, Mapping[str, Any]]]
STRANGER = "no readings of that unit"
TOO_SHORT = "of a unit with fewer readings in a row than a window"
TWICE = "a second one of its unit in the same step"
BEFORE = "before its unit's first reading"
NOTHING_SAID = "nothing but the name of the unit"


@dataclass(frozen=True)
class Event:
    """Where it stands, whose it is, and its step."""

    origin: str
    unit: str
    step: int


def read_events(
    rows: Rows, header: Sequence[str], columns: Columns, grid: Grid, *, times: Mapping[str, Any] | None = None
) -> list[Event]:
    """The events of a table, in its order; the columns are called as in the readings, or look like a unit and a time.

    Args:
        rows: (origin, row) pairs, one an event.
        header: the table's columns.
        columns: those of the readings.
        grid: what a step is.
        times: what `Moments.facts` says of the readings' times.

    Raises:
        DataError: there is no such column, a row has no unit or no time, or one of the two tables has time zones and the
            other has none.
    """
    time = _named(header, columns.time, TIME, "the time of an event")
    unit = None if columns.unit is None else _named(header, columns.unit, UNIT, "the unit")
    moments = Moments(grid.step == "cycle", columns.timezone, columns.date_order)
    found = []
    for origin, row in rows:
        name = "all" if unit is None else str(row.get(unit) or "").strip()
        moment = moments.read(row.get(time), origin)
        if not name or moment is None:
            what = f"no unit in {unit!r}" if not name else f"{row.get(time)!r} in {time!r}, which is no time"
            raise DataError(f"{origin} has {what}; every event needs a unit and a time")
        found.append(Event(origin, name, math.floor(moment / grid.seconds)))
    if columns.timezone is None:
        _same_zones(times or {}, moments.facts())
    return found


def by_unit(events: Iterable[Event]) -> dict[str, list[int]]:
    """The steps by unit, rising, each once."""
    steps: dict[str, set[int]] = {}
    for event in events:
        steps.setdefault(event.unit, set()).add(event.step)
    return {name: sorted(own) for name, own in sorted(steps.items())}


def placed(events: Sequence[Event], readings: Readings, furthest: int) -> tuple[dict[str, list[int]], dict[str, Any]]:
    """The events that readings could tell of, by unit, and the book of all.

    Args:
        events: in the order of their table.
        readings: the history.
        furthest: the longest horizon, in steps: that long after a unit's last reading an event still belongs to it.

    Returns:
        Steps by unit, rising; and `in`, `used`, `aside` by reason, `first` places of each: in = used + aside.
    """
    spans: dict[str, tuple[int, int]] = {}
    for stretch in readings.stretches:
        name, last = readings.units[stretch.unit], stretch.start + len(stretch) - 1
        first, latest = spans.get(name, (stretch.start, last))
        spans[name] = min(first, stretch.start), max(latest, last)
    after = f"more than {readings.grid.span(furthest)} after its unit's last reading"
    book, kept, known = _Book(len(events)), [], set[tuple[str, int]]()
    for event in events:
        first, last = spans.get(event.unit, (0, 0))
        if event.unit not in spans:
            why = _no_readings(event.unit, readings)
        elif (event.unit, event.step) in known:
            why = TWICE
        elif event.step < first:
            why = BEFORE
        elif event.step > last + furthest:
            why = after
        else:
            known.add((event.unit, event.step))
            kept.append(event)
            continue
        book.set_aside(why, f"{event.origin} ({event.unit}, {readings.when(event.step)})")
    return by_unit(kept), book.facts()


def read_masters(
    rows: Rows, header: Sequence[str], columns: Columns, readings: Readings
) -> tuple[dict[str, str], dict[str, Any]]:
    """What the equipment records say of each unit with readings: all columns but the unit's, in their order.

    Returns:
        The text by unit, several records of a unit together; and the book as `placed` has it.

    Raises:
        DataError: no column names the unit, or no record is of a unit with readings.
    """
    unit = _named(header, columns.unit or "", UNIT, "the unit")
    found: dict[str, str] = {}
    names: dict[str, None] = {}
    book = _Book(0)
    for origin, row in rows:
        book.rows += 1
        name = str(row.get(unit) or "").strip()
        said = " ".join(" ".join(str(row.get(c) or "").split()) for c in header if c != unit).strip()
        names |= {name: None} if name else {}
        if not name:
            book.set_aside(NO_UNIT, origin)
        elif name not in readings.units:
            book.set_aside(_no_readings(name, readings), f"{origin} ({name})")
        elif not said:
            book.set_aside(NOTHING_SAID, f"{origin} ({name})")
        else:
            found[name] = f"{found[name]} {said}" if name in found else said
    if not names.keys() & set(readings.units):
        shown, there = ", ".join(map(repr, list(names)[:3])), ", ".join(map(repr, readings.units[:3]))
        raise DataError(
            f"no equipment record is of a unit with readings: the records name {shown or 'none'}, the readings {there}"
        )
    return found, book.facts()


class _Book:
    """Rows of a small table, those set aside among them."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._aside, self._first = Counter[str](), dict[str, list[str]]()

    def set_aside(self, reason: str, place: str) -> None:
        self._aside[reason] += 1
        shown = self._first.setdefault(reason, [])
        if len(shown) < SHOWN:
            shown.append(place)

    def facts(self) -> dict[str, Any]:
        used = self.rows - sum(self._aside.values())
        return {"in": self.rows, "used": used, "aside": dict(self._aside), "first": self._first}


def _no_readings(unit: str, readings: Readings) -> str:
    return TOO_SHORT if unit in readings.facts.get("units", {}).get("too_short", ()) else STRANGER


def _same_zones(readings: Mapping[str, Any], events: Mapping[str, Any]) -> None:
    """A day in one zone is another day in another: both tables say their zones, or none does.

    Raises:
        DataError: one has time zones and the other has none.
    """
    sides = {"the readings": readings, "the events": events}
    for one, other in (tuple(sides), tuple(sides)[::-1]):
        zoned, bare = sides[one].get("with_zone"), sides[other].get("without_zone")
        if zoned and bare:
            raise DataError(
                f"the times of {one} have a time zone ({zoned}) and those of {other} have none ({bare}), so their days would "
                "not fit; say which zone those without one are in (--option timezone=Europe/Berlin)"
            )


def _named(header: Sequence[str], wanted: str, pattern: str, what: str) -> str:
    if wanted in header:
        return wanted
    near = [n for n in header if re.search(rf"(^|[\W_])({pattern})([\W_]|$)", n, re.IGNORECASE)]
    if not near:
        raise DataError(
            f"no column says {what}: expected {wanted!r} as in the readings; there are {', '.join(map(repr, header[:20]))}"
        )
    return near[0]
