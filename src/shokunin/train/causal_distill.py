"""A local teacher for `causal_lora`: its probabilities beside the answers, and, on policy, beside what the student itself writes.

Both models must have the same tokens. On policy (GKD, arXiv 2306.13649) the student's own answers are sampled and the teacher
says at each of their tokens what it would have said; no gradient goes through the sampling. The teacher's scores on given
answers are kept as its likeliest tokens, so that they are computed once for all epochs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from shokunin.errors import UsageError
from shokunin.language.chat_tokens import ChatTokens
from shokunin.train.causal_base import Base, open_base
from shokunin.train.causal_kernels import ROWS_OF_LOGITS
from shokunin.train.causal_rows import Row
from shokunin.train.distillation_loss import Missing, TopK, mixed_loss, top_k_divergence, top_k_of
from shokunin.train.torch_causal import Decoder, Packed, packed

if TYPE_CHECKING:
    from shokunin.train.causal_lora import Options
    from shokunin.train.causal_tuner import Tuner

SAMPLES_AT_ONCE = 16


class LocalTeacher:
    """A frozen model that is asked for probabilities.

    Args:
        name: of the model: `pkg:NAME`, `hf:org/name[@revision]`, a folder or a `.gguf` file.
        student: the base that learns.
        chat: the student's tokenizer.
        alpha: the teacher's share of the loss; the answers have the rest.
        temperature: of both models' probabilities in the loss.
        beta: 0 is forward KL, 1 reverse KL, between them the generalised Jensen-Shannon divergence.
        top_k: how many of the teacher's tokens are kept at a position.
        missing: what is done about the others.
        device: where it runs.
        kind: precision of its weights.

    Raises:
        UsageError: its tokens are not the student's.
        BaseModelError: it cannot be opened.
    """

    def __init__(
        self,
        name: str,
        student: Base,
        chat: ChatTokens,
        *,
        alpha: float,
        temperature: float,
        beta: float,
        top_k: int = 128,
        missing: Missing = "bucket",
        device: torch.device,
        kind: torch.dtype,
    ) -> None:
        self.base = open_base(name)
        check_same_tokens(ChatTokens(self.base.folder, name).tokenizer, chat.tokenizer, name, student.model.name)
        self.alpha, self.temperature, self.beta = alpha, temperature, beta
        self.top_k, self.missing = top_k, missing
        self.decoder = Decoder(self.base.config, self.base.tensors(), kind).to(device)
        self.decoder.share()
        self.decoder.eval()
        # Models of one family may have heads of different sizes, filled up with rows that belong to no token.
        self.words = min(len(self.decoder.head), int(student.config.vocab_size))
        self._known: dict[bytes, TopK] = {}

    def facts(self) -> dict[str, Any]:
        """What the weights say about it."""
        return {
            "base": self.base.model.facts(), "licence": self.base.model.licence, "alpha": self.alpha,
            "temperature": self.temperature, "beta": self.beta, "top_k": self.top_k, "missing": self.missing,
        }  # fmt: skip

    def loss(self, student: Decoder, batch: Packed, rows: Sequence[Row], own: Sequence[bool] = ()) -> torch.Tensor:
        """The summed loss of the student on a packed batch of these rows; divide by `len(batch.labels)`.

        Args:
            student: the model that learns.
            batch: the rows, packed.
            rows: the rows.
            own: which of them the student has written itself: there the teacher alone counts, as nobody says that it is right.
        """
        own = own or [False] * len(rows)
        sizes = torch.tensor([len(ids) - prompt for ids, prompt in rows], device=batch.labels.device)
        each = torch.tensor([1.0 if sampled else self.alpha for sampled in own], device=batch.labels.device)
        alpha = each.repeat_interleave(sizes)
        said = self._said(batch, rows, own)
        hidden = student.hidden(batch)
        total = hidden.new_zeros((), dtype=torch.float32)
        for start in range(0, len(batch.labels), ROWS_OF_LOGITS):
            part = slice(start, start + ROWS_OF_LOGITS)
            piece = TopK(said.log_probs[part], said.ids[part], said.rest[part], said.temperature)
            # Scores over the vocabulary are made again on the way back rather than kept.
            total = total + torch.utils.checkpoint.checkpoint(
                self._part, hidden[part], student.head, batch.labels[part], piece, alpha[part], use_reentrant=False
            )
        return total

    def _part(
        self, hidden: torch.Tensor, head: torch.Tensor, labels: torch.Tensor, said: TopK, alpha: torch.Tensor
    ) -> torch.Tensor:
        scores = functional.linear(hidden, head).float()
        told = functional.cross_entropy(scores, labels, reduction="none")
        gap = top_k_divergence(scores, said, beta=self.beta, missing=self.missing)
        return mixed_loss(told, gap, alpha).sum()

    def _said(self, batch: Packed, rows: Sequence[Row], own: Sequence[bool]) -> TopK:
        """The teacher's likeliest tokens where the batch tells one, row after row; of rows that come again they are kept."""
        keys = [hashlib.sha256(ids.tobytes() + prompt.to_bytes(8)).digest() for ids, prompt in rows]
        if any(own) or not all(key in self._known for key in keys):
            fresh = self._asked(batch)
            end = 0
            for key, (ids, prompt), sampled in zip(keys, rows, own, strict=True):
                start, end = end, end + len(ids) - prompt
                if not sampled:
                    part = fresh.log_probs[start:end], fresh.ids[start:end], fresh.rest[start:end]
                    self._known[key] = TopK(part[0].clone(), part[1].int(), part[2].clone(), fresh.temperature)
            return fresh
        found = joined([self._known[key] for key in keys])
        return TopK(found.log_probs, found.ids.long(), found.rest, found.temperature)

    def _asked(self, batch: Packed) -> TopK:
        head = self.decoder.head[: self.words]
        with torch.no_grad():
            hidden = self.decoder.hidden(batch)
            pieces = (hidden[start : start + ROWS_OF_LOGITS] for start in range(0, len(hidden), ROWS_OF_LOGITS))
            return joined([top_k_of(functional.linear(one, head), self.top_k, self.temperature) for one in pieces])


def local_teacher(options: Options, base: Base, chat: ChatTokens, tuner: Tuner) -> LocalTeacher | None:
    """The teacher that the options name, if any.

    Raises:
        UsageError: there is none although answers of the student's own are wanted, or its tokens are others.
        BaseModelError: it cannot be opened.
    """
    if options.teacher is None:
        if options.lmbda:
            raise UsageError(
                "`lmbda` wants a teacher to judge what the student writes; name one in `teacher`, or leave it 0"
            )
        return None
    return LocalTeacher(
        options.teacher, base, chat, alpha=options.alpha, temperature=options.temperature, beta=options.beta,
        device=tuner.device, kind=tuner.decoder.kind,
    )  # fmt: skip


def joined(parts: Sequence[TopK]) -> TopK:
    """Positions one after the other."""
    return TopK(
        torch.cat([p.log_probs for p in parts]),
        torch.cat([p.ids for p in parts]),
        torch.cat([p.rest for p in parts]),
        parts[0].temperature,
    )


def check_same_tokens(teacher: Any, student: Any, teacher_name: str, student_name: str) -> None:
    """Do nothing if two tokenizers give every text the same numbers.

    Raises:
        UsageError: they do not; their probabilities then are about different things.
    """
    ours, theirs = student.get_vocab(), teacher.get_vocab()
    if ours == theirs:
        return
    apart = next((word for word, number in ours.items() if theirs.get(word) != number), None)
    shown = f"; {apart!r} is {ours[apart]} in one and {theirs.get(apart)} in the other" if apart is not None else ""
    raise UsageError(
        f"the teacher {teacher_name!r} has other tokens than {student_name!r} ({len(theirs):,} and {len(ours):,}{shown}), so its "
        "probabilities say nothing about the student's tokens; take a teacher of the same family, or have it label the rows: "
        "shokunin distill ROWS --from URL#MODEL"
    )


def on_policy(
    student: Decoder,
    rows: Sequence[Row],
    end: int,
    *,
    lmbda: float,
    max_new_tokens: int,
    random: np.random.Generator,
    temperature: float = 0.9,
) -> tuple[list[Row], list[bool]]:
    """The rows, each with probability `lmbda` with an answer that the student samples, and which of them those are.

    Args:
        student: the model that learns.
        rows: with the given answers.
        end: the token that ends an answer.
        lmbda: as in GKD; 0 is never, 1 always.
        max_new_tokens: an answer that has not ended by then is taken as it is.
        random: decides.
        temperature: of the sampling, as in TRL; the loss has its own.
    """
    own = [bool(random.random() < lmbda) for _ in rows]
    chosen = [n for n, sampled in enumerate(own) if sampled]
    made = list(rows)
    for start in range(0, len(chosen), SAMPLES_AT_ONCE):
        part = chosen[start : start + SAMPLES_AT_ONCE]
        prompts = [rows[n][0][: rows[n][1]] for n in part]
        answers = sample(student, prompts, end, temperature=temperature, max_new_tokens=max_new_tokens, random=random)
        for n, prompt, answer in zip(part, prompts, answers, strict=True):
            made[n] = (np.concatenate((prompt, answer)), len(prompt))
    return made, own


def sample(
    student: Decoder,
    prompts: Sequence[np.ndarray[Any, np.dtype[np.int64]]],
    end: int,
    *,
    temperature: float,
    max_new_tokens: int,
    random: np.random.Generator,
) -> list[np.ndarray[Any, np.dtype[np.int64]]]:
    """One answer to each prompt, its end included if it came to one; at least one token each."""
    device = student.words.device
    answers: list[list[int]] = [[] for _ in prompts]
    going = list(range(len(prompts)))
    training = student.training
    student.eval()
    with torch.no_grad():
        for _ in range(max_new_tokens):
            # One token that is to be told stands behind each row, so that the row's last token is where it is told from.
            rows = [
                (
                    np.concatenate((prompts[n], np.asarray([*answers[n], end], np.int64))),
                    len(prompts[n]) + len(answers[n]),
                )
                for n in going
            ]
            batch = packed(rows, device)
            scores = functional.linear(student.hidden(batch), student.head).float() / temperature
            shares = torch.softmax(scores, -1).double().cpu().numpy()
            for n, share in zip(list(going), shares, strict=True):
                token = int(np.searchsorted(np.cumsum(share), random.random() * share.sum(), side="right"))
                answers[n].append(min(token, len(share) - 1))
                if answers[n][-1] == end:
                    going.remove(n)
            if not going:
                break
    student.train(training)
    return [np.asarray(answer, np.int64) for answer in answers]
