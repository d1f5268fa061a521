"""What was normal is not strange, what never was is; the plain arrays score as the library's forest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from series.fleets import fleet
from shokunin.errors import ArtefactError, UsageError
from shokunin.series.alarms import raise_alarms
from shokunin.series.normal import ABOUT, ARRAYS, DETECTORS, fit_normal, read_normal, threshold_for_weeks
from shokunin.series.windows import cut, windows_of


def readings_and_windows(seed: int = 0, days: int = 600):
    rng = np.random.default_rng(seed)
    pressure = np.sin(np.arange(days) / 5) + 0.1 * rng.normal(size=days)
    flow = 2 * pressure + 0.1 * rng.normal(size=days)
    readings = fleet({"p": np.c_[pressure, flow, np.full(days, 7.0)]}, channels=["pressure", "flow", "valve"])
    windows = windows_of(readings, 10)
    values = np.concatenate([v for _, v, _ in cut(readings, windows, None)])
    return readings, windows, values


@pytest.mark.parametrize("detector", DETECTORS)
def test_what_never_was_is_strange(detector: str, tmp_path: Path) -> None:
    _, _, values = readings_and_windows()
    model = fit_normal(values[:400], ["pressure", "flow", "valve"], detector)  # type: ignore[arg-type]
    usual = model.score(values[420:])
    level = values[420:].copy()
    level[:, :, 1] += 4  # the flow leaves the pressure
    assert np.median(model.score(level)) > np.quantile(usual, 0.95)
    model.save(tmp_path)
    assert np.array_equal(read_normal(tmp_path).score(values), model.score(values))


def test_a_broken_relation_between_sensors_is_seen_although_each_is_within_its_range() -> None:
    _, _, values = readings_and_windows()
    model = fit_normal(values[:400], ["pressure", "flow", "valve"], "reconstruction")
    swapped = values[420:].copy()
    swapped[:, :, 1] = -swapped[:, :, 1]
    assert np.median(model.score(swapped)) > 2 * np.quantile(model.score(values[420:]), 0.99)


def test_a_channel_that_never_moved_may_not_move_unseen() -> None:
    _, _, values = readings_and_windows()
    model = fit_normal(values[:400], ["pressure", "flow", "valve"], "reconstruction")
    moved = values[420:].copy()
    moved[:, -3:, 2] = 9
    assert model.score(moved).min() > model.score(values[420:]).max()


def test_plain_arrays_score_as_the_librarys_forest() -> None:
    from sklearn.ensemble import IsolationForest

    from shokunin.series.normal import SAMPLE, TREES, _rows

    _, _, values = readings_and_windows()
    model = fit_normal(values[:400], ["a", "b", "c"], "isolation", seed=3)
    rows = (_rows("isolation", values) - model.arrays["centre"]) / model.arrays["spread"]
    forest = IsolationForest(n_estimators=TREES, max_samples=SAMPLE, random_state=3).fit(rows[:400])
    assert np.allclose(model.score(values) / 2, -forest.score_samples(rows), atol=1e-9)


def test_the_budget_of_alarms_a_week_is_kept() -> None:
    _, windows, values = readings_and_windows(days=2000)
    model = fit_normal(values[:900], ["a", "b", "c"], "reconstruction")
    held, scores = windows.take(np.arange(1000, 1900)), model.score(values[1000:1900])
    for budget in (0.25, 1.0):
        threshold = threshold_for_weeks(held, scores, 7, alarms_a_week=budget, stand=3)
        rung = raise_alarms(held.unit, held.step, scores, np.zeros(900, np.int8), threshold, 3)
        assert len(rung) <= budget * 900 / 7
    never = threshold_for_weeks(held, scores, 7, alarms_a_week=0, stand=3)
    assert never > scores.max()


def test_too_few_windows_and_damaged_files_are_errors(tmp_path: Path) -> None:
    _, _, values = readings_and_windows()
    with pytest.raises(UsageError, match="too few"):
        fit_normal(values[:5], ["a", "b", "c"], "isolation")
    (tmp_path / ABOUT).write_text('{"detector": "magic", "length": 3, "channels": []}')
    (tmp_path / ARRAYS).write_bytes(b"")
    with pytest.raises(ArtefactError, match="damaged"):
        read_normal(tmp_path)
