"""Budgets, rates with their intervals, and what labelled states say: by hand, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import poisson as law

from series.fleets import fleet
from shokunin.series.alarms import raise_alarms
from shokunin.series.injected import Injected
from shokunin.series.quietness import (
    allowed_alarms,
    detection,
    poisson,
    power,
    quiet,
    stand_of,
    threshold_for,
    week_of,
    week_text,
    weeks_of,
)
from shokunin.series.readings import Grid
from shokunin.series.windows import windows_of


def test_a_week_and_what_stands_for_it() -> None:
    assert week_of(Grid(step="day")) == 7 and week_of(Grid(step="hour", times=6)) == 28
    assert week_of(Grid(step="cycle")) == 100 and week_text(Grid(step="cycle")) == "100 cycles"
    windows = windows_of(fleet({"a": np.zeros(77), "b": np.zeros(77)}), 8)
    assert weeks_of(windows, Grid(step="day")) == 20


def test_the_interval_of_a_rate_is_garwoods() -> None:
    found = poisson(10, 5.0)
    assert (found.value, round(found.low * 5, 3), round(found.high * 5, 3)) == (2.0, 4.795, 18.39)
    assert poisson(0, 2.0).low == 0 and poisson(0, 2.0).high == pytest.approx(3.689 / 2, rel=1e-3)


@pytest.mark.parametrize("budget", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("weeks", [20.0, 100.0, 400.0])
def test_thresholds_leave_room_for_the_budget_to_be_shown(budget: float, weeks: float) -> None:
    allowed = allowed_alarms(budget, weeks, weeks)
    assert allowed <= budget * weeks
    shown = [count for count in range(int(budget * weeks) + 1) if poisson(count, weeks).high <= budget]
    if allowed:
        # The rate that rings `allowed` times on the held-out side passes the same test on the next one, most of the time.
        assert law.cdf(shown[-1], allowed) > 0.75
    else:
        assert len(shown) <= 3


def test_a_threshold_keeps_its_count_and_no_alarm_means_more_than_was_ever_seen() -> None:
    rng = np.random.default_rng(0)
    windows = windows_of(fleet({f"u{i}": np.zeros(307) for i in range(3)}), 8)
    scores = rng.gamma(2.0, size=len(windows))
    for allowed in (1, 5, 30):
        threshold = threshold_for(windows, scores, 8, allowed)
        raised = raise_alarms(windows.unit, windows.step, scores, np.zeros(len(scores), np.int8), threshold, 8)
        assert 0 < len(raised) <= allowed
    assert threshold_for(windows, scores, 8, 0) > scores.max()


def test_alarms_that_come_in_company_have_a_wider_interval() -> None:
    windows = windows_of(fleet({f"u{i}": np.zeros(77) for i in range(10)}), 8)
    spread = np.where(windows.step == 30, 2.0, 0.0)
    single = np.where((windows.unit == 0) & (windows.step % 8 == 0), 2.0, 0.0)
    grid = Grid(step="day")
    even, one = (quiet(windows, scores, 1.0, 8, grid) for scores in (spread, single))
    assert len(even.alarms) == 10 and even.weeks == 100 and even.rate.value == pytest.approx(0.1)
    assert len(one.alarms) >= 8
    assert one.rate.high / one.rate.value > even.rate.high / even.rate.value


def test_power_counts_each_sort_alike_and_is_paired_with_plain_limits() -> None:
    windows = windows_of(fleet({f"u{i}": np.zeros(400) for i in range(2)}), 8)
    base = np.arange(0, 800, 16)[:40]
    faults = {
        sort: Injected(sort, base, np.zeros((40, 8, 1), np.float32), ("u0",) * 40, np.zeros(40, np.int64))  # type: ignore[arg-type]
        for sort in ("spike", "drift")
    }
    found = {"spike": np.ones(40, bool), "drift": np.arange(40) < 20}
    plain = {"spike": np.ones(40, bool), "drift": np.zeros(40, bool)}
    worth = power(found, faults, windows, plain)  # type: ignore[arg-type]
    assert worth.all.value == 0.75 and worth.sorts["drift"].value == 0.5
    assert worth.better is not None and worth.better.difference.value == 0.25 and worth.better.p_better < 0.01
    same = power(found, faults, windows, found)  # type: ignore[arg-type]
    assert same.better is not None and same.better.p_better > 0.05
    assert power(found, faults, windows).better is None  # type: ignore[arg-type]


def test_labelled_states_by_hand() -> None:
    windows = windows_of(fleet({"a": np.zeros(107), "b": np.zeros(107)}), 8)
    state = ((windows.step >= 40) & (windows.step < 50)).astype(np.int8)
    scores = np.where((windows.unit == 0) & (windows.step >= 45) & (windows.step < 55), 2.0, 0.5)
    found = detection(windows, state, scores, 1.0)
    assert found is not None
    assert (found.rows, found.faulty, found.episodes, found.found) == (200, 20, 2, 1)
    assert found.f1.value == pytest.approx(2 * 5 / (2 * 5 + 5 + 15))
    assert found.false_alarms.value == pytest.approx(5 / 180) and found.missed.value == pytest.approx(15 / 20)
    assert found.everything == pytest.approx(2 * 20 / (20 + 200))
    assert detection(windows, np.zeros(200, np.int8), scores, 1.0) is None


def test_whoever_rings_always_never_keeps_a_budget() -> None:
    for window in (1, 7, 30, 90):
        for budget in (0.1, 0.5, 2.0):
            stand = stand_of(window, budget, Grid(step="day"))
            assert 1 <= stand <= window
            assert stand == 1 or week_of(Grid(step="day")) / stand >= 4 * budget
