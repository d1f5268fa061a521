"""What a normal machine would read next, from all its sensors: a ridge autoregression, and how far readings are from it.

One regression for all channels on the last few readings of all channels (a vector autoregression; Sims, 1980), with a
ridge penalty (Hoerl and Kennard, 1970). What is left over is measured against its own covariance in the normal period
(Hotelling's T squared), so that a sensor that leaves the others is seen although each is within its range. A plain
ridge and no forecasting library: it has one solution, needs a few kilobytes and no torch where it is served, and a
larger model has to be better first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float64]
Arrays = dict[str, npt.NDArray[Any]]
LIMIT = 0.99
"""Quantile of normal windows that both parts of a score are measured in."""
FLOOR = 1e-3
"""Share of the mean variance that is added to each, so that channels that follow from others can be measured."""


def fit_residual(x: Rows, *, lags: int, ridge: float) -> Arrays:
    """Learn from scaled normal windows (n, length, channels) how the last reading follows from the `lags` before it.

    Args:
        x: the windows.
        lags: readings looked back on; fewer than the window has.
        ridge: the penalty on squared coefficients, where channels have deviation 1 and errors are summed over windows.
    """
    n, _, width = x.shape
    past = np.concatenate([x[:, -1 - lags : -1].reshape(n, -1), np.ones((n, 1))], axis=1)
    penalty = ridge * np.eye(past.shape[1])
    penalty[-1, -1] = 0.0
    weights = np.linalg.solve(past.T @ past + penalty + 1e-9 * np.eye(len(penalty)), past.T @ x[:, -1])
    errors = x[:, -1] - past @ weights
    covariance = errors.T @ errors / n
    covariance += np.eye(width) * max(FLOOR * float(np.trace(covariance)) / width, 1e-6)
    arrays: Arrays = {"weights": weights, "precision": np.linalg.inv(covariance), "lags": np.asarray([lags])}
    squared = residual_cells(x, arrays).sum(axis=2)
    through = squared[:, lags:].mean(axis=1)
    arrays["limits"] = np.maximum([np.quantile(through, LIMIT), np.quantile(squared[:, -1], LIMIT)], 1e-9)
    return arrays


def residual_score(x: Rows, arrays: Arrays) -> Rows:
    """How strange windows are, (n,): the larger of the whole window's mean and the last reading's, each over its own limit."""
    squared = residual_cells(x, arrays).sum(axis=2)
    lags = int(arrays["lags"][0])
    limits = arrays["limits"]
    return np.asarray(np.maximum(squared[:, lags:].mean(axis=1) / limits[0], squared[:, -1] / limits[1]))


def residual_cells(x: Rows, arrays: Arrays) -> Rows:
    """What each reading adds to T squared, (n, length, channels); 0 for the first readings, which have no past."""
    lags = int(arrays["lags"][0])
    n, length, width = x.shape
    weights = arrays["weights"]
    out = np.zeros(x.shape)
    expected = np.tile(weights[-1], (n, length - lags, 1))
    for lag in range(lags):
        expected += x[:, lag : length - lags + lag] @ weights[lag * width : (lag + 1) * width]
    errors = x[:, lags:] - expected
    out[:, lags:] = errors * (errors @ arrays["precision"])
    return out
