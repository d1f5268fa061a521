"""Label-error candidates by confident learning: rows whose given label the out-of-fold probabilities speak against.

Northcutt, Jiang and Chuang, Confident Learning (JAIR 2021), with pruning by noise rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row that may be labelled wrongly.

    Attributes:
        row: its place among the rows.
        given: the label it has.
        suggested: the label that the model finds likeliest.
        score: the probability of the given label; the lower, the likelier the error.
    """

    row: int
    given: str
    suggested: str
    score: float


@dataclass(frozen=True)
class LabelErrors:
    """What confident learning found.

    Attributes:
        candidates: most suspicious first. To be looked at by a person: hard rows look like wrong ones.
        estimated_share: estimated share of wrong labels, 0 to 1; the off-diagonal part of the calibrated joint.
        joint: shape (k, k), float64: estimated number of rows by given label (row) and true label (column).
    """

    candidates: tuple[Candidate, ...]
    estimated_share: float
    joint: npt.NDArray[np.float64]


def find_label_errors(
    labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64], names: Sequence[str]
) -> LabelErrors:
    """Rows whose label is probably wrong.

    A row counts as truly of class j when its probability for j reaches the mean of that probability over the rows
    labelled j. The counts by given and true class, scaled to the class sizes, say how many rows of each pair to expect;
    those with the largest margin for the other class are taken, unless their given label is still the likeliest.

    Args:
        labels: shape (n,), indices into `names`.
        probabilities: shape (n, k), out of fold; rows sum to 1.
        names: the k label names.
    """
    n, k = probabilities.shape
    counts = np.bincount(labels, minlength=k)
    joint = _joint(labels, probabilities, counts)
    flagged = np.zeros(n, dtype=bool)
    for given in range(k):
        rows = np.flatnonzero(labels == given)
        # At least one row of every class is left alone.
        expected = _keep_one(np.rint(joint[given]).astype(np.int64), given)
        for true in range(k):
            if true == given or expected[true] == 0 or len(rows) == 0:
                continue
            margin = probabilities[rows, true] - probabilities[rows, given]
            flagged[rows[np.argsort(-margin, kind="stable")[: expected[true]]]] = True
    likeliest = probabilities.argmax(axis=1)
    flagged &= likeliest != labels
    own = probabilities[np.arange(n), labels]
    rows = np.flatnonzero(flagged)
    rows = rows[np.argsort(own[rows], kind="stable")]
    candidates = tuple(Candidate(int(i), names[labels[i]], names[likeliest[i]], float(own[i])) for i in rows)
    share = float(1 - np.trace(joint) / n) if n else 0.0
    return LabelErrors(candidates, share, joint)


def _joint(
    labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Calibrated counts by given and true class, shape (k, k)."""
    n, k = probabilities.shape
    thresholds = np.full(k, np.inf)  # a class without rows is never the true one
    for j in np.flatnonzero(counts):
        thresholds[j] = max(TOLERANCE, probabilities[labels == j, j].mean())
    confident = probabilities >= thresholds - TOLERANCE
    some = confident.any(axis=1)
    true = np.where(confident, probabilities, -1.0).argmax(axis=1)
    joint = np.zeros((k, k))
    np.add.at(joint, (labels[some], true[some]), 1.0)
    np.fill_diagonal(joint, np.maximum(joint.diagonal(), 1.0))
    joint *= (counts / joint.sum(axis=1))[:, None]
    return joint * (n / joint.sum()) if n else joint


def _keep_one(expected: npt.NDArray[np.int64], given: int) -> npt.NDArray[np.int64]:
    """The counts to prune, reduced so that the class keeps at least one row."""
    expected = expected.copy()
    if expected[given] < 1:
        others = np.delete(np.arange(len(expected)), given)
        largest = others[expected[others].argmax()] if len(others) else given
        if expected[largest] > 0:
            expected[largest] -= 1
    return expected
