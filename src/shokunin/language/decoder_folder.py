"""A GGUF file as a folder that torch reads: safetensors, configuration, tokenizer, chat template; made once and kept.

The numbers are those of the file, dequantised to float32: a model that was stored in 4 bits does not get its lost bits
back. The folder lies in the cache under the file's digest.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from shokunin.encoders.cache import cache_folder
from shokunin.errors import BaseModelError, MissingExtraError, ProjectError
from shokunin.files import folder_in_making, publish_folder
from shokunin.language.decoder_names import PERMUTED, checkpoint_name, from_gguf_rows, rotary_heads
from shokunin.language.gguf_decoder import MODEL_TYPES, decoder_sizes
from shokunin.language.gguf_header import GgufHeader, read_header
from shokunin.language.gguf_tokens import tokenizer_json

LAYOUT = "decoders-1"
"""Part of the cache's path; another number when what is written changes."""


def decoder_folder(file: Path, sha256: str) -> Path:
    """The folder with the model of the GGUF `file`, whose digest is `sha256`.

    Raises:
        BaseModelError: the file is damaged, or its architecture or tokenizer is none that can be trained here.
    """
    place = cache_folder() / LAYOUT / sha256
    if (place / "config.json").is_file():
        return place
    header = read_header(file)
    config = decoder_config(header, file.name)
    tokenizer = tokenizer_json(header.facts, file.name)
    place.parent.mkdir(parents=True, exist_ok=True)
    with folder_in_making(place.parent) as making:
        _write_tensors(file, config, header.architecture, making / "model.safetensors")
        (making / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
        (making / "tokenizer_config.json").write_text(json.dumps(_tokenizer_config(header), indent=1), encoding="utf-8")
        if header.chat_template:
            (making / "chat_template.jinja").write_text(header.chat_template, encoding="utf-8")
        ends = {"bos_token_id": config["bos_token_id"], "eos_token_id": config["eos_token_id"]}
        (making / "generation_config.json").write_text(json.dumps(ends), encoding="utf-8")
        (making / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
        try:
            publish_folder(making, place)
        except ProjectError:
            if not (place / "config.json").is_file():  # else another process was quicker, with the same content
                raise
    return place


def decoder_config(header: GgufHeader, name: str) -> dict[str, Any]:
    """The `config.json` that a GGUF header means.

    Raises:
        BaseModelError: it means something that no configuration here says.
    """
    architecture, facts = header.architecture, header.facts
    if architecture not in MODEL_TYPES:
        raise BaseModelError(
            f"{name!r} is of the architecture {architecture!r}; training reads {', '.join(MODEL_TYPES)}. "
            "It can be served as it is, or choose another base"
        )
    if "rope_freqs.weight" in header.tensors or facts.get(f"{architecture}.rope.scaling.type", "none") != "none":
        raise BaseModelError(
            f"{name!r} has scaled rotary positions, which are not read from GGUF; give the same model as a folder "
            "with safetensors"
        )

    sizes = decoder_sizes(header, name)

    def number(key: str, default: float | None = None) -> float:
        found = facts.get(f"{architecture}.{key}", default)
        if not isinstance(found, int | float) or isinstance(found, bool) or not 0 < found < math.inf:
            raise BaseModelError(
                f"{name!r} does not state '{architecture}.{key}' (it says {found!r:.40}; expected a number above 0); the file is "
                "damaged or too old: fetch it again, or convert the model again"
            )
        return float(found)

    return {
        "architectures": [f"{MODEL_TYPES[architecture].capitalize()}ForCausalLM"],
        **sizes,
        "rms_norm_eps": float(np.float32(number("attention.layer_norm_rms_epsilon"))),
        "rope_theta": number("rope.freq_base", 10000.0),
        "max_position_embeddings": header.context,
        "hidden_act": "silu",
        "attention_bias": "blk.0.attn_q.bias" in header.tensors and architecture == "llama",
        "bos_token_id": _token_id(header, "bos"),
        "eos_token_id": _token_id(header, "eos"),
        "pad_token_id": _token_id(header, "padding"),
        "torch_dtype": "float32",
    }


def _write_tensors(file: Path, config: Mapping[str, Any], architecture: str, place: Path) -> None:
    try:
        from gguf import GGUFReader
        from gguf.quants import dequantize
    except ModuleNotFoundError as error:
        raise MissingExtraError("gguf", "llm") from error
    out = {}
    try:
        for tensor in GGUFReader(file).tensors:
            name = checkpoint_name(tensor.name)
            if name is None:
                raise BaseModelError(f"{file.name!r} has a tensor {tensor.name!r} that no {architecture} model has")
            values = np.asarray(dequantize(tensor.data, tensor.tensor_type), np.float32)
            values = values.reshape(tuple(int(n) for n in reversed(tensor.shape)))
            heads = rotary_heads(name, config)
            if heads is not None and architecture in PERMUTED:
                values = from_gguf_rows(values, heads)
            out[name] = np.ascontiguousarray(values)
    except (ValueError, KeyError, IndexError, TypeError, NotImplementedError) as error:
        raise BaseModelError(f"{file.name!r} cannot be read: {error}; fetch the file again") from error
    save_file(out, place, metadata={"format": "pt"})


def _tokenizer_config(header: GgufHeader) -> dict[str, Any]:
    tokens = header.facts["tokenizer.ggml.tokens"]
    said = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": header.context}
    for ours, theirs in (("bos", "bos"), ("eos", "eos"), ("pad", "padding")):
        number = _token_id(header, theirs)
        if number is not None:
            said[f"{ours}_token"] = tokens[number]
    return said


def _token_id(header: GgufHeader, which: str) -> int | None:
    """The id of a token with a meaning; None where the file states none, or (of padding, which nothing needs) an idle number."""
    number = header.facts.get(f"tokenizer.ggml.{which}_token_id")
    known = isinstance(number, int) and 0 <= number < len(header.facts["tokenizer.ggml.tokens"])
    return number if known else None
