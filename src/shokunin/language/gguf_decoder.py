"""What the GGUF file of a decoder says of its sizes, checked against the tensors in it before anything is made of them."""

from __future__ import annotations

from typing import Any

from shokunin.errors import BaseModelError
from shokunin.language.decoder_names import checkpoint_name, gguf_name, misfit
from shokunin.language.gguf_header import GgufHeader, is_count

MODEL_TYPES = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
"""Architecture of a GGUF file → `model_type` of a configuration."""


def decoder_sizes(header: GgufHeader, name: str) -> dict[str, Any]:
    """The part of a `config.json` that says how large a decoder is; every tensor is there in that size.

    Args:
        header: of an architecture in `MODEL_TYPES`.
        name: of the file, for messages.

    Raises:
        BaseModelError: a size is not stated, or a tensor is missing or of another shape.
    """

    def count(key: str, default: int | None = None) -> int:
        found = header.facts.get(f"{header.architecture}.{key}", default)
        if not is_count(found):
            raise BaseModelError(
                f"{name!r} does not state '{header.architecture}.{key}' (it says {found!r:.40}; expected one whole number from 1 "
                "on for all layers); the file is damaged or too old: fetch it again, or convert the model again"
            )
        return int(found)

    if is_count(header.facts.get(f"{header.architecture}.expert_count")):
        raise BaseModelError(
            f"{name!r} is a mixture of experts, which is not read from GGUF here; convert it with optimum-cli export openvino, "
            "or choose a dense model"
        )
    heads, width = count("attention.head_count"), count("embedding_length")
    sizes: dict[str, Any] = {
        "model_type": MODEL_TYPES[header.architecture],
        "hidden_size": width,
        "intermediate_size": count("feed_forward_length"),
        "num_hidden_layers": count("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": count("attention.head_count_kv", heads),
        "head_dim": count("attention.key_length", max(1, width // heads)),
        "vocab_size": len(header.facts["tokenizer.ggml.tokens"]),
        "tie_word_embeddings": "output.weight" not in header.tensors,
    }
    if heads % sizes["num_key_value_heads"] or sizes["head_dim"] % 2:
        raise BaseModelError(
            f"{name!r} is damaged: it states {heads} heads, {sizes['num_key_value_heads']} of keys, each of "
            f"{sizes['head_dim']} numbers; expected a multiple and an even number; fetch it again"
        )
    shapes = {checkpoint_name(tensor) or "": shape[::-1] for tensor, shape in header.tensors.items()}
    wrong = misfit(shapes, sizes)
    if wrong is not None:
        raise BaseModelError(
            f"{name!r} is not whole: its tensor {gguf_name(wrong[0])!r} {wrong[1]} by what its header says of its sizes; "
            "fetch the file again, or convert the model again"
        )
    return sizes
