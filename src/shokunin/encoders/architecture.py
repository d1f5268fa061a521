"""What the encoder families call their tensors, and how they count positions: the only place that knows.

All are post-norm transformers of the BERT family (Devlin et al., arXiv 1810.04805); RoBERTa (arXiv 1907.11692) counts
positions from the padding index, MPNet (arXiv 2004.09297) adds one relative-position bias shared by all layers,
DistilBERT (arXiv 1910.01108) has no token types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from shokunin.errors import ArtefactError, BaseModelError
from shokunin.files import read_json

Tensors = Mapping[str, npt.NDArray[np.float32]]
ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"}


@dataclass(frozen=True)
class Family:
    """How one model type names its parts.

    Attributes:
        prefixes: what may stand before every name in a checkpoint.
        layer: the start of a layer's names; `{}` is its number.
        parts: the names, below a layer, of query, key, value, attention output and its norm, the two feed-forward parts
            and their norm.
        positions: `from_zero`, or `from_padding`: the first token has position padding index + 1.
    """

    prefixes: tuple[str, ...]
    layer: str
    parts: tuple[str, str, str, str, str, str, str, str]
    positions: str = "from_zero"
    token_types: bool = True
    relative_bias: bool = False


_BERT = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
)
_MPNET = (
    "attention.attn.q",
    "attention.attn.k",
    "attention.attn.v",
    "attention.attn.o",
    "attention.LayerNorm",
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
)
_DISTIL = (
    "attention.q_lin",
    "attention.k_lin",
    "attention.v_lin",
    "attention.out_lin",
    "sa_layer_norm",
    "ffn.lin1",
    "ffn.lin2",
    "output_layer_norm",
)
_ROBERTA = Family(("", "roberta."), "encoder.layer.{}.", _BERT, positions="from_padding")

FAMILIES = {
    "bert": Family(("", "bert."), "encoder.layer.{}.", _BERT),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "mpnet": Family(
        ("", "mpnet."), "encoder.layer.{}.", _MPNET, positions="from_padding", token_types=False, relative_bias=True
    ),
    "distilbert": Family(("", "distilbert."), "transformer.layer.{}.", _DISTIL, token_types=False),
}


@dataclass(frozen=True)
class Shape:
    """The numbers of one encoder. `max_length` is the most tokens a text may have, special tokens included."""

    model_type: str
    family: Family
    width: int
    layers: int
    heads: int
    eps: float
    activation: str
    max_length: int
    pad_id: int
    relative_buckets: int


def read_shape(folder: Path) -> Shape:
    """The shape that `config.json` states.

    Raises:
        BaseModelError: the file is missing or garbled, or the encoder is of a kind that this release cannot write.
    """
    try:
        config: dict[str, Any] = read_json(folder / "config.json")
    except ArtefactError as error:
        raise BaseModelError(f"{str(folder)!r} is not a model folder: {error}") from error
    kind = config.get("model_type")
    if kind not in FAMILIES:
        raise BaseModelError(
            f"encoders of type {kind!r} ({str(folder)!r}) cannot be served by this release; "
            f"take one of type {', '.join(FAMILIES)}"
        )
    distil = kind == "distilbert"
    name = {"width": "dim", "layers": "n_layers", "heads": "n_heads", "act": "activation"} if distil else {}
    activation = str(config.get(name.get("act", "hidden_act"), "gelu"))
    if activation not in ACTIVATIONS:
        raise BaseModelError(f"activation {activation!r} of {str(folder)!r} is not one of {', '.join(ACTIVATIONS)}")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise BaseModelError(
            f"positions of type {config['position_embedding_type']!r} ({str(folder)!r}); only 'absolute' is known"
        )
    if config.get("is_decoder") or config.get("add_cross_attention"):
        raise BaseModelError(f"{str(folder)!r} is a decoder; an encoder is expected")
    try:
        family, pad = FAMILIES[kind], int(config.get("pad_token_id") or 0)
        positions = int(config["max_position_embeddings"])
        return Shape(
            model_type=kind,
            family=family,
            width=int(config[name.get("width", "hidden_size")]),
            layers=int(config[name.get("layers", "num_hidden_layers")]),
            heads=int(config[name.get("heads", "num_attention_heads")]),
            eps=float(config.get("layer_norm_eps", 1e-12)),
            activation=ACTIVATIONS[activation],
            max_length=positions - pad - 1 if family.positions == "from_padding" else positions,
            pad_id=pad,
            relative_buckets=int(config.get("relative_attention_num_buckets", 32)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BaseModelError(f"{str(folder / 'config.json')!r} lacks or garbles {error}") from error


def read_tensors(folder: Path, shape: Shape) -> Tensors:
    """The encoder's tensors in float32, by the names of its family without a prefix.

    Raises:
        BaseModelError: `model.safetensors` is missing or damaged, or lacks the encoder's tensors.
    """
    path = folder / "model.safetensors"
    try:
        raw = load_file(path)
    except FileNotFoundError as error:
        raise BaseModelError(
            f"{str(path)!r} is missing; other kinds of weights (.bin, .pt) are never loaded"
        ) from error
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
        raise BaseModelError(f"{str(path)!r} is not a readable safetensors file: {error}") from error
    return plain_names(raw, shape, where=str(path))


def plain_names(raw: Mapping[str, npt.NDArray[Any]], shape: Shape, where: str) -> Tensors:
    """`raw` in float32 under the family's own names, the checkpoint's prefix taken away.

    Raises:
        BaseModelError: a tensor of the encoder is missing or has the wrong shape.
    """
    probe = shape.family.layer.format(shape.layers - 1) + shape.family.parts[0] + ".weight"
    for prefix in shape.family.prefixes:
        if prefix + probe in raw:
            break
    else:
        raise BaseModelError(f"{where!r} holds no tensor {probe!r}; it is not a whole {shape.model_type!r} encoder")
    if raw[prefix + probe].shape != (shape.width, shape.width):
        raise BaseModelError(
            f"tensor {probe!r} of {where!r} does not fit config.json, which states width {shape.width}"
        )
    return {n.removeprefix(prefix): np.asarray(a, np.float32) for n, a in raw.items() if n.startswith(prefix)}


def relative_buckets(distance: npt.NDArray[np.int64], buckets: int, farthest: int = 128) -> npt.NDArray[np.int64]:
    """The bucket of key minus query position: exact when near, logarithmic when far (T5, arXiv 1910.10683)."""
    half = buckets // 2
    sign = np.where(distance > 0, half, 0)
    away = np.abs(distance)
    near = half // 2
    log = np.log(np.maximum(away, 1).astype(np.float32) / near) / np.log(np.float32(farthest / near)) * (half - near)
    far = np.minimum(near + log.astype(np.int64), half - 1)
    return np.asarray(sign + np.where(away < near, away, far), np.int64)
