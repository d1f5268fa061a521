"""Losses against brute force, and the properties that make them what they are called."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from shokunin.train.distillation_loss import (  # noqa: E402
    TopK,
    divergence,
    generalised_jsd,
    kl,
    mixed_loss,
    token_mean,
    top_k_divergence,
    top_k_of,
)

LOGITS = hnp.arrays(np.float64, (3, 7), elements=st.floats(-8, 8))
BETAS = st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])
TEMPERATURES = st.sampled_from([0.5, 1.0, 2.0, 4.0])
MISSING = ("bucket", "uniform", "renormalise", "zero")


def softmax(row: Any) -> Any:
    e = np.exp(row - row.max())
    return e / e.sum()


def plain_kl(p: Any, q: Any) -> float:
    return sum(float(a * math.log(a / b)) for a, b in zip(p, q, strict=True) if a > 0)


def plain(p: Any, q: Any, beta: float) -> float:
    if beta == 0:
        return plain_kl(p, q)
    if beta == 1:
        return plain_kl(q, p)
    m = beta * p + (1 - beta) * q
    return beta * plain_kl(p, m) + (1 - beta) * plain_kl(q, m)


def tensor(values: Any) -> Any:
    return torch.tensor(np.asarray(values), dtype=torch.float32)


@given(LOGITS, LOGITS, TEMPERATURES, BETAS)
def test_the_full_divergence_is_that_of_the_textbook(
    student: Any, teacher: Any, temperature: float, beta: float
) -> None:
    found = divergence(tensor(student), tensor(teacher), temperature=temperature, beta=beta)
    for row, s, t in zip(found, student, teacher, strict=True):
        p, q = softmax(t / temperature), softmax(s / temperature)
        assert float(row) == pytest.approx(temperature**2 * plain(p, q, beta), rel=1e-3, abs=2e-5 * temperature**2)


@given(LOGITS, LOGITS, TEMPERATURES, BETAS, st.integers(1, 7), st.sampled_from(MISSING))
def test_a_top_k_teacher_is_what_its_name_says(
    student: Any, teacher: Any, temperature: float, beta: float, k: int, missing: Any
) -> None:
    top = top_k_of(tensor(teacher), k, temperature)
    found = top_k_divergence(tensor(student), top, beta=beta, missing=missing)
    if missing == "uniform" and k == 7:
        return
    for row, s, ids, t in zip(found, student, top.ids.numpy(), teacher, strict=True):
        full_p, full_q = softmax(t / temperature), softmax(s / temperature)
        others = [i for i in range(7) if i not in ids]
        p, q = full_p[ids], full_q[ids]
        if missing == "bucket":
            p, q = np.append(p, full_p[others].sum()), np.append(q, full_q[others].sum())
        elif missing == "uniform":
            spread = full_p.copy()
            spread[others] = full_p[others].sum() / len(others)
            p, q = spread, full_q
        elif missing == "renormalise":
            p = p / p.sum()
        if k == 7 and missing == "bucket":
            p, q = p[:-1], q[:-1]
        expected = temperature**2 * plain(p, q, beta)
        assert float(row) == pytest.approx(expected, rel=1e-3, abs=5e-5 * temperature**2)


@given(LOGITS, LOGITS, BETAS, st.integers(1, 7))
def test_a_bucket_asks_no_more_than_the_full_teacher_and_nothing_of_its_equal(
    student: Any, teacher: Any, beta: float, k: int
) -> None:
    full = divergence(tensor(student), tensor(teacher), beta=beta)
    bucket = top_k_divergence(tensor(student), top_k_of(tensor(teacher), k), beta=beta)
    assert bool((bucket <= full + 1e-4).all()) and bool((bucket >= -1e-4).all())
    own = tensor(teacher).requires_grad_()
    top_k_divergence(own, top_k_of(tensor(teacher), k), beta=beta).sum().backward()
    assert own.grad is not None and float(own.grad.abs().max()) < 1e-4


def test_the_other_ways_pull_even_a_student_that_equals_its_teacher() -> None:
    teacher = tensor([[3.0, 2.0, 1.0, 0.5, -1.0]])
    for missing in ("uniform", "renormalise", "zero"):
        own = teacher.clone().requires_grad_()
        top_k_divergence(own, top_k_of(teacher, 2), missing=missing).sum().backward()  # type: ignore[arg-type]
        assert own.grad is not None and float(own.grad.abs().max()) > 0.01, missing


@given(LOGITS, LOGITS, BETAS, st.sampled_from([1.5, 2.0, 5.0]))
def test_the_gradient_grows_with_the_temperature_as_the_logits_do(
    student: Any, teacher: Any, beta: float, temperature: float
) -> None:
    """loss(T; T·s, T·t) = T² loss(1; s, t), so the gradient with respect to T·s is T times as large."""

    def gradient(scale: float) -> Any:
        own = (tensor(student) * scale).requires_grad_()
        divergence(own, tensor(teacher) * scale, temperature=scale, beta=beta).sum().backward()
        return own.grad

    assert torch.allclose(gradient(temperature), temperature * gradient(1.0), atol=1e-3, rtol=1e-3)


def test_hot_gradients_keep_their_size() -> None:
    """At high temperatures the gradient tends to that of matching centred logits, (s − t) / v, whatever T is (Hinton, eq. 4)."""
    student, teacher = tensor([[1.0, -2.0, 0.5, 0.0]]), tensor([[0.0, 1.0, -0.5, 2.0]])
    wanted = ((student - student.mean()) - (teacher - teacher.mean())) / 4
    for temperature in (50.0, 200.0):
        own = student.clone().requires_grad_()
        divergence(own, teacher, temperature=temperature).sum().backward()
        assert torch.allclose(own.grad, wanted, atol=0.03)


@given(LOGITS, LOGITS)
def test_between_the_ends_the_divergence_tends_to_them(student: Any, teacher: Any) -> None:
    log_p = torch.log_softmax(torch.tensor(teacher), -1)
    log_q = torch.log_softmax(torch.tensor(student), -1)
    small = 1e-4
    forward, reverse = kl(log_p, log_q), kl(log_q, log_p)
    # Both ends need β times the probability ratio to be small.
    small = min(small, 1e-2 * float(torch.exp(-(log_p - log_q).abs().max())))
    assert torch.allclose(generalised_jsd(log_p, log_q, small) / small, forward, rtol=2e-2, atol=1e-6)
    assert torch.allclose(generalised_jsd(log_p, log_q, 1 - small) / small, reverse, rtol=2e-2, atol=1e-6)


@given(LOGITS, LOGITS)
def test_half_way_it_is_symmetric_and_at_most_ln_2(a: Any, b: Any) -> None:
    one, other = divergence(tensor(a), tensor(b), beta=0.5), divergence(tensor(b), tensor(a), beta=0.5)
    assert torch.allclose(one, other, atol=1e-5) and bool((one <= math.log(2) + 1e-5).all())


def test_an_impossible_token_adds_nothing_and_no_nan() -> None:
    log_p = torch.tensor([[0.0, -math.inf]])
    log_q = torch.tensor([[math.log(0.5), math.log(0.5)]], requires_grad=True)
    value = kl(log_p, log_q)
    value.sum().backward()
    assert float(value.detach()) == pytest.approx(math.log(2)) and bool(torch.isfinite(log_q.grad).all())


@given(
    LOGITS,
    st.lists(st.booleans(), min_size=3, max_size=3).filter(any),
    st.lists(st.integers(0, 6), min_size=3, max_size=3),
)
def test_masks_are_those_of_the_cross_entropy(student: Any, kept: list[bool], labels: list[int]) -> None:
    """With a teacher that is sure of the answers, forward KL with a mask is torch's cross-entropy with ignored positions."""
    scores, mask = tensor(student), torch.tensor(kept)
    sure = torch.full((3, 7), -1e4)
    sure[torch.arange(3), torch.tensor(labels)] = 1e4
    ignored = torch.where(mask, torch.tensor(labels), -100)
    plain_loss = torch.nn.functional.cross_entropy(scores, ignored)
    assert float(token_mean(divergence(scores, sure), mask)) == pytest.approx(float(plain_loss), abs=1e-4)


def test_padding_does_not_dilute_the_mean() -> None:
    values = torch.tensor([1.0, 3.0, math.nan, math.nan])
    assert float(token_mean(values, torch.tensor([True, True, False, False]))) == 2.0
    with pytest.raises(ValueError, match="no position"):
        token_mean(values, torch.zeros(4, dtype=torch.bool))


def test_alpha_mixes() -> None:
    ce, kd = torch.tensor([2.0]), torch.tensor([6.0])
    assert [float(mixed_loss(ce, kd, a)) for a in (0.0, 0.5, 1.0)] == [2.0, 4.0, 6.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: divergence(s, s, temperature=0.0), "`temperature` is more than 0"),
        (lambda s: divergence(s, s, beta=1.1), "`beta` is from 0"),
        (lambda s: divergence(s, s[:, :3]), "the student has"),
        (lambda s: top_k_divergence(s, top_k_of(s, 2), missing="most"), "`missing` is"),
    ],
)
def test_nonsense_is_refused(call: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(torch.zeros(2, 4))


def test_a_teacher_known_by_its_tokens_alone_has_its_own_rest() -> None:
    """As from a server that tells the likeliest tokens: the rest is what is left of 1."""
    log_probs = torch.tensor([[math.log(0.6), math.log(0.3)]])
    top = TopK(log_probs, torch.tensor([[2, 0]]), torch.log1p(-log_probs.exp().sum(1)))
    student = torch.log(torch.tensor([[0.3, 0.04, 0.6, 0.06]]))
    assert float(top_k_divergence(student, top)) == pytest.approx(0.0, abs=1e-6)
