"""The 28 statistics, against a slow reference written from their definitions one window at a time."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from shokunin.series.statistics import NAMES, statistics


def reference(x: np.ndarray) -> dict[str, float]:
    """One window of at least 60 readings, one number at a time."""
    x = [float(v) if math.isfinite(v) else 0.0 for v in x]
    n = len(x)
    mean = sum(x) / n
    std = math.sqrt(sum((v - mean) ** 2 for v in x) / n)
    constant = max(x) == min(x)
    out = {"mean": mean, "std": std, "min": min(x), "max": max(x), "median": float(np.percentile(x, 50))}
    out["range"] = max(x) - min(x)
    out["q25"], out["q75"] = float(np.percentile(x, 25)), float(np.percentile(x, 75))
    out["iqr"] = out["q75"] - out["q25"]
    out["skewness"] = 0.0 if constant else float(stats.skew(x))
    out["kurtosis"] = 0.0 if constant else float(stats.kurtosis(x))
    out["cv"] = std / abs(mean) if abs(mean) > 1e-10 else 0.0
    out["trend_slope"], out["trend_intercept"] = (float(c) for c in np.polyfit(np.arange(n), x, 1))
    third = n // 3
    recent, past = sum(x[n - third :]) / third, sum(x[n - 2 * third : n - third]) / third
    out["recent_vs_past_ratio"] = recent / past if abs(past) > 1e-10 else 1.0
    out["recent_vs_past_diff"] = recent - past if abs(past) > 1e-10 else 0.0
    out["recent_change_rate"] = (x[n - 1] - x[n - 10]) / 10
    steps = [b - a for a, b in pairwise(x)]
    out["diff_mean"] = sum(steps) / len(steps)
    out["diff_std"] = float(np.std(steps))
    out["diff_abs_mean"] = sum(map(abs, steps)) / len(steps)
    for width in (7, 14, 30):
        rolling = [float(np.std(x[i : i + width])) for i in range(n - width + 1)]
        out[f"rolling_std_{width}d_mean"] = sum(rolling) / len(rolling)
        out[f"rolling_std_{width}d_max"] = max(rolling)
    falls = [max(x[: i + 1]) - x[i] for i in range(n)]
    out["max_drawdown"], out["mean_drawdown"] = max(falls), sum(falls) / n
    return out


def agree(x: np.ndarray, tolerance: float = 1e-9) -> None:
    got = dict(zip(NAMES, statistics(x[None])[0], strict=True))
    for name, value in reference(x).items():
        assert got[name] == pytest.approx(value, rel=tolerance, abs=tolerance), name


RAMP = np.arange(90.0)
STEP = np.r_[np.zeros(45), np.ones(45)]
ALTERNATING = np.where(np.arange(90) % 2 == 0, 1.0, -1.0)
HOLES = np.where(np.arange(90) % 7 == 0, np.nan, np.sin(np.arange(90)))
ENDLESS = np.where(np.arange(90) == 3, np.inf, 0.5)


@pytest.mark.parametrize("x", [np.full(90, 2.5), np.zeros(90), RAMP, -RAMP, STEP, ALTERNATING, HOLES, ENDLESS])
def test_hand_made_windows_have_the_numbers_of_the_definitions(x: np.ndarray) -> None:
    agree(x)


def test_a_ramp_in_numbers_worked_out_on_paper() -> None:
    got = dict(zip(NAMES, statistics(RAMP[None])[0], strict=True))
    assert got["mean"] == 44.5 and got["range"] == 89 and got["q25"] == 22.25
    assert got["recent_vs_past_ratio"] == pytest.approx(74.5 / 44.5)  # the second third, not the first
    assert got["recent_vs_past_diff"] == 30
    assert got["recent_change_rate"] == pytest.approx(0.9)  # nine steps over ten
    assert got["rolling_std_7d_mean"] == pytest.approx(2.0)  # of the population: sqrt(4)
    assert got["max_drawdown"] == 0 and got["kurtosis"] == pytest.approx(-1.2, abs=1e-3)


def test_a_fall_is_counted_in_the_readings_own_unit() -> None:
    x = np.zeros(90)
    x[10], x[50] = 3.0, -1.0
    assert statistics(x[None])[0][NAMES.index("max_drawdown")] == 4.0


@given(st.integers(0, 2**32 - 1), st.sampled_from([60, 90, 120]), st.sampled_from([1e-3, 1.0, 1e3]))
def test_any_window_has_the_numbers_of_the_definitions(seed: int, length: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    agree(scale * (rng.normal(size=length).cumsum() if seed % 2 else rng.normal(size=length)), 1e-7)


@given(st.lists(st.floats(width=64), min_size=1, max_size=40))
def test_whatever_comes_in_only_finite_numbers_come_out(values: list[float]) -> None:
    assert np.isfinite(statistics(np.array([values, values]))).all()


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    x = np.random.default_rng(0).normal(size=(5000, 90))
    together = statistics(x)
    assert np.allclose(together[4711], statistics(x[4711:4712])[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(3,), (3, 0), (2, 90, 1)])
def test_no_windows_is_an_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="no statistics"):
        statistics(np.zeros(shape))
