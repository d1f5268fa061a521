"""The decoder in torch, for training only: rows of a batch packed without padding, what they share read once.

The tokens with which all rows of a batch begin (the instruction, a database's schema) stand once in front, the rest of
every row behind them; a row's tokens look at the common beginning and at themselves, never at another row. This gives
the numbers of rows run one by one, gradients included. Hidden states are turned into scores only where an answer is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import nn
from torch.nn import functional

from shokunin.train.causal_kernels import (
    SHARES_WRITTEN_OUT,
    Attended,
    GatedSilu,
    Laid,
    LowRankLinear,
    Picked,
    RootMeanSquare,
    Rotated,
    SummedLoss,
)

LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
ADAPTER = "default"
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Packed:
    """A batch of rows without padding.

    Attributes:
        ids: (t,) tokens: the common beginning, then the rest of each row.
        positions: (t,) the place of each token in its row.
        shared: how many tokens the common beginning has.
        rows: how many rows there are.
        longest: the length of the longest rest.
        places: (t - shared,) where each token of a rest lies in a (rows · longest) grid.
        at: (n,) tokens from which the next one is to be told.
        labels: (n,) which one that is.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    shared: int
    rows: int
    longest: int
    places: torch.Tensor
    at: torch.Tensor
    labels: torch.Tensor


def packed(rows: Sequence[tuple[Ids, int]], device: torch.device) -> Packed:
    """Rows of (tokens, how many of them are the prompt) as one batch."""
    tokens = [ids for ids, _ in rows]
    shared = common(tokens) if len(rows) > 1 else 0
    rests = [ids[shared:] for ids in tokens]
    longest = max(len(rest) for rest in rests)
    starts = np.cumsum([shared, *(len(rest) for rest in rests)])
    at, labels = [], []
    for start, (ids, prompt) in zip(starts, rows, strict=False):
        told_from = np.arange(prompt - 1, len(ids) - 1)
        at.append(np.where(told_from < shared, told_from, start + told_from - shared))
        labels.append(ids[prompt:])
    own = [np.arange(len(rest)) for rest in rests]

    def tensor(*parts: Ids) -> torch.Tensor:
        return torch.from_numpy(np.concatenate(parts).astype(np.int64)).to(device)

    return Packed(
        ids=tensor(tokens[0][:shared], *rests),
        positions=tensor(np.arange(shared), *(o + shared for o in own)),
        shared=shared,
        rows=len(rows),
        longest=longest,
        places=tensor(*(o + n * longest for n, o in enumerate(own))),
        at=tensor(*at),
        labels=tensor(*labels),
    )


def common(tokens: Sequence[Ids]) -> int:
    """With how many tokens all rows begin; one less than the shortest at most, so that no row is empty behind them."""
    most = min(len(ids) for ids in tokens) - 1
    same = np.ones(most, bool)
    for ids in tokens[1:]:
        same &= ids[:most] == tokens[0][:most]
    return int(most if same.all() else np.argmin(same))


class _Norm(nn.Module):  # type: ignore[misc]  # torch is not type-checked here
    def __init__(self, weight: torch.Tensor, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(weight.float(), False), eps

    def forward(self, x: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
        out: torch.Tensor = RootMeanSquare.apply(x, self.weight, self.eps, kind)
        return out


class _Side(nn.Module):  # type: ignore[misc]
    """Linear layers that read the same input; their weights are one tensor, so that they are one product."""

    def __init__(self, tensors: Mapping[str, torch.Tensor], names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        weights = [tensors[f"{name}.weight"] for name in names]
        biases = [tensors.get(f"{name}.bias") for name in names]
        self.joined = nn.Parameter(torch.cat(weights), False)
        whole = [b if b is not None else w.new_zeros(len(w)) for w, b in zip(weights, biases, strict=True)]
        self.joined_bias = nn.Parameter(torch.cat(whole), False) if any(b is not None for b in biases) else None
        self.sizes = [len(w) for w in weights]
        for name, bias in zip(names, biases, strict=True):
            part = nn.Linear(1, 1, bias=bias is not None, device="meta")
            part.in_features, part.out_features = weights[0].shape[1], len(tensors[f"{name}.weight"])
            setattr(self, name, part)
        self.share()

    def share(self) -> None:
        """Let the named layers be views of the joined tensors (again, after those were moved)."""
        start = 0
        for name, size in zip(self.names, self.sizes, strict=True):
            part = self.plain(name)
            part.weight = nn.Parameter(self.joined[start : start + size], False)
            if part.bias is not None and self.joined_bias is not None:
                part.bias = nn.Parameter(self.joined_bias[start : start + size], False)
            start += size

    def plain(self, name: str) -> Any:
        part = getattr(self, name)
        return part.get_base_layer() if isinstance(part, LoraLinear) else part

    def together(self, x: torch.Tensor) -> torch.Tensor:
        """What the layers give for x (t, i), side by side (t, o)."""
        parts = [getattr(self, name) for name in self.names]
        tuned = [part for part in parts if isinstance(part, LoraLinear)]
        if not tuned:
            return functional.linear(x, self.joined, self.joined_bias)
        if len(tuned) < len(parts) or not all(_is_plain_lora(part) for part in tuned):
            return torch.cat([part(x) for part in parts], -1)
        pairs = [p.weight for part in tuned for p in (part.lora_A[ADAPTER], part.lora_B[ADAPTER])]
        out: torch.Tensor = LowRankLinear.apply(x, self.joined, self.joined_bias, tuned[0].scaling[ADAPTER], *pairs)
        return out


def _is_plain_lora(part: Any) -> bool:
    return not part.use_dora.get(ADAPTER, False) and isinstance(part.lora_dropout[ADAPTER], nn.Identity)


class _Attention(nn.Module):  # type: ignore[misc]
    def __init__(self, config: Any, tensors: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.heads, self.groups = config.num_attention_heads, config.num_key_value_heads
        self.width = head_width(config)
        self.inner = _Side(tensors, LINEAR[:3])
        self.outer = _Side(tensors, LINEAR[3:4])
        self.q_norm = self.k_norm = None
        if "q_norm.weight" in tensors:
            self.q_norm = _Norm(tensors["q_norm.weight"], config.rms_norm_eps)
            self.k_norm = _Norm(tensors["k_norm.weight"], config.rms_norm_eps)

    def forward(
        self, x: torch.Tensor, batch: Packed, turn: tuple[torch.Tensor, torch.Tensor], seen: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        t, heads, groups, width = len(x), self.heads, self.groups, self.width
        mixed = self.inner.together(x).view(t, heads + 2 * groups, width)
        turning, value = mixed[:, : heads + groups], mixed[:, heads + groups :]
        if self.q_norm is not None and self.k_norm is not None:
            query = self.q_norm(turning[:, :heads], x.dtype)
            turning = torch.cat((query, self.k_norm(turning[:, heads:], x.dtype)), 1)
        turned = Rotated.apply(turning, *turn)
        query, key = turned[:, :heads], turned[:, heads:]
        out = []
        n, longest, p = batch.rows, batch.longest, batch.shared
        if p:
            out.append(self._look(query[None, :p], key[None, :p], value[None, :p], seen[0])[0])
        grid = (n, longest)
        rest = [Laid.apply(part[p:], batch.places, n * longest) for part in (query, key, value)]
        asking, keys, values = (part.view(*grid, -1, width) for part in rest)
        if p:
            keys = torch.cat((key[None, :p].expand(n, -1, -1, -1), keys), 1)
            values = torch.cat((value[None, :p].expand(n, -1, -1, -1), values), 1)
        looked = self._look(asking, keys, values, seen[1]).reshape(n * longest, heads * width)
        out.append(Picked.apply(looked, batch.places))
        return self.outer.together(torch.cat(out) if p else out[0])

    def _look(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """Attention of query (n, a, heads, d) to key and value (n, b, groups, d); gives (n, a, heads · d).

        The heads that share a key stand under each other as one longer query, so that keys are not copied for them.
        """
        n, a, heads, width = query.shape
        groups = self.groups
        each = heads // groups
        query = query.view(n, a, groups, each, width).permute(0, 2, 3, 1, 4).reshape(n, groups, each * a, width)
        key, value, seen = key.transpose(1, 2), value.transpose(1, 2), seen.repeat(each, 1)
        if (
            query.dtype == torch.bfloat16
            and query.device.type == "cpu"
            and n * groups * seen.numel() <= SHARES_WRITTEN_OUT
        ):
            out = Attended.apply(query, key, value, seen)
        else:
            out = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        return out.view(n, groups, each, a, width).permute(0, 3, 1, 2, 4).reshape(n, a, heads * width)


class _Layer(nn.Module):  # type: ignore[misc]
    def __init__(self, config: Any, tensors: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.input_layernorm = _Norm(tensors["input_layernorm.weight"], config.rms_norm_eps)
        self.post_attention_layernorm = _Norm(tensors["post_attention_layernorm.weight"], config.rms_norm_eps)
        self.self_attn = _Attention(config, _below(tensors, "self_attn."))
        self.mlp_in = _Side(_below(tensors, "mlp."), LINEAR[4:6])
        self.mlp_out = _Side(_below(tensors, "mlp."), LINEAR[6:])


class Decoder(nn.Module):  # type: ignore[misc]
    """A whole decoder, frozen; adapters are put into its linear layers from outside.

    `kind` is the precision of weights and products; norms, sums and adapters are float32.
    """

    def __init__(self, config: Any, tensors: Mapping[str, torch.Tensor], kind: torch.dtype) -> None:
        super().__init__()
        self.kind = kind
        self.config = config
        inside = {name.removeprefix("model."): t.to(kind) for name, t in tensors.items()}
        self.words = nn.Parameter(inside["embed_tokens.weight"], False)
        tied = "lm_head.weight" not in inside
        self.head = self.words if tied else nn.Parameter(inside["lm_head.weight"], False)
        self.layers = nn.ModuleList(
            _Layer(config, _below(inside, f"layers.{n}.")) for n in range(config.num_hidden_layers)
        )
        self.norm = _Norm(tensors["model.norm.weight"], config.rms_norm_eps)
        self.register_buffer("turns", frequencies(config), persistent=False)

    def share(self) -> None:
        """Let layers that read the same input share one tensor (again, after the model was moved to a device)."""
        for module in self.modules():
            if isinstance(module, _Side):
                module.share()

    def hidden(self, batch: Packed) -> torch.Tensor:
        """Normed hidden states (n, d) where answers are told from."""
        angles = torch.outer(batch.positions.float(), self.turns)
        turn = [torch.cat((f, f), -1)[:, None].to(self.kind) for f in (angles.cos(), angles.sin())]
        seen = [self._seen(batch.shared, 0), self._seen(batch.longest, batch.shared)]
        x = self.words[batch.ids].float()
        for layer in self.layers:
            x = x + layer.self_attn(layer.input_layernorm(x, self.kind), batch, turn, seen)
            wide = layer.mlp_in.together(layer.post_attention_layernorm(x, self.kind))
            x = x + layer.mlp_out.together(GatedSilu.apply(wide))
        out: torch.Tensor = self.norm(x.index_select(0, batch.at), self.kind)
        return out

    def loss(self, batch: Packed) -> torch.Tensor:
        """The summed negative log-likelihood of the answers, in nats; divide by `len(batch.labels)`."""
        out: torch.Tensor = SummedLoss.apply(self.hidden(batch), self.head, batch.labels)
        return out

    def _seen(self, asking: int, before: int) -> torch.Tensor:
        """What is added to the scores: token i of `asking` sees all `before` and those up to itself."""
        away = torch.full((asking, before + asking), float("-inf"), device=self.words.device, dtype=self.kind)
        return away.triu_(before + 1)


def head_width(config: Any) -> int:
    """Numbers in one head."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def frequencies(config: Any) -> torch.Tensor:
    """(d/2,) by how much each pair of numbers turns from one position to the next, in radians."""
    said = dict(getattr(config, "rope_parameters", None) or {})
    base = float(said.get("rope_theta") or getattr(config, "rope_theta", None) or 10_000.0)
    width = head_width(config)
    return 1.0 / base ** (torch.arange(0, width, 2, dtype=torch.float32) / width)


def checkpoint_module(name: str) -> str:
    """The checkpoint's name of a linear layer of `Decoder`."""
    for ours, theirs in (("mlp_in.", "mlp."), ("mlp_out.", "mlp."), (".inner.", "."), (".outer.", ".")):
        name = name.replace(ours, theirs)
    return f"model.{name}"


def _below(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
