"""The encoder in torch, for training only: built from the same tensors under the same names as the graph that will be
served.

It reads whatever `architecture` knows. Its lower layers can be run once and kept, so that training pays for the upper
ones only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from shokunin.encoders.architecture import Shape, Tensors, relative_buckets
from shokunin.encoders.graph import Pooling

LINEAR = ("query", "key", "value", "out", "up", "down")
NORMS = ("out_norm", "down_norm")
ORDER = ("query", "key", "value", "out", "out_norm", "up", "down", "down_norm")
"""Our names of a layer's parts, in the order of `Family.parts`."""


class Layer(nn.Module):  # type: ignore[misc]  # torch is not type-checked here
    """One post-norm transformer layer."""

    def __init__(self, shape: Shape, tensors: Tensors, number: int) -> None:
        super().__init__()
        self.heads = shape.heads
        self.act = {"gelu": "none", "gelu_tanh": "tanh", "relu": ""}[shape.activation]
        at = shape.family.layer.format(number)
        for name, part in zip(ORDER, shape.family.parts, strict=True):
            weight, bias = (torch.from_numpy(np.array(tensors[f"{at}{part}.{end}"])) for end in ("weight", "bias"))
            module = nn.LayerNorm(len(bias), eps=shape.eps) if name in NORMS else nn.Linear(weight.shape[1], len(bias))
            module.weight, module.bias = nn.Parameter(weight, False), nn.Parameter(bias, False)
            setattr(self, name, module)

    def forward(self, hidden: torch.Tensor, scores_bias: torch.Tensor) -> torch.Tensor:
        """Hidden states (n, t, d), and what to add to the attention scores, broadcast to (n, heads, t, t)."""
        n, t, d = hidden.shape
        query, key, value = (
            part(hidden).view(n, t, self.heads, d // self.heads).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        bias = scores_bias.to(query.dtype)
        context = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        context = context.transpose(1, 2).reshape(n, t, d)
        hidden = self.out_norm(self.out(context) + hidden)
        wide = self.up(hidden)
        wide = functional.gelu(wide, approximate=self.act) if self.act else functional.relu(wide)
        result: torch.Tensor = self.down_norm(self.down(wide) + hidden)
        return result


class TorchEncoder(nn.Module):  # type: ignore[misc]
    """A whole encoder, frozen; adapters are put into `layers` from outside."""

    def __init__(self, shape: Shape, tensors: Tensors, pooling: Pooling) -> None:
        super().__init__()
        self.shape, self.pooling = shape, pooling

        def table(name: str) -> nn.Parameter:
            return nn.Parameter(torch.from_numpy(np.array(tensors[name])), False)

        self.words = table("embeddings.word_embeddings.weight")
        self.positions = table("embeddings.position_embeddings.weight")
        if shape.family.token_types:
            self.positions += table("embeddings.token_type_embeddings.weight")[0]
        self.norm_weight, self.norm_bias = (table(f"embeddings.LayerNorm.{end}") for end in ("weight", "bias"))
        self.by_distance: nn.Parameter | None = None
        if shape.family.relative_bias:
            away = relative_buckets(np.arange(-shape.max_length + 1, shape.max_length), shape.relative_buckets)
            self.by_distance = nn.Parameter(
                table("encoder.relative_attention_bias.weight")[torch.from_numpy(away)], False
            )
        self.layers = nn.ModuleList(Layer(shape, tensors, number) for number in range(shape.layers))

    def lower(self, ids: torch.Tensor, mask: torch.Tensor, layers: int) -> torch.Tensor:
        """Hidden states (n, t, d) after the first `layers` layers; `ids` and `mask` are int64 (n, t)."""
        places = torch.arange(ids.shape[1], device=ids.device)[None]
        if self.shape.family.positions == "from_padding":
            places = mask.cumsum(1) * mask + self.shape.pad_id
        hidden = self.words[ids] + self.positions[places]
        hidden = functional.layer_norm(hidden, hidden.shape[-1:], self.norm_weight, self.norm_bias, self.shape.eps)
        bias = self._scores_bias(mask)
        for layer in self.layers[:layers]:
            hidden = layer(hidden, bias)
        return hidden

    def upper(self, hidden: torch.Tensor, mask: torch.Tensor, layers: int) -> torch.Tensor:
        """Embeddings of length 1, float32 (n, d), from the hidden states after the first `layers` layers."""
        hidden = self.upper_tokens(hidden, mask, layers)
        if self.pooling == "cls":
            return functional.normalize(hidden[:, 0], dim=1)
        weights = mask[..., None].float()
        return functional.normalize((hidden * weights).sum(1) / weights.sum(1), dim=1)

    def upper_tokens(self, hidden: torch.Tensor, mask: torch.Tensor, layers: int) -> torch.Tensor:
        """Hidden states of every token after all layers, float32 (n, t, d), from those after the first `layers` layers."""
        bias = self._scores_bias(mask)
        for layer in self.layers[layers:]:
            hidden = layer(hidden, bias)
        return hidden.float()

    def _scores_bias(self, mask: torch.Tensor) -> torch.Tensor:
        bias = (1.0 - mask[:, None, None, :].float()) * -1e4
        if self.by_distance is None:
            return bias
        t, middle = mask.shape[1], self.shape.max_length - 1
        places = torch.arange(t, device=mask.device)
        away: torch.Tensor = self.by_distance[places[None] - places[:, None] + middle].permute(2, 0, 1)
        return bias + away[None]


def tensor_name(shape: Shape, module: str) -> str:
    """The checkpoint's name of the weight of the layer part `layers.N.part`."""
    _, number, part = module.split(".")
    return shape.family.layer.format(int(number)) + shape.family.parts[ORDER.index(part)] + ".weight"


def batch_of(
    ids: Sequence[npt.NDArray[np.int64]], pad_id: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask of one batch, int64 (n, longest)."""
    longest = max(len(i) for i in ids)
    out = torch.full((len(ids), longest), pad_id, dtype=torch.long)
    mask = torch.zeros_like(out)
    for row, tokens in enumerate(ids):
        out[row, : len(tokens)] = torch.from_numpy(tokens)
        mask[row, : len(tokens)] = 1
    return out.to(device), mask.to(device)
