"""The 28 statistics of a window of readings: level, spread, shape, trend, unrest.

Definitions as in the code behind Yasuno, "Triplet Feature Fusion for Equipment Anomaly Prediction" (arXiv
2602.15089): deviations are of the population, kurtosis is the excess, drawdowns are absolute because a scaled reading
crosses zero, and the change of the last ten readings is divided by ten although it spans nine steps. The paper's
windows have 90 readings; shorter or longer ones are compared in thirds, and a rolling deviation wider than the window
is that of the whole window.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

NAMES = (
    "mean", "std", "min", "max", "median", "range", "q25", "q75", "iqr", "skewness", "kurtosis", "cv",
    "trend_slope", "trend_intercept", "recent_vs_past_ratio", "recent_vs_past_diff", "recent_change_rate",
    "diff_mean", "diff_std", "diff_abs_mean", "rolling_std_7d_mean", "rolling_std_7d_max", "rolling_std_14d_mean",
    "rolling_std_14d_max", "rolling_std_30d_mean", "rolling_std_30d_max", "max_drawdown", "mean_drawdown",
)  # fmt: skip
ROLLING = (7, 14, 30)
LAST = 10
NOTHING = 1e-10
"""A mean that is nearer to zero than this divides nothing."""
CHUNK = 4096
"""Windows that are worked on at a time: their numbers fit into the processor's cache."""


def statistics(windows: npt.NDArray[np.floating[Any]]) -> Array:
    """The 28 numbers of `NAMES` for every window.

    Args:
        windows: shape (n, length), scaled readings, oldest first; what is not a finite number counts as 0.

    Returns:
        float64 of shape (n, 28), always finite.

    Raises:
        ValueError: `windows` has another number of axes, or windows without readings.
    """
    if windows.ndim != 2 or windows.shape[1] == 0:
        raise ValueError(f"windows of shape {windows.shape} have no statistics; expected (n, length)")
    out = np.empty((len(windows), len(NAMES)))
    for start in range(0, len(windows), CHUNK):
        x = np.asarray(windows[start : start + CHUNK], dtype=np.float64)
        with np.errstate(all="ignore"):  # what overflows or divides by zero is set to 0 below
            out[start : start + CHUNK] = _of(np.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0)).T
    out[~np.isfinite(out)] = 0.0
    return out


def _of(x: Array) -> Array:
    """Shape (28, n) from windows (n, length). Inside, time is the first axis: numpy then adds whole rows at once."""
    ordered = np.sort(x, axis=1).T
    x = np.ascontiguousarray(x.T)
    return np.stack([*_basic(x, ordered), *_trend(x), *_unrest(x)])


def _basic(x: Array, ordered: Array) -> list[Array]:
    mean = x.mean(axis=0)
    centred = x - mean
    square = centred * centred
    variance = square.mean(axis=0)
    std = np.sqrt(variance)
    # A window that only differs from its mean by rounding has no shape.
    flat = variance <= (np.finfo(np.float64).eps * np.abs(mean)) ** 2
    skewness = np.where(flat, 0.0, (square * centred).mean(axis=0) / variance**1.5)
    kurtosis = np.where(flat, 0.0, (square * square).mean(axis=0) / variance**2 - 3.0)
    low, middle, high = (_quantile(ordered, q) for q in (0.25, 0.5, 0.75))
    cv = np.where(np.abs(mean) > NOTHING, std / np.abs(mean), 0.0)
    least, most = ordered[0], ordered[-1]
    return [mean, std, least, most, middle, most - least, low, high, high - low, skewness, kurtosis, cv]


def _trend(x: Array) -> list[Array]:
    length = len(x)
    t = np.arange(length) - (length - 1) / 2
    slope = t @ x / max(float(t @ t), 1.0)
    intercept = x.mean(axis=0) - slope * (length - 1) / 2
    third = max(1, length // 3)
    recent, past = x[-third:].mean(axis=0), x[-2 * third : -third or None].mean(axis=0) if length >= 2 else x[0]
    divides = np.abs(past) > NOTHING
    ratio = np.where(divides, recent / past, 1.0)
    last = min(LAST, length)
    return [slope, intercept, ratio, np.where(divides, recent - past, 0.0), (x[-1] - x[-last]) / last]


def _unrest(x: Array) -> list[Array]:
    steps = np.diff(x, axis=0) if len(x) > 1 else np.zeros_like(x)
    out = [steps.mean(axis=0), steps.std(axis=0), np.abs(steps).mean(axis=0)]
    for width in ROLLING:
        rolling = _rolling_std(x, min(width, len(x)))
        out += [rolling.mean(axis=0), rolling.max(axis=0)]
    fallen = np.maximum.accumulate(x, axis=0) - x
    return [*out, fallen.max(axis=0), fallen.mean(axis=0)]


def _rolling_std(x: Array, width: int) -> Array:
    """The deviation of every full stretch of `width` readings, in two passes, so that no digits are lost."""
    count = len(x) - width + 1
    mean = np.zeros((count, x.shape[1]))
    for k in range(width):
        mean += x[k : k + count]
    mean /= width
    square = np.zeros_like(mean)
    for k in range(width):
        away = x[k : k + count] - mean
        away *= away
        square += away
    square /= width
    return np.asarray(np.sqrt(square, out=square))


def _quantile(ordered: Array, q: float) -> Array:
    """Linear between neighbours, as numpy's default."""
    place = q * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return np.asarray(ordered[below] + (ordered[above] - ordered[below]) * (place - below))
