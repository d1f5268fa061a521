"""Two small tables beside the readings: when units failed, and what they are called."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shokunin.errors import DataError
from shokunin.series.columns import TIME, UNIT, Columns
from shokunin.series.moments import Moments
from shokunin.series.readings import Grid

Rows = Iterable[tuple[str, Mapping[str, Any]]]


def read_events(rows: Rows, header: Sequence[str], columns: Columns, grid: Grid) -> dict[str, list[int]]:
    """The steps of the events by unit, rising; the columns are called as in the readings, or look like a unit and a time.

    Args:
        rows: (origin, row) pairs, one an event.
        header: the table's columns.
        columns: those of the readings.
        grid: what a step is.

    Raises:
        DataError: there is no such column, or a row has no unit or no time.
    """
    time = _named(header, columns.time, TIME, "the time of an event")
    unit = None if columns.unit is None else _named(header, columns.unit, UNIT, "the unit")
    moments = Moments(grid.step == "cycle", columns.timezone, columns.date_order)
    found: dict[str, set[int]] = {}
    for origin, row in rows:
        name = "all" if unit is None else str(row.get(unit) or "").strip()
        moment = moments.read(row.get(time), origin)
        if not name or moment is None:
            what = f"no unit in {unit!r}" if not name else f"{row.get(time)!r} in {time!r}, which is no time"
            raise DataError(f"{origin} has {what}; every event needs a unit and a time")
        found.setdefault(name, set()).add(math.floor(moment / grid.seconds))
    return {name: sorted(steps) for name, steps in sorted(found.items())}


def read_masters(rows: Rows, header: Sequence[str], columns: Columns) -> dict[str, str]:
    """What the equipment records say of each unit: all columns but the unit's, in their order.

    Raises:
        DataError: no column names the unit.
    """
    unit = _named(header, columns.unit or "", UNIT, "the unit")
    found: dict[str, str] = {}
    for _, row in rows:
        name = str(row.get(unit) or "").strip()
        said = " ".join(" ".join(str(row.get(c) or "").split()) for c in header if c != unit).strip()
        if name and said:
            found[name] = f"{found[name]} {said}" if name in found else said
    return found


def _named(header: Sequence[str], wanted: str, pattern: str, what: str) -> str:
    if wanted in header:
        return wanted
    near = [n for n in header if re.search(rf"(^|[\W_])({pattern})([\W_]|$)", n, re.IGNORECASE)]
    if not near:
        raise DataError(
            f"no column says {what}: expected {wanted!r} as in the readings; there are {', '.join(map(repr, header[:20]))}"
        )
    return near[0]
