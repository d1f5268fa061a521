"""The decoders that can be trained and written: their tensors' names in safetensors and in GGUF, and what differs.

A decoder here is embedding, RMS-normalised attention with rotary positions and grouped keys, gated SiLU, output norm and
head: Llama and its kin. GGUF keeps the query and key rows of `llama` in another order (pairs of rotated numbers lie
side by side); `to_gguf_rows` and `from_gguf_rows` go there and back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
"""`model_type` of a configuration → architecture of a GGUF file."""
PERMUTED = ("llama",)
"""Architectures whose GGUF files have the rotary rows in the other order."""

OUTER = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
LAYER = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_BACK = {short: long for long, short in LAYER.items()}

N = TypeVar("N", bound=np.generic)


def gguf_name(name: str) -> str | None:
    """The GGUF name of a tensor of a safetensors checkpoint; None: no decoder of ours has it."""
    if name in OUTER:
        return OUTER[name]
    parts = name.split(".")
    if len(parts) < 5 or parts[:2] != ["model", "layers"]:
        return None
    short = LAYER.get(".".join(parts[3:-1]))
    return f"blk.{parts[2]}.{short}.{parts[-1]}" if short else None


def checkpoint_name(name: str) -> str | None:
    """The inverse of `gguf_name`."""
    for long, short in OUTER.items():
        if name == short:
            return long
    parts = name.split(".")
    if len(parts) != 4 or parts[0] != "blk" or parts[2] not in _BACK:
        return None
    return f"model.layers.{parts[1]}.{_BACK[parts[2]]}.{parts[3]}"


def tensor_shapes(config: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every tensor that a checkpoint with this configuration must have, one after the other; biases where they are a must."""
    hidden, inner, words = (int(config[key]) for key in ("hidden_size", "intermediate_size", "vocab_size"))
    heads, kind = int(config["num_attention_heads"]), config["model_type"]
    kept = int(config.get("num_key_value_heads") or heads)
    wide = int(config.get("head_dim") or hidden // heads)
    asked, keys = heads * wide, kept * wide
    yield "model.embed_tokens.weight", (words, hidden)
    yield "model.norm.weight", (hidden,)
    if not config.get("tie_word_embeddings", False):
        yield "lm_head.weight", (words, hidden)
    matrices = {
        "self_attn.q_proj": (asked, hidden), "self_attn.k_proj": (keys, hidden), "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, asked), "mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }  # fmt: skip
    for layer in range(int(config["num_hidden_layers"])):
        inside = f"model.layers.{layer}"
        yield f"{inside}.input_layernorm.weight", (hidden,)
        yield f"{inside}.post_attention_layernorm.weight", (hidden,)
        for part, shape in matrices.items():
            yield f"{inside}.{part}.weight", shape
            if kind == "qwen2" and part.endswith(("q_proj", "k_proj", "v_proj")):
                yield f"{inside}.{part}.bias", shape[:1]
        if kind == "qwen3":
            yield f"{inside}.self_attn.q_norm.weight", (wide,)
            yield f"{inside}.self_attn.k_norm.weight", (wide,)


def misfit(shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first tensor that is missing from these shapes or is another than it must be, and what is wrong; None: all is there."""
    for name, wanted in tensor_shapes(config):
        found = shapes.get(name)
        if found is None:
            return name, f"is missing; expected one of the shape {wanted}"
        if tuple(found) != wanted:
            return name, f"has the shape {tuple(found)}; expected {wanted}"
    return None


def rotary_heads(name: str, config: Mapping[str, Any]) -> int | None:
    """How many heads share the rows of this checkpoint tensor, where its rows are rotated; else None."""
    if ".q_proj." in name:
        return int(config["num_attention_heads"])
    if ".k_proj." in name:
        return int(config["num_key_value_heads"])
    return None


def to_gguf_rows(tensor: npt.NDArray[N], heads: int) -> npt.NDArray[N]:
    """Rows of a checkpoint (first all first halves of a head, then the second) in the order of GGUF (pair by pair)."""
    half = tensor.shape[0] // heads // 2
    return tensor.reshape(heads, 2, half, *tensor.shape[1:]).swapaxes(1, 2).reshape(tensor.shape)


def from_gguf_rows(tensor: npt.NDArray[N], heads: int) -> npt.NDArray[N]:
    """The inverse of `to_gguf_rows`."""
    half = tensor.shape[0] // heads // 2
    return tensor.reshape(heads, half, 2, *tensor.shape[1:]).swapaxes(1, 2).reshape(tensor.shape)
