"""The arithmetic of a decoder in training, written so that nothing is computed or kept that a frozen weight does not need.

Each function has its own backward pass. Plain autograd would keep twice the activations, cast the frozen weights anew in
every step and take the low-rank product as a second pass over the outputs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

ROWS_OF_LOGITS = 512
"""Positions whose scores over the whole vocabulary are in memory at once."""


SHARES_WRITTEN_OUT = 8_000_000
"""Up to so many shares of attention in one layer they are written out; beyond, the fused kernel saves memory."""


class LowRankLinear(torch.autograd.Function):  # type: ignore[misc]  # torch is not type-checked here
    """x Wᵀ + b + Σ s (x Aᵀ) Bᵀ for one or more layers that read the same x, their outputs side by side.

    W (o, i) and b are frozen, in the precision of x (t, i); each A (r, i) and B (oₖ, r) is float32 and gets gradients.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, scale: float, *pairs: torch.Tensor
    ) -> torch.Tensor:
        """Outputs (t, o)."""
        downs, ups = pairs[::2], pairs[1::2]
        down = torch.cat([a.to(x.dtype) for a in downs])
        up = torch.block_diag(*(b.to(x.dtype) for b in ups)).mul_(scale)
        low = x @ down.T
        out = functional.linear(x, weight, bias).addmm_(low, up.T)
        ctx.save_for_backward(x, weight, low, down, up)
        ctx.scale, ctx.sizes = scale, [(b.shape[0], b.shape[1]) for b in ups]
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        """Gradients of x, where it wants one, and of every A and B."""
        x, weight, low, down, up = ctx.saved_tensors
        back = grad @ up
        to_x = (grad @ weight).addmm_(back, down) if ctx.needs_input_grad[0] else None
        to_down = (back.T @ x).float()
        pairs: list[torch.Tensor] = []
        out = rank = 0
        for o, r in ctx.sizes:
            pairs.append(to_down[rank : rank + r])
            pairs.append((grad[:, out : out + o].T @ low[:, rank : rank + r]).float() * ctx.scale)
            out, rank = out + o, rank + r
        return to_x, None, None, None, *pairs


class RootMeanSquare(torch.autograd.Function):  # type: ignore[misc]
    """x / rms(x) · w over the last axis, in float32, handed on as `kind`; w is frozen."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, eps: float, kind: torch.dtype) -> torch.Tensor:
        """The same shape as x."""
        wide = x.float()
        scale = wide.square().mean(-1, keepdim=True).add_(eps).rsqrt_()
        ctx.save_for_backward(x, scale, weight)
        return (wide * scale).mul_(weight).to(kind)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        """The gradient of x."""
        x, scale, weight = ctx.saved_tensors
        wide, pull = x.float(), grad.float() * weight
        along = (pull * wide).mean(-1, keepdim=True).mul_(scale.square())
        return pull.sub_(wide * along).mul_(scale).to(x.dtype), None, None, None


class GatedSilu(torch.autograd.Function):  # type: ignore[misc]
    """silu(gate) · up, where gate and up (t, h) lie side by side in one (t, 2h)."""

    @staticmethod
    def forward(ctx: Any, both: torch.Tensor) -> torch.Tensor:
        """(t, h)."""
        gate, up = both.chunk(2, -1)
        ctx.save_for_backward(both)
        return functional.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        """(t, 2h)."""
        (both,) = ctx.saved_tensors
        gate, up = both.chunk(2, -1)
        out = torch.empty_like(both)
        to_gate, to_up = out.chunk(2, -1)
        torch.mul(functional.silu(gate), grad, out=to_up)
        to_gate.copy_(torch.ops.aten.silu_backward(grad * up, gate))
        return out


class Rotated(torch.autograd.Function):  # type: ignore[misc]
    """Rotary positions: x (t, heads, d) turned by cos and sin (t, 1, d)."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        """The same shape."""
        ctx.save_for_backward(cos, sin)
        return _turned(x, cos, sin)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        """Turned back."""
        cos, sin = ctx.saved_tensors
        return _turned(grad, cos, -sin), None, None


def _turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, -1)
    return (x * cos).addcmul_(torch.cat((-second, first), -1), sin)


class Laid(torch.autograd.Function):  # type: ignore[misc]
    """Rows of x (t, …) laid at `places` (t,) of a grid of `size` rows, zeros elsewhere; no place twice."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, places: torch.Tensor, size: int) -> torch.Tensor:
        """(size, …)."""
        ctx.save_for_backward(places)
        return x.new_zeros(size, *x.shape[1:]).index_copy_(0, places, x)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        """(t, …)."""
        return grad.index_select(0, ctx.saved_tensors[0]), None, None


class Picked(torch.autograd.Function):  # type: ignore[misc]
    """The inverse of `Laid`: the rows of a grid at `places`; no place twice."""

    @staticmethod
    def forward(ctx: Any, grid: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """(t, …)."""
        ctx.save_for_backward(places)
        ctx.size = grid.shape[0]
        return grid.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        """(size, …)."""
        return grad.new_zeros(ctx.size, *grad.shape[1:]).index_copy_(0, ctx.saved_tensors[0], grad), None


class Attended(torch.autograd.Function):  # type: ignore[misc]
    """softmax(q kᵀ / √d + seen) v for q (n, h, a, d), k and v (n, h, b, d), seen (a, b), the shares written out.

    In bf16 on a processor this takes half the time of the fused kernel, and more memory: for short rows.
    """

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, seen: torch.Tensor
    ) -> torch.Tensor:
        """(n, h, a, d)."""
        ctx.scale = query.shape[-1] ** -0.5
        scores = (query @ key.transpose(2, 3)).float().mul_(ctx.scale).add_(seen)
        share = scores.softmax(-1).to(query.dtype)
        ctx.save_for_backward(query, key, value, share)
        return share @ value

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        """The gradients of q, k and v."""
        query, key, value, share = ctx.saved_tensors
        to_share = (grad @ value.transpose(2, 3)).float()
        wide = share.float()
        to_share.sub_((to_share * wide).sum(-1, keepdim=True)).mul_(wide).mul_(ctx.scale)
        to_scores = to_share.to(query.dtype)
        return to_scores @ key, to_scores.transpose(2, 3) @ query, share.transpose(2, 3) @ grad, None


class SummedLoss(torch.autograd.Function):  # type: ignore[misc]
    """The summed negative log-likelihood of `labels` (n,) given hidden states (n, d) and a frozen head (v, d).

    The scores over the vocabulary are made, used and dropped a few hundred rows at a time, and the gradient is taken
    on the way (Wijmans et al., Cut Your Losses in Large-Vocabulary Language Models, arXiv 2411.09009).
    """

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, head: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """A float32 scalar, the sum in nats."""
        wanted = ctx.needs_input_grad[0]
        back = torch.empty_like(hidden) if wanted else None
        total = torch.zeros((), device=hidden.device)
        for start in range(0, len(labels), ROWS_OF_LOGITS):
            part = slice(start, start + ROWS_OF_LOGITS)
            label = labels[part, None]
            scores = functional.linear(hidden[part], head).float()
            total_score = torch.logsumexp(scores, 1, keepdim=True)
            total += (total_score - scores.gather(1, label)).sum()
            if back is not None:
                share = scores.sub_(total_score).exp_()
                share.scatter_add_(1, label, share.new_full((1, 1), -1.0).expand(len(label), 1))
                back[part] = share.to(head.dtype) @ head
        if back is not None:
            ctx.save_for_backward(back)
        return total

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        """The gradient of the hidden states."""
        (back,) = ctx.saved_tensors
        return back * grad.to(back.dtype), None, None
