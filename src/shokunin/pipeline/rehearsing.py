"""Rehearsing: what training would come to, by training on a sample of a task's rows; and how many audits a promise costs.

The rehearsal takes the very steps of a training (curation, ladder, calibration), on fewer rows and without its dearest rung. The
rows that the models were not fitted on, validation and test together, are then divided into rows that calibrate and rows
that are answered, again and again, as large a share calibrating as in the real training; the mean share of rows answered is
the forecast. A rehearsal's rows are drawn from a log that nobody sealed; the training seals its own.
"""

from __future__ import annotations

import random
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shokunin import metrics
from shokunin.calibration import Calibration
from shokunin.curate.build import build_dataset
from shokunin.discover.found import Rehearsal
from shokunin.errors import DataError, UsageError
from shokunin.pipeline.foreseeing import Stream, foresee
from shokunin.pipeline.ladder import Ladder, climb
from shokunin.progress import Progress, silent
from shokunin.prove.calibrate import calibrate, shaping_rows
from shokunin.task import Task
from shokunin.tasks import kind as kind_of

ROWS = 3000
"""Rows of one rehearsal; of more an even part is drawn."""
LEARNERS = ("baseline", "text_linear", "encoder_head")
CHEAP = ("baseline", "text_linear")
DRAWS = 20
ENOUGH = 0.2
"""A specialist that answers a smaller share itself is not worth having."""
LIKELY = 0.8
"""In so many of the draws a specialist must be worth having for more rows not to be asked for."""
MULTIPLES = (1.5, 2, 3, 4, 6, 8, 12, 16)
PART_OF_GAIN = 0.65
"""The power by which better learners gain less from more rows than the cheap one (docs/experiments.md)."""
GAINS = (0.6, 1.0)
"""What is left of the errors when the rows are doubled, at the least and at the most."""
VALIDATION_SHARE, LEAST, MOST = 0.1, 300, 2000
"""Of a training's rows so many become validation rows, as in `curate.build`."""
RUNS = 9
"""Of the draws so many are followed over time."""


def rehearse(
    rows: Sequence[tuple[Mapping[str, str], str]],
    task: Task,
    *,
    total: int,
    seconds: float,
    requests: Sequence[int] = (),
    least: float = 0.0,
    learners: Sequence[str] = LEARNERS,
    seed: int = 0,
    progress: Progress = silent,
) -> Rehearsal | None:
    """Train on a sample and say what the training on all rows would come to; None where the rows are too few to try.

    Args:
        rows: inputs and label of recorded calls, in any order.
        task: what is asked.
        total: how many such rows there are altogether.
        seconds: how long the fits may take.
        requests: so many that it is to answer or pass on; what is kept of the promise over them is foreseen.
        least: the setting `audit_share`.
        learners: the rungs that are tried.
        seed: of draws and fits.
        progress: told how far it is.
    """
    drawn = list(rows)
    random.Random(seed).shuffle(drawn)
    part = drawn[:ROWS]
    try:
        trial = _try(part, task, seconds, learners, seed, progress)
    except (DataError, UsageError):  # too few rows of each label to split, or only one label
        return None
    more = _growth(part, total)
    forecast = trial.forecast(1.0, 1.0, task, seed)
    lacking: int | None = 0
    curve = [(trial.rows, forecast.share)]
    if more > 1.2 or forecast.likely < LIKELY:
        left = _left_by_doubling(trial, part, task, seconds, seed, progress)
        if more > 1.2:
            forecast = trial.forecast(more, left ** np.log2(more), task, seed)
            curve.append((round(trial.rows * more), forecast.share))
        if forecast.likely < LIKELY:
            lacking = _lacking(trial, more, left, task, seed)
    progress("keeping the promise", 0, None)
    return Rehearsal(
        share=forecast.share,
        error=forecast.error,
        likely=forecast.likely,
        kept=tuple(foresee(forecast.streams, requests, task, least, seed=seed)) if requests else (),
        accuracy=metrics.wilson(int(trial.right.sum()), len(trial.right)),
        rows=trial.rows,
        rung=trial.rung,
        promised=task.max_error,
        confidence=task.promise_confidence,
        lacking=lacking,
        curve=tuple(curve),
    )


def _growth(part: Sequence[tuple[Mapping[str, str], str]], total: int) -> float:
    """How many times the distinct inputs of a sample there are in all, by how they grew from its first half to the whole.

    Vocabularies grow so, by a power of the length of the text (Heaps, 1978): of a hundred questions that are asked again and
    again there are a hundred, however long the log is.
    """
    inputs = [tuple(sorted(values.items())) for values, _ in part]
    whole, half = len(set(inputs)), len(set(inputs[: len(inputs) // 2]))
    power = np.log2(whole / half) / np.log2(len(inputs) / (len(inputs) // 2)) if half else 1.0
    return float(max(1.0, total / len(part)) ** power)


@dataclass(frozen=True)
class _Forecast:
    """What a specialist would come to.

    Attributes:
        share: of the requests it answers so many, before the promise is kept online; the mean over draws.
        error: of those so many are wrong.
        likely: the share of draws in which the specialist is sure of enough to be worth having.
        streams: of some draws the rows that are answered.
    """

    share: float
    error: float
    likely: float
    streams: tuple[Stream, ...]


@dataclass(frozen=True)
class _Trial:
    """What a training on a sample left: its scores of rows that it was not fitted on.

    Attributes:
        raw: scores of those rows, shape (n, k), and `labels`, shape (n,).
        held_out: of them, those that no fold was judged by; they are answered, the others calibrate. None: all may do both.
        rows: distinct rows altogether.
        rung: the learner that was chosen, among so many `candidates`.
        cheap_error: of the cheapest learner that reads, on the rows that the choice was made by.
    """

    raw: npt.NDArray[Any]
    labels: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.bool_] | None
    rows: int
    rung: str
    candidates: int
    cheap_error: float

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Which answers are right."""
        return np.asarray(self.raw.argmax(axis=1) == self.labels)

    def forecast(self, more: float, left: float, task: Task, seed: int) -> _Forecast:
        """What a specialist trained on `more` times the rows would come to, over draws of the rows that calibrate.

        Args:
            more: how many times the rows.
            left: what is left of the errors with so many rows; the others are taken to be right, drawn at random.
            task: what is promised.
            seed: of the draws.
        """
        streams: list[Stream] = []
        for draw in range(DRAWS):
            rng = np.random.default_rng(seed + draw)
            mended = ~self.right & (rng.random(len(self.labels)) >= left)
            labels = np.where(mended, self.raw.argmax(axis=1), self.labels)
            first, rest = self._divided(more, rng)
            made = calibrate(
                self.raw[first], labels[first], task=task, candidates=self.candidates, exact=self.held_out is None,
                seed=seed + draw,
            )  # fmt: skip
            streams.append(_stream(made, self.raw[rest], labels[rest]))
        given = [stream.confidence >= stream.threshold for stream in streams]
        shares = [float(g.mean()) for g in given]
        errors = [float((g & ~s.right).sum() / max(1, g.sum())) for g, s in zip(given, streams, strict=True)]
        error = float(np.average(errors, weights=np.maximum(shares, 1e-9)))
        likely = float(np.mean([share >= ENOUGH for share in shares]))
        return _Forecast(float(np.mean(shares)), error, likely, tuple(streams[:RUNS]))

    def _divided(self, more: float, rng: np.random.Generator) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Rows that calibrate, as many as the training will have, and rows that are answered."""
        if self.held_out is not None:
            first, rest = np.flatnonzero(~self.held_out), np.flatnonzero(self.held_out)
            return rng.choice(first, round(len(first) * more), replace=more > 1) if more != 1 else first, rest
        wanted = int(min(MOST, max(LEAST, VALIDATION_SHARE * self.rows * more)))
        order = rng.permutation(len(self.raw))
        at_most = len(order) * 2 // 3
        if wanted <= at_most:
            return order[:wanted], order[wanted:]
        return rng.choice(order[:at_most], wanted), order[at_most:]


def _try(
    part: Sequence[tuple[Mapping[str, str], str]],
    task: Task,
    seconds: float,
    learners: Sequence[str],
    seed: int,
    progress: Progress,
) -> _Trial:
    kind = kind_of(task.kind)
    rows = ((f"rows:{i}", {**inputs, task.target: label}) for i, (inputs, label) in enumerate(part, 1))
    dataset = build_dataset(task, kind.gather(task, rows), seed=seed, progress=progress)
    with tempfile.TemporaryDirectory(prefix="shokunin-rehearsal-") as name:
        work = Path(name)
        side_files = work / "side_files"
        side_files.mkdir()
        kind.prepare(task, dataset.train, side_files)
        codec = kind.codec(task, side_files)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # many labels on few rows are meant; they are no regression
            ladder = climb(
                dataset, codec, work, bases={}, budget_seconds=seconds, seed=seed,
            # The first is fitted whatever the time, so it must be one that reads.
            learners=sorted(learners, key=lambda name: name == CHEAP[0]),
                shaping=lambda n: shaping_rows(n, seed), progress=progress,
            )  # fmt: skip
        index = {label: i for i, label in enumerate(ladder.judged.names)}
        unseen = [e for e in dataset.sealed.open("a rehearsal") if e.expected in index]
        raw = ladder.raw_of([e.inputs for e in unseen])
    assert isinstance(raw, np.ndarray)
    labels = np.array([index[e.expected or ""] for e in unseen], dtype=np.int64)
    held_out = np.arange(len(ladder.judged) + len(unseen)) >= len(ladder.judged)
    return _Trial(
        np.concatenate([ladder.chosen.scores, raw]),
        np.concatenate([ladder.judged.labels, labels]),
        held_out if ladder.out_of_fold else None,
        len(dataset.train) + len(dataset.validation) + len(unseen),
        ladder.chosen.name,
        len(ladder.climbs),
        _error_of_the_cheapest(ladder),
    )


def _error_of_the_cheapest(ladder: Ladder) -> float:
    """On the rows that the choice was made by; of the cheapest learner that reads, or of what there was time for."""
    climb_of = {c.name: c for c in ladder.climbs}
    cheap = climb_of.get(CHEAP[-1], ladder.climbs[0])
    return float((cheap.scores.argmax(axis=1) != ladder.judged.labels).mean())


def _left_by_doubling(
    whole: _Trial,
    part: Sequence[tuple[Mapping[str, str], str]],
    task: Task,
    seconds: float,
    seed: int,
    progress: Progress,
) -> float:
    """What is left of the errors when the rows are doubled, as a cheap learner shows it with half of the rows and with all."""
    try:
        half = _try(part[: len(part) // 2], task, seconds, CHEAP, seed, progress)
    except (DataError, UsageError):
        return GAINS[1]
    before = half.cheap_error
    return float(np.clip((whole.cheap_error / before) ** PART_OF_GAIN, *GAINS)) if before > 0 else GAINS[1]


def _stream(made: Calibration, raw: npt.NDArray[Any], truth: npt.NDArray[np.int64]) -> Stream:
    """Rows as a calibrated model answers them, confidence as the codec decodes it."""
    assert made.promise is not None
    scaled = raw.astype(np.float64) / made.temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    sure = 1 / np.exp(scaled).sum(axis=1)
    if made.scope_threshold is not None:
        sure[raw.max(axis=1) < made.scope_threshold] = -1.0
    return Stream(sure, np.asarray(raw.argmax(axis=1) == truth), made.promise.threshold)


def _lacking(trial: _Trial, more: float, left: float, task: Task, seed: int) -> int | None:
    """About how many rows beyond those there are would let a promise be made; None: not sixteen times as many would."""
    for multiple in MULTIPLES:
        if trial.forecast(more * multiple, left ** np.log2(more * multiple), task, seed).likely >= LIKELY:
            lacking = trial.rows * more * (multiple - 1)
            digits = max(0, len(str(int(lacking))) - 2)
            return int(round(lacking, -digits))
    return None
