"""GGUF: what is written is what is read, by us and by the engine; tokenizers go there and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from shokunin.errors import BaseModelError
from shokunin.files import sha256_of
from shokunin.forms import Conversation
from shokunin.language.decoder_folder import decoder_folder
from shokunin.language.decoder_names import LAYER, OUTER, checkpoint_name, from_gguf_rows, gguf_name, to_gguf_rows
from shokunin.language.gguf_header import read_header
from shokunin.language.gguf_tokens import CUTS, cut_of, tokenizer_facts, tokenizer_json
from shokunin.language.write_gguf import why_not_gguf, write_gguf
from shokunin.weights import Weights
from tiny_decoder import tiny_decoder

pytest.importorskip("gguf")
pytest.importorskip("transformers")

FAMILIES = ("llama", "qwen2", "qwen3")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOKUNIN_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tied", [True, False])
def test_a_model_written_and_read_is_the_same(tmp_path: Path, family: str, tied: bool) -> None:
    folder = tiny_decoder(tmp_path / family, family, tied=tied)
    tensors = load_file(folder / "model.safetensors")
    file = tmp_path / "model.gguf"
    write_gguf(file, tensors, folder, file_type="f16", licence="apache-2.0")
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    read = decoder_folder(file, sha256_of(file))
    again = load_file(read / "model.safetensors")
    assert set(again) == set(tensors)
    for name, tensor in tensors.items():
        assert np.allclose(again[name], tensor, rtol=1e-3, atol=1e-6), name
    assert read_header(file).licence == "apache-2.0"
    ours, theirs = (json.loads((f / "config.json").read_text(encoding="utf-8")) for f in (read, folder))
    for key in ("model_type", "hidden_size", "num_key_value_heads", "head_dim", "vocab_size", "eos_token_id"):
        assert ours[key] == theirs[key], key
    one, other = (Tokenizer.from_file(str(f / "tokenizer.json")) for f in (read, folder))
    for text in ("the colour of the sky 12345", "<|im_start|>user\nA?<|im_end|>\n", "  日本 é\n\n"):
        assert one.encode(text).ids == other.encode(text).ids
    # A file made of a file has its facts, and the same numbers again.
    second = tmp_path / "second.gguf"
    write_gguf(second, again, read, file_type="f16", original=file)
    assert read_header(second).facts == read_header(file).facts
    assert sha256_of(second) == sha256_of(file)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_engine_answers_as_the_model_that_was_written(tmp_path: Path, family: str) -> None:
    pytest.importorskip("openvino_genai")
    from shokunin.engines import language_model, transformers_text

    folder = tiny_decoder(tmp_path / family, family, sure=0.4)
    weights = Weights(tmp_path / "weights", "conversation", "gguf")
    weights.folder.mkdir()
    write_gguf(weights.folder / "model.gguf", load_file(folder / "model.safetensors"), folder, file_type="f16")
    asked = [Conversation(({"role": "user", "content": text},), longest=10) for text in ("sky 12", "the river", "a")]
    exact = transformers_text.load(Weights(folder, "conversation", "hf_text")).run(asked)
    served = language_model.load(weights).run(asked)
    for one, other in zip(served, exact, strict=True):
        # Cache and products are rounded otherwise: the first tokens must agree, and how probable they are.
        assert one.tokens_in == other.tokens_in
        assert one.logprobs[0] == pytest.approx(other.logprobs[0], abs=0.05)
        assert one.text[:1] == other.text[:1]


def test_what_cannot_be_written_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tiny_decoder(tmp_path / "odd")
    tensors = load_file(folder / "model.safetensors")
    with pytest.raises(BaseModelError, match="strange"):
        write_gguf(tmp_path / "a.gguf", {**tensors, "strange": tensors["model.norm.weight"]}, folder, file_type="f16")
    said = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    said["pre_tokenizer"] = {"type": "Whitespace"}
    (folder / "tokenizer.json").write_text(json.dumps(said), encoding="utf-8")
    assert "no name for" in (why_not_gguf(folder) or "")
    with pytest.raises(BaseModelError, match="no name for"):
        write_gguf(tmp_path / "a.gguf", tensors, folder, file_type="q8_0")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["odd"]


@pytest.mark.parametrize("cut", list(CUTS))
def test_every_cut_is_found_again(tmp_path: Path, cut: str) -> None:
    folder = tiny_decoder(tmp_path / "any")
    facts = tokenizer_facts((folder / "tokenizer.json").read_text(encoding="utf-8"), 320, "any")
    text = tokenizer_json({**facts, "tokenizer.ggml.pre": cut}, "any")
    assert cut_of(json.loads(text)["pre_tokenizer"]) == cut
    made = Tokenizer.from_str(text)
    for written in ("I'LL be 12345 there\n\n", "  a<|im_end|>"):
        assert made.decode(made.encode(written).ids, skip_special_tokens=False) == written


def test_a_tokenizer_that_gguf_alone_knows_is_refused() -> None:
    with pytest.raises(BaseModelError, match="'llama' with cut 'default'"):
        tokenizer_json({"tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": "default"}, "m")


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 3))
def test_rows_come_back_in_their_order(heads: int, half: int, columns: int) -> None:
    shape = (heads * half * 2, columns) if columns else (heads * half * 2,)
    tensor = np.arange(np.prod(shape)).reshape(shape)
    assert np.array_equal(from_gguf_rows(to_gguf_rows(tensor, heads), heads), tensor)


def test_rotated_pairs_lie_side_by_side() -> None:
    assert to_gguf_rows(np.array([0, 1, 2, 3, 10, 11, 12, 13]), 2).tolist() == [0, 2, 1, 3, 10, 12, 11, 13]


@given(st.sampled_from([*OUTER, *(f"model.layers.7.{part}.weight" for part in LAYER)]))
def test_names_go_there_and_back(name: str) -> None:
    assert checkpoint_name(gguf_name(name) or "") == name


@pytest.mark.parametrize("name", ["", "model.layers.0", "model.layers.0.mlp.gate.weight", "blk.0.ffn_up.weight"])
def test_other_names_have_none(name: str) -> None:
    assert gguf_name(name) is None
