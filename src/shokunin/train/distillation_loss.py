"""Losses by which a student learns from a teacher's probabilities: forward and reverse KL, what lies between, and top-k teachers.

All take logits of shape (n, v), one row for each position where a token is told, and give one loss a position in nats, times
T² (Hinton et al., arXiv 1503.02531), so that the size of the gradients does not depend on the temperature. The generalised
Jensen-Shannon divergence is that of GKD (Agarwal et al., arXiv 2306.13649), with TRL's meaning of `beta`: 0 is KL(teacher ‖
student), 1 is KL(student ‖ teacher).

A teacher of whom only the k likeliest tokens are known leaves open where the rest of its probability lies:

- `bucket`: the rest is one more outcome, for both. It is the only way that asks nothing of the student that a full teacher
  would not ask: it is 0 where the student equals the teacher, and never more than the full divergence.
- `uniform`: the rest is spread evenly over all other tokens.
- `renormalise`: the k tokens share all probability, so a student is taught to be surer than the teacher.
- `zero`: the sum over the k tokens alone, which is no divergence and may be negative.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

Missing = Literal["bucket", "uniform", "renormalise", "zero"]


@dataclass(frozen=True)
class TopK:
    """A teacher's likeliest tokens at n positions.

    Attributes:
        log_probs: (n, k) natural logarithms, at `temperature`.
        ids: (n, k) which tokens they are.
        rest: (n,) the logarithm of the probability of all others together.
        temperature: at which the probabilities were taken; they cannot be taken to another, as nobody knows the rest there.
    """

    log_probs: torch.Tensor
    ids: torch.Tensor
    rest: torch.Tensor
    temperature: float = 1.0


def divergence(
    student: torch.Tensor, teacher: torch.Tensor, *, temperature: float = 1.0, beta: float = 0.0
) -> torch.Tensor:
    """The generalised Jensen-Shannon divergence of two sets of logits (n, v), times T²; shape (n,).

    Raises:
        ValueError: the shapes differ, or `temperature` or `beta` is out of range.
    """
    if student.shape != teacher.shape:
        raise ValueError(f"the student has {tuple(student.shape)} logits, the teacher {tuple(teacher.shape)}")
    _check(temperature, beta)
    log_p = torch.log_softmax(teacher.float() / temperature, -1)
    log_q = torch.log_softmax(student.float() / temperature, -1)
    return generalised_jsd(log_p, log_q, beta) * temperature**2


def top_k_divergence(
    student: torch.Tensor, teacher: TopK, *, beta: float = 0.0, missing: Missing = "bucket"
) -> torch.Tensor:
    """As `divergence`, from a teacher's likeliest tokens; shape (n,).

    Raises:
        ValueError: `beta` is out of range, or `missing` is none of the four.
    """
    temperature = teacher.temperature
    _check(temperature, beta)
    scores = student.float() / temperature
    log_q = torch.log_softmax(scores, -1)
    picked = log_q.gather(1, teacher.ids)
    log_p, rest = teacher.log_probs.float(), teacher.rest.float()
    if missing == "bucket":
        log_p = torch.cat((log_p, rest[:, None]), 1)
        picked = torch.cat((picked, _others(log_q, teacher.ids)[:, None]), 1)
    elif missing == "uniform":
        others = student.shape[1] - teacher.ids.shape[1]
        spread = (rest - math.log(others))[:, None] if others else rest[:, None]
        log_p = spread.expand_as(log_q).scatter(1, teacher.ids, log_p)
        picked = log_q
    elif missing == "renormalise":
        log_p = log_p - torch.logsumexp(log_p, 1, keepdim=True)
    elif missing != "zero":
        raise ValueError(f"`missing` is 'bucket', 'uniform', 'renormalise' or 'zero', not {missing!r}")
    return generalised_jsd(log_p, picked, beta) * temperature**2


def generalised_jsd(log_p: torch.Tensor, log_q: torch.Tensor, beta: float) -> torch.Tensor:
    """β KL(P ‖ M) + (1 − β) KL(Q ‖ M) with M = β P + (1 − β) Q, over the last axis; KL(P ‖ Q) at 0 and KL(Q ‖ P) at 1.

    P is the teacher's, Q the student's distribution, both as logarithms.
    """
    if beta == 0:
        return kl(log_p, log_q)
    if beta == 1:
        return kl(log_q, log_p)
    mixed = torch.logaddexp(log_p + math.log(beta), log_q + math.log1p(-beta))
    return beta * kl(log_p, mixed) + (1 - beta) * kl(log_q, mixed)


def kl(log_p: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
    """KL(P ‖ Q) in nats over the last axis; an outcome without probability in P adds nothing."""
    there = log_p > -math.inf
    gap = torch.where(there, log_p, 0) - torch.where(there, log_q, 0)
    return (torch.where(there, log_p.exp(), 0) * gap).sum(-1)


def top_k_of(teacher: torch.Tensor, k: int, temperature: float = 1.0) -> TopK:
    """The k likeliest tokens of logits (n, v); all of them where there are no more."""
    log_p = torch.log_softmax(teacher.float() / temperature, -1)
    top = log_p.topk(min(k, log_p.shape[1]), dim=1)
    return TopK(top.values, top.indices, _others(log_p, top.indices), temperature)


def token_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean of `values` over the positions where `mask` is true: each told token counts the same, padding not at all.

    Raises:
        ValueError: no position is to be counted.
    """
    count = int(mask.sum())
    if not count:
        raise ValueError("no position is to be counted; an answer has at least one token")
    return torch.where(mask, values, 0).sum() / count


def mixed_loss(cross_entropy: torch.Tensor, diverged: torch.Tensor, alpha: float | torch.Tensor) -> torch.Tensor:
    """(1 − α) of what the answer says and α of what the teacher says, both (n,)."""
    return (1 - alpha) * cross_entropy + alpha * diverged


def _others(log_probs: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """The logarithm of the probability of all tokens but those at `ids`, summed where they are, not as what is left of 1."""
    return torch.logsumexp(log_probs.scatter(1, ids, -math.inf), 1)


def _check(temperature: float, beta: float) -> None:
    if not 0 < temperature < math.inf:
        raise ValueError(f"`temperature` is more than 0, not {temperature!r}")
    if not 0 <= beta <= 1:
        raise ValueError(f"`beta` is from 0 (forward KL) to 1 (reverse KL), not {beta!r}")
