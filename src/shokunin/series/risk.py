"""Log-odds to risks that mean what they say: a straight line through the logits, fitted on the validation period (Platt, 1999).

Trees that weigh positives up, or a fleet that fails more often than it used to, distort raw probabilities; ranking is
unaffected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from shokunin.errors import ArtefactError

Floats = npt.NDArray[np.float64]
LEAST_SLOPE = 1e-6
"""Of scores in their own deviations: scores that ranked the wrong way round say nothing of risk, but stay in their order."""


@dataclass(frozen=True)
class Risk:
    """risk = 1 / (1 + exp(-(slope x + shift))). A slope of 0 means: the scores said nothing on the validation rows."""

    slope: float
    shift: float

    def of(self, raw: npt.NDArray[np.floating[Any]]) -> Floats:
        """The calibrated probabilities of log-odds."""
        return np.asarray(expit(self.slope * np.asarray(raw, dtype=np.float64) + self.shift))

    def logit(self, raw: npt.NDArray[np.floating[Any]]) -> Floats:
        """The calibrated log-odds."""
        return np.asarray(self.slope * np.asarray(raw, dtype=np.float64) + self.shift)

    def to_dict(self) -> dict[str, float]:
        """As JSON."""
        return {"slope": self.slope, "shift": self.shift}


def risk_from_dict(value: Any) -> Risk:
    """The inverse of `to_dict`.

    Raises:
        ArtefactError: it is none.
    """
    try:
        risk = Risk(float(value["slope"]), float(value["shift"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"the calibration of the risks is damaged: {error}") from error
    if not (np.isfinite(risk.slope) and np.isfinite(risk.shift)):
        raise ArtefactError("the calibration of the risks is damaged: it is not finite")
    return risk


def fit_risk(raw: npt.NDArray[np.floating[Any]], labels: npt.NDArray[np.int8]) -> Risk:
    """The line with the best likelihood on rows whose label is known; Platt's softened targets keep it finite.

    The slope is never negative: scores that rank the wrong way round carry (next to) no risk.
    """
    known = labels >= 0
    x, y = np.asarray(raw, dtype=np.float64)[known], labels[known] == 1
    positive, negative = int(y.sum()), int((~y).sum())
    target = np.where(y, (positive + 1) / (positive + 2), 1 / (negative + 2))
    base = float(np.log((positive + 1) / (negative + 1)))
    spread = float(x.std())
    if not len(x) or spread == 0:
        return Risk(0.0, base)
    middle = float(x.mean())
    z = (x - middle) / spread

    def loss(p: Floats) -> tuple[float, Floats]:
        logit = p[0] * z + p[1]
        value = -np.mean(target * log_expit(logit) + (1 - target) * log_expit(-logit))
        away = expit(logit) - target
        return float(value), np.asarray([np.mean(away * z), np.mean(away)])

    found = minimize(
        loss, np.asarray([1.0, base]), jac=True, bounds=[(LEAST_SLOPE, None), (None, None)], method="L-BFGS-B"
    )
    slope, shift = (float(v) for v in found.x)
    return Risk(slope / spread, shift - slope * middle / spread)
