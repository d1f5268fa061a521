"""What a detector rang, by hand; and what whoever rings as often at random catches, by theory and by counting."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from series.fleets import fleet
from shokunin.errors import DataError
from shokunin.series.alarms import Alarm, record
from shokunin.series.by_chance import _placed, by_chance
from shokunin.series.readings import Grid
from shokunin.series.ringing import met, rang, usual_horizon
from shokunin.series.windows import windows_of

DAY = Grid(step="day")


def test_the_usual_horizon_is_half_of_what_the_budget_allows_within_a_window_and_a_month() -> None:
    assert usual_horizon(5, 0.5, DAY) == 7 and usual_horizon(10, 0.5, DAY) == 10 and usual_horizon(5, 0.01, DAY) == 30
    assert usual_horizon(5, 2.0, Grid(step="cycle")) == 25 and usual_horizon(24, 0.5, Grid(step="hour")) == 168


def test_alarms_beside_failures_are_right_false_late_or_open() -> None:
    readings = fleet({"a": np.zeros(104), "b": np.zeros(104)})
    windows = windows_of(readings, 5)  # its last steps: 4 to 103
    failures = {"a": [40, 200], "b": [2, 60]}
    known = met(readings, windows, failures, 10)
    assert known.judged == 2 and known.events == {0: [40], 1: [60]}, "nobody watched before step 2, nor before step 200"
    labels = {(int(u), int(s)): int(v) for u, s, v in zip(windows.unit, windows.step, known.labels, strict=True)}
    assert [labels[0, s] for s in (29, 30, 39, 40, 44, 45)] == [0, 1, 1, -1, -1, 0]
    assert labels[0, 103] == 0, "a failure at 200 says that none came before it"
    assert labels[1, 93] == 0 and labels[1, 94] == -1, "the history ends before ten more steps are known"
    scores = np.zeros(len(windows))
    for unit, steps in {0: [20, 33, 36, 42], 1: [61, 70, 99]}.items():
        scores[(windows.unit == unit) & np.isin(windows.step, steps)] = 2.0
    calm = known.labels == 0
    found = rang(windows, scores, 1.0, calm, known, 3, DAY)
    assert found.record is not None and found.chance is not None
    assert (found.record.right, found.record.wrong, found.record.open, found.late) == (2, 2, 3, 2)
    assert (found.record.events, found.record.caught, found.record.ahead) == (2, 1, (7,))
    assert len(found.all.alarms) == 7 and [a.step for a in found.calm.alarms] == [20, 70]
    assert found.calm.weeks == pytest.approx(((100 - 10 - 5) + (100 - 3 - 10 - 5 - 10)) / 7)
    assert found.all.weeks == pytest.approx(200 / 7)


def test_without_failures_alarms_are_only_counted() -> None:
    windows = windows_of(fleet({"a": np.zeros(74)}), 5)
    scores = np.where(windows.step % 10 == 0, 2.0, 0.0)
    found = rang(windows, scores, 1.0, windows.step < 40, None, 5, DAY)
    assert found.record is None and found.chance is None and found.late == 0
    assert len(found.all.alarms) == 7 and len(found.calm.alarms) == 3 and found.calm.weeks == pytest.approx(36 / 7)


def test_failures_that_nobody_could_have_caught_are_an_error_with_both_times() -> None:
    readings = fleet({"a": np.zeros(50)})
    windows = windows_of(readings, 5)
    with pytest.raises(DataError, match=r"none of the 1 failures .* 10 days before it: .* 1970-03-22 .* 1970-02-19"):
        met(readings, windows, {"a": [80]}, 10)


def test_an_alarm_stands_as_long_as_is_said() -> None:
    units, steps = np.zeros(100, np.int64), np.arange(100)
    hot = np.full(100, 2.0)
    found = record(units, steps, hot, np.zeros(100, np.int8), {}, 1.0, 30, stand=5)
    assert len(found.alarms) == 20 and len(record(units, steps, hot, np.zeros(100, np.int8), {}, 1.0, 30).alarms) == 4


@given(st.integers(1, 40), st.integers(1, 8), st.integers(1, 9), st.integers(0, 3))
@settings(deadline=None, max_examples=60)
def test_drawn_alarms_are_all_there_and_keep_apart(rows: int, alarms: int, apart: int, seed: int) -> None:
    alarms = min(alarms, rows)
    placed = _placed(rows, alarms, apart, np.random.default_rng(seed), 5)
    assert placed.shape == (5, alarms) and placed.min() >= 0 and placed.max() < rows
    if alarms > 1:
        assert (np.diff(placed, axis=1) >= max(1, min(apart, (rows - 1) // (alarms - 1)))).all()


def test_every_way_to_place_alarms_is_equally_likely() -> None:
    placed = _placed(7, 2, 3, np.random.default_rng(0), 5000)
    ways = [pair for pair in combinations(range(7), 2) if pair[1] - pair[0] >= 3]
    counts = [int((placed == pair).all(axis=1).sum()) for pair in ways]
    assert sum(counts) == 5000 and min(counts) > 0.8 * 5000 / len(ways) and max(counts) < 1.2 * 5000 / len(ways)


def test_random_alarms_catch_what_theory_says() -> None:
    units, steps = np.repeat([0, 1], 100), np.tile(np.arange(100), 2)
    alarms = [Alarm(0, s, 0) for s in (3, 50, 71)] + [Alarm(1, 10, 0)]
    found = by_chance(units, steps, alarms, {0: [60], 1: [90]}, 20, 1)
    expected = 1 - comb(80, 3) / comb(100, 3) + 0.2
    assert found.caught.value == pytest.approx(expected, abs=0.03) and found.caught.low == 0 and found.caught.high == 2
    # The detector caught the first failure (50 is in the 20 before 60) and not the second.
    assert found.p == pytest.approx(1 - (1 - expected + 0.2) * 0.8, abs=0.04)


def test_ringing_at_the_right_time_is_told_from_chance_and_ringing_always_is_not() -> None:
    units = np.repeat(np.arange(10), 200)
    steps = np.tile(np.arange(200), 10)
    events = {unit: [150 + unit] for unit in range(10)}
    right = [Alarm(unit, 145 + unit, 1) for unit in range(10)]
    always = [Alarm(unit, step, 0) for unit in range(10) for step in range(0, 200, 5)]
    assert by_chance(units, steps, right, events, 10, 5).p < 0.001
    ringing = by_chance(units, steps, always, events, 10, 5)
    assert ringing.p > 0.5 and ringing.caught.value > 9.9
    assert by_chance(units, steps, [], events, 10, 5).p == 1.0
