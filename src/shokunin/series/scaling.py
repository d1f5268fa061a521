"""What readings are measured against: mean and deviation of each channel, from a period that ends before anything is judged.

A scale that has seen the judged readings tells the model about its future (the published protocol does). So scales
are made from given rows only; a unit with too few of them is measured against the fleet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from shokunin.errors import ArtefactError
from shokunin.series.readings import Readings, Stretch

Array = npt.NDArray[np.float64]
BY = Literal["unit", "fleet"]
NARROW = 0.1
"""A range narrower than this share of the deviation says nothing about the readings (the paper's rule)."""
TINY = 1e-6


@dataclass(frozen=True)
class Scale:
    """Centre, deviation and normal range of every channel, for the fleet and for the units that have their own.

    Attributes:
        units: the names of the units with scales of their own, in the order of the rows after the first.
        mean, std, low, high: float64 of shape (1 + units, channels); row 0 is the fleet's. `low` and `high` are in
            the readings' own unit; a reading outside is an excursion.
    """

    units: tuple[str, ...]
    mean: Array
    std: Array
    low: Array
    high: Array

    def row(self, unit: str) -> int:
        """Which row measures this unit."""
        try:
            return 1 + self.units.index(unit)
        except ValueError:
            return 0

    def rows(self, units: Sequence[str]) -> npt.NDArray[np.int64]:
        """`row` for many units."""
        known = {name: 1 + i for i, name in enumerate(self.units)}
        return np.asarray([known.get(name, 0) for name in units], dtype=np.int64)

    def scaled(self, values: npt.NDArray[np.floating[Any]], row: int) -> npt.NDArray[np.float32]:
        """Readings (…, channels) less their mean over their deviation; a channel that never moved is only centred."""
        out = (values - self.mean[row]) / np.where(self.std[row] > 0, self.std[row], 1.0)
        out = np.clip(np.nan_to_num(out, nan=0.0, posinf=0.0, neginf=0.0), -3e38, 3e38)
        return np.asarray(out, dtype=np.float32)

    def outside(self, values: npt.NDArray[np.floating[Any]], row: int) -> npt.NDArray[np.bool_]:
        """Which readings (…, channels) lie outside the normal range; none where there is no reading."""
        with np.errstate(invalid="ignore"):
            return np.asarray((values < self.low[row]) | (values > self.high[row]))

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"units": list(self.units), **{k: getattr(self, k).tolist() for k in ("mean", "std", "low", "high")}}


def scale_from_dict(value: Any) -> Scale:
    """The inverse of `to_dict`.

    Raises:
        ArtefactError: it is no scale.
    """
    try:
        units = tuple(str(name) for name in value["units"])
        arrays = [np.asarray(value[k], dtype=np.float64) for k in ("mean", "std", "low", "high")]
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"the scales of the channels are damaged: {error}") from error
    if any(a.ndim != 2 or a.shape != arrays[0].shape or len(a) != 1 + len(units) for a in arrays):
        raise ArtefactError(
            f"the scales of the channels have shapes {[a.shape for a in arrays]} for {len(units)} units"
        )
    return Scale(units, *arrays)


def fit_scale(
    readings: Readings, rows: Sequence[tuple[Stretch, npt.NDArray[np.bool_]]], *, by: BY = "unit", least: int = 90
) -> Scale:
    """Scales from chosen rows.

    Args:
        readings: names units and channels.
        rows: stretches, each with a mask (n,) of the rows that may be looked at.
        by: `unit`: each unit is measured against itself, where it has `least` rows; `fleet`: all against all.
        least: rows that a scale of its own needs.
    """
    parts: dict[int, list[npt.NDArray[np.float32]]] = {}
    for stretch, mask in rows:
        if mask.any():
            parts.setdefault(stretch.unit, []).append(stretch.values[mask])
    width = len(readings.channels)
    everything = np.concatenate([v for p in parts.values() for v in p]) if parts else np.zeros((0, width), np.float32)
    measured = [_measure(everything)]
    units: list[str] = []
    if by == "unit":
        for unit in sorted(parts):
            values = np.concatenate(parts[unit])
            if len(values) >= least:
                units.append(readings.units[unit])
                measured.append(_measure(values))
    mean, std, low, high = (np.stack([m[i] for m in measured]) for i in range(4))
    return Scale(tuple(units), mean, std, low, high)


def _measure(values: npt.NDArray[np.floating[Any]]) -> tuple[Array, Array, Array, Array]:
    """Mean, deviation of the population, and the normal range of every channel.

    The range is the 10th to the 90th percentile. Where that is narrower than 1e-6 or a tenth of the deviation:
    Tukey's fences, or with no spread between the quartiles two deviations around the mean.
    """
    values = values.astype(np.float64)
    mean, std, low, high = (np.zeros(values.shape[1]) for _ in range(4))
    for c in range(values.shape[1]):
        x = values[:, c]
        x = x[np.isfinite(x)]
        if not len(x):
            low[c], high[c] = -np.inf, np.inf
            continue
        mean[c], std[c] = x.mean(), x.std()
        if x.max() == x.min():
            std[c] = 0.0  # else rounding of the mean makes mountains of nothing
        q10, q25, q75, q90 = np.quantile(x, [0.1, 0.25, 0.75, 0.9])
        low[c], high[c] = q10, q90
        if q90 - q10 < TINY or q90 - q10 < NARROW * std[c]:
            spread = q75 - q25
            low[c], high[c] = (
                (q25 - 1.5 * spread, q75 + 1.5 * spread)
                if spread > TINY
                else (mean[c] - 2 * std[c], mean[c] + 2 * std[c])
            )
    return mean, std, low, high
