"""Validation rows to calibration: temperature, the threshold for "none of these", and the promise.

The promise is made by learn-then-test (Angelopoulos et al., arXiv 2110.01052) with the fallback procedure (Wiens and
Dmitrienko, J. Biopharm. Stat. 15, 2005): thresholds are tested from sure to unsure, each by an exact binomial test of
"more than `max_error` of the answers are wrong". Testing begins in three places, each with a share of the level; a test that
succeeds hands its level on to the next, one that fails loses it. The lowest threshold that succeeds is kept. Where recorded
answers are wrong now and then whatever they are about, the surest answers are no better than others and too few to show that they
are good enough, so it must not all hang on them. So that nothing else leaks into the promise, a random quarter of the rows
shapes the scores (temperature, scope, where testing begins) and the other three quarters test. The chance of a wrong
promise is divided by the number of models that the choice was made among, so the promise outlives the choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logsumexp

from shokunin.calibration import Calibration, Promise
from shokunin.metrics import binomial_p_value, rows_needed
from shokunin.task import Task

Scores = npt.NDArray[np.floating[Any]]
SHAPING_SHARE = 0.25
NEVER = 2.0
"""A threshold that no confidence reaches."""
GRID = (*(float(t) for t in np.round(expit(np.linspace(12, -4, 161)), 6)), 0.0)
"""The thresholds that are tested: from very sure to always, evenly on the logit scale. No row has a say in them."""
DECLINED_SHARE = 0.01
LOST_SHARE = 0.0005
"""Of all rows, and of those answered rightly, so many may be called "none of these" when no such rows are at hand."""
TAIL = 0.1
"""The lowest share of scores that says how the tail goes on."""
SCOPE_ROWS = 50
"""Of fewer rows the lowest score says little about the lowest to expect; the specialist then always answers."""
WEIGHTS = (0.4, 0.4, 0.2)
"""Of the level: for testing from half of the likeliest number of answers on, from that number on, and of all answers."""
UNANSWERED = -1.0
"""The confidence of a row that is never answered, whatever the threshold."""


def calibrate(
    raw: Scores,
    labels: npt.NDArray[np.int64],
    *,
    task: Task,
    candidates: int,
    exact: bool,
    none_raw: Scores | None = None,
    groups: npt.NDArray[np.int64] | None = None,
    seed: int = 0,
) -> Calibration:
    """Choose what turns raw scores into confidence and decisions.

    Args:
        raw: log-scores of the validation rows, shape (n, k), from a model that was not fitted on them.
        labels: shape (n,), which of the k is right.
        task: its `max_error` and `promise_confidence` are promised.
        candidates: how many models these rows chose among.
        exact: whether `raw` comes from the very weights that will be served.
        none_raw: log-scores of rows labelled "none of these", shape (m, k), if there are any.
        groups: shape (n,); of rows that share a group one takes part in the promise, since the others add no
            independent proof.
        seed: of the random quarter.
    """
    rng = np.random.default_rng(seed)
    none = np.zeros((0, raw.shape[1])) if none_raw is None else none_raw
    shapes, none_shapes = _random_share(len(raw), rng), _random_share(len(none), rng)
    temperature = fit_temperature(raw[shapes], labels[shapes])
    scope = _scope_threshold(raw[shapes], labels[shapes], none[none_shapes])
    calibration = Calibration(temperature, scope)
    tests = ~shapes & _one_of_each(groups, shapes, rng)
    shaping = [(raw[shapes], labels[shapes]), (none[none_shapes], None)]
    testing = [(raw[tests], labels[tests]), (none[~none_shapes], None)]
    sure, right = _answers(testing, calibration)
    made = promise(
        sure,
        right,
        max_error=task.max_error,
        confidence_level=task.promise_confidence,
        candidates=candidates,
        exact=exact,
        hints=_answers(shaping, calibration),
        validation_rows=len(raw) + len(none),
    )
    return Calibration(temperature, scope, made)


def calibrate_answers(
    evidence: npt.NDArray[np.float64],
    correct: npt.NDArray[np.bool_],
    *,
    task: Task,
    candidates: int,
    groups: npt.NDArray[np.int64] | None = None,
    seed: int = 0,
) -> Calibration:
    """The same for answers that are no labels: a confidence by Platt scaling, then the promise.

    Args:
        evidence: log-odds of validation rows that their answers are right, shape (n,), by the very weights that will be served.
        correct: shape (n,), whether they are.
        task: its `max_error` and `promise_confidence` are promised.
        candidates: how many models these rows chose among.
        groups: shape (n,); of rows that share a group one takes part in the promise.
        seed: of the random quarter that shapes the confidence.
    """
    rng = np.random.default_rng(seed)
    shapes = _random_share(len(evidence), rng)
    temperature, offset = fit_platt(evidence[shapes], correct[shapes])
    confidence = np.asarray(expit(evidence / temperature + offset), dtype=np.float64)
    tests = ~shapes & _one_of_each(groups, shapes, rng)
    made = promise(
        confidence[tests],
        correct[tests],
        max_error=task.max_error,
        confidence_level=task.promise_confidence,
        candidates=candidates,
        exact=True,
        hints=(confidence[shapes], correct[shapes]),
        validation_rows=len(evidence),
    )
    return Calibration(temperature, None, made, offset)


def fit_platt(evidence: npt.NDArray[np.float64], correct: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Temperature and offset that make what happened likeliest (Platt, 1999; his smoothed targets keep few rows in check).

    A weak prior (standard normal on the temperature's logarithm) keeps the slope positive and near 1 where a few rows say
    little.

    Args:
        evidence: log-odds, shape (n,).
        correct: shape (n,).
    """
    if len(evidence) == 0:
        return 1.0, 0.0
    hits, misses = int(correct.sum()), int((~correct).sum())
    target = np.where(correct, (hits + 1) / (hits + 2), 1 / (misses + 2))

    def cost(at: npt.NDArray[np.float64]) -> float:
        scaled = evidence / np.exp(at[0]) + at[1]
        return float((np.logaddexp(0.0, scaled) - target * scaled).sum() + at[0] ** 2 / 2)

    found = minimize(cost, np.zeros(2), method="Nelder-Mead", options={"maxiter": 600, "xatol": 1e-3, "fatol": 1e-4})
    return float(np.exp(np.clip(found.x[0], -3.0, 3.0))), float(np.clip(found.x[1], -20.0, 20.0))


def shaping_rows(n: int, seed: int) -> npt.NDArray[np.bool_]:
    """Which of n rows `calibrate` with this seed keeps out of the promise, so that they may shape the scores before."""
    return _random_share(n, np.random.default_rng(seed))


def fit_temperature(raw: Scores, labels: npt.NDArray[np.int64]) -> float:
    """The temperature that makes the right labels likeliest (Guo et al., arXiv 1706.04599), between 0.05 and 20.

    A weak prior (standard normal on its logarithm) keeps it near 1 where a few rows, all of them right, would drive it
    to 0.

    Args:
        raw: log-scores, shape (n, k).
        labels: shape (n,), which of the k is right.
    """
    if len(raw) == 0:
        return 1.0
    scores = raw.astype(np.float64)
    of_label = scores[np.arange(len(scores)), labels]

    def cost(log_t: float) -> float:
        t = np.exp(log_t)
        return float((logsumexp(scores / t, axis=1) - of_label / t).sum() + log_t * log_t / 2)

    return float(np.exp(minimize_scalar(cost, bounds=(np.log(0.05), np.log(20)), method="bounded").x))


def promise(
    confidence: npt.NDArray[np.floating[Any]],
    correct: npt.NDArray[np.bool_],
    *,
    max_error: float,
    confidence_level: float,
    candidates: int = 1,
    exact: bool = True,
    hints: tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]] | None = None,
    validation_rows: int | None = None,
) -> Promise:
    """The lowest threshold above which at most `max_error` of answers are wrong, with probability `confidence_level`.

    No threshold is tested with fewer answers than a test needs to succeed at all. For the few rows above it to tilt the
    promise, surer answers would have to be wrong more often than less sure ones.

    Args:
        confidence: shape (n,); a row that must never be answered has a confidence below 0.
        correct: shape (n,).
        max_error: the share of given answers that may be wrong.
        confidence_level: with this probability, over the draw of the rows, the promise holds.
        candidates: how many models the rows chose among.
        exact: whether the rows were scored by the very weights that will be served.
        hints: confidence and correctness of other rows; they say with how many answers a test would likeliest succeed.
        validation_rows: how many rows there were before some were put to other uses, to be told to the owner.

    Returns:
        A promise with a threshold above 1 and a reason where none can be made.
    """
    delta = (1 - confidence_level) / candidates
    rows, needed = len(confidence), rows_needed(max_error, delta)
    likeliest = needed if hints is None else _likeliest_count(*hints, rows, needed, max_error)
    starts = _starts(likeliest, int((confidence >= 0).sum()), max_error, delta)
    kept, first, level = None, None, 0.0
    for threshold in GRID:
        answered = confidence >= threshold
        n, errors = int(answered.sum()), int((answered & ~correct).sum())
        while starts and n >= starts[0][0]:
            level += starts.pop(0)[1]
        if not level:
            continue
        if first is None or errors * first[0] < first[1] * n:
            first = (n, errors)
        if binomial_p_value(errors, n, max_error) > level:
            level = 0.0
        else:
            kept = Promise(threshold, n / rows, max_error, confidence_level, rows, exact, None, n, errors)
    if kept is not None:
        return kept
    reason = _why_not(first, needed, rows, validation_rows or rows, max_error, confidence_level, candidates)
    return Promise(NEVER, 0.0, max_error, confidence_level, rows, exact, reason)


def _starts(likeliest: int, most: int, max_error: float, delta: float) -> list[tuple[int, float]]:
    """From how many answers on testing begins, fewest first, and at which level; with enough answers to succeed at all."""
    starts: dict[int, float] = {}
    for count, weight in zip((likeliest // 2, likeliest, most), WEIGHTS, strict=True):
        enough = max(count, rows_needed(max_error, delta * weight))
        if enough <= most:
            starts[enough] = starts.get(enough, 0.0) + delta * weight
    if not starts:  # too few answers to divide the level
        return [(rows_needed(max_error, delta), delta)]
    first = min(starts)
    starts[first] += delta - sum(starts.values())
    return sorted(starts.items())


def _random_share(n: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    chosen = np.zeros(n, dtype=bool)
    chosen[rng.permutation(n)[: round(n * SHAPING_SHARE)]] = True
    return chosen


def _one_of_each(
    groups: npt.NDArray[np.int64] | None, shapes: npt.NDArray[np.bool_], rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """One row of every group that has none among the rows that shape the scores."""
    if groups is None or len(np.unique(groups)) == 1:
        return ~shapes
    order = rng.permutation(len(groups))
    order = order[~np.isin(groups[order], groups[shapes])]
    keep = np.zeros(len(groups), dtype=bool)
    keep[order[np.unique(groups[order], return_index=True)[1]]] = True
    return keep


def _scope_threshold(raw: Scores, labels: npt.NDArray[np.int64], none: Scores) -> float | None:
    """Below which largest score a row is called "none of these".

    With rows of both sorts: where most answers are right, over the rows as they come; None if that is nowhere better
    than always answering. (The best balanced accuracy would decline a quarter of the rows that belong.) With none to
    learn from: so low that hardly a right answer is lost.
    """
    best = raw.max(axis=1) if len(raw) else np.zeros(0)
    right = np.sort(best[raw.argmax(axis=1) == labels]) if len(raw) else best
    if len(none):
        strange = np.sort(none.max(axis=1))
        limits = np.unique(np.concatenate([best, strange]))
        kept = len(right) - np.searchsorted(right, limits, "left")
        total = kept + np.searchsorted(strange, limits, "left")
        at = int(np.argmax(total))
        return float(limits[at]) if total[at] > len(right) else None
    if len(right) < SCOPE_ROWS:
        return None
    edge = float(np.quantile(right, TAIL))
    slope = edge - float(right[right <= edge].mean())
    # Exponential below the edge, so that the limit does not hang on the one lowest score that was seen.
    return float(min(np.quantile(best, DECLINED_SHARE, method="lower"), edge - slope * np.log(TAIL / LOST_SHARE)))


def _answers(
    parts: Sequence[tuple[Scores, npt.NDArray[np.int64] | None]], calibration: Calibration
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Confidence and correctness as the codec decodes them; rows without labels are "none of these".

    That answer is never sure: see docs/promise.md.
    """
    sure, right = [], []
    for raw, labels in parts:
        scaled = raw.astype(np.float64) / calibration.temperature
        confidence = np.exp(scaled.max(axis=1) - logsumexp(scaled, axis=1)) if len(raw) else np.zeros(0)
        if calibration.scope_threshold is not None:
            confidence[raw.max(axis=1) < calibration.scope_threshold] = UNANSWERED
        sure.append(confidence)
        right.append(np.zeros(len(raw), dtype=bool) if labels is None else raw.argmax(axis=1) == labels)
    return np.concatenate(sure), np.concatenate(right)


def _likeliest_count(
    confidence: npt.NDArray[np.float64], correct: npt.NDArray[np.bool_], rows: int, needed: int, max_error: float
) -> int:
    """With how many of `rows` answers a test would most likely succeed, judged by other rows, surest first."""
    found, smallest = needed, 1.0
    wrong = np.cumsum(~correct[np.argsort(-confidence, kind="stable")])
    for n in np.unique(np.linspace(1, len(confidence), 100).astype(int)) if len(confidence) else ():
        count, error = rows * int(n) // len(confidence), (float(wrong[n - 1]) + 0.5) / (int(n) + 1)
        p = binomial_p_value(int(count * error), count, max_error) if count >= needed else 1.0
        if p < smallest:
            found, smallest = count, p
    return found


def _why_not(
    first: tuple[int, int] | None, needed: int, rows: int, total: int, max_error: float, level: float, candidates: int
) -> str:
    claim = f"{100 * max_error:g} % at {100 * level:g} %" + (
        "" if candidates == 1 else f" after a choice among {candidates}"
    )
    if rows < needed:
        there = f"{total:,} validation rows" + ("" if total == rows else f", of which {rows:,} can test it")
        return f"{needed:,} error-free rows are needed for {claim}; there are {there}"
    if first is None:
        return f"{needed:,} error-free rows are needed for {claim}; too few of the {rows:,} rows get an answer"
    n, errors = first
    return f"even of the surest {n:,} of {rows:,} rows {errors:,} are wrong, too many to promise {claim}"
