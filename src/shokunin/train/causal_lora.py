"""causal_lora: low-rank adapters on a small language model, trained on answers, merged, and left as one GGUF file.

What is done, and why:

- LoRA (Hu et al., arXiv 2106.09685) or DoRA (arXiv 2402.09353) on the linear layers; the loss counts the answer's tokens.
- A batch is packed without padding, and what its prompts share stands in it once (`torch_causal`); scores over the
  vocabulary are made for answers only. The numbers are those of the rows run one by one.
- Some lessons, whole groups of them, are held back; the epoch that was best on them is kept.
- The frozen weights are bf16 where the processor computes in it; adapters, sums and norms are float32.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import numpy as np
import torch
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from shokunin.errors import BaseModelError, LessonsError, UsageError
from shokunin.forms import Conversations, Form, Lessons
from shokunin.language.base_models import DEFAULT_LANGUAGE_MODEL, LanguageModel, resolve_near
from shokunin.language.chat_tokens import ChatTokens
from shokunin.progress import Progress, silent
from shokunin.train.causal_base import open_base
from shokunin.train.causal_checkpoint import SECONDS_BETWEEN, Checkpoint, Reached
from shokunin.train.causal_distill import local_teacher, on_policy
from shokunin.train.causal_results import write_result
from shokunin.train.causal_rows import Row, TokenRows, batches, fingerprint, held_back, split_up, token_rows
from shokunin.train.causal_tuner import Tuner
from shokunin.train.torch_causal import LINEAR
from shokunin.weights import Weights

EATS: Form = "conversation"
EXTRA: str | None = "train"
FEWEST_TO_HOLD_BACK = 60
MOST_HELD_BACK = 256

Share = Annotated[float, Field(ge=0, le=1)]


def _known(modules: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [m for m in modules if m not in LINEAR]
    if unknown:
        raise ValueError(f"unknown target_modules {unknown!r}; expected some of {', '.join(LINEAR)}")
    return modules


Modules = Annotated[
    tuple[str, ...], BeforeValidator(lambda said: LINEAR if said == "all-linear" else said), AfterValidator(_known)
]
"""Names of linear layers; `all-linear` is all of them, as in PEFT."""


class Options(BaseModel):
    """What the owner may choose; names as in TRL, PEFT and Transformers where they exist."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str = Field(DEFAULT_LANGUAGE_MODEL, description="pkg:NAME, hf:org/name[@revision], a folder or a .gguf file")
    max_length: int = Field(
        2048, ge=16, description="longer rows (prompt and answer, in tokens) are left out and named"
    )
    num_train_epochs: float = Field(4.0, gt=0)
    minutes: Annotated[float, Field(gt=0)] | None = Field(
        None, description="train fewer steps if that many minutes would not do, from measured speed"
    )
    per_device_train_batch_size: int = Field(16, ge=1, le=4096)
    tokens_at_once: int = Field(
        4096, ge=256, description="a batch with more tokens goes in pieces; its result is the same"
    )
    learning_rate: float = Field(1e-3, gt=0, lt=1)
    warmup_ratio: Share = 0.05
    max_grad_norm: float = Field(1.0, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    r: int = Field(16, ge=1, le=512)
    lora_alpha: int = Field(32, ge=1)
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    use_dora: bool = Field(False, description="DoRA; slower")
    target_modules: Modules = Field(LINEAR, min_length=1, description=f"all-linear, or of {', '.join(LINEAR)}")
    validation_split: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.1,
        description=f"share of the lessons held back, {MOST_HELD_BACK} at most; none of fewer than {FEWEST_TO_HOLD_BACK}",
    )
    early_stopping_patience: int = Field(2, ge=1, description="epochs without a better loss on what is held back")
    bf16: bool | None = Field(
        None, description="by default where the processor computes in it (AMX, AVX512-BF16, CUDA)"
    )
    file_type: Literal["q8_0", "f16"] = Field("q8_0", description="of the numbers in model.gguf")
    teacher: str | None = Field(
        None, description="a larger model with the same tokens, whose probabilities are learnt from too; as for base"
    )
    alpha: Share = Field(0.5, description="the teacher's share of the loss; the answers have the rest")
    temperature: float = Field(1.0, gt=0, description="of both models' probabilities in the loss")
    beta: Share = Field(0.0, description="0: KL(teacher ‖ student), 1: the reverse, between: Jensen-Shannon")
    lmbda: Share = Field(0.0, description="share of the rows on which the student writes the answer itself")
    max_new_tokens: int = Field(128, ge=1, description="the longest answer that it then writes")
    merge: bool = Field(
        True, description="False: leave the adapter alone, to be laid on the base that many specialists share"
    )

    @model_validator(mode="after")
    def _laid_on(self) -> Options:
        if self.use_dora and not self.merge:
            raise ValueError("use_dora cannot be laid on a shared base; merge it, or leave it out")
        return self


def forecast(lessons: Lessons, options: BaseModel) -> float:
    """About how many seconds `fit` needs here for all epochs, whatever `minutes` says; from a few measured steps."""
    chosen, taught = cast(Options, options), _conversations(lessons)
    begun = time.perf_counter()
    with torch.random.fork_rng(devices=[]):
        run = _Run(taught, chosen, 0, silent)
        opened = time.perf_counter() - begun
        return opened * 1.5 + run.seconds_a_step() * run.planned * 1.05 + 10.0


def fit(lessons: Lessons, options: BaseModel, folder: Path, *, seed: int, progress: Progress) -> Weights:
    """Tune a language model on the lessons and write `model.gguf` and `adapter/` into `folder`.

    An interrupted run goes on where it was when it is called again with the same lessons, options and seed.

    Raises:
        LessonsError: there are no lessons, all are too long, or an answer is empty.
        UsageError: an option does not fit the base.
        BaseModelError: the base cannot be used.
    """
    chosen, taught = cast(Options, options), _conversations(lessons)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        run = _Run(taught, chosen, seed, progress)
        if not chosen.merge:
            _check_found_again(run.base.model, chosen.base, folder)
        reached = run.train(progress)
        progress("writing the weights", 0, None)
        read_as, written = write_result(run.base, run.tuner, folder, file_type=chosen.file_type, merge=chosen.merge)
        facts = run.facts(reached) | written
    run.checkpoint.remove()
    return Weights(folder, EATS, read_as, exact=False, facts=facts)


def _check_found_again(model: LanguageModel, name: str, folder: Path) -> None:
    """Do nothing if a specialist in or around `folder` finds the base that its adapter is to be laid on."""
    if model.kind != "gguf":
        raise UsageError(f"merge=False needs a base that is a GGUF file; {name!r} is {model.kind}")
    kept_as = str(model.facts()["name"])
    try:
        found = resolve_near(kept_as, folder).sha256
    except BaseModelError:
        found = None
    if found != model.sha256:
        raise UsageError(
            f"merge=False leaves the adapter alone, and its base would be looked for as {kept_as!r}, which is not the file "
            f"{name!r}; put that into the project's folder and name it from there, or take one of a package or the hub"
        )


def _conversations(lessons: Lessons) -> Conversations:
    if not isinstance(lessons, Conversations):
        raise UsageError(f"causal_lora learns from conversations, not from {lessons.form}")
    if not len(lessons):
        raise LessonsError("there are no lessons; causal_lora needs conversations with their answers")
    empty = [n for n, answer in enumerate(lessons.answers) if not answer.strip()]
    if empty:
        raise LessonsError(f"{len(empty)} lessons have no answer (the first is number {empty[0]}); leave them out")
    return lessons


class _Run:
    """One training run: the rows, the model with its adapters, and the plan."""

    def __init__(self, lessons: Conversations, options: Options, seed: int, progress: Progress) -> None:
        progress("opening the base model", 0, None)
        self.options, self.seed = options, seed
        self.base = open_base(options.base)
        self.max_length = min(options.max_length, self.base.context)
        self.chat = ChatTokens(self.base.folder, options.base)
        self.told: TokenRows = token_rows(lessons, self.chat, self.max_length)
        self.kept_out = held_back(
            lessons.groups[self.told.lessons],
            options.validation_split,
            seed,
            fewest=FEWEST_TO_HOLD_BACK,
            most=MOST_HELD_BACK,
        )
        self.rows: list[Row] = [row for row, out in zip(self.told.rows, self.kept_out, strict=True) if not out]
        self.checked: list[Row] = [row for row, out in zip(self.told.rows, self.kept_out, strict=True) if out]
        self.lengths = np.array([len(ids) for ids, _ in self.rows], np.int64)
        self.tuner = Tuner(self.base, options)
        self.tuner.teacher = teacher = local_teacher(options, self.base, self.chat, self.tuner)
        self.a_pass = math.ceil(len(self.rows) / options.per_device_train_batch_size)
        self.planned = max(1, round(options.num_train_epochs * self.a_pass))
        self.checkpoint = Checkpoint(
            {
                "base": self.base.model.sha256,
                "teacher": None if teacher is None else teacher.base.model.sha256,
                "options": options.model_dump(mode="json", exclude={"base"}),
                "rows": fingerprint(self.told).hex(),
                "held_back": np.flatnonzero(self.kept_out).tolist(),
                "seed": seed,
                "bf16": self.tuner.bf16,
            }
        )

    def train(self, progress: Progress) -> Reached:
        """All steps, or until the rows held back say that it is enough; leaves the best adapters in the model."""
        kept = self.checkpoint.read()
        if kept is not None:
            reached = kept[0]
            self.tuner.restore(kept[1], reached.step)
        else:
            reached = Reached(steps=self.planned)
            if self.options.minutes is not None:
                left = self.options.minutes * 60
                reached.steps = int(np.clip(left / self.seconds_a_step(), 1, self.planned))
        rate = warm_then_cosine(reached.steps, self.options.warmup_ratio)
        saved = time.perf_counter()
        try:
            while reached.step < reached.steps and not self._enough(reached):
                self._step(reached, rate)
                progress("tuning the language model", reached.step, reached.steps)
                if time.perf_counter() - saved > SECONDS_BETWEEN:
                    self.checkpoint.save(reached, self.tuner.state())
                    saved = time.perf_counter()
        except BaseException:
            if reached.step:
                self.checkpoint.save(reached, self.tuner.state())
            raise
        self.tuner.use_best()
        return reached

    def _step(self, reached: Reached, rate: Callable[[int], float]) -> None:
        epoch, place = divmod(reached.step, self.a_pass)
        if place == 0 or not hasattr(self, "_order"):
            random = np.random.default_rng((self.seed, epoch))
            self._order = list(batches(len(self.rows), self.options.per_device_train_batch_size, random))
        rows = [self.rows[n] for n in self._order[place]]
        begun = time.perf_counter()
        rows, own = self._written(rows, reached.step)
        if self.options.lora_dropout:
            # What is dropped depends on the step alone, so that a run that goes on ends where an unbroken one does.
            torch.manual_seed((self.seed * 1_000_003 + reached.step) % 2**63)
        loss, told, computed = self.tuner.learn(rows, self.options.learning_rate * rate(reached.step), own)
        reached.seconds += time.perf_counter() - begun
        reached.step += 1
        reached.tokens += sum(len(ids) for ids, _ in rows)
        reached.computed += computed
        reached.running = (reached.running[0] + loss, reached.running[1] + told)
        if place + 1 == self.a_pass or reached.step == reached.steps:
            reached.losses.append(reached.running[0] / reached.running[1])
            reached.running = (0.0, 0)
            if self.checked:
                self._check(reached)

    def _written(self, rows: list[Row], step: int) -> tuple[list[Row], list[bool]]:
        """The rows, some with answers of the student's own where there is a teacher to judge them; which those are."""
        options = self.options
        if self.tuner.teacher is None or not options.lmbda:
            return rows, [False] * len(rows)
        return on_policy(
            self.tuner.decoder, rows, self.chat.end, lmbda=options.lmbda, max_new_tokens=options.max_new_tokens,
            random=np.random.default_rng((self.seed, step, 1)),
        )  # fmt: skip

    def _check(self, reached: Reached) -> None:
        total = count = 0.0
        for piece in split_up(sorted(self.checked, key=lambda row: len(row[0])), self.options.tokens_at_once):
            loss, told = self.tuner.judge(piece)
            total, count = total + loss, count + told
        reached.held_back.append(total / count)
        if reached.best < 0 or reached.held_back[-1] < reached.held_back[reached.best]:
            reached.best = len(reached.held_back) - 1
            self.tuner.keep_best()

    def _enough(self, reached: Reached) -> bool:
        worse = len(reached.held_back) - 1 - reached.best
        return bool(reached.held_back) and worse >= self.options.early_stopping_patience

    def seconds_a_step(self, tries: int = 3) -> float:
        """The median time of a step, the weights left as they are."""
        size, seconds = self.options.per_device_train_batch_size, []
        order = np.argsort(self.lengths, kind="stable")
        self.tuner.learn([self.rows[order[len(order) // 2]]], None)  # what happens only once is not counted
        for part in range(tries):
            middle = int(len(order) * (part + 0.5) / tries)
            chosen = order[max(0, min(middle - size // 2, len(order) - size)) :][:size]
            begun = time.perf_counter()
            shown, own = self._written([self.rows[n] for n in chosen], part)
            self.tuner.learn(shown, None, own)
            seconds.append(time.perf_counter() - begun)
        return float(np.median(seconds)) * 1.05

    def facts(self, reached: Reached) -> dict[str, Any]:
        """What the weights say about how they came to be."""
        options = self.options
        return {
            "learner": "causal_lora",
            "base": self.base.model.facts(),
            "licence": self.base.model.licence,
            **({} if self.tuner.teacher is None else {"teacher": self.tuner.teacher.facts()}),
            "options": options.model_dump(mode="json", exclude={"base"}),
            "max_length": self.max_length,
            **self.told.facts(),
            "rows_held_back": len(self.checked),
            "steps": reached.step,
            "epochs": round(reached.step / self.a_pass, 2),
            "shortened": reached.steps < self.planned,
            "stopped_early": reached.step < reached.steps,
            "losses": [round(loss, 5) for loss in reached.losses],
            "losses_held_back": [round(loss, 5) for loss in reached.held_back],
            "best_epoch": reached.best + 1 if reached.held_back else None,
            "tokens": reached.tokens,
            "tokens_computed": reached.computed,
            "seconds": round(reached.seconds, 1),
            "tokens_per_second": round(reached.tokens / reached.seconds, 1) if reached.seconds else None,
            "trained_parameters": self.tuner.trained_parameters(),
            "training_precision": "bf16" if self.tuner.bf16 else "float32",
            "device": self.tuner.device.type,
        }


def warm_then_cosine(steps: int, warmup_ratio: float) -> Callable[[int], float]:
    """The share of the learning rate at each step."""
    warm = max(1, int(warmup_ratio * steps))

    def rate(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

    return rate
