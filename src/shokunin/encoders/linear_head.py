"""The linear layer on frozen embeddings: multinomial logistic regression, its strength cross-validated by group."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits

from shokunin.encoders.graph import Head

GRID = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Inverse strengths to choose from, for embeddings of length sqrt(d)."""
ROWS_TO_CHOOSE_BY = 5000
FOLDS = 3
STEPS = 500
CLOSE, CLOSE_ENOUGH_TO_CHOOSE = 5e-5, 2e-4
"""Where the optimiser stops: the largest gradient. Stopping at 1e-3 cost 0.7 points of accuracy on BANKING77's training rows."""


@dataclass(frozen=True)
class LinearHead:
    """A fitted head for embeddings of length 1.

    Attributes:
        head: W of shape (k, d) and b of shape (k,), float32.
        strength: the inverse regularisation strength C that was used.
        chosen_by: how it was chosen, in words.
    """

    head: Head
    strength: float
    chosen_by: str


def fit_linear_head(
    embeddings: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    k: int,
    *,
    grid: Sequence[float] = GRID,
    seed: int,
) -> LinearHead:
    """Fit the head on n embeddings of length 1, shape (n, d).

    C is the one with the smallest log-loss on rows whose group was left out; near-ties go to the stronger
    regularisation. A label that no row has keeps zero weights and a bias that never wins.

    Args:
        embeddings: shape (n, d), each of length 1.
        labels: shape (n,), 0 to k - 1.
        groups: shape (n,); rows of one group are never on both sides of a fold.
        k: how many labels there are.
        grid: the strengths to choose from.
        seed: for the folds.
    """
    scale = np.float32(np.sqrt(embeddings.shape[1]))  # so that C means the same for every width
    features = embeddings * scale
    strength, chosen_by = _choose(features, labels, groups, sorted(grid), seed)
    model = _fitted(_model(CLOSE), features, labels, strength)
    weight = np.zeros((k, features.shape[1]), np.float32)
    bias = np.full(k, -30.0, np.float32)
    weight[model.classes_], bias[model.classes_] = _both_sides(model)
    return LinearHead((weight * scale, bias), strength, chosen_by)


def seconds_to_fit(rows: int, width: int, k: int) -> float:
    """About how long `fit_linear_head` takes, choosing included: 20 billion multiply-adds a second, in some 120 steps."""
    in_folds = (FOLDS - 1) * 120 * min(rows, ROWS_TO_CHOOSE_BY)
    return (in_folds + 120 * rows) * 2 * width * k / 20e9


def _choose(
    features: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    grid: Sequence[float],
    seed: int,
) -> tuple[float, str]:
    if len(grid) == 1:
        return grid[0], "given"
    rows = np.arange(len(labels))
    if len(rows) > ROWS_TO_CHOOSE_BY:
        rows = np.sort(np.random.default_rng(seed).choice(rows, ROWS_TO_CHOOSE_BY, replace=False))
    most = np.unique(labels[rows], return_counts=True)[1].max()  # no label fills the folds: nothing can be stratified
    if most < FOLDS or len(np.unique(groups[rows])) < FOLDS:
        return grid[len(grid) // 2], "too few rows to choose by"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class with fewer rows than folds is welcome here
        folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
        splits = [_Fold.of(rows, fit, held, labels) for fit, held in folds.split(rows, labels[rows], groups[rows])]
    splits = [s for s in splits if len(s.held) and len(np.unique(labels[s.fit])) > 1]
    count = sum(len(s.held) for s in splits)
    if count == 0:
        return grid[len(grid) // 2], "too few rows to choose by"
    losses: list[float] = []
    for strength in grid:  # each fit starts from the one before; past the best, the loss only rises
        losses.append(sum(s.loss(features, labels, strength) for s in splits) / count)
        if losses[-1] > min(losses) * 1.02:
            break
    best = int(np.flatnonzero(np.array(losses) <= min(losses) * 1.01)[0])
    return grid[best], f"log-loss {losses[best]:.3f} on {count} left-out rows"


@dataclass
class _Fold:
    """One way to leave rows out, and the model fitted on the others."""

    fit: npt.NDArray[np.int64]
    held: npt.NDArray[np.int64]
    model: LogisticRegression

    @classmethod
    def of(
        cls,
        rows: npt.NDArray[np.int64],
        fit: npt.NDArray[np.int64],
        held: npt.NDArray[np.int64],
        labels: npt.NDArray[np.int64],
    ) -> _Fold:
        """Left-out rows whose label no fitted row has say nothing about the strength."""
        known = np.isin(labels[rows[held]], labels[rows[fit]])
        return cls(rows[fit], rows[held][known], _model(CLOSE_ENOUGH_TO_CHOOSE))

    def loss(self, features: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], strength: float) -> float:
        """Log-loss summed over the left-out rows."""
        _fitted(self.model, features[self.fit], labels[self.fit], strength)
        column = np.searchsorted(self.model.classes_, labels[self.held])
        log_p = self.model.predict_log_proba(features[self.held])
        return -float(log_p[np.arange(len(self.held)), column].clip(-30).sum())


def _model(tol: float) -> LogisticRegression:
    return LogisticRegression(max_iter=STEPS, tol=tol, warm_start=True)


def _fitted(
    model: LogisticRegression, features: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], strength: float
) -> LogisticRegression:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # stopping early is only a little more regularisation
        # One thread: for matrices this small, threads that wait in a spin cost up to ten times the work.
        with threadpool_limits(1, user_api="blas"):
            return model.set_params(C=strength).fit(features, labels)


def _both_sides(model: LogisticRegression) -> Head:
    """W and b of the fitted classes; of two classes the library keeps only the difference."""
    weight, bias = np.asarray(model.coef_, np.float32), np.asarray(model.intercept_, np.float32)
    if len(model.classes_) == 2:
        half = np.float32(0.5)
        return np.concatenate([-weight, weight]) * half, np.concatenate([-bias, bias]) * half
    return weight, bias
