"""Sensor tables as they come: unsorted, doubled, with holes, text in number columns, clocks in two zones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin.errors import DataError
from shokunin.series.columns import Columns, guess_columns, looks_like_readings
from shokunin.series.readings import NO_CHANNEL, NO_NUMBER, NO_TIME, NO_UNIT, SHORT, Grid, number, read_readings

WIDE = Columns(unit="unit", time="day", channels=("a", "b"))
SMALL = Grid(longest_gap=3, shortest=3)


def day(n: int) -> str:
    return str(np.datetime64("2024-01-01") + n)


def table(rows: list[dict[str, object]]) -> list[tuple[str, dict[str, object]]]:
    return [(f"x.csv:{i}", row) for i, row in enumerate(rows, 2)]


def row(n: int, a: object = 1, b: object = 2, unit: str = "p1") -> dict[str, object]:
    return {"unit": unit, "day": day(n), "a": a, "b": b}


def test_unsorted_doubled_rows_become_one_even_grid() -> None:
    got = read_readings(table([row(4, 5, 5), row(0), row(1, 3), row(1, 5), row(2, "", 7)]), WIDE, SMALL)
    (stretch,) = got.stretches
    assert stretch.values[:, 0].tolist() == [1, 4, 4, 4, 5]  # the mean of the doubled day, carried over two holes
    assert stretch.filled[:, 0].tolist() == [False, False, True, True, False]
    assert stretch.values[:, 1].tolist() == [2, 2, 7, 7, 5]
    assert got.when(stretch.start) == "2024-01-01"
    assert got.facts["averaged"] == 1 and got.facts["rows"] == {"in": 5, "used": 5, "aside": {}, "first": {}}


def test_a_channel_that_begins_late_is_filled_backwards_and_one_that_never_speaks_stays_open() -> None:
    columns = WIDE.model_copy(update={"channels": ("a", "b", "silent")})
    got = read_readings(table([row(n, "" if n < 2 else n, 9) for n in range(4)]), columns, SMALL)
    (stretch,) = got.stretches
    assert stretch.values[:, 0].tolist() == [2, 2, 2, 3]
    assert np.isnan(stretch.values[:, 2]).all() and stretch.filled[:, 2].all()
    assert got.facts["constant_channels"] == ["b", "silent"]


def test_rows_in_are_rows_used_and_rows_set_aside() -> None:
    bad = [
        row(0, unit=""), {**row(0), "day": "yesterday"}, row(1, "broken", "off"), row(0, unit="p2"), row(1, unit="p2"),
    ]  # fmt: skip
    got = read_readings(table([*bad, *(row(n, "on" if n == 1 else n) for n in range(5))]), WIDE, SMALL)
    rows = got.facts["rows"]
    assert rows["aside"] == {NO_UNIT: 1, NO_TIME: 1, NO_NUMBER: 1, SHORT: 2}
    assert rows["in"] == 10 and rows["used"] == 5
    assert rows["first"][NO_TIME] == ["x.csv:3"] and rows["first"][SHORT] == ["p2"]
    assert got.facts["cells_that_are_no_numbers"] == {"a": 2, "b": 1}
    assert got.facts["units"]["too_short"] == ["p2"]


def test_rows_that_the_file_reader_could_not_read_are_in_the_book() -> None:
    rows = [row(n) for n in range(3)]
    got = read_readings(table(rows), WIDE, SMALL, broken=lambda: [("x.csv:9", "too many cells")])
    assert got.facts["rows"] == {
        "in": 4, "used": 3, "aside": {"too many cells": 1}, "first": {"too many cells": ["x.csv:9"]},
    }  # fmt: skip


def test_a_hole_longer_than_allowed_cuts_the_history() -> None:
    got = read_readings(table([row(n) for n in (0, 1, 2, 6, 7, 8, 13, 14)]), WIDE, SMALL)
    assert [len(s) for s in got.stretches] == [9]  # a hole of three days is filled, one of four is not
    assert got.facts["long_gaps"] == 1 and got.facts["rows"]["aside"] == {SHORT: 2}


def test_a_long_table_finds_its_channels() -> None:
    columns = Columns(unit="u", time="t", channel="what", value="v")
    rows = [{"u": "p", "t": day(n), "what": c, "v": f"{n},5"} for n in range(3) for c in ("x", "y")]
    got = read_readings(table([*rows, {"u": "p", "t": day(0), "what": "", "v": 1}]), columns, SMALL)
    assert got.channels == ("x", "y") and got.stretches[0].values.tolist() == [[0.5, 0.5], [1.5, 1.5], [2.5, 2.5]]
    assert got.facts["rows"]["aside"] == {NO_CHANNEL: 1}
    one = read_readings(table(rows), columns.model_copy(update={"channels": ("y",)}), SMALL)
    assert one.channels == ("y",) and one.facts["rows"]["aside"] == {NO_CHANNEL: 3}


def test_cycles_count_as_they_are_and_without_a_unit_all_rows_are_one() -> None:
    columns = Columns(time="cycle", channels=("a",))
    rows = [{"cycle": str(n), "a": n} for n in range(1, 8)]
    got = read_readings(table(rows), columns, Grid(step="cycle", longest_gap=0, shortest=3))
    assert got.units == ("all",) and got.stretches[0].start == 1 and got.when(7) == "7"


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (["2024-01-01T00:00Z", "2024-01-02 00:00"], "with and without a time zone"),
        (["1/2/2024", "1/3/2024"], "date_order"),
    ],
)
def test_times_that_mean_two_things_are_refused(times: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_readings(table([{**row(0), "day": t} for t in times]), WIDE, SMALL)


def test_a_thirteenth_month_proves_the_order_wrong() -> None:
    columns = WIDE.model_copy(update={"date_order": "month_first"})
    with pytest.raises(DataError, match="no month 13"):
        read_readings(table([{**row(0), "day": "13/1/2024 8:05"}]), columns, SMALL)
    rows = [{**row(0), "day": f"1/{n}/24 0:00"} for n in (1, 2, 13)]
    got = read_readings(table(rows), columns, Grid(longest_gap=20, shortest=3))
    assert got.when(got.stretches[0].start) == "2024-01-01" and len(got.stretches[0]) == 13


def test_zones_are_moved_to_one() -> None:
    columns = WIDE.model_copy(update={"timezone": "Asia/Tokyo"})
    times = ["2024-01-02T01:00+09:00", "2024-01-01T20:00-05:00", "2024-01-03 01:00"]
    rows = [{**row(0, n), "day": t} for n, t in enumerate(times)]
    got = read_readings(table(rows), columns, Grid(shortest=1))
    assert got.stretches[0].values[:, 0].tolist() == [0, 1.5]  # 1 January 16:00; 2 January 01:00 and 16:00 in UTC
    assert got.facts["times"]["zone"] == "UTC"


def test_an_unknown_zone_is_named() -> None:
    with pytest.raises(DataError, match="Mars/Olympus"):
        read_readings([], WIDE.model_copy(update={"timezone": "Mars/Olympus"}), SMALL)


def test_nothing_usable_says_why() -> None:
    with pytest.raises(DataError, match="no time that can be read"):
        read_readings(table([{**row(0), "day": "?"}]), WIDE, SMALL)
    with pytest.raises(DataError, match="longest has 3"):
        read_readings(table([row(n) for n in range(3)]), WIDE, Grid())


def test_a_broken_clock_does_not_fill_the_memory() -> None:
    rows = [{**row(0), "day": t} for t in ("1930-01-01", "2199-01-01")]
    with pytest.raises(DataError, match="choose a longer step, or correct its times"):
        read_readings(table(rows), WIDE, Grid(step="minute", longest_gap=10**9, shortest=1))


@given(st.permutations(list(range(40))), st.integers(1, 39))
def test_the_order_and_the_blocks_of_rows_do_not_matter(order: list[int], cut: int) -> None:
    rows = [row(n % 20, n, n % 7, f"p{n // 20}") for n in range(40)]
    sorted_ = read_readings(table(rows), WIDE, SMALL)
    shuffled = read_readings(table([rows[n] for n in order]), WIDE, SMALL)
    assert sorted_.units == shuffled.units
    for a, b in zip(sorted_.stretches, shuffled.stretches, strict=True):
        assert a.start == b.start and np.array_equal(a.values, b.values) and np.array_equal(a.filled, b.filled)


@given(st.one_of(st.text(), st.floats(), st.none(), st.booleans(), st.integers()))
def test_a_cell_is_a_finite_number_or_none(cell: object) -> None:
    value = number(cell)
    assert value is None or np.isfinite(value)


def test_columns_are_guessed_and_labels_are_no_channels() -> None:
    header = ["Machine", "Timestamp", "vibration", "temp", "Fault Detection Ground Truth", "note"]
    sample = [
        {
            "Machine": "m1",
            "Timestamp": day(0),
            "vibration": "1,5",
            "temp": "20",
            "Fault Detection Ground Truth": "0",
            "note": "ok",
        }
    ]
    got = guess_columns(header, sample)
    assert (got.unit, got.time, got.channels) == ("Machine", "Timestamp", ("vibration", "temp"))
    long = guess_columns(
        ["unit", "date", "sensor", "value"], [{"unit": "a", "date": day(0), "sensor": "x", "value": "1"}]
    )
    assert (long.channel, long.value) == ("sensor", "value")
    assert guess_columns(header, sample, unit="note").unit == "note"
    with pytest.raises(DataError, match="no column looks like a time"):
        guess_columns(["a", "b"], [{"a": "1", "b": "2"}])
    with pytest.raises(DataError, match="'gone'"):
        got.model_copy(update={"time": "gone"}).check(header)


@pytest.mark.parametrize(
    ("row", "readings"),
    [
        ({"pump": "p1", "date": "2024-01-01", "vibration": "1.2", "heat": "60"}, True),
        ({"machine": "m", "time": "1", "sensor": "heat", "value": "1.2"}, True),
        ({"text": "where is my parcel?", "label": "delivery"}, False),
        ({"text": "where is my parcel?", "received": "2024-01-01", "label": "delivery", "priority": "2"}, False),
        ({"id": "7", "amount": "3.5"}, False),
    ],
)
def test_a_table_of_readings_is_known_by_its_columns(row: dict[str, str], readings: bool) -> None:
    assert looks_like_readings(list(row), [row] * 5) is readings
