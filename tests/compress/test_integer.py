from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from shokunin.compress.integer import Options, shrink
from shokunin.encoders.architecture import FAMILIES
from shokunin.encoders.base_models import DEFAULT_ENCODER, resolve
from shokunin.encoders.graph import write_encoder
from shokunin.encoders.onnx_text import OnnxText, copy_tokenizer, read_about, write_about
from shokunin.encoders.tiny_model import write_tiny_model
from shokunin.engines.onnx import load
from shokunin.errors import ArtefactError, UsageError
from shokunin.forms import TextLessons
from shokunin.weights import Weights

TEXTS = tuple(
    f"{a} {b}" for a in ("where is", "lost", "i want a new", "ok") for b in ("my card", "pin 12", "x", "ほん")
)
LESSONS = TextLessons(TEXTS, np.zeros(len(TEXTS), np.int64), ("a",), np.arange(len(TEXTS)))


def parent(tmp_path: Path, model_type: str = "bert", k: int = 4, base: Path | None = None) -> Weights:
    folder = tmp_path / f"parent-{model_type}"
    folder.mkdir()
    if base is None:
        base = tmp_path / f"base-{model_type}"
        base.mkdir()
        write_tiny_model(base, model_type=model_type, width=64)
    width = 64 if base.name.startswith("base") else 384
    head = np.random.default_rng(0).standard_normal((k, width)).astype(np.float32) * 3, np.zeros(k, np.float32)
    write_encoder(base, folder / "model.onnx", head=head)
    copy_tokenizer(base, folder)
    pad = 1 if FAMILIES[model_type].positions == "from_padding" else 0
    write_about(folder, OnnxText(24, pad, k, False, "mean", "float32", {}))
    return Weights(folder, "labelled_text", "onnx_text", facts={"learner": "test"})


def child(weights: Weights, tmp_path: Path, name: str = "child", **options: bool | float) -> Weights:
    (tmp_path / name).mkdir()
    return shrink(weights, LESSONS, Options(**options), tmp_path / name)


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_every_family_answers_nearly_as_before(model_type: str, tmp_path: Path) -> None:
    weights = parent(tmp_path, model_type)
    small = child(weights, tmp_path)
    before, after = (np.exp(load(w).run(TEXTS)) for w in (weights, small))
    assert not small.exact
    assert 0 < np.abs(before - after).max() < 0.25
    assert np.abs(before - after).mean() < 0.03


def test_rows_do_not_depend_on_neighbours(tmp_path: Path) -> None:
    session = load(child(parent(tmp_path), tmp_path), threads=2)
    together = session.run([*TEXTS, "a text far longer than every other one in here"])
    alone = np.concatenate([session.run([t]) for t in TEXTS])
    assert (together[: len(TEXTS)] == alone).all()


def test_what_is_recorded(tmp_path: Path) -> None:
    weights = parent(tmp_path)
    small = child(weights, tmp_path)
    about = read_about(small.folder)
    assert (about.precision, about.one_by_one, about.outputs) == ("int8", True, 4)
    assert small.facts["precision"] == "int8"
    assert small.facts["learner"] == "test"
    assert weights.facts == {"learner": "test"}
    assert {p.name for p in small.folder.iterdir()} == {"model.onnx", "tokenizer.json", "onnx_text.json"}


def test_no_large_matrix_stays_float(tmp_path: Path) -> None:
    small = child(parent(tmp_path), tmp_path)
    large = [t for t in onnx.load(str(small.folder / "model.onnx")).graph.initializer if len(t.dims) == 2]
    kept = {t.name for t in large if t.data_type == onnx.TensorProto.FLOAT and min(t.dims) > 1}
    assert kept == {"positions", "head.weight"}


def test_seven_bits_unless_asked_otherwise(tmp_path: Path) -> None:
    weights = parent(tmp_path)
    for name, options, largest in (("a", {}, 64), ("b", {"reduce_range": False}, 127)):
        model = onnx.load(str(child(weights, tmp_path, name, **options).folder / "model.onnx"))
        matrices = [
            onnx.numpy_helper.to_array(t) for t in model.graph.initializer if "layer" in t.name and "int8" in t.name
        ]
        assert max(int(np.abs(m.astype(int)).max()) for m in matrices) == largest


def test_weights_that_cannot_be_shrunk(tmp_path: Path) -> None:
    weights = parent(tmp_path)
    small = child(weights, tmp_path)
    with pytest.raises(UsageError, match="int8 already"):
        child(small, tmp_path, "again")
    with pytest.raises(UsageError, match="not 'linear_text'"):
        child(Weights(weights.folder, "labelled_text", "linear_text"), tmp_path, "other")
    (weights.folder / "model.onnx").write_bytes(b"nonsense")
    with pytest.raises(ArtefactError, match=r"model\.onnx"):
        child(weights, tmp_path, "broken")


def test_the_default_encoder_becomes_a_quarter(tmp_path: Path) -> None:
    weights = parent(tmp_path, k=3, base=resolve(DEFAULT_ENCODER).folder)
    small = child(weights, tmp_path)
    assert small.size_bytes() < 0.28 * weights.size_bytes()
    before, after = (load(w).run(TEXTS) for w in (weights, small))
    assert (before.argmax(1) == after.argmax(1)).mean() > 0.8
    rough = child(weights, tmp_path, "rough", smoothing=0.0)
    errors = [np.abs(load(w).run(TEXTS) - before).mean() for w in (small, rough)]
    assert errors[0] < 0.7 * errors[1], "evening out the activations must pay"


def test_without_lessons_there_is_no_smoothing(tmp_path: Path) -> None:
    weights = parent(tmp_path)
    (tmp_path / "none").mkdir()
    none = shrink(weights, LESSONS.take(np.array([], np.int64)), Options(), tmp_path / "none")
    rough = child(weights, tmp_path, "rough", smoothing=0.0)
    assert (load(none).run(TEXTS) == load(rough).run(TEXTS)).all()
