"""Exports: what other programs get has the numbers of the specialist's file, and impossible ones are told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from shokunin.errors import UsageError
from shokunin.language.export import export_model
from shokunin.language.write_gguf import write_gguf
from shokunin.weights import Weights
from tiny_decoder import tiny_decoder

pytest.importorskip("gguf")
pytest.importorskip("transformers")


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    monkeypatch.setenv("SHOKUNIN_CACHE", str(tmp_path / "cache"))
    base = tiny_decoder(tmp_path / "base")
    folder = tmp_path / "weights"
    (folder / "adapter").mkdir(parents=True)
    write_gguf(folder / "model.gguf", load_file(base / "model.safetensors"), base, file_type="q8_0")
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps({"r": 4}), encoding="utf-8")
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"numbers")
    facts = {"base": {"name": "pkg:tiny", "source": "a package", "sha256": "0" * 64, "licence": "apache-2.0"}}
    return Weights(folder, "conversation", "gguf", exact=False, facts=facts)


def test_safetensors_open_with_transformers(tmp_path: Path, weights: Weights) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = tmp_path / "out"
    export_model(weights, out, "safetensors", "sql")
    original = load_file(tmp_path / "base" / "model.safetensors")
    for name, tensor in load_file(out / "model.safetensors").items():
        assert np.allclose(tensor.astype(np.float32), original[name], atol=np.abs(original[name]).max() / 100), name
    assert AutoModelForCausalLM.from_pretrained(out, dtype="auto").config.model_type == "llama"
    assert AutoTokenizer.from_pretrained(out).chat_template
    assert "vllm serve" in (out / "RUN.md").read_text(encoding="utf-8")


def test_gguf_is_the_file_itself_with_a_modelfile(tmp_path: Path, weights: Weights) -> None:
    export_model(weights, tmp_path / "out", "gguf", "sql")
    assert (tmp_path / "out" / "model.gguf").read_bytes() == (weights.folder / "model.gguf").read_bytes()
    assert "<|im_end|>" in (tmp_path / "out" / "Modelfile").read_text(encoding="utf-8")
    assert "ollama create sql" in (tmp_path / "out" / "RUN.md").read_text(encoding="utf-8")


def test_the_adapter_names_its_base(tmp_path: Path, weights: Weights) -> None:
    export_model(weights, tmp_path / "out", "peft", "sql")
    note = (tmp_path / "out" / "RUN.md").read_text(encoding="utf-8")
    assert "pkg:tiny" in note and "--max-lora-rank 4" in note
    assert (tmp_path / "out" / "adapter_model.safetensors").read_bytes() == b"numbers"


def test_openvino_is_a_folder_that_the_engine_opens(tmp_path: Path, weights: Weights) -> None:
    pytest.importorskip("openvino_genai")
    from shokunin.engines import language_model
    from shokunin.forms import Conversation

    export_model(weights, tmp_path / "out", "openvino", "sql")
    asked = [Conversation(({"role": "user", "content": "sky"},), longest=5)]
    one = language_model.load(Weights(tmp_path / "out", "conversation", "openvino_text")).run(asked)[0]
    assert one == language_model.load(weights).run(asked)[0]


@pytest.mark.parametrize("format", ["safetensors", "gguf", "openvino"])
def test_an_adapter_alone_is_no_model(tmp_path: Path, weights: Weights, format: str) -> None:
    alone = Weights(weights.folder / "adapter", "conversation", "gguf_adapter", facts=weights.facts)
    with pytest.raises(UsageError, match="export it as peft"):
        export_model(alone, tmp_path / "out", format, "sql")
    assert not (tmp_path / "out").exists()
    export_model(alone, tmp_path / "out", "peft", "sql")


@pytest.mark.parametrize("format", ["safetensors", "gguf", "openvino", "peft"])
def test_what_is_no_language_model_is_told(tmp_path: Path, weights: Weights, format: str) -> None:
    other = Weights(tmp_path / "base", "labelled_text", "onnx_text")
    with pytest.raises(UsageError, match="onnx_text"):
        export_model(other, tmp_path / "out", format, "inquiries")
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(tmp_path: Path, weights: Weights) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        export_model(weights, tmp_path / "out", "gguf", "sql")
    with pytest.raises(UsageError, match="unknown format 'onnx'"):
        export_model(weights, tmp_path / "new", "onnx", "sql")
