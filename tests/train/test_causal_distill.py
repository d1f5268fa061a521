"""A local teacher beside the answers, on decoders so small that everything can be checked."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from shokunin.progress import silent
from tiny_decoder import colours, tiny_decoder

torch = pytest.importorskip("torch")
pytest.importorskip("peft")
pytestmark = pytest.mark.torch

from shokunin.errors import UsageError  # noqa: E402
from shokunin.train.causal_distill import LocalTeacher, check_same_tokens, on_policy, sample  # noqa: E402
from shokunin.train.distillation_loss import divergence  # noqa: E402
from shokunin.train.torch_causal import Decoder, packed  # noqa: E402

WORDS, WIDTH, END = 23, 16, 2
CONFIG = SimpleNamespace(
    num_attention_heads=4, num_key_value_heads=2, hidden_size=WIDTH, head_dim=4, rms_norm_eps=1e-5, num_hidden_layers=2,
    rope_parameters={"rope_theta": 10000.0}, rope_theta=10000.0,
)  # fmt: skip


def decoder(seed: int, scale: float = 0.4) -> Any:
    chance = torch.Generator().manual_seed(seed)

    def numbers(*shape: int) -> Any:
        return torch.randn(*shape, generator=chance) * scale

    tensors = {"model.embed_tokens.weight": numbers(WORDS, WIDTH), "model.norm.weight": torch.ones(WIDTH)}
    for n in range(2):
        own = f"model.layers.{n}."
        for name, out, into in (
            ("self_attn.q_proj", 16, 16), ("self_attn.k_proj", 8, 16), ("self_attn.v_proj", 8, 16), ("self_attn.o_proj", 16, 16),
            ("mlp.gate_proj", 32, 16), ("mlp.up_proj", 32, 16), ("mlp.down_proj", 16, 32),
        ):  # fmt: skip
            tensors[f"{own}{name}.weight"] = numbers(out, into)
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{own}{name}.weight"] = torch.ones(WIDTH)
    return Decoder(CONFIG, tensors, torch.float32)


def teacher(seed: int, **more: Any) -> Any:
    """As `LocalTeacher` makes itself, without files."""
    made = object.__new__(LocalTeacher)
    given = {"alpha": 0.5, "temperature": 1.0, "beta": 0.0, "top_k": 64, "missing": "bucket", **more}
    for name, value in given.items():
        setattr(made, name, value)
    made.decoder = decoder(seed).eval()
    made.words = WORDS
    made._known = {}
    return made


ROWS = [
    (np.array([5, 6, 7, 8, 9, END]), 3),
    (np.array([5, 6, 10, 11, END]), 2),
    (np.array([5, 6, 7, 8, 12, 13, 14, END]), 4),
]


def logits(model: Any, batch: Any) -> Any:
    return torch.nn.functional.linear(model.hidden(batch), model.head)


def test_the_answers_alone_are_the_plain_loss() -> None:
    student, batch = decoder(1), packed(ROWS, torch.device("cpu"))
    loss = teacher(2, alpha=0.0).loss(student, batch, ROWS)
    assert float(loss) == pytest.approx(float(student.loss(batch)), rel=1e-5)


@pytest.mark.parametrize(("beta", "temperature"), [(0.0, 1.0), (0.5, 2.0), (1.0, 1.0)])
def test_the_teacher_alone_is_the_divergence_at_the_answers_tokens(beta: float, temperature: float) -> None:
    student, batch = decoder(1), packed(ROWS, torch.device("cpu"))
    asked = teacher(2, alpha=1.0, beta=beta, temperature=temperature)
    wanted = divergence(logits(student, batch), logits(asked.decoder, batch), beta=beta, temperature=temperature)
    assert len(wanted) == 3 + 3 + 4, "the prompts' tokens do not count"
    assert float(asked.loss(student, batch, ROWS)) == pytest.approx(float(wanted.sum()), rel=1e-4)


def test_an_equal_teacher_asks_nothing() -> None:
    student, batch = decoder(3), packed(ROWS, torch.device("cpu"))
    assert float(teacher(3, alpha=1.0, top_k=4).loss(student, batch, ROWS)) == pytest.approx(0.0, abs=1e-4)


def test_what_was_said_is_kept_and_the_same_in_another_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    student, asked = decoder(1), teacher(2, top_k=5)
    batch = packed(ROWS, torch.device("cpu"))
    first = float(asked.loss(student, batch, ROWS))
    monkeypatch.setattr(asked.decoder, "hidden", lambda batch: pytest.fail("it was asked again"))
    other = ROWS[::-1]
    assert float(asked.loss(student, packed(other, torch.device("cpu")), other)) == pytest.approx(first, rel=1e-4)


def test_where_the_student_wrote_the_answer_its_own_tokens_are_not_taken_for_right() -> None:
    student, batch = decoder(1), packed(ROWS, torch.device("cpu"))
    mixed = teacher(2, alpha=0.3)
    gaps = divergence(logits(student, batch), logits(mixed.decoder, batch)).detach()
    told = torch.nn.functional.cross_entropy(logits(student, batch), batch.labels, reduction="none").detach()
    wanted = 0.3 * gaps[:3].sum() + 0.7 * told[:3].sum() + gaps[3:].sum()
    assert float(mixed.loss(student, batch, ROWS, [False, True, True])) == pytest.approx(float(wanted), rel=1e-4)
    assert len(mixed._known) == 1, "what comes once is not kept"


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_a_student_comes_nearer_to_its_teacher(beta: float) -> None:
    student, asked = decoder(1), teacher(2, alpha=1.0, beta=beta)
    for parameter in student.parameters():
        parameter.requires_grad_(True)
    batch = packed(ROWS, torch.device("cpu"))
    steps = torch.optim.Adam([student.words], lr=0.05)
    losses = []
    for _ in range(30):
        loss = asked.loss(student, batch, ROWS)
        losses.append(float(loss.detach()))
        steps.zero_grad()
        loss.backward()
        steps.step()
    assert losses[-1] < 0.3 * losses[0]


def test_cold_samples_are_the_likeliest_tokens_whoever_stands_beside_them() -> None:
    student = decoder(4)
    prompts = [np.array([5, 6, 7]), np.array([9, 10]), np.array([5, 6, 7, 8, 3])]
    together = sample(student, prompts, END, temperature=1e-4, max_new_tokens=6, random=np.random.default_rng(0))
    for prompt, answer in zip(prompts, together, strict=True):
        tokens = list(prompt)
        for token in answer:
            rows = [(np.array([*tokens, END]), len(tokens))]
            best = int(logits(student, packed(rows, torch.device("cpu"))).argmax())
            assert token == best
            tokens.append(best)
        assert 1 <= len(answer) <= 6 and END not in answer[:-1]


def test_samples_have_the_student_s_probabilities() -> None:
    student = decoder(4)
    prompt = np.array([5, 6, 7])
    drawn = sample(student, [prompt] * 3000, END, temperature=1.0, max_new_tokens=1, random=np.random.default_rng(0))
    shares = np.bincount([int(a[0]) for a in drawn], minlength=WORDS) / 3000
    wanted = torch.softmax(logits(student, packed([(np.array([5, 6, 7, END]), 3)], torch.device("cpu"))), -1)[0]
    assert np.abs(shares - wanted.detach().numpy()).max() < 0.04


@pytest.mark.parametrize(("lmbda", "expected"), [(0.0, {False}), (1.0, {True})])
def test_on_policy_never_or_always(lmbda: float, expected: set[bool]) -> None:
    student = decoder(4).train()
    made, own = on_policy(
        student, ROWS, END, lmbda=lmbda, temperature=0.9, max_new_tokens=4, random=np.random.default_rng(0)
    )
    assert set(own) == expected and student.training
    for (ids, prompt), (given, at) in zip(made, ROWS, strict=True):
        assert prompt == at and (ids[:prompt] == given[:at]).all()
        assert (len(ids) == len(given) and (ids == given).all()) if not lmbda else prompt < len(ids) <= prompt + 4


def test_rows_of_a_head_that_belong_to_no_token_are_left_out() -> None:
    student, batch = decoder(3), packed(ROWS, torch.device("cpu"))
    wide = teacher(3, alpha=1.0)
    wide.decoder.head = torch.nn.Parameter(torch.cat((wide.decoder.head, torch.ones(9, WIDTH))), False)
    assert float(wide.loss(student, batch, ROWS)) == pytest.approx(0.0, abs=1e-4)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
@pytest.mark.parametrize("lmbda", [0.0, 0.6])
def test_the_learner_takes_a_teacher(lmbda: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gguf")
    from shokunin.train import causal_lora

    monkeypatch.setenv("SHOKUNIN_CACHE", str(tmp_path / "cache"))
    small, large = tiny_decoder(tmp_path / "small"), tiny_decoder(tmp_path / "large", seed=1)
    options = causal_lora.Options(
        base=str(small), teacher=str(large), alpha=1.0, lmbda=lmbda, max_new_tokens=4, bf16=False, num_train_epochs=2,
        per_device_train_batch_size=8, file_type="f16", learning_rate=0.02, validation_split=0.0,
    )  # fmt: skip
    (tmp_path / "out").mkdir()
    weights = causal_lora.fit(colours(24), options, tmp_path / "out", seed=0, progress=silent)
    assert weights.facts["teacher"]["base"]["name"] == "large" and weights.facts["teacher"]["alpha"] == 1.0
    assert weights.facts["losses"][-1] < weights.facts["losses"][0]


def test_answers_of_its_own_need_a_teacher(tmp_path: Path) -> None:
    from shokunin.train import causal_lora

    options = causal_lora.Options(base=str(tiny_decoder(tmp_path / "small")), lmbda=0.5, bf16=False)
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="`lmbda` wants a teacher"):
        causal_lora.fit(colours(8), options, tmp_path / "out", seed=0, progress=silent)


def test_other_tokens_are_an_error_that_says_what_to_do() -> None:
    one = SimpleNamespace(get_vocab=lambda: {"a": 0, "b": 1})
    other = SimpleNamespace(get_vocab=lambda: {"a": 0, "b": 2, "c": 1})
    check_same_tokens(one, one, "big", "small")
    with pytest.raises(
        UsageError, match=r"'big' has other tokens than 'small' \(3 and 2; 'b' is 1 in one and 2 in the other"
    ):
        check_same_tokens(other, one, "big", "small")
