"""A GGUF file of which one fact or tensor after the other is taken away or damaged: it is read, or refused with the reason."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import load_file
from test_gguf_header import text

from shokunin.errors import BaseModelError
from shokunin.files import sha256_of
from shokunin.language.chat_tokens import ChatTokens
from shokunin.language.decoder_folder import decoder_folder
from shokunin.language.gguf_header import read_header
from shokunin.language.write_gguf import write_gguf
from tiny_decoder import tiny_decoder

pytest.importorskip("gguf")
pytest.importorskip("transformers")

Tensors = dict[str, npt.NDArray[np.float32]]
ODD: tuple[Any, ...] = (0, -1, 7, 900, 1 << 40, 2.5, float("nan"), True, "", "x", (), (1,), ("x",), (0.5, 0.5))


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOKUNIN_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module", params=["llama", "qwen3"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Tensors]:
    """Facts and tensors of a tiny model, as its GGUF file has them."""
    place = tmp_path_factory.mktemp("whole")
    folder = tiny_decoder(place / "tiny", request.param, width=32)
    write_gguf(place / "a.gguf", load_file(folder / "model.safetensors"), folder, file_type="f16")
    header, reader = read_header(place / "a.gguf"), pytest.importorskip("gguf").GGUFReader(place / "a.gguf")
    tensors = {t.name: np.asarray(t.data, np.float32).reshape(header.tensors[t.name][::-1]) for t in reader.tensors}
    return dict(header.facts), tensors


def packed(facts: Mapping[str, Any], tensors: Tensors) -> bytes:
    """A GGUF file with these facts, of whatever kind they are; its matrices are float16, the others float32."""
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(facts))
    head += b"".join(text(key) + _value(value) for key, value in facts.items())
    body = b""
    for name, tensor in tensors.items():
        kind = int(tensor.ndim == 2)
        numbers = tensor.astype(np.float16 if kind else np.float32).tobytes()
        head += text(name) + struct.pack(f"<I{tensor.ndim}QIQ", tensor.ndim, *tensor.shape[::-1], kind, len(body))
        body += numbers + b"\0" * (-len(numbers) % 32)
    return head + b"\0" * (-len(head) % 32) + body


def _value(value: Any) -> bytes:
    if isinstance(value, tuple):
        if value and isinstance(value[0], str):
            return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))
        code, kind = ("f", 6) if value and isinstance(value[0], float) else ("i", 5)
        return struct.pack(f"<IIQ{len(value)}{code}", 9, kind, len(value), *value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + text(value)
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if value < 0:
        return struct.pack("<Ii", 5, value)
    return struct.pack("<IQ", 10, value) if value >= 1 << 32 else struct.pack("<II", 4, value)


def problem(place: Path, facts: Mapping[str, Any], tensors: Tensors) -> str | None:
    """Why a base with these facts and tensors cannot be trained on; None: its folder and tokenizer were made. Nothing else."""
    file = place / "damaged.gguf"
    file.write_bytes(packed(facts, tensors))
    try:
        ChatTokens(decoder_folder(file, sha256_of(file)), file.name)
    except BaseModelError as error:
        assert "\n" not in str(error).strip() and len(str(error)) > 40, error
        return str(error)
    return None


def damages(facts: Mapping[str, Any], odds: tuple[Any, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every fact taken away, and made something else that it cannot be, or that it can."""
    for key, value in facts.items():
        yield key, {k: v for k, v in facts.items() if k != key}
        for odd in odds:
            yield key, {**facts, key: odd}
        if isinstance(value, tuple):
            for other in (
                value[:-1],
                (*value, value[0]),
                (*value[:-1], value[0] if value[0] != value[-1] else value[1]),
            ):
                yield key, {**facts, key: other}


def test_the_whole_file_is_read(tmp_path: Path, whole: tuple[dict[str, Any], Tensors]) -> None:
    assert problem(tmp_path, *whole) is None


def test_a_mixture_of_experts_is_called_one(tmp_path: Path, whole: tuple[dict[str, Any], Tensors]) -> None:
    facts, tensors = whole
    experts = {**facts, f"{facts['general.architecture']}.expert_count": 8}
    assert "is a mixture of experts" in (problem(tmp_path, experts, tensors) or "")


@pytest.mark.parametrize("odds", [(-1, "x"), pytest.param(ODD, marks=pytest.mark.slow)])
def test_every_damaged_fact_is_read_or_refused(
    tmp_path: Path, whole: tuple[dict[str, Any], Tensors], odds: tuple[Any, ...]
) -> None:
    facts, tensors = whole
    refused = {key for key, damaged in damages(facts, odds) if problem(tmp_path, damaged, tensors) is not None}
    harmless = {"general.type", "general.name", "general.file_type", "general.quantization_version", "general.license"}
    assert refused >= {
        key for key in facts if key.startswith("tokenizer.ggml") and "add_" not in key and "padding" not in key
    }
    assert not refused & harmless


def test_every_missing_or_misshapen_tensor_is_refused_by_name(
    tmp_path: Path, whole: tuple[dict[str, Any], Tensors]
) -> None:
    facts, tensors = whole
    for name, tensor in tensors.items():
        without = {k: v for k, v in tensors.items() if k != name}
        assert name in (problem(tmp_path, facts, without) or ""), name
        assert name in (problem(tmp_path, facts, {**tensors, name: tensor[:-1]}) or ""), name


@pytest.mark.parametrize(
    ("gone", "why"),
    [
        ("tokenizer.ggml.token_type", "expected a list of 320 numbers"),
        ("tokenizer.ggml.merges", "'tokenizer.ggml.merges' is missing"),
        ("tokenizer.ggml.model", "'tokenizer.ggml.model' is missing"),
        ("attention.head_count", "attention.head_count' (missing; expected a whole number"),
        ("feed_forward_length", "feed_forward_length"),
        ("attention.layer_norm_rms_epsilon", "attention.layer_norm_rms_epsilon' (it says None; expected a number"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, whole: tuple[dict[str, Any], Tensors], gone: str, why: str) -> None:
    facts, tensors = whole
    said = problem(tmp_path, {k: v for k, v in facts.items() if not k.endswith(gone)}, tensors)
    assert said is not None and why in said and "damaged.gguf" in said


@pytest.mark.slow
def test_the_engine_is_never_asked_in_vain(tmp_path: Path, whole: tuple[dict[str, Any], Tensors]) -> None:
    pytest.importorskip("openvino_genai")
    from shokunin.language.base_models import resolve
    from shokunin.language.prepared import prepare

    facts, tensors = whole
    odd = [(None, facts)] + [(key, {k: v for k, v in facts.items() if k != key}) for key in facts]
    odd += [(key, {**facts, key: "x"}) for key in facts]
    odd += [("a merge", {**facts, "tokenizer.ggml.merges": (*facts["tokenizer.ggml.merges"], "nowhere")})]
    file = tmp_path / "damaged.gguf"
    for what, damaged in odd:
        file.write_bytes(packed(damaged, tensors))
        try:
            assert prepare(resolve(str(file))).context > 0
        except BaseModelError as error:
            assert what is not None and "damaged.gguf" in str(error)


def test_training_says_what_is_wrong_with_the_file_before_any_work(
    tmp_path: Path, whole: tuple[dict[str, Any], Tensors]
) -> None:
    from shokunin.pipeline.bases import families

    facts, tensors = whole
    file = tmp_path / "damaged.gguf"
    file.write_bytes(packed({k: v for k, v in facts.items() if "token_type" not in k}, tensors))
    with pytest.raises(BaseModelError, match=r"'damaged.gguf' .*'tokenizer.ggml.token_type' is missing"):
        families([str(file)])
