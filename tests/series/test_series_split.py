"""No reading and no label day of one side belongs to another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from series.fleets import fleet
from shokunin.errors import DataError
from shokunin.series.split import Split, by_time, by_units, random_windows
from shokunin.series.windows import Windows, windows_of


def days(windows: Windows, side: np.ndarray, furthest: int) -> tuple[int, int]:
    """The first day read and the last day that a label of this side looks at."""
    return int(windows.step[side].min()) - windows.length + 1, int(windows.step[side].max()) + furthest


@given(st.integers(60, 400), st.integers(1, 20), st.integers(1, 20), st.integers(1, 6))
def test_sides_in_time_share_no_day(length: int, window: int, furthest: int, units: int) -> None:
    readings = fleet({f"u{i}": np.zeros(length - i) for i in range(units)})
    windows = windows_of(readings, window)
    try:
        split = by_time(readings, windows, furthest)
    except DataError:
        assert length < 4 * (window + furthest) + 3 + units
        return
    sides = [days(windows, side, furthest) for side in (split.train, split.validation, split.test)]
    assert sides[0][1] < sides[1][0] and sides[1][1] < sides[2][0]
    for stretch, mask in split.known:
        assert stretch.start + int(mask.nonzero()[0].max()) <= sides[0][1]
    assert split.facts["windows"]["in"] == len(windows)
    assert split.facts["purged"] + len(split.train) + len(split.validation) + len(split.test) == len(windows)


def test_training_and_validation_are_a_window_and_a_horizon_apart() -> None:
    readings = fleet({"p": np.zeros(1000)})
    windows = windows_of(readings, 90)
    split = by_time(readings, windows, 30)
    assert windows.step[split.validation].min() - windows.step[split.train].max() == 120 == split.facts["purge"]


def test_cuts_that_leave_a_side_empty_and_short_histories_are_errors() -> None:
    readings = fleet({"p": np.zeros(300)})
    windows = windows_of(readings, 90)
    with pytest.raises(DataError, match="need at least"):
        by_time(readings, windows, 90)
    with pytest.raises(DataError, match="test period"):
        by_time(readings, windows, 5, cuts=(120, 290))


def test_units_stay_whole_and_every_unit_is_tested_once() -> None:
    readings = fleet({f"u{i}": np.arange(20.0) for i in range(11)})
    windows = windows_of(readings, 5)
    tested: list[int] = []
    for fold in range(5):
        split = by_units(readings, windows, folds=5, fold=fold)
        sides = [set(windows.unit[s].tolist()) for s in (split.train, split.validation, split.test)]
        assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]
        assert {s.unit for s, mask in split.known if mask.all()} == sides[0]
        assert not any(mask.any() for s, mask in split.known if s.unit not in sides[0])
        tested += sides[2]
    assert sorted(tested) == list(range(11))
    assert set(split.facts["units_only_in_test"]) == {f"u{u}" for u in sides[2]}
    with pytest.raises(DataError, match="split by time"):
        by_units(
            fleet({"a": np.zeros(9), "b": np.zeros(9)}), windows_of(fleet({"a": np.zeros(9), "b": np.zeros(9)}), 3)
        )


def test_the_published_protocol_is_called_what_it_is() -> None:
    readings = fleet({"p": np.zeros(200)})
    windows = windows_of(readings, 10)
    split: Split = random_windows(readings, windows)
    assert set(split.test) <= set(split.train) and split.facts["honest"] is False
    apart = random_windows(readings, windows, inside=False)
    assert not set(apart.test) & set(apart.train)
