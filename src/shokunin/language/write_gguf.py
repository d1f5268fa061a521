"""Writing a decoder as one GGUF file: tensors, tokenizer and chat template, as other programs read them.

Where the model came from a GGUF file, that file's facts are taken over word for word; else they are made from the
configuration and the tokenizer. Query and key rows go back into the order that GGUF has them in.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from shokunin.errors import BaseModelError
from shokunin.language.chat_template import template_in
from shokunin.language.decoder_names import ARCHITECTURES, PERMUTED, gguf_name, rotary_heads, to_gguf_rows
from shokunin.language.gguf_tokens import tokenizer_facts

FileType = Literal["q8_0", "f16"]
_DROPPED = ("GGUF.", "general.architecture", "general.file_type", "general.quantization_version", "general.sampling")


def write_gguf(
    place: Path,
    tensors: Mapping[str, npt.NDArray[np.float32]],
    folder: Path,
    *,
    file_type: FileType,
    original: Path | None = None,
    licence: str | None = None,
    end: int | None = None,
    told: Callable[[int], None] = lambda done: None,
) -> None:
    """Write the tensors (by their names in the checkpoint) to `place`, which appears whole or not at all.

    Args:
        place: the new file.
        tensors: float32, every tensor of the model; each is asked for once.
        folder: configuration, tokenizer and chat template of the model.
        file_type: how matrices are stored; norms and biases are float32 always.
        original: the GGUF file whose facts are kept, if the model came from one.
        licence: of the weights, where it is stated.
        end: the token with which the chat template ends an answer, where that is known and there is no `original`.
        told: after each tensor, how many are ready.

    Raises:
        BaseModelError: a tensor or the tokenizer is of a kind that cannot be written.
    """
    from gguf import GGUFWriter, LlamaFileType

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    architecture = ARCHITECTURES[config["model_type"]]
    strange = next((name for name in tensors if gguf_name(name) is None), None)
    if strange is not None:
        raise BaseModelError(
            f"the tensor {strange!r} in {folder.name!r} has no name in GGUF; take away files of weights that are not of this "
            "model, such as an adapter or a second copy in another layout"
        )
    facts = None if original is not None else model_facts(config, folder, architecture, licence)
    if facts is not None and end is not None and end != facts["tokenizer.ggml.eos_token_id"]:
        facts["tokenizer.ggml.eot_token_id"] = end
    half = place.with_name(f".{place.name}.part")
    writer = GGUFWriter(half, architecture)
    try:
        if original is not None:
            _copy_facts(writer, original)
        else:
            _write_facts(writer, facts or {})
        writer.add_file_type(LlamaFileType.MOSTLY_Q8_0 if file_type == "q8_0" else LlamaFileType.MOSTLY_F16)
        writer.add_quantization_version(2)
        for done, (name, tensor) in enumerate(tensors.items(), 1):
            _add(writer, str(gguf_name(name)), _ordered(name, tensor, config, architecture), file_type)
            told(done)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        with half.open("rb") as file:
            os.fsync(file.fileno())
        half.replace(place)
    finally:
        writer.close()
        half.unlink(missing_ok=True)


def why_not_gguf(folder: Path) -> str | None:
    """Why the model of a safetensors folder cannot be written as GGUF; None when it can."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if config.get("model_type") not in ARCHITECTURES:
        return f"its architecture is {config.get('model_type')!r}, not one of {', '.join(ARCHITECTURES)}"
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind != "default":
        return f"its rotary positions are scaled ({kind})"
    if config.get("hidden_act", "silu") not in ("silu", "swish"):
        return f"its activation is {config['hidden_act']!r}, not 'silu'"
    if config.get("sliding_window") and config.get("use_sliding_window", config["model_type"] == "mistral"):
        return f"its attention slides over {config['sliding_window']} tokens"
    if config.get("mlp_bias"):
        return "its inner layers have biases"
    if config.get("quantization_config"):
        return "its numbers are packed ('quantization_config' in config.json); take the model that is not quantised"
    try:
        tokenizer_facts((folder / "tokenizer.json").read_text(encoding="utf-8"), int(config["vocab_size"]), folder.name)
    except BaseModelError as error:
        return str(error)
    return None


def model_facts(config: Mapping[str, Any], folder: Path, architecture: str, licence: str | None) -> dict[str, Any]:
    """The facts of a GGUF file for a model that is a safetensors folder; whole numbers are unsigned in GGUF.

    Raises:
        BaseModelError: the tokenizer cannot be written, or no end is known.
    """
    heads = int(config["num_attention_heads"])
    width = int(config.get("head_dim") or config["hidden_size"] // heads)
    rope = config.get("rope_parameters") or {}
    own: dict[str, Any] = {
        "block_count": int(config["num_hidden_layers"]),
        "context_length": int(config["max_position_embeddings"]),
        "embedding_length": int(config["hidden_size"]),
        "feed_forward_length": int(config["intermediate_size"]),
        "attention.head_count": heads,
        "attention.head_count_kv": int(config.get("num_key_value_heads") or heads),
        "attention.key_length": width,
        "attention.value_length": width,
        "attention.layer_norm_rms_epsilon": float(config["rms_norm_eps"]),
        "rope.freq_base": float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0),
        "rope.dimension_count": width,
        "vocab_size": int(config["vocab_size"]),
    }
    tokenizer = tokenizer_facts((folder / "tokenizer.json").read_text(encoding="utf-8"), own["vocab_size"], folder.name)
    said = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    number_of = {token: number for number, token in enumerate(tokenizer["tokenizer.ggml.tokens"])}
    for ours, theirs in (("bos", "bos"), ("eos", "eos"), ("pad", "padding")):
        token = said.get(f"{ours}_token")
        token = token.get("content") if isinstance(token, dict) else token
        if token in number_of:
            tokenizer[f"tokenizer.ggml.{theirs}_token_id"] = number_of[token]
    if "tokenizer.ggml.eos_token_id" not in tokenizer:
        raise BaseModelError(
            f"the tokenizer of {folder.name!r} names no eos_token; nobody would know where answers end"
        )
    text = template_in(folder)
    return {
        "general.type": "model",
        "general.name": folder.name,
        **({"general.license": licence} if licence else {}),
        **{f"{architecture}.{key}": value for key, value in own.items()},
        **tokenizer,
        "tokenizer.ggml.add_bos_token": bool(said.get("add_bos_token", False)),
        **({"tokenizer.chat_template": text} if text else {}),
    }


def _ordered(
    name: str, tensor: npt.NDArray[np.float32], config: Mapping[str, Any], architecture: str
) -> npt.NDArray[np.float32]:
    heads = rotary_heads(name, config)
    return to_gguf_rows(tensor, heads) if heads is not None and architecture in PERMUTED else tensor


def _add(writer: Any, name: str, tensor: npt.NDArray[np.float32], file_type: FileType) -> None:
    from gguf import GGMLQuantizationType, quants

    tensor = np.ascontiguousarray(tensor, np.float32)
    if tensor.ndim < 2:
        writer.add_tensor(name, tensor)
    elif file_type == "q8_0" and tensor.shape[-1] % 32 == 0:
        kind = GGMLQuantizationType.Q8_0
        writer.add_tensor(name, quants.quantize(tensor, kind), raw_dtype=kind)
    else:
        writer.add_tensor(name, tensor.astype(np.float16))


def _copy_facts(writer: Any, original: Path) -> None:
    from gguf import GGUFReader, GGUFValueType

    for key, field in GGUFReader(original).fields.items():
        if key.startswith(_DROPPED):
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(key, field.contents(), kind, sub_type=inner)


def _write_facts(writer: Any, facts: Mapping[str, Any]) -> None:
    from gguf import GGUFValueType

    for key, value in facts.items():
        if isinstance(value, list):
            writer.add_array(key, value)
        else:
            writer.add_key_value(key, value, _kind_of(value, GGUFValueType))


def _kind_of(value: Any, kinds: Any) -> Any:
    if isinstance(value, bool):
        return kinds.BOOL
    if isinstance(value, int):
        return kinds.UINT32
    return kinds.FLOAT32 if isinstance(value, float) else kinds.STRING
