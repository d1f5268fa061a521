"""Texts as numbers that can be compared: hashed character n-grams, what all texts have counting little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FEATURES = 1 << 14
RIDGE = 0.5


def features_of(texts: Sequence[str]) -> Any:
    """Texts as counts of hashed character n-grams within words, shape (n, FEATURES), rows of length 1."""
    from sklearn.feature_extraction.text import HashingVectorizer

    hashing = HashingVectorizer(analyzer="char_wb", ngram_range=(2, 4), n_features=FEATURES, alternate_sign=False)
    return hashing.transform(texts)


class Learner:
    """A quick learner: ridge regression on one-hot labels, solved in the rows; called with features it gives answers."""

    def __init__(self, x: Any, y: npt.NDArray[np.object_]) -> None:
        """Learn from features, shape (n, d), n up to a thousand or so, and answers, shape (n,)."""
        self._usual, codes = np.unique(y.astype(str), return_inverse=True)
        if len(self._usual) < 2:
            return
        self._weights = rarity([x])
        self._x = weighted(x, self._weights)
        gram = (self._x @ self._x.T).toarray()
        hot = np.eye(len(self._usual))[codes.reshape(-1)]
        self._mean = hot.mean(axis=0)
        self._dual = np.linalg.solve(gram + RIDGE * np.eye(len(gram)), hot - self._mean)

    def __call__(self, asked: Any) -> npt.NDArray[np.object_]:
        """The answers, shape (m,), to features, shape (m, d); None where there was nothing to learn from."""
        if len(self._usual) < 2 or not asked.shape[0]:
            return np.full(asked.shape[0], self._usual[0] if len(self._usual) else None, dtype=object)
        scores = (weighted(asked, self._weights) @ self._x.T) @ self._dual + self._mean
        return np.asarray(self._usual[np.asarray(scores).argmax(axis=1)], dtype=object)


def learn_and_answer(x: Any, y: npt.NDArray[np.object_], asked: Any) -> npt.NDArray[np.object_]:
    """What a quick learner that has seen (x, y) answers, shape (m,), to features `asked`, shape (m, d)."""
    return Learner(x, y)(asked)


@dataclass(frozen=True, slots=True)
class Centre:
    """The middle of a sample of texts.

    Attributes:
        direction: their weighted mean as a sparse row of length 1, shape (1, FEATURES).
        reliability: how alike two halves of the sample are, as an estimate for the whole (Spearman and Brown), up to 1.
    """

    direction: Any
    reliability: float


def centre_of(x: Any, weights: npt.NDArray[np.float64]) -> Centre:
    """The centre of texts with these features, shape (n, FEATURES); weights: of the features, shape (FEATURES,)."""
    halves = float((_direction(x[::2], weights) @ _direction(x[1::2], weights).T).sum()) if x.shape[0] > 1 else 0.0
    return Centre(_direction(x, weights), 2 * halves / (1 + halves))


def rarity(samples: Sequence[Any]) -> npt.NDArray[np.float64]:
    """The weight of each feature, shape (FEATURES,): the logarithm of how few texts have it."""
    count = sum(x.shape[0] for x in samples)
    there = sum((np.bincount(x.indices, minlength=FEATURES) for x in samples), np.zeros(FEATURES))
    return np.asarray(np.log((1 + count) / (1 + there)) + 0.1)


def weighted(x: Any, weights: npt.NDArray[np.float64]) -> Any:
    """The features times their weights, rows of length 1."""
    from sklearn.preprocessing import normalize

    return normalize(x.multiply(weights[None, :]).tocsr())


def _direction(x: Any, weights: npt.NDArray[np.float64]) -> Any:
    from scipy.sparse import csr_matrix

    return weighted(csr_matrix(x.sum(axis=0)), weights)
