"""The fitted thing: a recipe, trees for every horizon, and the lines that turn their log-odds into risks; a folder on disk."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from shokunin.errors import ArtefactError
from shokunin.files import read_json, write_json
from shokunin.progress import Progress, silent
from shokunin.series.crossing import Crossed
from shokunin.series.embedding import GRAPH, SeriesEncoder
from shokunin.series.features import BLOCKS, Block, Matrix, Recipe
from shokunin.series.lessons import SeriesLessons
from shokunin.series.risk import Risk, fit_risk, risk_from_dict
from shokunin.series.scaling import scale_from_dict
from shokunin.series.text import VECTORS, Texts, read_texts
from shokunin.series.trees import Forest, OpenForest, TreeOptions, fit_trees, read_forest

ABOUT, SCALE = "series.json", "scale.json"
Floats = npt.NDArray[np.float64]
FORMAT = 1
RuleName = Literal["base_rate", "last_outside", "outside_30"]
RULES: tuple[RuleName, ...] = ("base_rate", "last_outside", "outside_30")
"""Scores without trees: none; persistence (is the last reading outside its normal range?); how often one was lately."""


class Rule:
    """A score without trees: the mean of one number of the block `recent` over the channels, or nothing at all."""

    def __init__(self, name: RuleName, recipe: Recipe) -> None:
        names = recipe.names()
        self.name, self.columns = name, len(names)
        wanted = {f"{channel}.{name}" for channel in recipe.channels}
        self._places = [i for i, n in enumerate(names) if n in wanted]

    def raw(self, x: Matrix, *, threads: int = 1) -> Floats:
        """float64 (n,), 0 to 1; 0 for all where the rule is the base rate."""
        return x[:, self._places].astype(np.float64).mean(axis=1) if self._places else np.zeros(len(x))

    def contributions(self, x: Matrix) -> Floats:
        """What each column adds, float64 (n, columns + 1)."""
        out = np.zeros((len(x), self.columns + 1))
        out[:, self._places] = x[:, self._places] / max(len(self._places), 1)
        return out


@dataclass
class SeriesModel:
    """A model that is open. Safe to use from one thread at a time.

    Attributes:
        recipe: how a window becomes a row.
        horizons: in steps.
        forests: what scores a row, one a horizon: trees, or a plain rule of the block `recent`.
        risks: calibrations, one a horizon.
        about: what else is written down: the grid, options, the encoder's and the text model's facts, trees, left-out
            trees.
    """

    recipe: Recipe
    horizons: tuple[int, ...]
    forests: tuple[OpenForest | Rule, ...]
    risks: tuple[Risk, ...]
    about: Mapping[str, Any] = field(default_factory=dict)

    def logits(self, values: npt.NDArray[np.float32], filled: npt.NDArray[np.bool_], units: Sequence[str]) -> Floats:
        """Calibrated log-odds, float64 (n, horizons), of windows (n, length, channels)."""
        return self.logits_of(self.recipe.rows(values, filled, units))

    def logits_of(self, x: Matrix) -> Floats:
        """Calibrated log-odds of rows that the recipe has made already."""
        out = np.empty((len(x), len(self.horizons)))
        for j, (forest, risk) in enumerate(zip(self.forests, self.risks, strict=True)):
            out[:, j] = risk.logit(forest.raw(x, threads=1 if len(x) < 1000 else 0))
        return out

    def speaking(self, x: Matrix, horizon: int, *, most: int = 5) -> list[tuple[str, float]]:
        """Which channels speak for an event and which against, for one row (1, columns): sums of TreeSHAP, in log-odds.

        The unit's text speaks under the name `text`, shares over channels under `all channels`. Largest first, at most
        so many.
        """
        forest = self.forests[self.horizons.index(horizon)]
        parts = forest.contributions(x)[0, :-1] * self.risks[self.horizons.index(horizon)].slope
        sums: dict[str, float] = {}
        for name, part in zip(self.recipe.names(), parts.tolist(), strict=True):
            of = "text" if name.startswith("text_") else name.rpartition(".")[0]
            sums[of] = sums.get(of, 0.0) + part
        return sorted(sums.items(), key=lambda pair: -abs(pair[1]))[:most]


def fit_model(
    lessons: SeriesLessons,
    recipe: Recipe,
    options: TreeOptions,
    folder: Path,
    *,
    seed: int,
    about: Mapping[str, Any],
    encoder: Path | None = None,
    crossed: Crossed | None = None,
    progress: Progress = silent,
) -> SeriesModel:
    """Fit trees for every horizon, calibrate them on the validation windows, and write all into the existing `folder`.

    Where training is crossed the trees are grown on all training windows, and their number and calibration are those
    of the scores that were made without each window's unit.

    Args:
        lessons: windows and labels.
        recipe: how windows become rows.
        options: of the trees.
        folder: empty.
        seed: of the trees.
        about: what to write down beside it.
        encoder: the recipe's graph, to be copied in.
        crossed: what cross-fitting said.
        progress: told how far it is.

    Raises:
        UsageError: a horizon has no windows of both kinds in training or validation.
    """
    readings, windows = lessons.readings, lessons.windows
    train = recipe.matrix(readings, windows.take(lessons.train), progress)
    validation = None if crossed else recipe.matrix(readings, windows.take(lessons.validation), progress)
    forests: list[Forest] = []
    risks: list[Risk] = []
    for j, horizon in enumerate(lessons.horizons):
        progress(f"growing trees for {horizon} steps ahead", j, len(lessons.horizons))
        source = crossed.grown_for[j] if crossed else j
        y, check = lessons.labels[lessons.train, source], lessons.labels[lessons.validation, j]
        known, judged = y >= 0, check >= 0
        x = train if known.all() else train[known]
        if crossed is not None:
            grown = options.model_copy(update={"rounds": crossed.trees[j]})
            forests.append(fit_trees(x, y[known], None, grown, seed=seed, horizon=horizon))
            risks.append(fit_risk(crossed.raw[:, j], check))
            continue
        assert validation is not None
        x_check = validation if judged.all() else validation[judged]
        watched = (x_check, check[judged])
        forests.append(fit_trees(x, y[known], watched, options, seed=seed, horizon=horizon))
        risks.append(fit_risk(forests[-1].open().raw(x_check, threads=0), check[judged]))
    progress("growing trees", len(lessons.horizons), len(lessons.horizons))
    written = {
        **about, "trees": [f.trees for f in forests], "trees_left_out": [f.left_out for f in forests],
        "grid": readings.grid.model_dump(), "when": lessons.when, "offset": lessons.offset,
        "windows": {"train": len(lessons.train), "validation": len(lessons.validation)}, "options": options.model_dump(),
        "crossed": len(lessons.parts()),
        "grown_for": [lessons.horizons[crossed.grown_for[j] if crossed else j] for j in range(len(lessons.horizons))],
    }  # fmt: skip
    for horizon, forest in zip(lessons.horizons, forests, strict=True):
        forest.save(folder / f"trees_{horizon}.txt")
    model = SeriesModel(recipe, lessons.horizons, tuple(f.open() for f in forests), tuple(risks), written)
    save_model(model, folder, encoder=encoder)
    return model


def fit_rule(
    lessons: SeriesLessons,
    recipe: Recipe,
    rule: RuleName,
    folder: Path,
    *,
    about: Mapping[str, Any],
    raw: Floats | None = None,
) -> SeriesModel:
    """Calibrate a plain rule on the validation windows and write it; the recipe's block is `recent`.

    `raw` are the rule's numbers of the validation windows, where scales of other units made them.
    """
    scored = Rule(rule, recipe)
    if raw is None:
        raw = scored.raw(recipe.matrix(lessons.readings, lessons.windows.take(lessons.validation)))
    risks = tuple(fit_risk(raw, lessons.labels[lessons.validation, j]) for j in range(len(lessons.horizons)))
    written = {
        **about, "grid": lessons.readings.grid.model_dump(), "when": lessons.when, "offset": lessons.offset,
        "windows": {"train": len(lessons.train), "validation": len(lessons.validation)}, "crossed": len(lessons.parts()),
    }  # fmt: skip
    model = SeriesModel(recipe, lessons.horizons, (scored,) * len(lessons.horizons), risks, written)
    save_model(model, folder)
    return model


def save_model(model: SeriesModel, folder: Path, *, encoder: Path | None = None) -> None:
    """Write everything but the trees."""
    recipe = model.recipe
    write_json(folder / SCALE, recipe.scale.to_dict())
    if recipe.texts is not None:
        recipe.texts.save(folder)
    if encoder is not None:
        shutil.copyfile(encoder, folder / GRAPH)
    write_json(
        folder / ABOUT,
        {
            "format": FORMAT, "channels": list(recipe.channels), "length": recipe.length, "blocks": list(recipe.blocks),
            "horizons": list(model.horizons), "risks": [r.to_dict() for r in model.risks],
            "scores": [f.name if isinstance(f, Rule) else "trees" for f in model.forests], "about": dict(model.about),
        },
    )  # fmt: skip


def read_model(folder: Path, *, threads: int | None = None) -> SeriesModel:
    """The inverse of `save_model` and `fit_model`.

    Raises:
        ArtefactError: a file is missing, or does not fit the others.
    """
    about = read_json(folder / ABOUT)
    try:
        if about["format"] != FORMAT:
            raise ArtefactError(f"{ABOUT!r} has format {about['format']!r}; this release reads {FORMAT}")
        channels, horizons = tuple(map(str, about["channels"])), tuple(int(h) for h in about["horizons"])
        blocks: tuple[Block, ...] = tuple(b for b in BLOCKS if b in about["blocks"])
        length, risks = int(about["length"]), tuple(risk_from_dict(r) for r in about["risks"])
        scores = [str(name) for name in about["scores"]]
        rules: list[RuleName | None] = [next((r for r in RULES if r == name), None) for name in scores]
        more = dict(about["about"])
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"{ABOUT!r} is damaged: {error!r}") from error
    scale = scale_from_dict(read_json(folder / SCALE))
    encoder = SeriesEncoder(folder / GRAPH, threads=threads or 1) if "embedding" in blocks else None
    texts: Texts | None = read_texts(folder) if (folder / VECTORS).exists() else None
    recipe = Recipe(channels, length, blocks, scale, encoder, texts)
    forests = tuple(
        read_forest(folder / f"trees_{horizon}.txt") if rule is None else Rule(rule, recipe)
        for horizon, rule in zip(horizons, rules, strict=True)
    )
    columns = len(recipe.names())
    if scale.mean.shape[1] != len(channels) or any(f.columns != columns for f in forests):
        raise ArtefactError(
            f"the files of the model do not belong together: {columns} columns of {len(channels)} channels"
        )
    return SeriesModel(recipe, horizons, forests, risks, more)
