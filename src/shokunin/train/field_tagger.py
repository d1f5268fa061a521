"""field_tagger: an encoder with low-rank adapters reads a document's tokens and says where each field's value begins and ends.

What is done, and why:

- Token classification (begin, inside, end of a value, for each field by itself, so that two fields may share a value) on the
  upper layers of a small encoder, by LoRA as `encoder_lora` has it, on windows that overlap: nothing of a document is left out.
- The loss is that of one value or none (`one_span_loss`): of a total that stands there three times any place is right, and the
  many tokens without a value do not outweigh the few with one.
- Where a value stands is found by its meaning: a date or an amount in another spelling is the same one. A value that the document
  does not hold at all is left out of the loss, and counted.
- Some documents are held back: they say when to stop, and how likely a value (or none) is right.
- A date, amount or code can only be one that the document holds as such; texts cut no word in two. Lists are not read.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel
from pydantic import Field as Option

from shokunin.encoders.architecture import read_shape
from shokunin.encoders.base_models import resolve
from shokunin.encoders.graph import Head, write_token_encoder
from shokunin.encoders.onnx_text import GRAPH, TOKENIZER, OnnxText, copy_tokenizer, write_about
from shokunin.encoders.tokens import Spelling, read_pad_id
from shokunin.errors import LessonsError, UsageError
from shokunin.fields.learning import order_of
from shokunin.fields.normalise import is_missing
from shokunin.fields.one_span import PARTS
from shokunin.fields.places import Places
from shokunin.fields.read_tokens import Numbers, Rows, joined, windows
from shokunin.fields.tagged import TaggedField, never_found
from shokunin.fields.tagged_files import Tagger, save_tagger
from shokunin.forms import FieldLessons, Form, Lessons
from shokunin.progress import Progress, silent
from shokunin.train.adapted_encoder import AdaptedEncoder, AdapterOptions, Share, shuffled_batches, warm_then_cosine
from shokunin.train.one_span_loss import one_span_loss
from shokunin.train.tagger_judgement import Judged, fields_before, judge, with_judgement
from shokunin.train.tagger_rows import Wanted, limits_of, read, wanted
from shokunin.weights import Weights

EATS: Form = "labelled_fields"
EXTRA: str | None = "train"
FEWEST = 10
"""Documents that are needed at least."""
LONGEST_BY_ITSELF = 512
FINISHING = 2.0
"""Seconds for what follows the training."""


class Options(AdapterOptions):
    """What the owner may choose; names as in PEFT and Transformers where they exist."""

    max_length: Annotated[int, Option(ge=16, le=8192)] | None = Option(
        None, description=f"tokens of a window; by default what 95 of 100 documents need, at most {LONGEST_BY_ITSELF}"
    )
    overlap: Annotated[int, Option(ge=0)] | None = Option(
        None, description="tokens that windows share; by default what the longest value needs, at most half a window"
    )
    num_train_epochs: float = Option(8, gt=0)
    minutes: Annotated[float, Option(gt=0)] | None = Option(
        None, description="train fewer epochs if that many minutes would not do, from measured speed"
    )
    per_device_train_batch_size: int = Option(8, ge=1, le=1024, description="windows")
    learning_rate: float = Option(1e-3, gt=0, description="of the adapters")
    head_learning_rate: float = Option(3e-3, gt=0)
    warmup_ratio: Share = 0.1
    held_back: float = Option(
        0.15, gt=0, lt=1, description="share of the documents that say when to stop and how sure it is"
    )
    patience: int = Option(4, ge=1, description="passes over the lessons without a gain after which training ends")


def forecast(lessons: Lessons, options: BaseModel) -> float:
    """About how many seconds `fit` needs here for all epochs, whatever `minutes` says; measured on a few documents.

    Raises:
        LessonsError: there are too few documents, or only lists to find.
    """
    known, chosen = cast(FieldLessons, lessons), cast(Options, options)
    _check(known)
    some = np.arange(0, len(known), max(1, len(known) // 24))[:24]
    with torch.random.fork_rng(devices=[]):
        started = time.perf_counter()
        tuner = _Tuner(_Lessons(known.take(some), chosen), chosen)
        opened = time.perf_counter() - started
        started = time.perf_counter()
        tuner.keep_lower_layers(silent)
        tuner.numbers(range(len(some)), silent)
        reading = (time.perf_counter() - started) / len(some) * len(known)
        windows_of_all = len(tuner.ids) / len(some) * len(known) * (1 - chosen.held_back)
        steps = chosen.num_train_epochs * windows_of_all / chosen.per_device_train_batch_size
        looking = reading * chosen.held_back * chosen.num_train_epochs
        return opened + reading + looking + tuner.seconds_a_step() * steps + FINISHING


def fit(lessons: Lessons, options: BaseModel, folder: Path, *, seed: int, progress: Progress) -> Weights:
    """Tune the encoder on the lessons, merge, and write the graph, the tokenizer and the fields into `folder`.

    Raises:
        LessonsError: there are too few documents, only lists to find, or no value that a document holds.
        UsageError: an option does not fit the encoder.
        BaseModelError: the base model cannot be used.
    """
    chosen = cast(Options, options)
    if not isinstance(lessons, FieldLessons):
        raise UsageError(f"field_tagger learns from {EATS}, not from {lessons.form}")
    _check(lessons)
    started = time.perf_counter()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        progress("opening the base model", 0, None)
        given = _Lessons(lessons, chosen)
        if not any(limit.longest for limit in given.limits):
            raise LessonsError(
                f"none of the {len(lessons)} documents holds the value of any of its fields, so there is no place to learn; look "
                "whether text and answers belong together, or let a language model write the answers"
            )
        tuner = _Tuner(given, chosen)
        held = _held_back(lessons.groups, chosen.held_back, seed)
        tuner.keep_lower_layers(progress)
        told = tuner.train(np.flatnonzero(~held), np.flatnonzero(held), started, seed, progress)
    progress("writing the weights", 0, None)
    base = tuner.base
    write_token_encoder(base.folder, folder / GRAPH, tuner.head(), tensors=tuner.merged())
    copy_tokenizer(base.folder, folder)
    columns = PARTS * len(given.fields)
    facts_of_base = dict(base.facts())
    write_about(folder, OnnxText(given.max_length, tuner.pad_id, columns, False, "none", "float32", facts_of_base))
    read_fields = {f.field.name: f for f in told.fields}
    lists = [f.name for f in lessons.fields if f.type == "list"]
    every = [read_fields.get(f.name) or never_found(f, given.order) for f in lessons.fields]
    save_tagger(Tagger(tuple(every), given.room, given.overlap), folder)
    facts = {
        "learner": "field_tagger",
        "base": facts_of_base,
        "options": chosen.model_dump(mode="json", exclude={"base"}),
        "documents": len(lessons),
        "windows": len(tuner.ids),
        "max_length": given.max_length,
        "overlap": given.overlap,
        "not_in_the_document": given.unknown(),
        "never_found": [f.field.name for f in told.fields if f.longest == 0],
        "lists_left_out": lists,
        "steps": told.steps,
        "epochs": round(told.epochs, 2),
        "shortened": told.shortened,
        "held_back": {"documents": int(held.sum()), "right": round(told.right, 4), "epoch_kept": told.kept},
        "trained_parameters": tuner.trained_parameters() + sum(p.numel() for p in tuner.head_parameters),
        "training_precision": "bf16" if tuner.bf16 else "float32",
        "device": tuner.device.type,
        "precision": "float32",
    }
    return Weights(folder, EATS, "field_tagger", exact=True, facts=facts)


@dataclass(frozen=True)
class _Trained:
    """How the training went, and the fields with what decides about them.

    Attributes:
        right: the share of held-back values that were right when it was best, `null` where there is none included.
        kept: the pass whose weights were kept, counted from 1.
    """

    fields: list[TaggedField]
    steps: int
    epochs: float
    shortened: bool
    right: float
    kept: int


class _Lessons:
    """The lessons as tokens and windows, and what is known before anything is trained."""

    def __init__(self, lessons: FieldLessons, options: Options) -> None:
        self.base = resolve(options.base)
        self.expected = [dict(row) for row in lessons.expected]
        self.fields = [f for f in lessons.fields if f.type != "list"]
        self.spelling = Spelling(self.base.folder / TOKENIZER)
        self.order = order_of(lessons, [Places(d) for d in lessons.documents])
        self.readings = read(lessons.documents, self.expected, self.fields, self.spelling, self.order)
        self.limits = [limits_of(f, n, self.readings) for n, f in enumerate(self.fields)]
        around = len(self.spelling.before) + len(self.spelling.behind)
        longest = read_shape(self.base.folder).max_length
        needed = float(np.percentile([len(r.tokens) + around for r in self.readings], 95))
        asked = options.max_length or int(np.clip(-(-needed // 8) * 8, 64, LONGEST_BY_ITSELF))
        self.max_length = min(asked, longest)
        self.room = self.max_length - around
        value = max(limit.longest for limit in self.limits)
        wished = max(16, value) if options.overlap is None else options.overlap
        self.overlap = min(wished, self.room // 2)
        self.windows = [
            (n, at) for n, r in enumerate(self.readings) for at in windows(len(r.tokens), self.room, self.overlap)
        ]

    def ids(self) -> list[Rows]:
        """The token ids of every window, special tokens included."""
        before, behind = (np.asarray(part, np.int64) for part in (self.spelling.before, self.spelling.behind))
        return [np.concatenate([before, self.readings[n].tokens.ids[a:b], behind]) for n, (a, b) in self.windows]

    def unknown(self) -> dict[str, int]:
        """In how many documents each field has a value that the document does not hold."""
        return {f.name: sum(r.gold[n] is None for r in self.readings) for n, f in enumerate(self.fields)}


class _Tuner(AdaptedEncoder):
    """The encoder with its adapters and a linear layer on every token."""

    def __init__(self, lessons: _Lessons, options: Options) -> None:
        pad_id = read_pad_id(lessons.base.folder / TOKENIZER, read_shape(lessons.base.folder).pad_id)
        super().__init__(options, lessons.base, lessons.ids(), pad_id)
        self.lessons, self.options = lessons, options
        columns = PARTS * len(lessons.fields)
        self.weight = torch.nn.Parameter(torch.zeros(columns, self.shape.width, device=self.device))
        self.bias = torch.nn.Parameter(torch.zeros(columns, device=self.device))
        self.head_parameters = [self.weight, self.bias]
        self.document_of = np.asarray([n for n, _ in lessons.windows], np.int64)
        self.wanted: dict[int, list[Wanted | None]] = {}

    def train(self, learnt: Rows, held: Rows, started: float, seed: int, progress: Progress) -> _Trained:
        """Train on the windows of the documents `learnt`, keep what reads the documents `held` best, and judge by these."""
        options, given = self.options, self.lessons
        rows = np.flatnonzero(np.isin(self.document_of, learnt))
        if not len(rows):
            raise LessonsError("all documents but those that are held back are empty; bring more that are not")
        an_epoch = max(1, -(-len(rows) // options.per_device_train_batch_size))
        wished = max(1, round(options.num_train_epochs * len(rows) / options.per_device_train_batch_size))
        fields = fields_before(given.fields, given.limits, given.readings, given.expected, given.order)
        steps = wished if options.minutes is None else self._steps_in_time(wished, an_epoch, held, started)
        optimizer = torch.optim.AdamW(
            [
                {"params": self.parameters, "lr": options.learning_rate},
                {"params": self.head_parameters, "lr": options.head_learning_rate},
            ],
            weight_decay=0.01,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warm_then_cosine(steps, options.warmup_ratio))
        best: tuple[tuple[float, float], int, list[torch.Tensor], list[Judged]] | None = None
        done = 0
        for batch in shuffled_batches(self.lengths[rows], options.per_device_train_batch_size, steps, seed):
            self.encoder.train()
            self._loss(rows[batch]).backward()
            torch.nn.utils.clip_grad_norm_([*self.parameters, *self.head_parameters], 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            done += 1
            progress("tuning the encoder", done, steps)
            if done % an_epoch and done < steps:
                continue
            judged = judge(
                fields, [given.readings[i] for i in held], self.numbers(held, silent), [given.expected[i] for i in held]
            )
            quality = _quality(judged)
            if best is None or quality > best[0]:
                best = quality, done, [p.detach().clone() for p in self._trained()], judged
            elif done - best[1] >= options.patience * an_epoch:
                break
        assert best is not None
        with torch.no_grad():
            for parameter, kept in zip(self._trained(), best[2], strict=True):
                parameter.copy_(kept)
        self.encoder.eval()
        return _Trained(
            with_judgement(fields, best[3], seed),
            done,
            done / an_epoch,
            steps < wished,
            best[0][0],
            -(-best[1] // an_epoch),
        )

    def head(self) -> Head:
        """The linear layer, as the graph takes it."""
        return self.weight.detach().cpu().numpy(), self.bias.detach().cpu().numpy()

    def numbers(self, documents: Sequence[int] | Rows, progress: Progress) -> list[Numbers]:
        """The scores of every token of these documents, each of shape (its tokens, 3 a field)."""
        wanted = np.flatnonzero(np.isin(self.document_of, np.asarray(documents)))
        parts: dict[int, Numbers] = {}
        self.encoder.eval()
        with torch.no_grad():
            for rows in self.in_order(among=wanted):
                scores = self._scores(rows).cpu().numpy()
                for place, row in enumerate(rows.tolist()):
                    start, stop = self.lessons.windows[row][1]
                    parts[row] = scores[place, : stop - start]
                progress("reading documents", len(parts), len(wanted))
        out = []
        for document in documents:
            rows = np.flatnonzero(self.document_of == document)
            at = [self.lessons.windows[row][1] for row in rows]
            tokens = len(self.lessons.readings[document].tokens)
            out.append(joined([parts[row] for row in rows.tolist()], at, tokens, len(self.bias)))
        return out

    def seconds_a_step(self, tries: int = 4) -> float:
        """Median time of a training step, the weights left as they are."""
        size, seconds = self.options.per_device_train_batch_size, []
        order = np.argsort(self.lengths, kind="stable")
        self.encoder.train()
        for part in range(tries):
            middle = int(len(order) * (part + 0.5) / tries)
            rows = order[max(0, min(middle - size // 2, len(order) - size)) :][:size]
            begun = time.perf_counter()
            self._loss(rows).backward()
            for parameter in self._trained():
                parameter.grad = None
            # A step on fewer rows than a batch (a forecast on a handful) is scaled up; the optimiser adds about a tenth.
            seconds.append((time.perf_counter() - begun) * 1.1 * size / len(rows))
        return float(np.median(seconds))

    def _steps_in_time(self, wished: int, an_epoch: int, held: Rows, started: float) -> int:
        """How many steps the minutes leave time for, a look at the held-back documents after every pass included."""
        assert self.options.minutes is not None
        a_step = self.seconds_a_step()
        begun = time.perf_counter()
        self.numbers(held[:8], silent)
        a_look = (time.perf_counter() - begun) / max(1, len(held[:8])) * len(held)
        left = self.options.minutes * 60 - (time.perf_counter() - started) - FINISHING - a_look
        return int(np.clip(left / (a_step + a_look / an_epoch), 1, wished))

    def _scores(self, rows: Rows) -> torch.Tensor:
        """Scores (len(rows), t, 3 a field) of the windows' own tokens, float32."""
        hidden, mask = self.lower(rows)
        with self.autocast():
            hidden = self.encoder.upper_tokens(hidden, mask, self.frozen_layers)
        scores: torch.Tensor = hidden @ self.weight.T + self.bias
        return scores[:, len(self.lessons.spelling.before) :]

    def _loss(self, rows: Rows) -> torch.Tensor:
        scores = self._scores(rows)
        losses = []
        for place, row in enumerate(rows.tolist()):
            for number, aim in enumerate(self._wanted(row)):
                if aim is not None:
                    losses.append(one_span_loss(scores[place, :, PARTS * number : PARTS * (number + 1)], aim))
        # Without anything to learn the loss is 0, and still has a gradient.
        return torch.stack(losses).mean() if losses else scores.sum() * 0

    def _wanted(self, row: int) -> list[Wanted | None]:
        if row not in self.wanted:
            given, (document, at) = self.lessons, self.lessons.windows[row]
            self.wanted[row] = wanted(given.readings[document], given.fields, given.limits, given.order, at)
        return self.wanted[row]

    def _trained(self) -> list[torch.nn.Parameter]:
        return [*self.parameters, *self.head_parameters]


def _check(lessons: FieldLessons) -> None:
    fields = [f for f in lessons.fields if f.type != "list"]
    if not fields:
        raise LessonsError(
            "field_tagger finds single values, and every field to find here is a list; lists are found by field_candidates"
        )
    groups = len(np.unique(lessons.groups))
    if len(lessons) < FEWEST or groups < 2:
        raise LessonsError(
            f"{len(lessons)} documents in {groups} groups are too few to tune an encoder; bring at least {FEWEST} that are not "
            "copies of each other, or learn with field_candidates alone"
        )
    if all(is_missing(row.get(f.name)) for row in lessons.expected for f in fields):
        names = ", ".join(repr(f.name) for f in fields)
        raise LessonsError(f"no document has a value for any of {names}; bring past answers to learn from")


def _held_back(groups: Rows, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Which documents are held back, shape (n,): whole groups, about the share of all, at least one group and never all."""
    names = np.random.default_rng(seed).permutation(np.unique(groups))
    held = np.zeros(len(groups), bool)
    for name in names[:-1]:
        if held.any() and held.sum() + (groups == name).sum() / 2 > share * len(groups):
            break
        held |= groups == name
    return held


def _quality(judged: Sequence[Judged]) -> tuple[float, float]:
    """The share of right answers, and to tell equal ones apart their likelihood."""
    parts = [j.quality() for j in judged]
    count = sum(len(j.missing) for j in judged)
    return sum(found for found, _ in parts) / max(1, count), sum(likely for _, likely in parts)
