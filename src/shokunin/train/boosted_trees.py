"""Boosted trees on what windows of readings look like: statistics, then a time-series embedding, then the unit's text.

The three blocks of Yasuno's triplet (arXiv 2602.15089), each of which has to earn its place: the ladder asks whether
it is measurably better than without. One model a horizon, at most 4 MB of text each, risks calibrated on the
validation period. The embedding comes from a TinyTimeMixer that is taught on the owner's own history (which needs the
extra `train`), from a checkpoint, or, by name only, from random weights, as the published code has it.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from shokunin.errors import UsageError
from shokunin.forms import Form
from shokunin.progress import Progress
from shokunin.series.crossing import cross_trees
from shokunin.series.embedding import GRAPH, SeriesEncoder
from shokunin.series.features import BLOCKS, Block, Recipe
from shokunin.series.lessons import SeriesLessons
from shokunin.series.model import fit_model
from shokunin.series.scaling import fit_scale
from shokunin.series.text import Texts, embed_texts
from shokunin.series.trees import TreeOptions
from shokunin.train.series_encoder import Source, prepared_encoder
from shokunin.weights import Weights

EATS: Form = "series_window"
EXTRA: str | None = None


class Options(BaseModel):
    """How to fit.

    Attributes:
        blocks: what a window is described by.
        scale: measure each unit against its own training period (`unit`), or all against the fleet's (`fleet`, right
            for units that run until they fail, and for units that were not there in training).
        encoder: where the embedding comes from: `own` (taught on this history), `random`, or a checkpoint: a folder
            or `hf:org/name`.
        encoder_steps, lora_steps: batches of pretraining (for `own`) and of adapter training.
        text_model: base model for the units' texts; None: the best multilingual encoder that is on this machine, else
            the default one.
        most_windows: training windows beyond so many are thinned evenly, so that memory stays bounded.
        trees: how trees are boosted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    blocks: tuple[Block, ...] = ("statistics", "recent")
    scale: Literal["unit", "fleet"] = "unit"
    encoder: str = "own"
    encoder_steps: int = Field(default=400, ge=0)
    lora_steps: int = Field(default=200, ge=0)
    text_model: str | None = None
    most_windows: int = Field(default=200_000, ge=100)
    trees: TreeOptions = TreeOptions()


def forecast(lessons: SeriesLessons, options: BaseModel) -> float:
    """From measured fits: most of the time goes into the trees, and grows with rows and columns."""
    assert isinstance(options, Options)
    rows = min(len(lessons.train), options.most_windows) + len(lessons.validation)
    channels = len(lessons.readings.channels)
    columns = channels * (28 + 64 * ("embedding" in options.blocks)) + 400 * ("text" in options.blocks)
    taught = "embedding" in options.blocks and options.encoder == "own"
    teaching = (options.encoder_steps * 0.1 + options.lora_steps * 0.15 * channels) if taught else 0.0
    return 2.0 + teaching + rows * channels * 1e-4 + len(lessons.horizons) * rows * columns * 1e-5


def fit(lessons: SeriesLessons, options: BaseModel, folder: Path, *, seed: int, progress: Progress) -> Weights:
    """Write `series.json`, `scale.json`, `trees_HORIZON.txt` and, where they are used, `encoder.onnx` and the embedded texts.

    Raises:
        UsageError: a horizon has no windows of both kinds, or the units have no texts.
        MissingExtraError: the encoder is to be taught, and torch is not installed.
        BaseModelError: the checkpoint or text model cannot be used.
    """
    return fit_crossed(lessons, options, folder, seed=seed, progress=progress)[0]


def fit_crossed(
    lessons: SeriesLessons, options: BaseModel, folder: Path, *, seed: int, progress: Progress
) -> tuple[Weights, npt.NDArray[np.float64] | None]:
    """As `fit`, and where training is crossed the calibrated log-odds (n, horizons) of validation windows without their part.

    For each part everything is made anew without it: scale, encoder, trees.
    """
    assert isinstance(options, Options)
    lessons = thinned(lessons, options.most_windows)
    texts = None
    about: dict[str, Any] = {"learner": "boosted_trees", "scale": options.scale, "thinned_to": len(lessons.train)}
    if "text" in options.blocks:
        texts = _texts(lessons, options, progress)
        about["text_model"] = dict(texts.model)
    with tempfile.TemporaryDirectory(prefix="encoder-") as name:

        def recipe(some: SeriesLessons) -> Recipe:
            return _recipe(some, options, Path(name), texts, seed=seed, progress=progress)[0]

        crossed = None
        if lessons.parts():
            crossed = cross_trees(lessons, recipe, options.trees, seed=seed, progress=progress)
        made, graph, encoder = _recipe(lessons, options, Path(name), texts, seed=seed, progress=progress)
        if encoder:
            about["encoder"] = encoder
        model = fit_model(
            lessons, made, options.trees, folder, seed=seed, about=about, encoder=graph, crossed=crossed,
            progress=progress,
        )  # fmt: skip
    logits = None
    if crossed is not None:
        logits = np.stack([r.logit(crossed.raw[:, j]) for j, r in enumerate(model.risks)], axis=1)
    return Weights(folder, EATS, "series_trees", facts={**model.about, "blocks": list(made.blocks)}), logits


def thinned(lessons: SeriesLessons, most: int) -> SeriesLessons:
    """Every so many-th training window, so that at most `most` remain; neighbours say nearly the same."""
    if len(lessons.train) <= most:
        return lessons
    return lessons.take(np.unique(np.linspace(0, len(lessons.train) - 1, most).round().astype(np.int64)))


def _recipe(
    lessons: SeriesLessons, options: Options, place: Path, texts: Texts | None, *, seed: int, progress: Progress
) -> tuple[Recipe, Path | None, dict[str, Any]]:
    """The recipe that these lessons may make, the encoder's graph below `place`, and what is to be told of it."""
    scale = fit_scale(lessons.readings, lessons.known, by=options.scale, least=lessons.windows.length)
    graph, encoder, facts = None, None, {}
    if "embedding" in options.blocks:
        source = Source(options.encoder, options.encoder_steps, options.lora_steps)
        taught, parts = lessons, lessons.parts()
        if parts:
            # Adapters stop by windows that they are not taught on, and that nothing will be judged by: the last part's.
            # Of a single part they stop by what they are taught on, or not at all.
            taught = lessons.without(parts[-1]) if len(parts) > 1 else replace(lessons, validation=lessons.train)
        folder = Path(tempfile.mkdtemp(dir=place))
        facts = prepared_encoder(source, taught, scale, folder, seed=seed, progress=progress)
        graph = folder / GRAPH
        encoder = SeriesEncoder(graph)
    blocks = tuple(b for b in BLOCKS if b in options.blocks)
    recipe = Recipe(lessons.readings.channels, lessons.windows.length, blocks, scale, encoder, texts)
    return recipe, graph, facts


def _texts(lessons: SeriesLessons, options: Options, progress: Progress) -> Texts:
    if not lessons.texts:
        raise UsageError("the block 'text' needs the units' names from the equipment records; none are given")
    return embed_texts(lessons.texts, model=options.text_model, progress=progress)
