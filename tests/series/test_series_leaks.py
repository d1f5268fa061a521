"""Columns that know the answer are found in spite of gaps and of the day of the event itself; sensors and the past are not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from series.fleets import fleet
from shokunin.pipeline.anticipating import prepare
from shokunin.series.columns import Columns
from shokunin.series.labels import from_failures
from shokunin.series.leaks import Leak, find_leaks
from shokunin.series.plan import Plan
from shokunin.series.readings import Grid, Readings, Stretch, carried, read_readings
from shokunin.series.windows import windows_of

DAYS, HORIZONS = 900, (10, 20)
Column = Callable[[np.ndarray, list[int]], np.ndarray]


def failures_of(units: int = 8, seed: int = 1) -> dict[str, list[int]]:
    """In no regular time."""
    rng = np.random.default_rng(seed)
    return {f"u{u}": (np.cumsum(rng.integers(25, 160, 40)) + 20).tolist() for u in range(units)}


def to_go(steps: np.ndarray, failed: list[int]) -> np.ndarray:
    """Days to the next failure, 0 on its day."""
    return np.asarray([min(f - t for f in failed if f >= t) for t in steps], dtype=float)


def gone(steps: np.ndarray, failed: list[int]) -> np.ndarray:
    """Days since the last failure, 0 on its day."""
    return np.asarray([min((t - f for f in failed if f <= t), default=t + 7) for t in steps], dtype=float)


def found(column: Column, *, missing: float = 0.0, when: str = "within") -> list[Leak]:
    """What is said of a column beside two sensors; `missing`: this share of the rows is not there."""
    rng = np.random.default_rng(0)
    steps, failures = np.arange(DAYS), failures_of()
    stretches = []
    for u, failed in enumerate(failures.values()):
        sensors = rng.normal(size=(DAYS, 2)).cumsum(axis=0)
        values = np.c_[sensors, column(steps, failed) if column is not copied else copied(sensors[:, 0], failed)]
        values[rng.random(DAYS) < missing] = np.nan
        stretches.append(Stretch(u, 0, *carried(values.astype(np.float32))))
    readings = Readings(tuple(failures), ("vibration", "oil", "column"), tuple(stretches), Grid())
    windows = windows_of(readings, 15)
    labels = from_failures(readings, windows, failures, HORIZONS, when=when)  # type: ignore[arg-type]
    events = dict(enumerate(failures.values()))
    rows = np.flatnonzero(windows.step < 700)
    return find_leaks(readings, windows, labels, HORIZONS, rows, events=events, when=when)  # type: ignore[arg-type]


def copied(sensor: np.ndarray, failed: list[int]) -> np.ndarray:
    """What the first sensor will read 20 days later; in the end, nothing that it ever reads."""
    return np.r_[sensor[20:], np.full(20, 1e3)]


def only_before(steps: np.ndarray, failed: list[int]) -> np.ndarray:
    """Something that is written down from 20 days before each failure on, and at no other time."""
    left = to_go(steps, failed)
    return np.where((left >= 1) & (left <= 20), np.random.default_rng(5).normal(size=len(steps)), np.nan)


@pytest.mark.parametrize("missing", [0.0, 0.02, 0.1])
@pytest.mark.parametrize(
    ("column", "why"),
    [
        (to_go, "its value alone tells what comes within 10 days (AUC 1.0000)"),
        (lambda t, f: 24 * to_go(t, f), "within 10 days"),
        (lambda t, f: -to_go(t, f), "within 10 days"),
        (lambda t, f: (to_go(t, f) <= 20) * 1.0, "within 20 days"),  # the label itself, 1 on the day of the failure
        (lambda t, f: np.minimum(to_go(t, f), 10), "so many steps before every event it says the same"),
        (lambda t, f: np.minimum(to_go(t, f), 7), "so many steps before every event it says the same"),
        (lambda t, f: (to_go(t, f) <= 14) * 1.0, "so many steps before every event it says the same"),
        (only_before, "whether it was read at all tells what comes within 20 days"),
        (copied, "it is what 'vibration' will read 20 days later"),
    ],
)
def test_what_knows_the_answer_is_found(column: Column, why: str, missing: float) -> None:
    (leak,) = found(column, missing=missing)
    assert leak.channel == "column" and why in leak.why


@pytest.mark.parametrize("missing", [0.0, 0.02])
@pytest.mark.parametrize(
    "column",
    [
        gone,
        lambda t, f: np.minimum(gone(t, f), 30),
        lambda t, f: (gone(t, f) == 0) * 1.0,  # a status that is set on the day of the failure
        lambda t, f: (gone(t, f) < 4) * 1.0,  # and stands until it is repaired
        lambda t, f: t * 1.0,
        lambda t, f: t % 7 * 1.0,
        lambda t, f: np.maximum(0, 12 - to_go(t, f)) + np.random.default_rng(9).normal(size=len(t)),  # a good sensor
    ],
)
def test_the_past_and_good_sensors_are_no_leaks(column: Column, missing: float) -> None:
    assert found(column, missing=missing) == []


def test_a_counter_is_found_where_exactly_that_day_is_asked_for() -> None:
    (leak,) = found(to_go, when="at")
    assert leak.channel == "column" and "before every event" in leak.why
    assert found(gone, when="at") == []


def test_a_counter_of_what_is_past_may_fall_together_with_the_future_where_events_are_regular() -> None:
    """Then it knows no more than the calendar does, but is named all the same where it ranks every window."""
    steps, failed = np.arange(600), list(range(40, 1000, 60))
    status = (gone(steps, failed) < 3) * 1.0
    rng = np.random.default_rng(0)
    readings = fleet({f"u{u}": np.c_[rng.normal(size=600), status] for u in range(6)}, channels=["x", "status"])
    prepared = prepare(readings, Plan(window=10, horizons=(29, 58)), failures=dict.fromkeys(readings.units, failed))
    assert prepared.leaks == ()


def test_what_is_read_on_the_day_of_the_week_on_which_failures_are_written_down_is_no_leak() -> None:
    """Each unit fails once, so that there is no last failure to count from; a mark a week before the failure is a leak."""
    rng = np.random.default_rng(0)
    stretches, failed = [], {}
    for unit in range(12):
        start, days = 7 * int(rng.integers(0, 30)), 7 * int(rng.integers(20, 40))
        on_mondays = (start + np.arange(days)) % 7 == 0
        marked = np.arange(days) == days - 7
        filled = np.column_stack([np.zeros(days, dtype=bool), ~on_mondays, np.zeros(days, dtype=bool)])
        values = np.column_stack([rng.normal(size=days), np.ones(days), marked]).astype(np.float32)
        stretches.append(Stretch(unit, start, values, filled))
        failed[unit] = [start + days]
    names = tuple(f"u{unit}" for unit in range(12))
    grid = Grid(step="day", times=1, longest_gap=20, shortest=5)
    readings = Readings(names, ("heat", "inspected", "mark"), tuple(stretches), grid, {})
    windows = windows_of(readings, 5)
    labels = from_failures(readings, windows, {names[u]: steps for u, steps in failed.items()}, HORIZONS)
    leaks = find_leaks(readings, windows, labels, HORIZONS, np.arange(len(windows)), events=failed)
    assert [leak.channel for leak in leaks] == ["mark"]


def test_where_a_step_is_the_mean_of_two_days_what_knows_the_answer_is_found() -> None:
    """A day that is missing changes the mean of one side, and a failure falls on the first or the second day of its step."""
    rng = np.random.default_rng(3)
    steps, failures = np.arange(DAYS), failures_of()
    table: list[tuple[str, dict[str, object]]] = []
    for unit, failed in failures.items():
        sensor = rng.normal(size=DAYS).cumsum()
        capped, later = np.minimum(to_go(steps, failed), 20), copied(sensor, failed)
        there = np.flatnonzero(rng.random(DAYS) > 0.02)
        known = set(there.tolist())
        for n in there.tolist():
            row = {"unit": unit, "day": n, "x": sensor[n], "capped": capped[n], "later": None}
            table.append((f"r:{n}", row | ({"later": later[n]} if n + 20 in known else {})))
    columns = Columns(unit="unit", time="day", channels=("x", "capped", "later"))
    readings = read_readings(table, columns, Grid(step="cycle", times=2, shortest=20))
    events = {name: [f // 2 for f in failed] for name, failed in failures.items()}
    plan = Plan(window=10, horizons=(10, 20))
    leaks = prepare(readings, plan, failures={u: [f for f in own if f < 450] for u, own in events.items()}).leaks
    assert [leak.channel for leak in leaks] == ["capped", "later"]


def test_a_copy_that_is_hardly_ever_read_says_nothing() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(200, 2))
    x[:, 1] = np.nan
    x[:150:6, 1] = x[5:155:6, 0]  # 25 readings, all of them what the other reads five days later
    stretch = Stretch(0, 0, *carried(x.astype(np.float32)))
    readings = Readings(("u",), ("a", "b"), (stretch,), Grid())
    windows = windows_of(readings, 10)
    nothing = np.zeros((len(windows), 1), np.int8)
    assert find_leaks(readings, windows, nothing, (5,), np.arange(len(windows))) == []


def _through_the_plan(events: Mapping[str, Sequence[int]], column: np.ndarray) -> tuple[str, ...]:
    rng = np.random.default_rng(0)
    histories = {name: np.c_[rng.normal(size=DAYS), column[i]] for i, name in enumerate(events)}
    readings = fleet(histories, channels=["x", "column"])
    prepared = prepare(readings, Plan(window=15, horizons=HORIZONS), failures=events)
    return tuple(leak.channel for leak in prepared.leaks)


def test_what_is_prepared_is_without_the_counter() -> None:
    failures = failures_of()
    told = {name: [f for f in failed if f < DAYS + 20] for name, failed in failures.items()}
    counters = np.stack([to_go(np.arange(DAYS), failed) for failed in failures.values()])
    assert _through_the_plan(told, counters) == ("column",)
