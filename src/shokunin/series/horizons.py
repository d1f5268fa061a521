"""One model a horizon: the rungs that were chosen, each in a folder of its own, asked together and explained where it matters."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shokunin.errors import ArtefactError, UsageError
from shokunin.files import contained, read_json, write_json
from shokunin.forms import Foreseen, Precedent, Sign
from shokunin.series.features import Matrix
from shokunin.series.lessons import SeriesWindow
from shokunin.series.model import SeriesModel, read_model
from shokunin.series.precedents import Precedents, read_precedents
from shokunin.series.scaling import Scale
from shokunin.series.statistics import NAMES

ABOUT = "horizons.json"
FORMAT = 1
SIGNS = 3
CHUNK = 4096
"""Windows that are asked about at a time."""
WORTH = 0.5
"""A move of fewer standard deviations than this is not worth a word."""


@dataclass(frozen=True)
class Chosen:
    """The model of one horizon.

    Attributes:
        horizon: in steps.
        model: the name of its folder.
        explain_from: log-odds from which on it is said which channels speak; None: never.
    """

    horizon: int
    model: str
    explain_from: float | None = None


@dataclass
class HorizonModels:
    """Open models. Safe to use from one thread at a time.

    Attributes:
        chosen: which model answers for each horizon.
        models: by name.
        precedents: windows before events of the past; None: none are kept.
    """

    chosen: tuple[Chosen, ...]
    models: Mapping[str, SeriesModel]
    precedents: Precedents | None = None

    @property
    def horizons(self) -> tuple[int, ...]:
        """In steps, in the order of the log-odds."""
        return tuple(c.horizon for c in self.chosen)

    @property
    def shape(self) -> tuple[int, int]:
        """Of a window: steps, channels."""
        recipe = next(iter(self.models.values())).recipe
        return recipe.length, len(recipe.channels)

    def foresee(self, windows: Sequence[SeriesWindow]) -> list[Foreseen]:
        """What each window says; a window's answer does not depend on its neighbours.

        Raises:
            UsageError: a window has another shape.
        """
        for window in windows:
            if window.values.shape != self.shape or window.filled.shape != self.shape:
                raise UsageError(f"a window of {window.unit!r} has shape {window.values.shape}; expected {self.shape}")
        out: list[Foreseen] = []
        for start in range(0, len(windows), CHUNK):
            part = windows[start : start + CHUNK]
            out += self._part(part)
        return out

    def _part(self, windows: Sequence[SeriesWindow]) -> list[Foreseen]:
        values = np.stack([w.values for w in windows]).astype(np.float32)
        filled, units = np.stack([w.filled for w in windows]), [w.unit for w in windows]
        rows = {name: model.recipe.rows(values, filled, units) for name, model in self.models.items()}
        each = {name: model.logits_of(rows[name]) for name, model in self.models.items()}
        logits = np.stack(
            [each[c.model][:, self.models[c.model].horizons.index(c.horizon)] for c in self.chosen], axis=1
        )
        out = []
        for i, window in enumerate(windows):
            loud = next(
                (c for j, c in enumerate(self.chosen) if c.explain_from is not None and logits[i, j] >= c.explain_from),
                None,
            )
            signs: tuple[Sign, ...] = ()
            precedent = None
            scale = self.models[self.chosen[0].model].recipe.scale
            if loud is not None:
                model = self.models[loud.model]
                speaking = model.speaking(rows[loud.model][i : i + 1], loud.horizon, most=SIGNS)
                signs = signs_of(window, speaking, model.recipe.channels, model.recipe.scale)
                if self.precedents is not None:
                    precedent = self._like(self.precedents, window, rows[self.chosen[0].model][i : i + 1])
            known = not scale.units or scale.row(window.unit) > 0
            out.append(Foreseen(tuple(logits[i].tolist()), signs, known, precedent))
        return out

    def _like(self, precedents: Precedents, window: SeriesWindow, row: Matrix) -> Precedent | None:
        """What a window is like; its statistics are the first columns of its row, where the first model has them."""
        recipe = self.models[self.chosen[0].model].recipe
        if recipe.blocks[0] == "statistics":
            return precedents.nearest_to(row[:, : precedents.rows.shape[1]])
        return precedents.nearest(window.values, window.unit, recipe.scale)


def signs_of(
    window: SeriesWindow, speaking: Sequence[tuple[str, float]], channels: Sequence[str], scale: Scale
) -> tuple[Sign, ...]:
    """What can be said of the channels that speak for an event: since when they are outside their range, or on the move."""
    row = scale.row(window.unit)
    outside = scale.outside(window.values, row) & ~window.filled
    scaled = scale.scaled(window.values, row)
    signs = []
    for name, push in speaking:
        if push <= 0:
            continue
        place = channels.index(name) if name in channels else None
        if place is None:
            signs.append(Sign(name, push))
        else:
            signs.append(Sign(name, push, _run(outside[:, place]), _moving(scaled[:, place])))
    return tuple(signs)


def write_horizons(
    chosen: Sequence[Chosen], folders: Mapping[str, Path], folder: Path, *, precedents: Precedents | None = None
) -> None:
    """Copy the models that are chosen into the existing `folder` and say which answers for what."""
    for name in dict.fromkeys(c.model for c in chosen):
        shutil.copytree(folders[name], folder / name)
    told = [{"horizon": c.horizon, "model": c.model, "explain_from": c.explain_from} for c in chosen]
    write_json(folder / ABOUT, {"format": FORMAT, "horizons": told})
    if precedents is not None:
        precedents.save(folder)


def read_horizons(folder: Path, *, threads: int | None = None) -> HorizonModels:
    """The inverse of `write_horizons`.

    Raises:
        ArtefactError: a file is missing, or does not fit the others.
    """
    about = read_json(folder / ABOUT)
    try:
        if about["format"] != FORMAT:
            raise ArtefactError(f"{ABOUT!r} has format {about['format']!r}; this release reads {FORMAT}")
        chosen = tuple(
            Chosen(int(c["horizon"]), str(c["model"]), None if c["explain_from"] is None else float(c["explain_from"]))
            for c in about["horizons"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"{ABOUT!r} is damaged: {error!r}") from error
    names = list(dict.fromkeys(c.model for c in chosen))
    if not chosen or not all(contained(name) and "/" not in name for name in names):
        raise ArtefactError(f"{ABOUT!r} is damaged: it names the models {names!r}")
    models = {name: read_model(folder / name, threads=threads) for name in names}
    shapes = {(m.recipe.length, m.recipe.channels) for m in models.values()}
    if len(shapes) > 1 or any(c.horizon not in models[c.model].horizons for c in chosen):
        raise ArtefactError(f"the models of {ABOUT!r} do not belong together")
    precedents = read_precedents(folder)
    width = len(NAMES) * len(next(iter(models.values())).recipe.channels)
    if precedents is not None and precedents.rows.shape[1] != width:
        raise ArtefactError(f"the precedents do not belong to the models of {ABOUT!r}")
    return HorizonModels(chosen, models, precedents)


def _run(hits: npt.NDArray[np.bool_]) -> int:
    """How many of the newest in a row are true."""
    return int(np.argmin(hits[::-1])) if not hits.all() else len(hits)


def _moving(scaled: npt.NDArray[np.float32]) -> int:
    """For how many steps the mean of three has been rising (above 0) or falling (below 0); 0 where it came not far."""
    if len(scaled) < 4:
        return 0
    smooth = np.convolve(scaled.astype(np.float64), np.ones(3) / 3, mode="valid")
    steps = np.sign(np.diff(smooth))
    same = _run(steps == steps[-1])
    far = abs(smooth[-1] - smooth[-1 - same]) >= WORTH
    return int(steps[-1]) * same if far else 0
