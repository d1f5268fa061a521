"""No failures recorded yet: what is normal is learnt from a normal period, and windows are scored by how far they are from it.

Two detectors. `reconstruction`: what the principal directions of normal windows cannot rebuild (the Q statistic;
Jackson and Mudholkar, 1979), together with how far along them a window lies (Hotelling's T squared); both over their
own limits. `isolation`: how few random cuts part a window from the normal ones (Liu, Ting and Zhou, 2008; fitted by
scikit-learn, kept as plain arrays).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from shokunin.errors import UsageError

Detector = Literal["reconstruction", "isolation"]
DETECTORS: tuple[Detector, ...] = ("reconstruction", "isolation")
KEPT = 0.95
"""Share of the normal windows' variance that the principal directions keep."""
LIMIT = 0.99
"""Quantile of normal windows that Q and T squared are measured in."""
TREES, SAMPLE = 100, 256
CHUNK = 4096
"""Windows that go through the forest at a time."""
Rows = npt.NDArray[np.float64]


@dataclass(frozen=True)
class NormalModel:
    """What is normal.

    Attributes:
        detector: which one.
        length: rows of a window.
        arrays: everything that was fitted.
    """

    detector: Detector
    length: int
    arrays: dict[str, npt.NDArray[Any]]

    def score(self, values: npt.NDArray[np.floating[Any]]) -> Rows:
        """How strange windows (n, length, channels) are, in their own units; float64 (n,), about 1 at the edge of the normal."""
        x = (_rows(self.detector, values) - self.arrays["centre"]) / self.arrays["spread"]
        x = np.nan_to_num(x, nan=0.0, posinf=1e6, neginf=-1e6)
        if self.detector == "isolation":
            return _isolated(x, self.arrays)
        along = x @ self.arrays["directions"].T
        rest = x - along @ self.arrays["directions"]
        q = (rest * rest).sum(axis=1) / self.arrays["limits"][0]
        t2 = (along * along / self.arrays["variances"]).sum(axis=1) / self.arrays["limits"][1]
        return np.asarray(np.maximum(q, t2))

    def cells(self, values: npt.NDArray[np.floating[Any]]) -> Rows:
        """What each reading adds to how strange a window is, (n, length, channels); of `reconstruction` alone."""
        x = (_rows(self.detector, values) - self.arrays["centre"]) / self.arrays["spread"]
        x = np.nan_to_num(x, nan=0.0, posinf=1e6, neginf=-1e6)
        along = x @ self.arrays["directions"].T
        rest = x - along @ self.arrays["directions"]
        q = rest * rest / self.arrays["limits"][0]
        t2 = x * ((along / self.arrays["variances"]) @ self.arrays["directions"]) / self.arrays["limits"][1]
        louder = q.sum(axis=1) >= t2.sum(axis=1)
        return np.asarray(np.where(louder[:, None], q, t2).reshape(len(x), self.length, -1))


def fit_normal(values: npt.NDArray[np.floating[Any]], detector: Detector, *, seed: int = 0) -> NormalModel:
    """Learn what is normal from windows (n, length, channels) of a normal period.

    Raises:
        UsageError: there are fewer than ten windows.
    """
    if len(values) < 10:
        raise UsageError(f"{len(values)} normal windows are too few to learn from; at least 10, better hundreds")
    rows = _rows(detector, values)
    centre, spread = rows.mean(axis=0), rows.std(axis=0)
    # A channel that never moved in the normal period has no unit of its own: any move of it is measured against its size.
    spread = np.where(spread > 1e-9 * (1 + np.abs(centre)), spread, 0.01 * (1 + np.abs(centre)))
    x = np.nan_to_num((rows - centre) / spread)
    arrays: dict[str, npt.NDArray[Any]] = {"centre": centre, "spread": spread}
    if detector == "isolation":
        arrays |= _forest(x, seed)
    else:
        _, sizes, directions = np.linalg.svd(x, full_matrices=False)
        variances = sizes**2 / len(x)
        keep = 1 + int(np.searchsorted(np.cumsum(variances) / max(variances.sum(), 1e-12), KEPT))
        keep = min(keep, len(variances))
        arrays |= {"directions": directions[:keep], "variances": np.maximum(variances[:keep], 1e-9)}
        along = x @ arrays["directions"].T
        rest = x - along @ arrays["directions"]
        q = np.quantile((rest * rest).sum(axis=1), LIMIT)
        t2 = np.quantile((along * along / arrays["variances"]).sum(axis=1), LIMIT)
        arrays["limits"] = np.maximum([q, t2], 1e-9)
    return NormalModel(detector, values.shape[1], arrays)


def _rows(detector: Detector, values: npt.NDArray[np.floating[Any]]) -> Rows:
    x = np.nan_to_num(np.asarray(values, dtype=np.float64))
    if detector == "isolation":
        return np.concatenate([x.mean(axis=1), x.std(axis=1), x[:, -1]], axis=1)
    return x.reshape(len(x), -1)


def _forest(x: Rows, seed: int) -> dict[str, npt.NDArray[Any]]:
    from sklearn.ensemble import IsolationForest

    sample = min(SAMPLE, len(x))
    fitted = IsolationForest(n_estimators=TREES, max_samples=sample, random_state=seed).fit(x)
    most = max(tree.tree_.node_count for tree in fitted.estimators_)
    left, right, feature = (np.zeros((TREES, most), dtype=np.int32) for _ in range(3))
    cut, depth = np.zeros((TREES, most)), np.zeros((TREES, most))
    for i, (estimator, columns) in enumerate(zip(fitted.estimators_, fitted.estimators_features_, strict=True)):
        tree = estimator.tree_
        n = tree.node_count
        leaf = tree.children_left == -1
        itself = np.arange(n)
        left[i, :n] = np.where(leaf, itself, tree.children_left)
        right[i, :n] = np.where(leaf, itself, tree.children_right)
        feature[i, :n] = np.where(leaf, 0, np.asarray(columns)[np.maximum(tree.feature, 0)])
        cut[i, :n] = tree.threshold
        level = np.zeros(n)
        for node in range(n):  # parents come before their children
            if not leaf[node]:
                level[tree.children_left[node]] = level[tree.children_right[node]] = level[node] + 1
        depth[i, :n] = level + np.where(leaf, _average_path(tree.n_node_samples), 0)
    return {
        "left": left, "right": right, "feature": feature, "cut": cut, "depth": depth,
        "usual": np.asarray([float(_average_path(np.asarray([sample]))[0]), float(depth.max() + 1)]),
    }  # fmt: skip


def _isolated(x: Rows, arrays: dict[str, npt.NDArray[Any]]) -> Rows:
    """The anomaly score of the paper, 2 to the minus mean depth over the usual depth, twice over so that 1 is the usual."""
    single = x.astype(np.float32).astype(np.float64)  # the library cuts in single precision
    left, right, feature, cut = (arrays[k] for k in ("left", "right", "feature", "cut"))
    trees = np.arange(len(left))[:, None]
    total = np.empty(len(x))
    for start in range(0, len(x), CHUNK):
        part = single[start : start + CHUNK]
        rows, node = np.arange(len(part))[None, :], np.zeros((len(left), len(part)), dtype=np.int32)
        while True:
            goes_left = part[rows, feature[trees, node]] <= cut[trees, node]
            following = np.where(goes_left, left[trees, node], right[trees, node])
            if np.array_equal(following, node):
                break
            node = following
        total[start : start + CHUNK] = arrays["depth"][trees, node].sum(axis=0)
    return np.asarray(2.0 * 2.0 ** -(total / len(left) / arrays["usual"][0]))


def _average_path(samples: npt.NDArray[Any]) -> Rows:
    """The mean depth of an unsuccessful search in a binary tree of so many samples (equation 1 of the paper)."""
    n = np.asarray(samples, dtype=np.float64)
    out = np.where(n > 2, 2 * (np.log(np.maximum(n - 1, 1)) + np.euler_gamma) - 2 * (n - 1) / np.maximum(n, 1), 0.0)
    return np.asarray(np.where(n == 2, 1.0, out))
