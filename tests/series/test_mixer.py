"""The encoder gives what the family's own library gives for the same weights.

The checkpoints were made with granite-tsfm 0.3.11 (tiny sizes, weights drawn at random), and so were their hidden
states: one plain, one with levels and a leading resolution token.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from shokunin.errors import ArtefactError, BaseModelError
from shokunin.series.embedding import SeriesEncoder
from shokunin.series.mixer import MixerShape, about, random_mixer, read_mixer, save_mixer
from shokunin.series.mixer_graph import write_graph

CHECKPOINTS = Path(__file__).parent / "checkpoints"


@pytest.mark.parametrize("name", ["plain", "levels"])
def test_the_graph_agrees_with_the_familys_library(name: str, tmp_path: Path) -> None:
    shape, tensors = read_mixer(CHECKPOINTS / name)
    expected = load_file(CHECKPOINTS / name / "expected.safetensors")
    write_graph(shape, tensors, shape.context, tmp_path / "encoder.onnx")
    got = SeriesEncoder(tmp_path / "encoder.onnx", threads=1).embed(expected["windows"])
    assert np.abs(got - expected["hidden"].mean(axis=1)).max() < 1e-5


@pytest.mark.torch
@pytest.mark.parametrize("name", ["plain", "levels"])
def test_the_module_for_training_agrees_with_the_familys_library(name: str) -> None:
    torch = pytest.importorskip("torch")
    from shokunin.train.torch_mixer import TorchMixer

    shape, tensors = read_mixer(CHECKPOINTS / name)
    expected = load_file(CHECKPOINTS / name / "expected.safetensors")
    module = TorchMixer(shape, tensors).eval()
    with torch.no_grad():
        got = module(torch.from_numpy(expected["windows"])).numpy()
    assert np.abs(got - expected["hidden"]).max() < 1e-5
    assert all(np.array_equal(value, tensors[key]) for key, value in module.tensors().items())


def test_the_papers_encoder_has_11_patches_and_64_numbers() -> None:
    facts = about(MixerShape())
    # Together with the family's decoder and head these are the 103,934 of the paper's encoder before its adapters.
    assert (facts["patches"], facts["width"], facts["parameters"]) == (11, 64, 87_140)


@pytest.mark.parametrize("length", [40, 90, 120])
def test_a_window_of_another_length_counts_from_its_end(length: int, tmp_path: Path) -> None:
    shape = MixerShape(context=90, width=16, layers=1)
    write_graph(shape, random_mixer(shape, 0), length, tmp_path / "encoder.onnx")
    encoder = SeriesEncoder(tmp_path / "encoder.onnx", threads=1)
    x = np.random.default_rng(0).normal(size=(700, length)).astype(np.float32)
    together = encoder.embed(x)
    assert together.shape == (700, 16) and np.abs(together[650] - encoder.embed(x[650:651])[0]).max() < 1e-5
    flat = encoder.embed(np.full((1, length), 3.0, np.float32))
    assert np.isfinite(flat).all() and np.isfinite(encoder.embed(np.full((1, length), np.nan, np.float32))).all()
    with pytest.raises(ValueError, match="this encoder reads"):
        encoder.embed(x[:, 1:])


def test_what_is_saved_is_read_and_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    shape = MixerShape(context=24, width=16, layers=1, levels=2, resolutions=3)
    tensors = random_mixer(shape, 7)
    save_mixer(tmp_path, shape, tensors)
    again, read = read_mixer(tmp_path)
    assert again == shape and all(np.array_equal(read[k], v) for k, v in random_mixer(shape, 7).items())
    assert any(not np.array_equal(read[k], v) for k, v in random_mixer(shape, 8).items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "mix_channel"}, "mode = 'mix_channel'"),
        ({"multi_scale": True}, "multi_scale"),
        ({"self_attn": True}, "self_attn"),
        ({"model_type": "patchtst"}, "expected 'tinytimemixer'"),
        ({"d_model": 12}, "expected \\(12, 8\\)"),
        ({"context_length": 4}, "are not read"),
        ({"d_model": "64"}, "sizes that cannot be"),
        ({"num_layers": 99_999}, "more than|missing"),
    ],
)
def test_what_is_not_understood_is_refused(change: dict[str, object], message: str, tmp_path: Path) -> None:
    folder = shutil.copytree(CHECKPOINTS / "plain", tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(BaseModelError, match=message):
        read_mixer(folder)


def test_damaged_files_are_errors(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="no time-series encoder"):
        read_mixer(tmp_path)
    (tmp_path / "encoder.onnx").write_bytes(b"not a graph")
    with pytest.raises(ArtefactError, match="no encoder of windows"):
        SeriesEncoder(tmp_path / "encoder.onnx")
