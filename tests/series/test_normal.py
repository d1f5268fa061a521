"""What was normal is not strange, what never was is; the plain arrays score as the library's forest."""

from __future__ import annotations

import numpy as np
import pytest

from series.fleets import fleet
from shokunin.errors import UsageError
from shokunin.series.normal import DETECTORS, SAMPLE, TREES, Detector, _rows, fit_normal
from shokunin.series.windows import cut, windows_of


def pump_windows(days: int = 600) -> np.ndarray:
    rng = np.random.default_rng(0)
    pressure = np.sin(np.arange(days) / 5) + 0.1 * rng.normal(size=days)
    flow = 2 * pressure + 0.1 * rng.normal(size=days)
    readings = fleet({"p": np.c_[pressure, flow, np.full(days, 7.0)]}, channels=["pressure", "flow", "valve"])
    return np.concatenate([v for _, v, _ in cut(readings, windows_of(readings, 10), None)])


@pytest.mark.parametrize("detector", DETECTORS)
def test_what_never_was_is_strange(detector: Detector) -> None:
    values = pump_windows()
    model = fit_normal(values[:400], detector)
    usual = model.score(values[420:])
    level = values[420:].copy()
    level[:, :, 1] += 4  # the flow leaves the pressure
    assert np.median(model.score(level)) > np.quantile(usual, 0.95)


def test_a_broken_relation_between_sensors_is_seen_although_each_is_within_its_range() -> None:
    values = pump_windows()
    model = fit_normal(values[:400], "reconstruction")
    swapped = values[420:].copy()
    swapped[:, :, 1] = -swapped[:, :, 1]
    assert np.median(model.score(swapped)) > 2 * np.quantile(model.score(values[420:]), 0.99)


def test_a_channel_that_never_moved_may_not_move_unseen() -> None:
    values = pump_windows()
    model = fit_normal(values[:400], "reconstruction")
    moved = values[420:].copy()
    moved[:, -3:, 2] = 9
    assert model.score(moved).min() > model.score(values[420:]).max()


def test_plain_arrays_score_as_the_librarys_forest() -> None:
    from sklearn.ensemble import IsolationForest

    values = pump_windows()
    model = fit_normal(values[:400], "isolation", seed=3)
    rows = (_rows("isolation", values) - model.arrays["centre"]) / model.arrays["spread"]
    forest = IsolationForest(n_estimators=TREES, max_samples=SAMPLE, random_state=3).fit(rows[:400])
    assert np.allclose(model.score(values) / 2, -forest.score_samples(rows), atol=1e-9)


def test_too_few_windows_are_an_error() -> None:
    values = pump_windows()
    with pytest.raises(UsageError, match="too few"):
        fit_normal(values[:5], "isolation")
