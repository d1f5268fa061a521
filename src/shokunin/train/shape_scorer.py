"""Which shape an answer has, told by a softmax whose weights the shapes share part by part.

The score of shape s for prompt x is x·W·v(s). v(s) says which sequences of tokens the shape has and, if a lesson has it, which
shape it is. So what `smallest` does to a query is learnt once for all queries with `MIN`, and a shape without lessons has
a score as well. W is found with L2 regularisation by L-BFGS in the space that the lessons span (Kimeldorf and Wahba, J. Math.
Anal. Appl. 33, 1971: there is nothing to gain outside it).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.optimize import minimize
from scipy.sparse.linalg import svds

from shokunin.language.new_shapes import tokens_of

LONGEST = 2
"""Tokens of a part."""
PART_RANK = 200
LESSON_RANK = 800
STEPS = 80

Floats = npt.NDArray[np.float32]


def fit_scores(rows: sparse.csr_matrix, shape_of: npt.NDArray[np.int64], parts: Floats, *, strength: float) -> Floats:
    """W, shape (d, r), float32.

    Args:
        rows: the prompts, shape (n, d).
        shape_of: shape (n,), which row of `parts` each lesson's answer is.
        parts: v, shape (k, r).
        strength: of the regularisation.
    """
    gram = np.asarray((rows @ rows.T).todense(), dtype=np.float64)
    values, vectors = np.linalg.eigh(gram)
    keep = np.flatnonzero(values > 1e-6 * values[-1])[-LESSON_RANK:]
    scale, vectors = np.sqrt(values[keep]), vectors[:, keep]
    lessons = (vectors * scale).astype(np.float32)
    n, size = len(shape_of), (len(keep), parts.shape[1])
    own = np.arange(n), shape_of

    def loss(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        scores = (lessons @ flat.reshape(size).astype(np.float32)) @ parts.T
        scores -= scores.max(axis=1, keepdims=True)
        mine = scores[own]
        np.exp(scores, out=scores)
        total = scores.sum(axis=1)
        value = float(np.log(total).sum() - mine.sum()) + strength / 2 * float(flat @ flat)
        scores /= total[:, None]
        scores[own] -= 1
        return value, (lessons.T @ (scores @ parts)).astype(np.float64).ravel() + strength * flat

    found = minimize(
        loss, np.zeros(size[0] * size[1]), jac=True, method="L-BFGS-B", options={"maxiter": STEPS, "maxcor": 8}
    )
    return np.asarray(rows.T @ ((vectors / scale) @ found.x.reshape(size)), dtype=np.float32)


def part_vectors(texts: Sequence[str], seen: int, *, own: float, seed: int) -> Floats:
    """v of every shape, shape (k, r), float32.

    Args:
        texts: k shapes.
        seen: so many of them, the first ones, have lessons.
        own: how much being that shape counts beside its parts, whose vector has about length 1.
        seed: of the start of the decomposition.
    """
    found = [_parts(text) for text in texts]
    frequency = Counter(part for counts in found for part in counts)
    column = {part: i for i, part in enumerate(sorted(p for p, f in frequency.items() if 2 <= f < len(texts)))}
    identity = np.zeros((len(texts), seen), dtype=np.float32)
    identity[np.arange(seen), np.arange(seen)] = own
    rank = min(PART_RANK, len(texts) - 1, len(column) - 1)
    if rank < 1:
        identity[np.arange(seen), np.arange(seen)] = 1.0
        return identity
    matrix = sparse.lil_matrix((len(texts), len(column)))
    for i, counts in enumerate(found):
        for part, times in counts.items():
            if part in column:
                matrix[i, column[part]] = (1 + np.log(times)) * (np.log(len(texts) / frequency[part]) + 0.3)
    matrix = matrix.tocsr()
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    matrix = sparse.diags(1 / np.maximum(length, 1e-9)) @ matrix
    start = np.random.default_rng(seed).standard_normal(min(matrix.shape))
    left, values, _ = svds(matrix, k=rank, v0=start)
    return np.hstack([(left * values).astype(np.float32), identity])


def _parts(text: str) -> Counter[str]:
    tokens = tokens_of(text)
    return Counter(" ".join(tokens[i : i + n]) for n in range(1, LONGEST + 1) for i in range(len(tokens) - n + 1))
