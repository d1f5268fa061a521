"""Teaching the time-series encoder: to foresee the owner's own readings, then, through adapters, what precedes an event.

Pretraining needs no labels: from the hidden states of a window a linear head foresees the readings after it, in units
of the window's own deviation. LoRA (Hu et al., arXiv 2106.09685) then bends the encoder towards the horizons' labels
with the same few numbers as the published recipe (rank 8, alpha 16, on patcher, mixers and gates); the adapters are
merged, so that what is served is the same graph.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.nn import functional

from shokunin.progress import Progress
from shokunin.series.lessons import SeriesLessons
from shokunin.series.mixer import MixerShape, Tensors
from shokunin.series.scaling import Scale
from shokunin.series.windows import Windows, cut
from shokunin.train.torch_mixer import TorchMixer

TARGETS = ("patcher", "fc1", "fc2", "attn_layer")
CLIP = 5.0
"""Readings further than so many deviations of their window count as that far: one spike must not own the loss."""
NOT_FOLLOWED = "none: no training window is followed by enough readings"
SHOWN = 4096
"""Validation windows that say how a training goes."""


class TeachingOptions(BaseModel):
    """How the encoder is taught.

    Attributes:
        steps: batches of pretraining.
        batch: windows in a batch.
        ahead: readings after the window that pretraining foresees.
        learning_rate: of pretraining.
        lora_steps: batches of adapter training; 0: none.
        lora_r, lora_alpha, lora_dropout: of the adapters.
        lora_learning_rate: of the adapters.
        patience: looks at the validation windows without a better one after which adapter training ends.
        every: batches between looks.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    steps: int = Field(default=400, ge=0)
    batch: int = Field(default=256, ge=8)
    ahead: int = Field(default=16, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    lora_steps: int = Field(default=200, ge=0)
    lora_r: int = Field(default=8, ge=1, le=64)
    lora_alpha: int = Field(default=16, ge=1)
    lora_dropout: float = Field(default=0.1, ge=0, lt=1)
    lora_learning_rate: float = Field(default=1e-3, gt=0)
    patience: int = Field(default=5, ge=1)
    every: int = Field(default=20, ge=1)


@dataclass(frozen=True)
class Taught:
    """The encoder's tensors, and how it went: losses before and after, batches, seconds."""

    tensors: dict[str, npt.NDArray[np.float32]]
    facts: dict[str, Any]


def pretrain(
    lessons: SeriesLessons,
    scale: Scale,
    shape: MixerShape,
    tensors: Tensors,
    options: TeachingOptions,
    *,
    seed: int,
    progress: Progress,
) -> Taught:
    """Teach the encoder to foresee the readings after a window; only rows that training may look at are used.

    Windows whose next readings lie beyond the training period are left out; where none remain the encoder stays as it
    is.
    """
    started = time.perf_counter()
    usable = _followed(lessons, options.ahead)
    if not len(usable) or not options.steps:
        return Taught(
            dict(tensors),
            {"pretraining": "none: no training window is followed by enough readings" if options.steps else "none"},
        )
    torch.manual_seed(seed)
    model = TorchMixer(shape, tensors)
    head = nn.Linear(shape.tokens * shape.width, options.ahead)
    adam = torch.optim.AdamW([*model.parameters(), *head.parameters()], lr=options.learning_rate, weight_decay=0.01)
    slope = torch.optim.lr_scheduler.OneCycleLR(adam, max_lr=options.learning_rate, total_steps=options.steps)
    first: list[float] = []
    last: list[float] = []
    model.train()
    for step, (past, future) in enumerate(_drawn(lessons, scale, usable, options, seed)):
        scaled, mean, deviation = model.scaled(past)
        goal = ((future - mean) / deviation).clamp(-CLIP, CLIP)
        loss = functional.huber_loss(head(model.hidden(scaled.clamp(-CLIP, CLIP)).flatten(1)), goal)
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        slope.step()
        (first if step < options.steps // 10 else last).append(float(loss.detach()))
        if step % 20 == 0:
            progress("teaching the encoder to foresee readings", step, options.steps)
    quiet = last[-max(1, options.steps // 10) :]
    facts = {
        "pretraining": "next readings", "steps": options.steps, "ahead": options.ahead, "windows": len(usable),
        "loss_first": round(float(np.mean(first)), 4) if first else None,
        "loss_last": round(float(np.mean(quiet)), 4) if quiet else None,
        "seconds": round(time.perf_counter() - started, 1),
    }  # fmt: skip
    return Taught(model.tensors(), facts)


def adapt(
    lessons: SeriesLessons,
    scale: Scale,
    shape: MixerShape,
    tensors: Tensors,
    options: TeachingOptions,
    *,
    seed: int,
    progress: Progress,
) -> Taught:
    """Bend the encoder towards the labels by adapters, and merge them; the best look at the validation windows is kept.

    The embeddings of all channels lie side by side under one linear head with an output a horizon.
    """
    started = time.perf_counter()
    if not options.lora_steps:
        return Taught(dict(tensors), {"lora": "none"})
    torch.manual_seed(seed)
    bending = _Bending(lessons, scale, shape, tensors, options, seed)
    looks: list[float] = []
    best, kept, waited, step = np.inf, bending.adapters(), 0, 0
    for step in range(options.lora_steps + 1):
        if step % options.every == 0:
            looks.append(bending.look())
            waited = 0 if looks[-1] < best else waited + 1
            if looks[-1] < best:
                best, kept = looks[-1], bending.adapters()
            progress("adapting the encoder to the events", step, options.lora_steps)
        if waited >= options.patience or step == options.lora_steps:
            break
        bending.step()
    about = {"r": options.lora_r, "alpha": options.lora_alpha, "targets": list(TARGETS), "parameters": bending.size}
    facts = {
        "lora": about,
        "validation_loss": [round(look, 4) for look in looks],
        "lora_steps": step,
        "lora_seconds": round(time.perf_counter() - started, 1),
    }
    return Taught(bending.merged(kept), facts)


class _Bending:
    """The adapted encoder with its head, and how one step and one look go."""

    def __init__(
        self,
        lessons: SeriesLessons,
        scale: Scale,
        shape: MixerShape,
        tensors: Tensors,
        options: TeachingOptions,
        seed: int,
    ) -> None:
        self._lessons, self._scale, self._tensors, self._options = lessons, scale, tensors, options
        self._model = TorchMixer(shape, tensors)
        config = LoraConfig(
            r=options.lora_r,
            lora_alpha=options.lora_alpha,
            lora_dropout=options.lora_dropout,
            target_modules=list(TARGETS),
        )
        inject_adapter_in_model(config, self._model)
        for name, parameter in self._model.named_parameters():
            parameter.requires_grad_("lora_" in name)
        self._trained = [p for p in self._model.parameters() if p.requires_grad]
        self.size = sum(p.numel() for p in self._trained)
        self._channels = len(lessons.readings.channels)
        self._head = nn.Linear(self._channels * shape.width, len(lessons.horizons))
        rate = options.lora_learning_rate
        self._adam = torch.optim.AdamW([*self._trained, *self._head.parameters()], lr=rate, weight_decay=0.01)
        self._check = _sample(lessons, scale, lessons.validation, SHOWN, seed)
        self._rng = np.random.default_rng(seed)

    def look(self) -> float:
        """The mean loss on validation windows."""
        self._model.eval()
        with torch.no_grad():
            loss = float(np.mean([float(self._loss(*part)) for part in self._check]))
        self._model.train()
        return loss

    def step(self) -> None:
        """One batch."""
        train = self._lessons.train
        drawn = self._rng.choice(train, size=min(self._options.batch, len(train)), replace=False)
        loss = self._loss(*_tensors(self._lessons, self._scale, np.sort(drawn)))
        self._adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self._trained, 1.0)
        self._adam.step()

    def adapters(self) -> dict[str, torch.Tensor]:
        """A copy of what is trained inside the encoder."""
        return {n: p.detach().clone() for n, p in self._model.named_parameters() if "lora_" in n}

    def merged(self, adapters: Mapping[str, torch.Tensor]) -> dict[str, npt.NDArray[np.float32]]:
        """The encoder's tensors with these adapters in them."""
        with torch.no_grad():
            for name, parameter in self._model.named_parameters():
                if name in adapters:
                    parameter.copy_(adapters[name])
        out = dict(self._tensors)
        for name, module in self._model.named_modules():
            if isinstance(module, LoraLayer):
                delta = module.get_delta_weight("default").detach().cpu().float().numpy()
                out[f"{name}.weight"] = (self._tensors[f"{name}.weight"] + delta).astype(np.float32)
        return out

    def _loss(self, values: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        n = len(values)
        hidden = self._model(values.transpose(1, 2).reshape(n * self._channels, -1)).mean(1).reshape(n, -1)
        known = (labels >= 0).float()
        each = functional.binary_cross_entropy_with_logits(self._head(hidden), labels.clamp(0, 1), reduction="none")
        return (each * known).sum() / known.sum().clamp(1)


def _followed(lessons: SeriesLessons, ahead: int) -> npt.NDArray[np.int64]:
    """Training windows whose next `ahead` readings are of the training period, too."""
    may = {id(stretch): mask for stretch, mask in lessons.known}
    windows, train = lessons.windows, lessons.train
    good = np.zeros(len(train), dtype=bool)
    for number in np.unique(windows.stretch[train]):
        stretch = lessons.readings.stretches[number]
        mask = may.get(id(stretch))
        if mask is None:
            continue
        rows = np.flatnonzero(windows.stretch[train] == number)
        last = windows.end[train][rows] + ahead
        inside = last < len(stretch)
        good[rows[inside]] = mask[last[inside]]
    return train[good]


def _drawn(
    lessons: SeriesLessons, scale: Scale, usable: npt.NDArray[np.int64], options: TeachingOptions, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of (past, future), one channel each, float32 (batch, length) and (batch, ahead)."""
    rng = np.random.default_rng(seed)
    w, channels = lessons.windows, len(lessons.readings.channels)
    rows = scale.rows(lessons.readings.units)
    scaled: dict[int, npt.NDArray[np.float32]] = {}
    span = np.arange(-w.length + 1, options.ahead + 1)
    for _ in range(options.steps):
        chosen = usable[rng.integers(0, len(usable), options.batch)]
        channel = rng.integers(0, channels, options.batch)
        out = np.empty((options.batch, len(span)), dtype=np.float32)
        for i, (window, c) in enumerate(zip(chosen.tolist(), channel.tolist(), strict=True)):
            number = int(w.stretch[window])
            if number not in scaled:
                stretch = lessons.readings.stretches[number]
                scaled[number] = scale.scaled(stretch.values, int(rows[stretch.unit]))
            out[i] = scaled[number][w.end[window] + span, c]
        yield torch.from_numpy(out[:, : w.length]), torch.from_numpy(out[:, w.length :])


def _sample(
    lessons: SeriesLessons, scale: Scale, rows: npt.NDArray[np.int64], most: int, seed: int
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    drawn = np.sort(np.random.default_rng(seed).permutation(rows)[:most])
    return [_tensors(lessons, scale, drawn[i : i + 512]) for i in range(0, len(drawn), 512)]


def _tensors(lessons: SeriesLessons, scale: Scale, rows: npt.NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
    windows: Windows = lessons.windows.take(rows)
    values = np.concatenate([v for _, v, _ in cut(lessons.readings, windows, scale)])
    return torch.from_numpy(values), torch.from_numpy(lessons.labels[rows].astype(np.float32))
