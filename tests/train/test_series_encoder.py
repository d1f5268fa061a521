"""The time-series encoder: taught here it foresees better, adapters bend it, and its source is written down."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from series.fleets import fleet
from shokunin.errors import BaseModelError
from shokunin.progress import silent
from shokunin.series.embedding import GRAPH, SeriesEncoder
from shokunin.series.labels import from_failures
from shokunin.series.lessons import SeriesLessons
from shokunin.series.mixer import MixerShape, random_mixer, read_mixer
from shokunin.series.scaling import fit_scale
from shokunin.series.split import by_time
from shokunin.series.windows import windows_of
from shokunin.train.series_encoder import Source, prepared_encoder

CHECKPOINT = Path(__file__).parent.parent / "series" / "checkpoints" / "plain"


@pytest.fixture(scope="module")
def lessons() -> SeriesLessons:
    rng = np.random.default_rng(0)
    histories, failures = {}, {}
    for u in range(4):
        x = np.sin(np.arange(400) / 3 + u) + 0.05 * rng.normal(size=400)
        failures[f"u{u}"] = list(range(30, 400, 50))
        for f in failures[f"u{u}"]:
            x[f - 12 : f] += rng.normal(size=12)
        histories[f"u{u}"] = x
    readings = fleet(histories)
    windows = windows_of(readings, 26)
    labels = from_failures(readings, windows, failures, [8])
    split = by_time(readings, windows, 8)
    return SeriesLessons(readings, windows, labels, (8,), "within", split.train, split.validation, split.known)


def test_random_weights_are_called_random_and_need_no_torch(lessons: SeriesLessons, tmp_path: Path) -> None:
    scale = fit_scale(lessons.readings, lessons.known, least=26)
    facts = prepared_encoder(Source("random"), lessons, scale, tmp_path, seed=3, progress=silent)
    assert facts["source"] == "random" and "pretraining" not in facts and "lora" not in facts
    _, tensors = read_mixer(tmp_path)
    expected = random_mixer(MixerShape(context=26), 3)
    assert all(np.array_equal(tensors[k], expected[k]) for k in expected)
    assert SeriesEncoder(tmp_path / GRAPH).length == 26


def test_a_checkpoint_is_used_as_it_is_where_nothing_is_to_be_adapted(lessons: SeriesLessons, tmp_path: Path) -> None:
    scale = fit_scale(lessons.readings, lessons.known, least=26)
    facts = prepared_encoder(Source(str(CHECKPOINT), 400, 0), lessons, scale, tmp_path, seed=0, progress=silent)
    assert facts["source"] == "plain" and facts["width"] == 8
    before, after = read_mixer(CHECKPOINT)[1], read_mixer(tmp_path)[1]
    assert all(np.array_equal(before[k], after[k]) for k in before)


def test_a_checkpoint_that_is_nowhere_is_an_error(lessons: SeriesLessons, tmp_path: Path) -> None:
    scale = fit_scale(lessons.readings, lessons.known, least=26)
    for name in ("no/such/folder/here", "hf:some-org/some-encoder"):
        with pytest.raises(BaseModelError, match="folder"):
            prepared_encoder(Source(name), lessons, scale, tmp_path, seed=0, progress=silent)


@pytest.mark.slow
@pytest.mark.torch
def test_teaching_lowers_the_loss_and_adapters_are_merged(lessons: SeriesLessons, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from shokunin.train.mixer_fitting import TeachingOptions, adapt, pretrain

    scale = fit_scale(lessons.readings, lessons.known, least=26)
    shape = MixerShape(context=26, width=16, layers=2)
    start = random_mixer(shape, 0)
    options = TeachingOptions(
        steps=60, batch=64, ahead=6, lora_steps=40, every=10, learning_rate=5e-3, lora_learning_rate=5e-3
    )
    taught = pretrain(lessons, scale, shape, start, options, seed=0, progress=silent)
    assert taught.facts["loss_last"] < 0.8 * taught.facts["loss_first"]
    # No window that training uses is followed by readings beyond the training period.
    assert 0 < taught.facts["windows"] < len(lessons.train) + 1
    bent = adapt(lessons, scale, shape, taught.tensors, options, seed=0, progress=silent)
    assert min(bent.facts["validation_loss"]) < bent.facts["validation_loss"][0]
    changed = {k for k in start if not np.array_equal(taught.tensors[k], bent.tensors[k])}
    assert changed and all(k.endswith(".weight") and "norm" not in k for k in changed)
    again = adapt(lessons, scale, shape, taught.tensors, options, seed=0, progress=silent)
    assert all(np.allclose(bent.tensors[k], again.tensors[k], atol=1e-5) for k in start)


@pytest.mark.torch
def test_the_own_encoder_is_taught_and_served_without_torch(lessons: SeriesLessons, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    scale = fit_scale(lessons.readings, lessons.known, least=26)
    facts = prepared_encoder(Source("own", 10, 10), lessons, scale, tmp_path, seed=0, progress=silent)
    assert facts["source"] == "own" and facts["pretraining"] == "next readings" and facts["lora"]["r"] == 8
    x = np.random.default_rng(0).normal(size=(5, 26)).astype(np.float32)
    assert SeriesEncoder(tmp_path / GRAPH).embed(x).shape == (5, 64)
