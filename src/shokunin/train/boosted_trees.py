"""Boosted trees on what windows of readings look like: statistics, then a time-series embedding, then the unit's text.

The three blocks of Yasuno's triplet (arXiv 2602.15089), each of which has to earn its place: the ladder asks whether
it is measurably better than without. One model a horizon, at most 4 MB of text each, risks calibrated on the
validation period. The embedding comes from a TinyTimeMixer that is taught on the owner's own history (which needs the
extra `train`), from a checkpoint, or, by name only, from random weights, as the published code has it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from shokunin.errors import UsageError
from shokunin.forms import Form
from shokunin.progress import Progress
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
    assert isinstance(options, Options)
    lessons = thinned(lessons, options.most_windows)
    scale = fit_scale(lessons.readings, lessons.known, by=options.scale, least=lessons.windows.length)
    texts = None
    about: dict[str, Any] = {"learner": "boosted_trees", "scale": options.scale, "thinned_to": len(lessons.train)}
    if "text" in options.blocks:
        texts = _texts(lessons, options, progress)
        about["text_model"] = dict(texts.model)
    with tempfile.TemporaryDirectory(prefix="encoder-") as name:
        graph, encoder = None, None
        if "embedding" in options.blocks:
            source = Source(options.encoder, options.encoder_steps, options.lora_steps)
            about["encoder"] = prepared_encoder(source, lessons, scale, Path(name), seed=seed, progress=progress)
            graph = Path(name) / GRAPH
            encoder = SeriesEncoder(graph)
        blocks = tuple(b for b in BLOCKS if b in options.blocks)
        recipe = Recipe(lessons.readings.channels, lessons.windows.length, blocks, scale, encoder, texts)
        model = fit_model(
            lessons, recipe, options.trees, folder, seed=seed, about=about, encoder=graph, progress=progress
        )
    return Weights(folder, EATS, "series_trees", facts={**model.about, "blocks": list(blocks)})


def thinned(lessons: SeriesLessons, most: int) -> SeriesLessons:
    """Every so many-th training window, so that at most `most` remain; neighbours say nearly the same."""
    if len(lessons.train) <= most:
        return lessons
    return lessons.take(np.unique(np.linspace(0, len(lessons.train) - 1, most).round().astype(np.int64)))


def _texts(lessons: SeriesLessons, options: Options, progress: Progress) -> Texts:
    if not lessons.texts:
        raise UsageError("the block 'text' needs the units' names from the equipment records; none are given")
    return embed_texts(lessons.texts, model=options.text_model, progress=progress)
