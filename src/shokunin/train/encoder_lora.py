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
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from pydantic import BaseModel, ConfigDict, Field
from torch.nn import functional

from shokunin.encoders.architecture import Tensors, read_shape, read_tensors
from shokunin.encoders.base_models import DEFAULT_ENCODER, pooling_of, resolve
from shokunin.encoders.graph import Head, write_encoder
from shokunin.encoders.linear_head import fit_linear_head, seconds_to_fit
from shokunin.encoders.onnx_text import GRAPH, TOKENIZER, OnnxText, copy_tokenizer, write_about
from shokunin.encoders.text_encoder import length_for
from shokunin.encoders.tokens import read_pad_id, token_ids
from shokunin.errors import UsageError
from shokunin.forms import Form, TextLessons
from shokunin.progress import Progress, silent
from shokunin.train.torch_encoder import LINEAR, TorchEncoder, batch_of, tensor_name
from shokunin.weights import Weights

EATS: Form = "labelled_text"
EXTRA: str | None = "train"
FEW = 20
"""Fewer rows than this a label (the median): cross-entropy is left out."""
KEPT_BYTES = 1 << 30
BANK = 20_000
BATCHES_SORTED_TOGETHER = 40

Share = Annotated[float, Field(ge=0, le=1)]


class Options(BaseModel):
    """What the owner may choose; names as in PEFT and Transformers where they exist."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str = Field(DEFAULT_ENCODER, description="pkg:NAME, hf:org/name[@revision] or a folder")
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
    lora_r: int = Field(32, ge=1, le=512)
    lora_alpha: int = Field(64, ge=1)
    lora_dropout: Share = 0.0
    target_modules: tuple[str, ...] = Field(LINEAR, min_length=1, description=f"of {', '.join(LINEAR)}")
    trained_layers: Annotated[int, Field(ge=1)] | None = Field(
        None, description="how many of the upper layers get adapters; by default half of them"
    )
    interpolation: float = Field(
        0.5, gt=0, le=1, description="how far from the frozen encoder (0) to the trained one (1)"
    )
    bf16: bool | None = Field(
        None, description="by default where the processor computes in it (AMX, AVX512-BF16, CUDA)"
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
        UsageError: there are fewer than two labels among the lessons, an option does not fit the encoder, or the base
            model cannot be used.
    """
    chosen = cast(Options, options)
    if len(np.unique(lessons.labels)) < 2:
        raise UsageError(f"{len(lessons)} lessons with fewer than two different labels; there is nothing to tell apart")
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


class _Tuner:
    """The encoder with its adapters, and the lessons as tokens."""

    def __init__(self, lessons: TextLessons, options: Options, progress: Progress) -> None:
        progress("opening the base model", 0, None)
        self.options = options
        self.labels = torch.from_numpy(np.asarray(lessons.labels, np.int64))
        self.base = resolve(options.base)
        self.shape = read_shape(self.base.folder)
        self.pooling = pooling_of(self.base.folder)
        self.tensors = read_tensors(self.base.folder, self.shape)
        wanted = options.max_length or length_for(self.base, lessons.texts)
        self.max_length = min(wanted, self.shape.max_length)
        self.pad_id = read_pad_id(self.base.folder / TOKENIZER, self.shape.pad_id)
        self.ids = token_ids(self.base.folder / TOKENIZER, lessons.texts, self.max_length, self.pad_id)
        self.lengths = np.array([len(i) for i in self.ids])
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.bf16 = _computes_bf16(self.device) if options.bf16 is None else options.bf16
        self.encoder = TorchEncoder(self.shape, self.tensors, self.pooling)
        self.frozen_layers = self._add_adapters()
        self.encoder.to(self.device)
        self.adapters = [m for m in self.encoder.modules() if isinstance(m, LoraLayer)]
        self.full_strength = options.lora_alpha / options.lora_r
        self.parameters = [p for p in self.encoder.parameters() if p.requires_grad]
        self.kept: list[torch.Tensor] | None = None

    def _add_adapters(self) -> int:
        unknown = [m for m in self.options.target_modules if m not in LINEAR]
        if unknown:
            raise UsageError(f"unknown target_modules {unknown!r}; expected some of {', '.join(LINEAR)}")
        trained = self.options.trained_layers or -(-self.shape.layers // 2)
        if trained > self.shape.layers:
            raise UsageError(f"trained_layers is {trained}, but {self.options.base!r} has {self.shape.layers} layers")
        first = self.shape.layers - trained
        names = [f"layers.{n}.{part}" for n in range(first, self.shape.layers) for part in self.options.target_modules]
        config = LoraConfig(
            r=self.options.lora_r,
            lora_alpha=self.options.lora_alpha,
            lora_dropout=self.options.lora_dropout,
            target_modules=names,
            bias="none",
        )
        inject_adapter_in_model(config, self.encoder)
        return first

    def keep_lower_layers(self, progress: Progress) -> None:
        """Run the layers that do not change once, if the result fits into `KEPT_BYTES`."""
        kind = torch.bfloat16 if self.bf16 else torch.float32
        if int(self.lengths.sum()) * self.shape.width * kind.itemsize > KEPT_BYTES:
            return
        kept: list[torch.Tensor] = [torch.empty(0)] * len(self.ids)
        done = 0
        with torch.no_grad():
            for rows in self._in_order():
                hidden, _ = self._hidden(rows)
                hidden = hidden.to("cpu", kind)
                for place, row in enumerate(rows):
                    kept[row] = hidden[place, : self.lengths[row]].clone()
                done += len(rows)
                progress("reading with the lower layers", done, len(self.ids))
        self.kept = kept

    def embed(self, rows: npt.NDArray[np.int64]) -> torch.Tensor:
        """Embeddings of the lessons at `rows`, float32 (len(rows), d), on the device."""
        with self._autocast():
            if self.kept is None:
                with torch.no_grad():
                    hidden, mask = self._hidden(rows)
            else:
                hidden = torch.nn.utils.rnn.pad_sequence([self.kept[r] for r in rows], batch_first=True)
                hidden = hidden.to(self.device).float()
                lengths = torch.from_numpy(self.lengths[rows])
                mask = (torch.arange(hidden.shape[1])[None] < lengths[:, None]).long().to(self.device)
            return self.encoder.upper(hidden, mask, self.frozen_layers)

    def embeddings(self, progress: Progress) -> npt.NDArray[np.float32]:
        """Embeddings of all lessons as the encoder is now, (n, d)."""
        out = np.empty((len(self.ids), self.shape.width), np.float32)
        done = 0
        self.encoder.eval()
        with torch.no_grad():
            for rows in self._in_order():
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
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _warm_then_cosine(steps, options.warmup_ratio))
        self.encoder.train()
        for step, rows in enumerate(self._batches(steps, seed)):
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

    def set_strength(self, share: float) -> None:
        """Let the adapters act at a share of what was trained."""
        for adapter in self.adapters:
            adapter.scaling["default"] = self.full_strength * share

    def merged(self) -> Tensors:
        """The encoder's tensors with the adapters, at their present strength, added in."""
        tensors = dict(self.tensors)
        for name, module in self.encoder.named_modules():
            if isinstance(module, LoraLayer):
                change = module.get_delta_weight("default").detach().float().cpu().numpy()
                known_as = tensor_name(self.shape, name)
                tensors[known_as] = tensors[known_as] + change
        return tensors

    def trained_parameters(self) -> int:
        """Numbers in the adapters."""
        return sum(int(p.numel()) for p in self.parameters)

    def _hidden(self, rows: npt.NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        ids, mask = batch_of([self.ids[r] for r in rows], self.pad_id, self.device)
        with self._autocast():
            return self.encoder.lower(ids, mask, self.frozen_layers), mask

    def _autocast(self) -> Any:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def _in_order(self, tokens: int = 2048) -> Iterator[npt.NDArray[np.int64]]:
        """All rows in batches of about equal length and at most `tokens` tokens, longest first."""
        order = np.argsort(-self.lengths, kind="stable")
        start = 0
        while start < len(order):
            size = max(1, tokens // int(self.lengths[order[start]]))
            yield order[start : start + size]
            start += size

    def _batches(self, steps: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
        """`steps` batches: shuffled, then sorted by length within groups of batches, so that little is padding."""
        random = np.random.default_rng(seed)
        size, given = self.options.per_device_train_batch_size, 0
        while True:
            order = random.permutation(len(self.ids))
            batches = []
            for start in range(0, len(order), size * BATCHES_SORTED_TOGETHER):
                part = order[start : start + size * BATCHES_SORTED_TOGETHER]
                part = part[np.argsort(self.lengths[part], kind="stable")]
                batches += [part[i : i + size] for i in range(0, len(part), size)]
            for place in random.permutation(len(batches)):
                if given == steps:
                    return
                given += 1
                yield batches[place]


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


def _warm_then_cosine(steps: int, warmup_ratio: float) -> Any:
    warm = max(1, int(warmup_ratio * steps))

    def rate(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + float(np.cos(np.pi * (step - warm) / max(1, steps - warm))))

    return rate


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


def _computes_bf16(device: torch.device) -> bool:
    """Whether bf16 is quick here; without the instructions for it, it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("amx_bf16") or known.get("avx512_bf16"))
