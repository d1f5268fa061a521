"""encoder_lora: low-rank adapters on the encoder's upper layers, merged, and served through the same graph writer.

What is done, and why:

- It starts where `encoder_head` ends: frozen encoder, fitted head. LoRA (Hu et al., arXiv 2106.09685) on every linear
  layer of the upper half; the lower half is run once and kept, since nothing in it changes and it has no dropout.
- The loss is cross-entropy with label smoothing plus a contrastive part: a text should lie nearest to texts of its own
  label among the last known embeddings of all lessons (neighbourhood components, Goldberger et al. 2004; memory bank,
  Wu et al., arXiv 1805.01978).
- With few rows a label, cross-entropy spoils what the encoder knows; then the contrastive part trains alone.
- The result is set back half way to where it started (WiSE-FT, Wortsman et al., arXiv 2109.01903): the adapters are
  merged at half strength, which measured better than either end.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, cast

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, Field
from torch.nn import functional

from shokunin.encoders.architecture import read_shape
from shokunin.encoders.base_models import resolve
from shokunin.encoders.graph import Head, write_encoder
from shokunin.encoders.linear_head import fit_linear_head, seconds_to_fit
from shokunin.encoders.onnx_text import GRAPH, TOKENIZER, OnnxText, copy_tokenizer, write_about
from shokunin.encoders.text_encoder import length_for
from shokunin.encoders.tokens import read_pad_id, token_ids
from shokunin.errors import LessonsError
from shokunin.forms import Form, TextLessons
from shokunin.progress import Progress, silent
from shokunin.train.adapted_encoder import AdaptedEncoder, AdapterOptions, Share, shuffled_batches, warm_then_cosine
from shokunin.weights import Weights

EATS: Form = "labelled_text"
EXTRA: str | None = "train"
FEW = 20
"""Fewer rows than this a label (the median): cross-entropy is left out."""
BANK = 20_000


class Options(AdapterOptions):
    """What the owner may choose; names as in PEFT and Transformers where they exist."""

    max_length: Annotated[int, Field(ge=8, le=8192)] | None = Field(
        None, description="tokens of a text that are read; by default what 99 of 100 texts need, at most 256"
    )
    num_train_epochs: Annotated[float, Field(gt=0)] | None = Field(
        None, description=f"passes over the lessons; by default 5, and 8 with fewer than {FEW} rows a label"
    )
    minutes: Annotated[float, Field(gt=0)] | None = Field(
        None, description="train fewer epochs if that many minutes would not do, from measured speed"
    )
    per_device_train_batch_size: int = Field(32, ge=2, le=4096)
    learning_rate: Annotated[float, Field(gt=0)] | None = Field(
        None, description=f"of the adapters; by default 0.001, and 0.0005 with fewer than {FEW} rows a label"
    )
    head_learning_rate: float = Field(1e-3, gt=0)
    warmup_ratio: Share = 0.1
    label_smoothing: Share = 0.1
    contrastive: float = Field(0.5, ge=0, description="weight of the contrastive part beside cross-entropy")
    interpolation: float = Field(
        0.5, gt=0, le=1, description="how far from the frozen encoder (0) to the trained one (1)"
    )


def forecast(lessons: TextLessons, options: BaseModel) -> float:
    """About how many seconds `fit` needs here for all epochs, whatever `minutes` says; from the measured speed of a few texts."""
    chosen = cast(Options, options)
    rows = np.arange(0, len(lessons), max(1, len(lessons) // 64))[:64]
    with torch.random.fork_rng(devices=[]):
        started = time.perf_counter()
        tuner = _Tuner(lessons.take(rows), chosen, silent)
        opened = time.perf_counter() - started
        started = time.perf_counter()
        tuner.keep_lower_layers(silent)
        tuner.embeddings(silent)
        reading = (time.perf_counter() - started) / len(rows) * len(lessons)
        a_step = tuner.seconds_a_step(_untrained_head(len(lessons.names), tuner.shape.width))
        training = a_step * tuner.steps(len(lessons), _rows_a_label(lessons) < FEW)
    return (
        opened + 2 * reading + training + 2 * seconds_to_fit(len(lessons), tuner.shape.width, len(lessons.names)) + 2.0
    )


def fit(lessons: TextLessons, options: BaseModel, folder: Path, *, seed: int, progress: Progress) -> Weights:
    """Tune the encoder and its head on the lessons, merge, and write one graph into `folder`.

    Raises:
        LessonsError: there are fewer than two labels among the lessons.
        UsageError: an option does not fit the encoder.
        BaseModelError: the base model cannot be used.
    """
    chosen = cast(Options, options)
    if len(np.unique(lessons.labels)) < 2:
        raise LessonsError(
            f"{len(lessons)} lessons with fewer than two different labels; there is nothing to tell apart"
        )
    started = time.perf_counter()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tuner = _Tuner(lessons, chosen, progress)
        tuner.keep_lower_layers(progress)
        reading = time.perf_counter()
        frozen = tuner.embeddings(progress)
        progress("fitting the head", 0, None)
        first = fit_linear_head(frozen, lessons.labels, lessons.groups, len(lessons.names), seed=seed)
        few = _rows_a_label(lessons) < FEW
        again = time.perf_counter() - reading if few else 0.0  # what comes after the training counts as well
        head, steps = tuner.train(first.head, frozen, few, started - again, seed, progress)
        tuner.set_strength(chosen.interpolation)
        if few:  # the head had no part in the training: it is fitted again, on the embeddings as they are now
            embeddings = tuner.embeddings(progress)
            head = fit_linear_head(
                embeddings, lessons.labels, lessons.groups, len(lessons.names), grid=(first.strength,), seed=seed
            ).head
        else:
            head = _between(first.head, head, chosen.interpolation)
    progress("writing the weights", 0, None)
    write_encoder(tuner.base.folder, folder / GRAPH, pooling=tuner.pooling, head=head, tensors=tuner.merged())
    copy_tokenizer(tuner.base.folder, folder)
    base = dict(tuner.base.facts())
    about = OnnxText(tuner.max_length, tuner.pad_id, len(lessons.names), False, tuner.pooling, "float32", base)
    write_about(folder, about)
    facts = {
        "learner": "encoder_lora",
        "base": base,
        "max_length": tuner.max_length,
        "pooling": tuner.pooling,
        "options": chosen.model_dump(mode="json", exclude={"base"}),
        "steps": steps,
        "epochs": round(steps * chosen.per_device_train_batch_size / len(lessons), 2),
        "shortened": steps < tuner.steps(len(lessons), few),
        "learning_rate": tuner.learning_rate(few),
        "loss": "contrastive" if few else "cross-entropy and contrastive",
        "head_C": first.strength,
        "trained_parameters": tuner.trained_parameters() + int(head[0].size + head[1].size),
        "training_precision": "bf16" if tuner.bf16 else "float32",
        "device": tuner.device.type,
        "precision": "float32",
    }
    return Weights(folder, EATS, "onnx_text", exact=True, facts=facts)


class _Tuner(AdaptedEncoder):
    """The encoder with its adapters, and the lessons as tokens."""

    def __init__(self, lessons: TextLessons, options: Options, progress: Progress) -> None:
        progress("opening the base model", 0, None)
        self.options = options
        self.labels = torch.from_numpy(np.asarray(lessons.labels, np.int64))
        base = resolve(options.base)
        shape = read_shape(base.folder)
        wanted = options.max_length or length_for(base, lessons.texts)
        self.max_length = min(wanted, shape.max_length)
        pad_id = read_pad_id(base.folder / TOKENIZER, shape.pad_id)
        super().__init__(
            options, base, token_ids(base.folder / TOKENIZER, lessons.texts, self.max_length, pad_id), pad_id
        )

    def embed(self, rows: npt.NDArray[np.int64]) -> torch.Tensor:
        """Embeddings of the lessons at `rows`, float32 (len(rows), d), on the device."""
        with self.autocast():
            hidden, mask = self.lower(rows)
            return self.encoder.upper(hidden, mask, self.frozen_layers)

    def embeddings(self, progress: Progress) -> npt.NDArray[np.float32]:
        """Embeddings of all lessons as the encoder is now, (n, d)."""
        out = np.empty((len(self.ids), self.shape.width), np.float32)
        done = 0
        self.encoder.eval()
        with torch.no_grad():
            for rows in self.in_order():
                out[rows] = self.embed(rows).cpu().numpy()
                done += len(rows)
                progress("embedding texts", done, len(self.ids))
        return out

    def train(
        self, head: Head, frozen: npt.NDArray[np.float32], few: bool, started: float, seed: int, progress: Progress
    ) -> tuple[Head, int]:
        """Train adapters and head from `head`; gives the head as it ended, and the number of steps."""
        options, steps = self.options, self.steps(len(self.ids), few)
        if options.minutes is not None:
            left = options.minutes * 60 - (time.perf_counter() - started) - 2.0
            steps = int(np.clip(left / self.seconds_a_step(head), 1, steps))
        weight, bias = (torch.nn.Parameter(torch.from_numpy(part.copy()).to(self.device)) for part in head)
        bank_rows = _bank_rows(len(self.ids), seed)
        bank = torch.from_numpy(frozen[bank_rows]).to(self.device)
        place_in_bank = torch.full((len(self.ids),), -1)
        place_in_bank[bank_rows] = torch.arange(len(bank_rows))
        scale = float(np.sqrt(self.shape.width))
        optimizer = torch.optim.AdamW(
            [
                {"params": self.parameters, "lr": self.learning_rate(few)},
                # The rate is meant for features of length sqrt(d); embeddings have length 1.
                {"params": [weight], "lr": options.head_learning_rate * scale},
                {"params": [bias], "lr": options.head_learning_rate},
            ],
            weight_decay=0.01,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warm_then_cosine(steps, options.warmup_ratio))
        batches = shuffled_batches(self.lengths, options.per_device_train_batch_size, steps, seed)
        self.encoder.train()
        for step, rows in enumerate(batches):
            embedding = self.embed(rows)
            labels = self.labels[rows].to(self.device)
            known = self.labels[bank_rows].to(self.device)
            temperature = 0.05 if few else 0.07
            loss = _nearest_loss(embedding, labels, place_in_bank[rows], bank, known, temperature)
            if not few:
                scores = embedding @ weight.T + bias
                entropy = functional.cross_entropy(scores, labels, label_smoothing=options.label_smoothing)
                loss = entropy + options.contrastive * loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            here = place_in_bank[rows]
            bank[here[here >= 0]] = embedding.detach()[here >= 0]
            progress("tuning the encoder", step + 1, steps)
        self.encoder.eval()
        return (weight.detach().cpu().numpy(), bias.detach().cpu().numpy()), steps

    def learning_rate(self, few: bool) -> float:
        """Of the adapters."""
        return self.options.learning_rate or (5e-4 if few else 1e-3)

    def steps(self, rows: int, few: bool) -> int:
        """Steps for the epochs asked for."""
        epochs = self.options.num_train_epochs or (8 if few else 5)
        return max(1, round(epochs * rows / self.options.per_device_train_batch_size))

    def seconds_a_step(self, head: Head, tries: int = 4) -> float:
        """Median time of a training step, the weights left as they are."""
        weight = torch.from_numpy(head[0]).to(self.device)
        size, seconds = self.options.per_device_train_batch_size, []
        order = np.argsort(self.lengths, kind="stable")
        self.encoder.train()
        for part in range(tries):
            middle = int(len(order) * (part + 0.5) / tries)
            rows = order[max(0, min(middle - size // 2, len(order) - size)) :][:size]
            begun = time.perf_counter()
            (self.embed(rows) @ weight.T).logsumexp(1).sum().backward()
            for parameter in self.parameters:
                parameter.grad = None
            # A step on fewer rows than a batch (a forecast on a handful) is scaled up; the optimiser adds about a tenth.
            seconds.append((time.perf_counter() - begun) * 1.1 * size / len(rows))
        return float(np.median(seconds))


def _nearest_loss(
    embedding: torch.Tensor,
    labels: torch.Tensor,
    places: torch.Tensor,
    bank: torch.Tensor,
    bank_labels: torch.Tensor,
    temperature: float,
) -> torch.Tensor:
    """-log of the chance that a text's neighbour, drawn by similarity from the bank without itself, has its label."""
    near = embedding @ bank.T / temperature
    same = labels[:, None] == bank_labels[None]
    own = places >= 0
    rows = torch.arange(len(places))[own]
    near[rows, places[own]] = -1e4
    same[rows, places[own]] = False
    of_label = torch.logsumexp(near.masked_fill(~same, -1e4), 1)
    loss = torch.logsumexp(near, 1) - of_label
    alone = ~same.any(1)  # no other lesson has this label
    return loss.masked_fill(alone, 0.0).sum() / (~alone).sum().clamp(min=1)


def _bank_rows(rows: int, seed: int) -> npt.NDArray[np.int64]:
    if rows <= BANK:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, BANK, replace=False))


def _rows_a_label(lessons: TextLessons) -> float:
    return float(np.median(np.unique(lessons.labels, return_counts=True)[1]))


def _between(start: Head, end: Head, share: float) -> Head:
    """The head at `share` of the way from `start` to `end`."""
    weight, bias = (np.asarray(a + np.float32(share) * (b - a), np.float32) for a, b in zip(start, end, strict=True))
    return weight, bias


def _untrained_head(k: int, width: int) -> Head:
    return np.zeros((k, width), np.float32), np.zeros(k, np.float32)
