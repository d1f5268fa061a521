"""Foreseeing: what becomes of a promise that is kept online, over a week, a month and a year of requests like the rehearsed ones.

The gateway audits answers, thins the audits out as evidence comes in, raises the threshold when the promise comes into danger,
and hands everything back before it could break. All of this costs answers and audits, most of it at first. Here the very watch of
the gateway is fed with rows that the rehearsed model was not fitted on, drawn again and again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt

from shokunin.task import Task
from shokunin.watch.promise import PromiseWatch

SIMULATED = 10_000
"""Requests; from then on things are taken to go on as in the last quarter of these."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Rows that stand for the requests to come.

    Attributes:
        confidence: shape (n,), of the specialist's answers; below 0 where it never answers.
        right: shape (n,), whether the large model would have said the same.
        threshold: from which on the specialist answers.
    """

    confidence: npt.NDArray[np.float64]
    right: npt.NDArray[np.bool_]
    threshold: float


def foresee(
    streams: Sequence[Stream], horizons: Sequence[int], task: Task, least: float, *, seed: int = 0
) -> list[tuple[float, float]]:
    """For each number of requests the share that is answered here, and the share of those answers that is audited.

    Args:
        streams: one for each calibration that may come about; the one in the middle is given, by the share answered, since a
            few in which nothing can be promised would drag a mean to where none of them is.
        horizons: numbers of requests, from the first on.
        task: its `max_error` and `promise_confidence` are promised.
        least: the setting `audit_share`.
        seed: of draws and coins.
    """
    told = [_one(stream, horizons, task, least, seed + i) for i, stream in enumerate(streams)]
    middle = []
    for horizon in zip(*told, strict=True):
        given, audited = sorted(horizon)[len(horizon) // 2]
        middle.append((given, audited / given if given else 0.0))
    return middle


def _one(stream: Stream, horizons: Sequence[int], task: Task, least: float, seed: int) -> list[tuple[float, float]]:
    """Shares of the requests that are answered, and that are answered and audited."""
    if stream.threshold > 1 or not len(stream.confidence):
        return [(0.0, 0.0)] * len(horizons)
    watch = PromiseWatch(
        max_error=task.max_error, confidence=task.promise_confidence, threshold=stream.threshold, audit_share=least,
        rng=Random(seed),
    )  # fmt: skip
    length = max(1, min(SIMULATED, max(horizons)))
    drawn = np.random.default_rng(seed).integers(0, len(stream.confidence), length)
    given, audited = np.zeros(length), np.zeros(length)
    for i, row in enumerate(drawn):
        confidence, right = float(stream.confidence[row]), bool(stream.right[row])
        decision = watch.decide(confidence)
        if not decision.give:
            watch.compared(confidence, right)
            continue
        given[i] = 1
        if decision.audit:
            audited[i] = 1
            watch.audited(decision.rate, right, confidence, term=decision.term)
    lately = slice(length * 3 // 4, None)
    return [
        (_over(given, n, float(given[lately].mean())), _over(audited, n, float(audited[lately].mean())))
        for n in horizons
    ]


def _over(happened: npt.NDArray[np.float64], requests: int, lately: float) -> float:
    """The share over so many requests; beyond those that were simulated it goes on as lately."""
    if requests <= len(happened):
        return float(happened[: max(1, requests)].mean())
    return float((happened.sum() + lately * (requests - len(happened))) / requests)
