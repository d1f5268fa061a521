"""Rehearsing: what training would come to, by training on a sample of a task's rows; and how many audits a promise costs.

The rehearsal takes the very steps of a training (curation, ladder, calibration), on fewer rows and without its dearest rung. The
rows that the models were not fitted on, validation and test together, are then divided into rows that calibrate and rows
that are answered, again and again, as large a share calibrating as in the real training; the mean share of rows answered is
the forecast. A rehearsal's rows are drawn from a log that nobody sealed; the training seals its own.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shokunin import metrics
from shokunin.curate.build import build_dataset
from shokunin.dataset import Dataset, Example
from shokunin.discover.found import Rehearsal
from shokunin.errors import DataError, UsageError
from shokunin.pipeline.ladder import Ladder, climb
from shokunin.progress import Progress, silent
from shokunin.prove.calibrate import calibrate, shaping_rows
from shokunin.task import Task
from shokunin.tasks import Codec
from shokunin.tasks import kind as kind_of
from shokunin.watch.promise import PromiseWatch

ROWS = 3000
"""Rows of one rehearsal; of more an even part is drawn."""
LEARNERS = ("baseline", "text_linear", "encoder_head")
DRAWS = 20
ENOUGH = 0.2
"""A specialist that answers a smaller share itself is not worth having."""
MULTIPLES = (1.5, 2, 3, 4, 6, 8, 12, 16)
FADING = 0.6
"""What the next doubling of the rows gains, of what the last one gained."""
TEST_SHARE, VALIDATION_SHARE, LEAST, MOST = 0.2, 0.1, 300, 2000
SIMULATED = 20_000
"""Answers after which the rate of audits is taken to stay as it is."""


def rehearse(
    rows: Sequence[tuple[Mapping[str, str], str]],
    task: Task,
    *,
    total: int,
    seconds: float,
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
        learners: the rungs that are tried.
        seed: of draws and fits.
        progress: told how far it is.
    """
    drawn = list(rows)
    random.Random(seed).shuffle(drawn)
    part = drawn[:ROWS]
    try:
        whole = _once(part, task, len(part), total, seconds, learners, seed, progress)
    except (DataError, UsageError):  # too few rows of each label to split, or only one label
        return None
    if total <= 1.5 * len(part) or whole.share >= 0.97 or whole.share == 0:
        return whole
    try:
        half = _once(part[: len(part) // 2], task, len(part), total, seconds, learners, seed, progress)
    except (DataError, UsageError):
        return whole
    gain, share, rows_now = max(0.0, whole.share - half.share), whole.share, len(part)
    while rows_now < total:
        gain *= FADING ** min(1.0, np.log2(total / rows_now))
        share += gain * min(1.0, np.log2(total / rows_now))
        rows_now *= 2
    from dataclasses import replace

    curve = ((half.rows, half.share), (whole.rows, whole.share))
    return replace(whole, share=min(share, 1.0), curve=curve)


def audits(answers: int, error: float, task: Task, least: float, *, seed: int = 0) -> float:
    """The share of so many answers that is put to the large model as well, by the rules of the promise that is kept online.

    Args:
        answers: given by the specialist, from the first on.
        error: the share of them that the large model would have answered otherwise.
        task: its `max_error` and `promise_confidence` are promised.
        least: the setting `audit_share`.
        seed: of the coins.
    """
    if answers <= 0 or least == 0:
        return 0.0
    rng = random.Random(seed)
    watch = PromiseWatch(
        max_error=task.max_error, confidence=task.promise_confidence, threshold=0.0, audit_share=least, rng=rng
    )
    count = given = 0
    for _ in range(min(answers, SIMULATED)):
        decision = watch.decide(1.0)
        if not decision.give:
            break
        given += 1
        if decision.audit:
            count += 1
            watch.audited(decision.rate, rng.random() >= error, 1.0, term=decision.term)
    if not given:
        return 1.0
    later = max(0, answers - given)
    return (count + later * max(least, watch.status.rate)) / answers if later else count / given


def _once(
    part: Sequence[tuple[Mapping[str, str], str]],
    task: Task,
    of: int,
    total: int,
    seconds: float,
    learners: Sequence[str],
    seed: int,
    progress: Progress,
) -> Rehearsal:
    kind = kind_of(task.kind)
    rows = ((f"rows:{i}", {**inputs, task.target: label}) for i, (inputs, label) in enumerate(part, 1))
    dataset = build_dataset(task, kind.gather(task, rows), seed=seed, progress=progress)
    with tempfile.TemporaryDirectory(prefix="shokunin-rehearsal-") as name:
        work = Path(name)
        side_files = work / "side_files"
        side_files.mkdir()
        kind.prepare(task, dataset.train, side_files)
        codec = kind.codec(task, side_files)
        ladder = climb(
            dataset, codec, work, bases=[], budget_seconds=seconds, seed=seed, learners=learners,
            shaping=lambda n: shaping_rows(n, seed), progress=progress,
        )  # fmt: skip
        unseen = [e for e in dataset.sealed.open("a rehearsal") if e.expected in set(ladder.judged.names)]
        raw = ladder.raw_of(codec.encode([e.inputs for e in unseen]))
        assert raw is not None
        return _forecast(dataset, ladder, codec, unseen, raw, task, scale=total / max(1, of), seed=seed)


def _forecast(
    dataset: Dataset, ladder: Ladder, codec: Codec, unseen: Sequence[Example], raw: Any, task: Task, *, scale: float, seed: int
) -> Rehearsal:
    """The mean over many divisions of the unseen rows into those that calibrate and those that are answered."""
    index = {label: i for i, label in enumerate(ladder.judged.names)}
    truth = np.array([index[e.expected or ""] for e in unseen], dtype=np.int64)
    candidates = len(ladder.climbs)
    distinct = len(dataset.train) + len(dataset.validation) + len(unseen)
    right = raw.argmax(axis=1) == truth
    if ladder.out_of_fold:
        made = calibrate(
            ladder.chosen.raw, ladder.judged.labels, task=task, candidates=candidates, exact=False,
            groups=ladder.judged.groups, seed=seed,
        )  # fmt: skip
        share, error = _answered(made, raw, truth)
        pool, labels = ladder.chosen.raw, ladder.judged.labels
        shares, errors, calibrating = [share], [error], len(pool)
    else:
        pool = np.concatenate([ladder.chosen.raw, raw])
        labels = np.concatenate([ladder.judged.labels, truth])
        wanted = int(min(MOST, max(LEAST, VALIDATION_SHARE * distinct * scale)))
        calibrating = min(wanted, len(pool) * 2 // 3)
        shares, errors = _drawn(pool, labels, calibrating, task, candidates, seed)
    share = float(np.mean(shares))
    lacking: int | None = 0
    if share < ENOUGH:
        lacking = _lacking(pool, labels, calibrating, int(distinct * scale), task, candidates, seed)
    return Rehearsal(
        share=share,
        error=float(np.average(errors, weights=np.maximum(shares, 1e-9))),
        accuracy=metrics.wilson(int(right.sum()), len(right)),
        rows=distinct,
        rung=ladder.chosen.name,
        promised=task.max_error,
        confidence=task.promise_confidence,
        lacking=lacking,
        curve=((distinct, share),),
    )


def _drawn(
    pool: npt.NDArray[Any], labels: npt.NDArray[np.int64], calibrating: int, task: Task, candidates: int, seed: int
) -> tuple[list[float], list[float]]:
    shares, errors = [], []
    rng = np.random.default_rng(seed)
    for draw in range(DRAWS):
        order = rng.permutation(len(pool))
        first, rest = order[:calibrating], order[calibrating:]
        made = calibrate(pool[first], labels[first], task=task, candidates=candidates, exact=True, seed=seed + draw)
        share, error = _answered(made, pool[rest], labels[rest])
        shares.append(share)
        errors.append(error)
    return shares, errors


def _answered(made: Any, raw: npt.NDArray[Any], truth: npt.NDArray[np.int64]) -> tuple[float, float]:
    """The share of rows that a calibrated model answers itself, and the share of wrong ones among those."""
    scaled = raw.astype(np.float64) / made.temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    sure = 1 / np.exp(scaled).sum(axis=1) >= made.promise.threshold
    if made.scope_threshold is not None:
        sure &= raw.max(axis=1) >= made.scope_threshold
    wrong = sure & (raw.argmax(axis=1) != truth)
    return float(sure.mean()), float(wrong.sum() / max(1, sure.sum()))


def _lacking(
    pool: npt.NDArray[Any],
    labels: npt.NDArray[np.int64],
    calibrating: int,
    rows: int,
    task: Task,
    candidates: int,
    seed: int,
) -> int | None:
    """About how many more rows would let a promise be made, if answers stayed as good as they are; None: no number would."""
    rng = np.random.default_rng(seed)
    for multiple in MULTIPLES:
        shares = []
        for draw in range(5):
            drawn = rng.integers(0, len(pool), int(calibrating * multiple))
            made = calibrate(pool[drawn], labels[drawn], task=task, candidates=candidates, exact=True, seed=seed + draw)
            shares.append(_answered(made, pool, labels)[0])
        if float(np.median(shares)) >= ENOUGH:
            more = rows * (multiple - 1)
            digits = max(0, len(str(int(more))) - 2)
            return int(round(more, -digits))
    return None
