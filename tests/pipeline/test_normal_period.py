"""What is normal, and that no side shares a reading with another, nor a label with what is learnt from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from series.fleets import fleet
from shokunin.errors import DataError, UsageError
from shokunin.pipeline.normal_period import SHARES, normal_period
from shokunin.series.readings import Readings
from shokunin.tasks.anticipate_failures import Options

DAYS = 300


def pumps(units: int = 4, *, label: bool = False, valve: float = 7.0) -> Readings:
    rng = np.random.default_rng(0)
    histories = {}
    for unit in range(units):
        columns = [rng.normal(size=DAYS), rng.normal(size=DAYS), np.full(DAYS, valve)]
        if label:
            bad = np.zeros(DAYS)
            bad[60 + unit : 70 + unit] = bad[250:255] = 1
            columns.append(bad)
        histories[f"p{unit}"] = np.stack(columns, axis=1)
    return fleet(histories, channels=["pressure", "flow", "valve", *(["state"] if label else [])])


def asked(**more: object) -> Options:
    return Options(**{"target": "normal", "window": 10, "shares": SHARES, **more})  # type: ignore[arg-type]


def touched(period, rows: np.ndarray) -> set[tuple[int, int]]:
    """The readings of windows, as unit and step."""
    w = period.windows.take(rows)
    return {(int(u), int(s) - back) for u, s in zip(w.unit, w.step, strict=True) for back in range(w.length)}


@pytest.mark.parametrize("more", [{}, {"split": "unit", "folds": 4}, {"stride": 5}])
def test_no_reading_is_on_two_sides_and_scales_are_of_the_first(more: dict[str, object]) -> None:
    period = normal_period(pumps(), asked(**more))
    sides = [touched(period, rows) for rows in (period.split.train, period.split.validation, period.split.test)]
    assert all(sides) and not (sides[0] & sides[1] or sides[1] & sides[2] or sides[0] & sides[2])
    known = {(s.unit, int(step) + s.start) for s, mask in period.split.known for step in np.flatnonzero(mask)}
    assert sides[0] <= known and not known & (sides[1] | sides[2])
    assert period.still == ("valve",) and not len(period.labelled) and not len(period.watched)


def test_labelled_states_are_judged_and_never_learnt_from() -> None:
    period = normal_period(pumps(label=True), asked(column="state"))
    assert "state" not in period.readings.channels
    w = period.windows
    bad = {(u, s) for u in range(4) for s in (*range(60 + u, 70 + u), *range(250, 255))}
    for rows in (period.split.train, period.split.validation, period.split.test):
        assert not touched(period, rows) & bad
    assert {(int(u), int(s)) for u, s in zip(w.unit[period.labelled], w.step[period.labelled], strict=True)} == bad
    known = {(s.unit, int(step)) for s, mask in period.split.known for step in np.flatnonzero(mask)}
    assert not known & bad


def test_normal_until_ends_what_is_learnt_from_and_the_rest_is_watched() -> None:
    period = normal_period(pumps(), asked(normal_until="1970-07-01"))
    last = 181  # days from 1 January to 1 July 1970
    sides = np.concatenate([period.split.train, period.split.validation, period.split.test])
    assert period.windows.step[sides].max() == last
    assert (period.windows.step[period.watched] > last).all() and len(period.watched) == 4 * (DAYS - 1 - last)


def test_a_channel_that_begins_to_move_later_in_normal_time_is_not_looked_at() -> None:
    readings = pumps()
    moved = []
    for stretch in readings.stretches:
        values = stretch.values.copy()
        values[200:, 2] = 9.0
        values[:, 1] = np.nan
        moved.append(replace(stretch, values=values, filled=np.isnan(values)))
    period = normal_period(replace(readings, stretches=tuple(moved)), asked())
    assert [name for name, _ in period.gone] == ["flow", "valve"] and period.readings.channels == ("pressure",)
    assert all(s.values.shape[1] == 1 for s, _ in period.split.known)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"window": 100}, "too little normal time to learn from"),
        ({"shares": (0.9, 0.04, 0.06)}, "too little normal time to hold out"),
        ({"shares": (0.5, 0.49, 0.01)}, "too little normal time to test"),
        ({"normal_until": "someday"}, "is no time"),
        ({"normal_until": "1960-01-01"}, "before the first reading"),
        ({"column": "nothing"}, "no channel 'nothing'"),
    ],
)
def test_what_cannot_be_learnt_from_is_said(more: dict[str, object], told: str) -> None:
    with pytest.raises(DataError, match=told):
        normal_period(pumps(), asked(**more))


def test_histories_without_a_move_or_without_normal_time_and_units_without_a_scale_are_refused() -> None:
    with pytest.raises(DataError, match="no channel moves"):
        normal_period(fleet({"a": np.full((DAYS, 2), 3.0)}), asked())
    always = fleet({"a": np.c_[np.arange(200), np.ones(200)]}, channels=["pressure", "state"])
    with pytest.raises(DataError, match="no window is normal"):
        normal_period(always, asked(column="state"))
    with pytest.raises(UsageError, match="scale='fleet'"):
        normal_period(pumps(), asked(split="unit", scale="unit"))
