"""The written graph against the reference implementation, above all on padded batches of mixed lengths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from shokunin.encoders.architecture import FAMILIES
from shokunin.encoders.graph import write_encoder
from shokunin.encoders.onnx_text import OnnxText
from shokunin.encoders.text_runner import TextRunner, padded
from shokunin.encoders.tiny_model import write_tiny_model
from shokunin.errors import BaseModelError

TEXTS = ["hi", "where is my parcel? i ordered it", "a", "card 12", "", "かーど を なくし ました", "x y z w v u t s r q"]


def about(width: int, pad_id: int = 0, max_length: int = 48) -> OnnxText:
    return OnnxText(max_length, pad_id, width, False, "mean", "float32", {})


def tiny(folder: Path, model_type: str, **options: int) -> Path:
    folder.mkdir(exist_ok=True)
    write_tiny_model(folder, model_type=model_type, **options)
    return folder


def ids_of(folder: Path, pad_id: int) -> list[list[int]]:
    write_encoder(folder, folder / "model.onnx")
    return TextRunner(folder, about(32, pad_id)).tokenise(TEXTS)


def run(path: Path, ids: list[list[int]], pad_id: int) -> np.ndarray:
    input_ids, mask = padded(ids, pad_id)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"input_ids": input_ids, "attention_mask": mask})[0]


@pytest.mark.torch
@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_padded_batch_matches_the_reference(model_type: str, pooling: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = tiny(tmp_path / "base", model_type, seed=3)
    pad_id = 1 if FAMILIES[model_type].positions == "from_padding" else 0
    ids = ids_of(folder, pad_id)
    assert len({len(i) for i in ids}) > 3, "the batch must hold padding"
    write_encoder(folder, folder / "model.onnx", pooling=pooling)  # type: ignore[arg-type]
    input_ids, mask = (torch.tensor(a) for a in padded(ids, pad_id))
    model, loading = transformers.AutoModel.from_pretrained(folder, output_loading_info=True)
    assert not [k for k in loading["missing_keys"] if "pooler" not in k]
    with torch.inference_mode():
        hidden = model.eval()(input_ids=input_ids, attention_mask=mask).last_hidden_state
    weights = mask[..., None]
    pooled = hidden[:, 0] if pooling == "cls" else (hidden * weights).sum(1) / weights.sum(1)
    expected = torch.nn.functional.normalize(pooled, dim=1).numpy()
    given = run(folder / "model.onnx", ids, pad_id)
    assert np.abs(given - expected).max() < 1e-4
    assert (given * expected).sum(1).min() > 0.9999


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_a_row_does_not_depend_on_padding_or_neighbours(model_type: str, tmp_path: Path) -> None:
    folder = tiny(tmp_path / "base", model_type)
    pad_id = 1 if FAMILIES[model_type].positions == "from_padding" else 0
    ids = ids_of(folder, pad_id)
    together = run(folder / "model.onnx", ids, pad_id)
    alone = np.concatenate([run(folder / "model.onnx", [i], pad_id) for i in ids])
    assert np.abs(together - alone).max() < 1e-5
    assert np.linalg.norm(together[0] - together[1]) > 0.05, "different texts must differ, or this test says nothing"


def test_the_mask_matters(tmp_path: Path) -> None:
    folder = tiny(tmp_path / "base", "bert")
    input_ids, mask = padded(ids_of(folder, 0), 0)
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    masked, blind = (
        session.run(None, {"input_ids": input_ids, "attention_mask": m})[0] for m in (mask, np.ones_like(mask))
    )
    assert np.abs(masked - blind).max() > 0.01


def test_a_head_gives_log_probabilities(tmp_path: Path) -> None:
    folder = tiny(tmp_path / "base", "bert")
    ids = ids_of(folder, 0)
    embedding = run(folder / "model.onnx", ids, 0)
    random = np.random.default_rng(0)
    weight, bias = random.standard_normal((3, 32)).astype(np.float32), random.standard_normal(3).astype(np.float32)
    write_encoder(folder, folder / "head.onnx", head=(weight, bias))
    given = run(folder / "head.onnx", ids, 0)
    scores = embedding @ weight.T + bias
    expected = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    assert np.abs(given - expected).max() < 1e-5


def test_a_head_of_the_wrong_size_is_refused(tmp_path: Path) -> None:
    folder = tiny(tmp_path / "base", "bert")
    with pytest.raises(ValueError, match="does not fit"):
        write_encoder(folder, folder / "x.onnx", head=(np.zeros((3, 31), np.float32), np.zeros(3, np.float32)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ('"model_type": "bert"|"model_type": "t5"', "'t5'.*take one of type"),
        ('"hidden_act": "gelu"|"hidden_act": "swish"', "'swish'"),
        ('"hidden_size": 32|"hidden_size": "wide"', "lacks or garbles"),
        ('"hidden_size": 32|"hidden_size": 64', "does not fit config.json"),
        ('"num_hidden_layers": 2|"num_hidden_layers": 3', "not a whole 'bert' encoder"),
        ('"pad_token_id": 0|"position_embedding_type": "relative_key"', "only 'absolute' is known"),
        ("{|", "not readable JSON"),
    ],
)
def test_a_folder_that_is_no_known_encoder_is_refused(change: str, said: str, tmp_path: Path) -> None:
    folder = tiny(tmp_path / "base", "bert")
    before, after = change.split("|")
    text = (folder / "config.json").read_text()
    assert before in text
    (folder / "config.json").write_text(text.replace(before, after, 1))
    with pytest.raises(BaseModelError, match=said):
        write_encoder(folder, folder / "x.onnx")
    assert not (folder / "x.onnx").exists()


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    folder = tiny(tmp_path / "base", "bert")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BaseModelError, match="not a readable safetensors file"):
        write_encoder(folder, folder / "x.onnx")
