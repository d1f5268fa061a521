"""How strange a window is beside a normal period: four ways to measure it, one model, and what can be said of a strange one.

`last_outside` is what every control system does: each sensor has a normal range, and the one that is furthest outside
its own decides. `forecast_residual`, `reconstruction` and `isolation` have to be better than that. All read windows in
deviations from the unit's own normal level. Whatever the way, the same can be said of a strange window: since when,
which channels, which of them no longer move together, which stand still.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from shokunin.errors import ArtefactError, UsageError
from shokunin.files import read_json, write_json
from shokunin.forms import Strange
from shokunin.series.horizons import signs_of
from shokunin.series.lessons import SeriesLessons, SeriesWindow
from shokunin.series.normal import NormalModel, fit_normal
from shokunin.series.readings import Readings
from shokunin.series.residual import fit_residual, residual_cells, residual_score
from shokunin.series.scaling import BY, Scale, fit_scale, scale_from_dict
from shokunin.series.windows import Windows, cut

Detector = Literal["last_outside", "forecast_residual", "reconstruction", "isolation"]
DETECTORS: tuple[Detector, ...] = ("last_outside", "forecast_residual", "reconstruction", "isolation")
"""From the simplest to the dearest."""
ABOUT, ARRAYS = "strange.json", "strange.safetensors"
FORMAT = 1
FEWEST = 20
"""Normal windows to learn from."""
USUAL = 0.99
"""Quantile of normal readings beyond which a reading is called strange when it is said since when."""
SMEARED = 0.3
"""Of the loudest step: directions through a whole window carry so much of it into quiet ones."""
SIGNS, WORTH_A_WORD = 3, 0.15
TOGETHER = 0.5
"""Channels whose normal readings correlate less are not said to move together."""
APART = 3.0
"""Deviations from their usual relation, in the mean over the strange steps, from which on two channels no longer do."""
STILL = 3
UNMOVED = 0.01
"""Of a channel that never moved, a move by this share of its size counts as one deviation."""
Rows = npt.NDArray[np.float64]
Values = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class StrangeModel:
    """What is normal, and from when on something is not.

    Attributes:
        detector: how strangeness is measured.
        length: steps of a window.
        channels: names.
        scale: the normal level and range of each channel, by unit.
        arrays: everything else that was fitted.
        threshold: the score from which on an alarm is raised.
    """

    detector: Detector
    length: int
    channels: tuple[str, ...]
    scale: Scale
    arrays: dict[str, npt.NDArray[Any]]
    threshold: float = 1.0

    def score(self, values: Values, units: Sequence[str]) -> Rows:
        """How strange windows (n, length, channels), in their own units, are; float64 (n,), rising."""
        x = self._scaled(values, units)
        if self.detector == "last_outside":
            return np.asarray(self._outside(x)[:, -1].max(axis=1))
        if self.detector == "forecast_residual":
            return residual_score(x, self.arrays)
        return self._normal.score(x)

    def scores(self, readings: Readings, windows: Windows) -> Rows:
        """Those of windows of a history."""
        out = np.zeros(len(windows))
        names = np.asarray(readings.units, dtype=object)
        for here, values, _ in cut(readings, windows, None):
            out[here] = self.score(values, names[windows.unit[here]].tolist())
        return out

    def tell(self, window: SeriesWindow) -> Strange:
        """What can be said of one window.

        Raises:
            UsageError: it has another shape.
        """
        shape = (self.length, len(self.channels))
        if window.values.shape != shape or window.filled.shape != shape:
            raise UsageError(f"a window of {window.unit!r} has shape {window.values.shape}; expected {shape}")
        values = window.values[None]
        score = float(np.log(max(float(self.score(values, [window.unit])[0]), 1e-12) / self.threshold))
        known = not self.scale.units or self.scale.row(window.unit) > 0
        if score < 0:
            return Strange(score, known=known)
        x = self._scaled(values, [window.unit])
        cells = np.maximum(self._cells(x)[0], 0.0)
        steps = cells.sum(axis=1)
        smeared = SMEARED * float(steps.max()) if self.detector == "reconstruction" else 0.0
        since = _since(steps > max(float(self.arrays["usual_row"][0]), smeared))
        lately = cells[-since:].sum(axis=0)
        shares = lately / max(float(lately.sum()), 1e-12)
        loud = [i for i in np.argsort(-shares, kind="stable")[:SIGNS].tolist() if shares[i] >= WORTH_A_WORD]
        speaking = [(self.channels[i], float(shares[i])) for i in loud]
        return Strange(
            score, since, signs_of(window, speaking, self.channels, self.scale), self._apart(x[0], since, loud),
            self._still(window), known, since >= self._looked_at,
        )  # fmt: skip

    def save(self, folder: Path) -> None:
        """Write `strange.json` and `strange.safetensors` into the existing folder."""
        save_file({k: np.ascontiguousarray(v) for k, v in self.arrays.items()}, folder / ARRAYS)
        write_json(
            folder / ABOUT,
            {
                "format": FORMAT, "detector": self.detector, "length": self.length, "channels": list(self.channels),
                "threshold": self.threshold, "scale": self.scale.to_dict(),
            },
        )  # fmt: skip

    @property
    def _looked_at(self) -> int:
        """Steps of a window of which it can be said whether they are strange."""
        return self.length - (int(self.arrays["lags"][0]) if self.detector == "forecast_residual" else 0)

    @property
    def _normal(self) -> NormalModel:
        assert self.detector in ("reconstruction", "isolation")
        return NormalModel(self.detector, self.length, self.arrays)

    def _scaled(self, values: Values, units: Sequence[str]) -> Rows:
        places = self.scale.rows(units)
        out = (values - self.scale.mean[places][:, None]) / self.scale.std[places][:, None]
        return np.asarray(np.clip(np.nan_to_num(out, nan=0.0, posinf=1e6, neginf=-1e6), -1e6, 1e6), dtype=np.float64)

    def _outside(self, x: Rows) -> Rows:
        """How far readings are from the middle of the normal range, which ends at 1."""
        middle, half = self.arrays["middle"], self.arrays["half"]
        return np.asarray(np.abs(x - middle) / half)

    def _cells(self, x: Rows) -> Rows:
        if self.detector == "forecast_residual":
            return residual_cells(x, self.arrays)
        if self.detector == "reconstruction":
            return self._normal.cells(x)
        return self._outside(x) ** 2

    def _apart(self, x: Rows, since: int, loud: Sequence[int]) -> tuple[tuple[str, str], ...]:
        """Pairs that used to move together, one of them loud, and no longer do; the furthest apart first."""
        found: dict[tuple[int, int], float] = {}
        related = self.arrays["related"]
        for a in loud:
            for b in np.flatnonzero(np.abs(related[a]) >= TOGETHER).tolist():
                if a == b:
                    continue
                r = float(related[a, b])
                gap = float(np.abs(x[-since:, a] - r * x[-since:, b]).mean()) / max(float(np.sqrt(1 - r * r)), 0.05)
                if gap >= APART:
                    pair = (min(a, b), max(a, b))
                    found[pair] = max(gap, found.get(pair, 0.0))
        order = sorted(found, key=lambda pair: (-found[pair], pair))[:1]
        return tuple((self.channels[a], self.channels[b]) for a, b in order)

    def _still(self, window: SeriesWindow) -> tuple[tuple[str, int], ...]:
        """Channels that stand still for longer than they did in any normal window, and for how many steps."""
        runs = _runs(window.values[None])[0]
        longest = self.arrays["still"]
        return tuple(
            (name, int(run))
            for name, run, usual in zip(self.channels, runs.tolist(), longest.tolist(), strict=True)
            if run >= STILL and run > usual
        )


def fit_strange(
    lessons: SeriesLessons,
    detector: Detector,
    *,
    by: BY = "unit",
    most: int = 20_000,
    lags: int = 5,
    ridge: float = 1.0,
    seed: int = 0,
) -> StrangeModel:
    """Learn what is normal from the lessons' training windows, all of which are taken as normal.

    Args:
        lessons: the windows, and the rows that scales may be made of.
        detector: how strangeness is measured.
        by: each unit against itself, or all against the fleet.
        most: windows beyond so many are thinned evenly.
        lags, ridge: of `forecast_residual`; at most half a window is looked back on.
        seed: of what is drawn.

    Raises:
        UsageError: there are fewer than twenty windows, or no channel moves in them.
    """
    readings, length = lessons.readings, lessons.windows.length
    rows = lessons.train
    if len(rows) < FEWEST:
        raise UsageError(
            f"{len(rows)} normal windows are too few to learn what is normal; at least {FEWEST}, better hundreds"
        )
    if len(rows) > most:
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, most).round().astype(np.int64))]
    scale = _settled(fit_scale(readings, lessons.known, by=by, least=max(length, 30)))
    windows = lessons.windows.take(rows)
    values = np.concatenate([v for _, v, _ in cut(readings, windows, None)])
    names = [readings.units[u] for u in windows.unit.tolist()]
    model = StrangeModel(detector, length, readings.channels, scale, {})
    x = model._scaled(values, names)
    if not (x.std(axis=(0, 1)) > 0).any():
        raise UsageError("no channel moves in the normal period; there is nothing to learn what is normal from")
    arrays: dict[str, npt.NDArray[Any]] = {"middle": np.zeros(x.shape[2]), "half": np.ones(x.shape[2])}
    low, high = ((side[0] - scale.mean[0]) / scale.std[0] for side in (scale.low, scale.high))
    if scale.units:  # each unit's own range, in its own deviations; in the mean they are alike
        low, high = (((side - scale.mean) / scale.std)[1:].mean(axis=0) for side in (scale.low, scale.high))
    arrays["middle"], arrays["half"] = (low + high) / 2, np.maximum((high - low) / 2, 0.1)
    if detector == "forecast_residual":
        arrays |= fit_residual(x, lags=max(1, min(lags, length // 2)), ridge=ridge)
    elif detector != "last_outside":
        arrays |= fit_normal(x, detector, seed=seed).arrays
    arrays["related"] = _related(x[:, -1])
    arrays["still"] = _runs(values).max(axis=0).astype(np.int64)
    model = replace(model, arrays=arrays)
    usual = np.maximum(model._cells(x), 0.0).sum(axis=2)
    filled_in = usual[:, -(length - length // 2) :]  # a residual has no past at a window's beginning
    arrays["usual_row"] = np.asarray([float(np.quantile(filled_in, USUAL))])
    return model


def read_strange(folder: Path) -> StrangeModel:
    """The inverse of `save`.

    Raises:
        ArtefactError: a file is missing or damaged.
    """
    about = read_json(folder / ABOUT)
    try:
        if about["format"] != FORMAT:
            raise ArtefactError(f"{ABOUT!r} has format {about['format']!r}; this release reads {FORMAT}")
        detector = next(d for d in DETECTORS if d == about["detector"])
        model = StrangeModel(
            detector, int(about["length"]), tuple(map(str, about["channels"])), scale_from_dict(about["scale"]),
            load_file(folder / ARRAYS), float(about["threshold"]),
        )  # fmt: skip
        if not (np.isfinite(model.threshold) and model.threshold > 0 and model.length >= 2):
            raise ArtefactError(f"{ABOUT!r} is damaged: threshold {model.threshold}, windows of {model.length}")
        probe = np.zeros((1, model.length, len(model.channels)), dtype=np.float32)
        model.score(probe, [""])
        model._cells(model._scaled(probe, [""]))
        if not {"related", "still", "usual_row"} <= set(model.arrays):
            raise ArtefactError(f"{ARRAYS!r} is damaged: it lacks some of its arrays")
    except (OSError, KeyError, TypeError, ValueError, IndexError, StopIteration, SafetensorError) as error:
        raise ArtefactError(f"the model of the normal period is damaged: {error!r}") from error
    return model


def _settled(scale: Scale) -> Scale:
    """Deviations of a channel that a unit never moved: as the other units have them; where none moved it, a share of its size."""
    std = scale.std.copy()
    own = std[1:] if scale.units else std
    for c in range(std.shape[1]):
        moving = own[:, c][own[:, c] > 0]
        still = std[:, c] <= 0
        if scale.units and not len(moving):
            still[0] = True  # units that stand at different levels are no movement
        std[still, c] = np.median(moving) if len(moving) else UNMOVED * (1 + np.abs(scale.mean[still, c]))
    return replace(scale, std=std)


def _related(last: Rows) -> Rows:
    """Correlations of the channels; 0 where one never moves."""
    centred = last - last.mean(axis=0)
    spread = centred.std(axis=0)
    unit = np.where(spread > 1e-9, spread, np.inf)
    return np.asarray(np.clip((centred / unit).T @ (centred / unit) / len(last), -1, 1))


def _runs(values: Values) -> npt.NDArray[np.int64]:
    """How many of the newest readings of each window and channel are equal, (n, channels)."""
    same = values[:, ::-1] == values[:, -1:]
    return np.asarray(np.where(same.all(axis=1), values.shape[1], np.argmin(same, axis=1)), dtype=np.int64)


def _since(strange: npt.NDArray[np.bool_]) -> int:
    """The longest time up to now that begins with a strange step and was strange at least half of the steps; at least 1."""
    newest_first = strange[::-1]
    share = np.cumsum(newest_first) / np.arange(1, len(strange) + 1)
    enough = np.flatnonzero((share >= 0.5) & newest_first)
    return 1 + int(enough[-1]) if len(enough) else 1
