"""Failures and equipment records beside the readings: every row is used or set aside with a reason; zones must fit."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin.errors import DataError
from shokunin.series.columns import Columns
from shokunin.series.events import (
    BEFORE,
    NOTHING_SAID,
    STRANGER,
    TOO_SHORT,
    TWICE,
    Event,
    placed,
    read_events,
    read_masters,
)
from shokunin.series.readings import NO_UNIT, Grid, Readings, read_readings

COLUMNS = Columns(unit="pump", time="date", channels=("x",))
GRID = Grid(longest_gap=5, shortest=10)
FIRST = date(2024, 1, 1)


def day(n: int) -> str:
    return (FIRST + timedelta(n)).isoformat()


def table(rows: list[dict[str, Any]], name: str = "failures.csv") -> list[tuple[str, dict[str, Any]]]:
    return [(f"{name}:{i}", row) for i, row in enumerate(rows, 2)]


def history(times: str = "{}", **columns: Any) -> Readings:
    """Pump 0 from day 0 to 49, pump 1 from day 100 to 149, pump 2 for three days."""
    days = {"pump 0": range(50), "pump 1": range(100, 150), "pump 2": range(3)}
    rows = [{"pump": unit, "date": times.format(day(n)), "x": n % 7} for unit, own in days.items() for n in own]
    return read_readings(table(rows, "readings.csv"), COLUMNS.model_copy(update=columns), GRID)


def log(*failures: tuple[str, str]) -> list[tuple[str, dict[str, Any]]]:
    return table([{"pump": unit, "date": at} for unit, at in failures])


def test_every_failure_is_used_or_set_aside_with_a_reason_and_a_place() -> None:
    readings = history()
    failures = log(
        ("pump 0", day(30)), ("pump 0", f"{day(30)} 14:00"), ("pump 7", day(30)), ("pump 2", day(2)),
        ("pump 0", "2031-05-01"), ("pump 1", "1999-05-01"), ("pump 0", day(57)), ("pump 0", day(56)), ("pump 1", day(149)),
    )  # fmt: skip
    events = read_events(failures, ["pump", "date"], COLUMNS, GRID, times=readings.facts["times"])
    found, book = placed(events, readings, 7)
    start = (FIRST - date(1970, 1, 1)).days
    assert found == {"pump 0": [start + 30, start + 56], "pump 1": [start + 149]}
    late = "more than 7 days after its unit's last reading"
    assert book["aside"] == {TWICE: 1, STRANGER: 1, TOO_SHORT: 1, late: 2, BEFORE: 1}
    assert book["in"] == 9 == book["used"] + sum(book["aside"].values())
    assert book["first"][late] == ["failures.csv:6 (pump 0, 2031-05-01)", f"failures.csv:8 (pump 0, {day(57)})"]


@given(st.lists(st.tuples(st.sampled_from(["pump 0", "pump 1", "x"]), st.integers(-400, 400)), max_size=30))
def test_what_comes_in_is_used_or_set_aside(failures: list[tuple[str, int]]) -> None:
    readings, start = history(), (FIRST - date(1970, 1, 1)).days
    events = [Event(f"f:{i}", unit, start + n) for i, (unit, n) in enumerate(failures)]
    found, book = placed(events, readings, 7)
    assert book["in"] == len(failures) == book["used"] + sum(book["aside"].values())
    assert book["used"] == sum(map(len, found.values())) and set(found) <= {"pump 0", "pump 1"}


@pytest.mark.parametrize(
    ("readings", "failures", "told"),
    [
        ("{}", "{}T06:00+09:00", r"the events have a time zone \(failures\.csv:2.*the readings have none \(readings\.csv:2"),
        ("{}T06:00+09:00", "{}", r"the readings have a time zone \(readings\.csv:2.*the events have none \(failures\.csv:2"),
        ("{}", "{}", None),
        ("{}T06:00+09:00", "{}T06:00Z", None),
    ],
)  # fmt: skip
def test_one_table_with_zones_and_one_without_do_not_fit(readings: str, failures: str, told: str | None) -> None:
    history_ = history(readings)
    rows = log(("pump 0", failures.format(day(30))))
    if told is None:
        read_events(rows, ["pump", "date"], COLUMNS, GRID, times=history_.facts["times"])
        return
    with pytest.raises(DataError, match=told + r".*--option timezone="):
        read_events(rows, ["pump", "date"], COLUMNS, GRID, times=history_.facts["times"])


def test_once_the_zone_is_said_a_failure_falls_on_its_day() -> None:
    tokyo = COLUMNS.model_copy(update={"timezone": "Asia/Tokyo"})
    readings = history(timezone="Asia/Tokyo")
    rows = log(("pump 0", f"{day(30)}T06:00+09:00"), ("pump 0", day(40)))
    events = read_events(rows, ["pump", "date"], tokyo, GRID, times=readings.facts["times"])
    first = readings.stretches[0].start
    assert [event.step - first for event in events] == [30, 40]


def test_cycles_have_no_zones() -> None:
    columns, grid = Columns(unit="pump", time="date", channels=("x",)), Grid(step="cycle", shortest=3)
    readings = read_readings(table([{"pump": "a", "date": n, "x": n} for n in range(5)]), columns, grid)
    (event,) = read_events(log(("a", "4")), ["pump", "date"], columns, grid, times=readings.facts["times"])
    assert event.step == 4


def test_equipment_records_are_used_or_set_aside() -> None:
    rows = table(
        [
            {"pump": "pump 0", "what": "feed  pump", "make": "A"}, {"pump": "pump 0", "what": "rebuilt", "make": ""},
            {"pump": "pump 1", "what": "", "make": ""}, {"pump": "pump 9", "what": "spare", "make": "B"},
            {"pump": "pump 2", "what": "new", "make": "B"}, {"pump": "", "what": "?", "make": ""},
        ],
        "equipment.csv",
    )  # fmt: skip
    found, book = read_masters(rows, ["pump", "what", "make"], COLUMNS, history())
    assert found == {"pump 0": "feed pump A rebuilt"}
    assert book["aside"] == {NOTHING_SAID: 1, STRANGER: 1, TOO_SHORT: 1, NO_UNIT: 1}
    assert book["in"] == 6 and book["used"] == 2 and book["first"][STRANGER] == ["equipment.csv:5 (pump 9)"]
    with pytest.raises(DataError, match=r"the records name 'turbine', the readings 'pump 0'"):
        read_masters(table([{"pump": "turbine", "what": "x"}]), ["pump", "what"], COLUMNS, history())
