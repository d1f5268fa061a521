"""Mixtures of rungs: learners that err on different rows are better together, and cost nothing more to train.

The shares are fitted by likelihood on the same quarter of the judging rows that shapes the calibration, so the rows that carry
the promise have no part in them.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import logsumexp

from shokunin.files import write_json
from shokunin.weights import Weights


def fit_shares(raw: Sequence[npt.NDArray[np.float32]], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """What each member's raw scores count for: positive, likeliest labels, with a weak prior on the logarithms.

    Args:
        raw: the members' scores of the same rows, each of shape (n, k).
        labels: shape (n,).
    """
    scores = np.stack([r.astype(np.float64) for r in raw])
    # Each member on its own scale first: a prior around 1 must mean the same for margins and for log-probabilities.
    spread = scores.std(axis=2).mean(axis=1) + 1e-9
    scores /= spread[:, None, None]

    def cost(log_shares: npt.NDArray[np.float64]) -> float:
        total = np.tensordot(np.exp(log_shares), scores, axes=1)
        return float(
            (logsumexp(total, axis=1) - total[np.arange(len(labels)), labels]).sum() + (log_shares**2).sum() / 2
        )

    found = minimize(
        cost, np.zeros(len(raw)), method="Nelder-Mead", options={"maxiter": 400, "xatol": 1e-3, "fatol": 1e-3}
    )
    return np.asarray(np.exp(found.x) / spread)


def mixture_weights(members: Sequence[tuple[str, Weights]], shares: npt.NDArray[np.float64], folder: Path) -> Weights:
    """Write the members side by side with `mixture.json` into the existing, empty `folder`."""
    about = []
    for i, ((name, weights), share) in enumerate(zip(members, shares, strict=True)):
        shutil.copytree(weights.folder, folder / str(i))
        about.append({
            "name": name, "share": float(share), "form": weights.form, "format": weights.format,
            "exact": weights.exact, "facts": weights.facts,
        })  # fmt: skip
    write_json(folder / "mixture.json", {"members": about})
    facts = {
        "members": [{"name": m["name"], "share": m["share"], "facts": m["facts"]} for m in about],
        "parameters": sum(int(w.facts.get("parameters", 0)) for _, w in members),
    }
    return Weights(folder, members[0][1].form, "mixture", all(w.exact for _, w in members), facts)
