"""Labels look ahead exactly as far as they say, and do not guess where the history ends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from series.fleets import fleet
from shokunin.errors import DataError
from shokunin.series.labels import apart, excursions, from_failures, from_remaining, from_states
from shokunin.series.scaling import fit_scale
from shokunin.series.windows import cut, windows_of


def everything(readings):
    return [(s, np.ones(len(s), dtype=bool)) for s in readings.stretches]


def test_within_and_at_count_from_the_windows_last_reading() -> None:
    readings = fleet({"p": np.zeros(12)})
    windows = windows_of(readings, 4)
    assert windows.step.tolist() == [3, 4, 5, 6, 7, 8, 9, 10, 11]
    within = from_failures(readings, windows, {"p": [8]}, [2, 3])
    assert within[:, 0].tolist() == [0, 0, 0, 1, 1, 0, 0, -1, -1]  # a failure on the day itself is past
    assert within[:, 1].tolist() == [0, 0, 1, 1, 1, 0, -1, -1, -1]
    at = from_failures(readings, windows, {"p": [8]}, [2], when="at")
    assert at[:, 0].tolist() == [0, 0, 0, 1, 0, 0, 0, -1, -1]


def test_a_failure_after_the_last_reading_makes_what_is_before_it_known() -> None:
    readings = fleet({"p": np.zeros(6), "q": np.zeros(6)})
    windows = windows_of(readings, 3)
    labels = from_failures(readings, windows, {"p": [9]}, [4])
    assert labels[windows.unit == 0, 0].tolist() == [0, 0, 0, 1]
    assert labels[windows.unit == 1, 0].tolist() == [-1, -1, -1, -1]


def test_remaining_life() -> None:
    readings = fleet({"p": np.zeros(5)})
    left = [np.array([4, 3, 2, np.nan, 0.0])]
    labels = from_remaining(windows_of(readings, 2), left, [2, 3])
    assert labels.tolist() == [[0, 1], [1, 1], [-1, -1], [1, 1]]
    assert from_remaining(windows_of(readings, 2), left, [3], when="at")[:, 0].tolist() == [1, 0, -1, 0]


def test_the_papers_offset_and_states_across_a_hole() -> None:
    readings = fleet({"p": [np.zeros(6), np.zeros(5)]}, starts={"p": [0, 8]})  # days 6 and 7 are missing
    states = [np.array([0, 0, 0, 0, 1, 0], dtype=np.int8), np.array([0, 1, 0, 0, 0], dtype=np.int8)]
    windows = windows_of(readings, 3)
    assert windows.step.tolist() == [2, 3, 4, 5, 10, 11, 12]
    assert from_states(readings, windows, states, [2], when="at")[:, 0].tolist() == [1, 0, -1, -1, 0, -1, -1]
    assert from_states(readings, windows, states, [1], when="at", offset=1)[:, 0].tolist() == [1, 0, -1, -1, 0, -1, -1]
    # day 9 has the state: seen within 4 of day 5, although the hole lies between
    assert from_states(readings, windows, states, [4])[:, 0].tolist() == [1, 1, -1, 1, -1, -1, -1]
    assert from_states(readings, windows, states, [0], when="at")[:, 0].tolist() == [0, 0, 1, 0, 0, 0, 0]


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=4, max_size=30), st.integers(1, 6), st.integers(0, 2))
def test_states_against_a_slow_reference(states: list[int], h: int, offset: int) -> None:
    readings = fleet({"p": np.zeros(len(states))})
    windows = windows_of(readings, 2)
    got = from_states(readings, windows, [np.array(states, dtype=np.int8)], [h], offset=offset)[:, 0]
    for label, end in zip(got.tolist(), windows.step.tolist(), strict=True):
        ahead = [states[i] if i < len(states) else -1 for i in range(end + offset + 1, end + offset + h + 1)]
        assert label == (1 if 1 in ahead else -1 if -1 in ahead else 0)


def test_excursions_follow_the_papers_rule_and_its_fallbacks() -> None:
    wide = np.arange(100.0)
    spiky = np.r_[np.zeros(92), 50.0, np.linspace(-1e-3, 1e-3, 7)]  # percentiles and quartiles together: two deviations
    narrow = np.r_[np.linspace(0, 0.5, 98), 90.0, -90.0]  # narrow against the deviation, quartiles apart: Tukey
    readings = fleet({"p": np.stack([wide, spiky, narrow], axis=1)})
    scale = fit_scale(readings, everything(readings))
    low, high = scale.low[1], scale.high[1]
    assert (low[0], high[0]) == pytest.approx((9.9, 89.1))
    assert (low[1], high[1]) == pytest.approx(
        (spiky.mean() - 2 * spiky.std(), spiky.mean() + 2 * spiky.std()), rel=1e-5
    )
    q25, q75 = np.quantile(narrow, [0.25, 0.75])
    assert (low[2], high[2]) == pytest.approx((q25 - 1.5 * (q75 - q25), q75 + 1.5 * (q75 - q25)), rel=1e-5)
    assert excursions(readings, scale, ["c1"])[0].tolist() == [0] * 92 + [1] + [0] * 7
    assert excursions(readings, scale, ["c2"])[0].tolist() == [0] * 98 + [1, 1]


def test_a_filled_reading_is_no_excursion() -> None:
    readings = fleet({"p": np.r_[np.arange(98.0), 500, 500]})
    readings.stretches[0].filled[99] = True
    state = excursions(readings, fit_scale(readings, everything(readings)))[0]
    assert state[98] == 1 and state[99] == -1


def test_scales_see_only_what_they_may_see_and_strangers_are_measured_against_the_fleet() -> None:
    readings = fleet({"p": np.r_[np.zeros(50), np.ones(50) * 100], "q": np.full(100, 7.0)})
    known = [(s, np.arange(len(s)) < 50) for s in readings.stretches]
    scale = fit_scale(readings, known, least=50)
    assert scale.mean[1, 0] == 0 and scale.std[1, 0] == 0 and scale.row("stranger") == 0
    assert scale.mean[0, 0] == pytest.approx(3.5)
    assert scale.scaled(np.array([[9.0]]), scale.row("q"))[0, 0] == 2  # a channel that never moved is only centred
    fleet_only = fit_scale(readings, known, by="fleet")
    assert fleet_only.units == () and fleet_only.row("p") == 0


def test_windows_are_cut_in_any_order_scaled_and_with_what_was_filled() -> None:
    readings = fleet({"p": np.arange(10.0), "q": np.arange(100.0, 110)})
    readings.stretches[1].filled[3] = True
    windows = windows_of(readings, 3, stride=2)
    assert windows.step.tolist() == [3, 5, 7, 9] * 2  # the newest row always ends one
    shuffled = windows.take(np.array([5, 0, 4, 2]))
    chunks = list(cut(readings, shuffled, None, chunk=3))
    values = np.concatenate([v for _, v, _ in chunks])[:, :, 0]
    assert values.tolist() == [[103, 104, 105], [1, 2, 3], [101, 102, 103], [5, 6, 7]]
    assert np.concatenate([f for _, _, f in chunks])[:, :, 0].sum(axis=1).tolist() == [1, 0, 1, 0]
    with pytest.raises(DataError, match="longest unbroken history 10"):
        windows_of(readings, 11)


def test_a_label_channel_is_taken_out() -> None:
    readings = fleet({"p": np.stack([np.arange(5.0), np.r_[0, 0, np.nan, 1, 1]], axis=1)}, channels=["x", "fault"])
    rest, taken = apart(readings, ["fault"])
    assert rest.channels == ("x",) and np.isnan(taken["fault"][0][2])
    with pytest.raises(DataError, match="no channel 'y'"):
        apart(readings, ["y"])
    with pytest.raises(DataError, match="a sensor is needed"):
        apart(readings, ["x", "fault"])


def test_labels_that_cannot_be_are_errors() -> None:
    readings = fleet({"p": np.zeros(12)})
    windows = windows_of(readings, 4)
    with pytest.raises(DataError, match="'P1'"):
        from_failures(readings, windows, {"P1": [3]}, [2])
    with pytest.raises(DataError, match="no failure falls"):
        from_failures(readings, windows, {"p": [200]}, [2])
    for horizons in ([], [0], [5, 5]):
        with pytest.raises(DataError, match="make no sense"):
            from_failures(readings, windows, {"p": [8]}, horizons)
