"""What is kept of a unit: its windows are those of the whole table, whatever was sent when."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shokunin.errors import DataError
from shokunin.series.columns import Columns
from shokunin.series.history import History, complete
from shokunin.series.readings import Grid, read_readings
from shokunin.series.sent import Shape, read_sent

CHANNELS = ("a", "b")
DAY = datetime(2024, 1, 1, tzinfo=UTC)


def shape(length: int = 5, gap: int = 3, *, step: str = "day", long: bool = False) -> Shape:
    """Windows of two channels."""
    named: dict[str, Any] = {"channel": "what", "value": "is"} if long else {}
    columns = Columns(unit="pump", time="date", channels=CHANNELS, **named)
    return Shape(columns, Grid(step=step, longest_gap=gap, shortest=length), length)  # type: ignore[arg-type]


def row(day: int, a: float | None, b: float | None = None) -> dict[str, Any]:
    """A reading of a day."""
    return {"date": (DAY + timedelta(days=day)).date().isoformat(), "a": a, "b": b}


def feed(parts: list[list[dict[str, Any]]], wanted: Shape) -> tuple[History | None, list[Any]]:
    """Send parts one after the other; what is known at the end, and what was said to each."""
    known, told = None, []
    for part in parts:
        told.append(complete("p", json.dumps(part), known, wanted))
        known = told[-1].history
    return known, told


def of_whole(rows: list[dict[str, Any]], wanted: Shape) -> tuple[np.ndarray, np.ndarray, int] | None:
    """The newest window that the table gives, as training reads it."""
    table = [(str(i), {**r, "pump": "p"}) for i, r in enumerate(rows)]
    stretch = read_readings(table, wanted.columns, wanted.grid.model_copy(update={"shortest": 1})).stretches[-1]
    if len(stretch) < wanted.length:
        return None
    return stretch.values[-wanted.length :], stretch.filled[-wanted.length :], stretch.start + len(stretch) - 1


CELL = st.one_of(st.none(), st.integers(-40, 40).map(lambda n: n / 8))  # eighths add up without rounding
ROWS = st.lists(
    st.tuples(st.integers(0, 30), CELL, CELL).filter(lambda r: r[1:] != (None, None)), min_size=1, max_size=40
)


@settings(max_examples=400, deadline=None)
@given(rows=ROWS, cuts=st.lists(st.integers(0, 40), max_size=6), length=st.integers(2, 7), gap=st.integers(0, 6))
def test_windows_are_those_of_the_whole_table(
    rows: list[tuple[int, float | None, float | None]], cuts: list[int], length: int, gap: int
) -> None:
    wanted = shape(length, gap)
    sent = [row(*r) for r in rows]
    edges = sorted({0, len(sent), *(c for c in cuts if c < len(sent))})
    known: History | None = None
    taken: list[dict[str, Any]] = []
    for first, last in pairwise(edges):
        part = sent[first:last]
        newest = max((int(r["date"][-2:]) for r in taken), default=-99)
        # A part that is a window by itself is not merged, and what comes too late is left out; both are tested below.
        part = [r for r in part if int(r["date"][-2:]) > newest - length - gap]
        if not part or (taken and of_whole(part, wanted) is not None):
            continue
        taken += part
        told = complete("p", json.dumps(part), known, wanted)
        known = told.history
        expected = of_whole(taken, wanted)
        assert (told.problem is not None) == (expected is None)
        if expected is not None:
            assert told.readings is not None
            window = read_sent("p", told.readings, wanted)
            np.testing.assert_array_equal(window.window.values, expected[0])
            np.testing.assert_array_equal(window.window.filled, expected[1])
            assert window.until == expected[2]
        assert known is not None and len(known.sums) <= length + gap + 1


def test_a_unit_alone_is_answered_by_what_is_known_and_asks_for_what_is_missing() -> None:
    wanted = shape()
    known, told = feed([[row(0, 1.0)], [row(1, 2.0), row(2, None, 3.0)], [row(3, 4.0)], [row(4, 5.0)], []], wanted)
    assert "1 of the 5 steps" in told[0].problem and "send 4 more" in told[0].problem
    assert "3 of the 5" in told[1].problem and "up to 2024-01-03" in told[1].problem
    assert told[3].readings == told[4].readings is not None
    found = read_sent("p", told[4].readings, wanted)
    assert found.window.values[:, 0].tolist() == [1, 2, 2, 4, 5] and wanted.grid.when(found.until) == "2024-01-05"
    assert complete("q", "[]", None, wanted).problem.startswith("no readings of 'q' are known; send 5 steps")
    assert known is not None and complete("p", "[]", known, wanted).history is known


def test_a_whole_window_is_answered_as_it_is_and_taken_in_only_where_it_is_newer() -> None:
    wanted = shape()
    known, _ = feed([[row(d, float(d)) for d in range(10)]], wanted)
    old = json.dumps([row(d, 99.0) for d in range(5)])
    told = complete("p", old, known, wanted)
    assert told.readings == old and told.history is known
    new = json.dumps([row(d, 50.0 + d) for d in range(7, 12)])
    told = complete("p", new, known, wanted)
    assert told.readings == new
    alone = read_sent("p", complete("p", "[]", told.history, wanted).readings, wanted)
    assert alone.window.values[:, 0].tolist() == [7, 8, 59, 60, 61]


def test_late_readings_are_merged_and_those_that_come_too_late_are_told() -> None:
    wanted = shape(5, 3)
    known, _ = feed([[row(d, float(d)) for d in range(12) if d != 9]], wanted)
    told = complete("p", json.dumps([row(9, 90.0), row(3, 30.0), row(2, 20.0)]), known, wanted)
    assert read_sent("p", told.readings, wanted).window.values[:, 0].tolist() == [7, 8, 90, 10, 11]
    assert told.notes == ("2 steps left out: more than 8 days older than the newest known one",)


def test_readings_of_one_step_are_averaged() -> None:
    known, _ = feed([[row(d, 0.0) for d in range(5)]], shape())
    told = complete("p", json.dumps([row(4, 4.0), row(4, 5.0)]), known, shape())
    assert read_sent("p", told.readings, shape()).window.values[-1, 0] == 3.0


def test_lists_without_times_are_the_next_steps() -> None:
    wanted = shape()
    known, _ = feed([[row(d, float(d), 0.0) for d in range(5)]], wanted)
    told = complete("p", '{"a": [7, null], "b": [1, 2]}', known, wanted)
    found = read_sent("p", told.readings, wanted)
    assert found.window.values[:, 0].tolist() == [2, 3, 4, 7, 7] and wanted.grid.when(found.until) == "2024-01-07"
    told = complete("p", '{"a": [8], "b": [3], "date": "2024-01-08"}', told.history, wanted)
    assert read_sent("p", told.readings, wanted).window.values[:, 0].tolist() == [3, 4, 7, 7, 8]


def test_without_any_times_readings_count_as_they_come() -> None:
    wanted = shape(3)
    told = complete("p", '{"a": [1, 2], "b": [1, 2]}', None, wanted)
    assert "2 of the 3 steps" in told.problem
    told = complete("p", '{"a": [3], "b": [4]}', told.history, wanted)
    found = read_sent("p", told.readings, wanted)
    assert found.window.values[:, 0].tolist() == [1, 2, 3] and found.until is None
    with pytest.raises(DataError, match=r"known of 'p' has no times, and what was sent has; send 3 steps"):
        complete("p", json.dumps([row(1, 1.0)]), told.history, wanted)
    whole = complete("p", json.dumps([row(d, 1.0) for d in range(3)]), told.history, wanted)
    assert whole.history is not None and whole.history.timed


def test_a_reading_from_the_future_is_refused() -> None:
    known, _ = feed([[row(d, 0.0) for d in range(5)]], shape())
    latest = (DAY + timedelta(days=30)).toordinal() - datetime(1970, 1, 1).toordinal()
    assert complete("p", json.dumps([row(30, 1.0)]), known, shape(), latest=latest).problem is not None
    with pytest.raises(DataError, match="2024-02-01, which is yet to come"):
        complete("p", json.dumps([row(31, 1.0)]), known, shape(), latest=latest)


@pytest.mark.parametrize("step", ["minute", "hour", "cycle"])
def test_every_kind_of_step_is_read_back_as_it_was(step: str) -> None:
    wanted = shape(3, 2, step=step)
    seconds = {"minute": 60, "hour": 3600, "cycle": 1}[step]
    at = [100 + n if step == "cycle" else 1_700_000_000 + n * seconds for n in range(4)]
    known, told = feed(
        [[{"date": t, "a": 1.0, "b": n} for n, t in enumerate(at)], [{"date": at[-1], "a": 3.0}]], wanted
    )
    assert known is not None
    assert read_sent("p", told[-1].readings, wanted).until == at[-1] // seconds == known.until


def test_a_long_table_is_kept_too() -> None:
    wanted = shape(3, long=True)
    rows = [{"date": f"2024-01-0{d}", "what": w, "is": d} for d in (1, 2, 3, 4) for w in CHANNELS]
    _, told = feed([rows[:4], rows[4:]], wanted)
    assert read_sent("p", told[-1].readings, wanted).window.values.tolist() == [[2, 2], [3, 3], [4, 4]]


def test_cells_that_are_no_numbers_are_told() -> None:
    told = complete("p", json.dumps([{"date": "2024-01-01", "a": "broken", "b": 1}]), None, shape(2))
    assert told.problem is not None
    sent = read_sent("p", json.dumps([{"date": f"2024-01-0{d}", "a": "broken", "b": 1} for d in (1, 2)]), shape(2))
    assert sent.notes == ("2 cells of 'a' with text, which is no number, counted as a hole",)


def test_lists_with_a_list_of_times_are_rows() -> None:
    lists = {"date": ["2024-01-03", "2024-01-01"], "a": [3, 1], "b": [None, 5]}
    found = read_sent("p", json.dumps(lists), shape(3))
    assert found.window.values.tolist() == [[1, 5], [1, 5], [3, 5]]
    assert found.window.filled.tolist() == [[False, False], [True, True], [False, True]]


def test_a_row_of_another_unit_is_refused() -> None:
    mixed = [{**row(0, 1.0), "pump": "p"}, {**row(1, 1.0), "pump": "q"}]
    with pytest.raises(DataError, match=r"readings\[1\] is of 'q' \('pump'\), and was sent for 'p'"):
        complete("p", json.dumps(mixed), None, shape())
    assert complete("p", json.dumps(mixed[:1]), None, shape()).history is not None


def test_a_step_that_is_far_too_high_gives_way_to_a_whole_window() -> None:
    wanted = shape(3, 2, step="cycle")
    known, told = feed([[{"date": n, "a": n, "b": 0} for n in range(5)], [{"date": 9000, "a": 1, "b": 0}]], wanted)
    assert told[1].problem.startswith("1 of the 3 steps") and "up to 9000" in told[1].problem
    late = complete("p", '[{"date": 5, "a": 5, "b": 0}]', known, wanted)
    assert "send 2 more, or a whole window; 1 step left out: more than 5 cycles older" in late.problem
    whole = complete("p", json.dumps([{"date": n, "a": n, "b": 0} for n in (4, 5, 6)]), late.history, wanted)
    again = complete("p", '[{"date": 7, "a": 7, "b": 0}]', whole.history, wanted)
    assert read_sent("p", again.readings, wanted).window.values[:, 0].tolist() == [5, 6, 7]
