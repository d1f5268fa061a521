"""Scores and their uncertainty: pure functions of arrays.

Rates have Wilson intervals; everything else is bootstrapped. Rows of one group (a customer, a set of near-duplicates)
are not independent, so where groups repeat the bootstrap draws whole groups. Two models on the same rows are compared
row by row, never by two separate averages. All intervals are at 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, betaincinv, expit, logit

RESAMPLES = 1000
Z95 = 1.959963984540054

Bools = npt.NDArray[np.bool_] | Sequence[bool]
Floats = npt.NDArray[np.floating[Any]] | Sequence[float]
Values = Sequence[str | None] | Sequence[str] | npt.NDArray[np.int64]
Groups = npt.NDArray[np.int64] | Sequence[int] | None


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Two models, a and b, on the same rows.

    Attributes:
        difference: a's score minus b's.
        p: two-sided p-value of "they are equally good".
        p_worse: one-sided p-value; small when a is measurably worse than b.
        p_better: one-sided p-value; small when a is measurably better than b.
    """

    difference: Interval
    p: float
    p_worse: float
    p_better: float


@dataclass(frozen=True)
class ReliabilityBin:
    """The rows whose confidence lies in (low, high]: how sure they were on average, and how often right."""

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float


def accuracy(correct: Bools, groups: Groups = None, *, seed: int = 0) -> Interval:
    """The share of right answers; Wilson's interval, or a bootstrap over groups where rows share a group.

    Raises:
        ValueError: there are no rows.
    """
    right = np.asarray(correct, dtype=bool)
    _some(right)
    of_row = _clusters(groups, len(right))
    if of_row is None:
        return wilson(int(right.sum()), len(right))
    clusters = int(of_row.max()) + 1
    if right.all() or not right.any():  # a bootstrap of identical rows would claim to be certain
        return wilson(clusters if right.all() else 0, clusters)
    hits, sizes = np.bincount(of_row, weights=right), np.bincount(of_row)
    draws = [(w @ hits) / (w @ sizes) for w in _resamples(clusters, seed)]
    return _percentiles(float(right.mean()), np.asarray(draws))


def macro_f1(expected: Values, given: Values, groups: Groups = None, *, seed: int = 0) -> Interval:
    """The mean over the expected classes of F1 = 2TP / (2TP + FP + FN); None is an answer of no class.

    An answer outside the expected classes is a miss of the right class and does not add a class of its own. The
    interval is a percentile bootstrap (by group where rows share one); with no wrong answer at all, where a bootstrap
    would claim to be certain, its lower end is Wilson's.

    Raises:
        ValueError: there are no rows, or the lengths differ.
    """
    truth, answers, k = _coded(expected, given)
    value = _macro_f1(truth, answers, np.ones(len(truth)), k)
    of_row = _clusters(groups, len(truth))
    clusters = len(truth) if of_row is None else int(of_row.max()) + 1
    if bool((truth == answers).all()):
        return wilson(clusters, clusters)
    weights = _row_weights(clusters, of_row, seed)
    return _percentiles(value, np.asarray([_macro_f1(truth, answers, w, k) for w in weights]))


def mean(marks: Floats, groups: Groups = None, *, seed: int = 0) -> Interval:
    """The mean of marks from 0 to 1: a share where all are 0 or 1 (as `accuracy`), else a bootstrap over rows or groups.

    Raises:
        ValueError: there are no rows.
    """
    values = np.asarray(marks, dtype=float)
    if np.isin(values, (0.0, 1.0)).all():
        return accuracy(values == 1.0, groups, seed=seed)
    of_row = _clusters(groups, len(values))
    codes = np.arange(len(values)) if of_row is None else of_row
    sums, sizes = np.bincount(codes, weights=values), np.bincount(codes)
    draws = [(w @ sums) / (w @ sizes) for w in _resamples(len(sums), seed)]
    return _percentiles(float(values.mean()), np.asarray(draws))


def ratio(parts: Floats, wholes: Floats, groups: Groups = None, *, seed: int = 0) -> Interval:
    """The sum of `parts` over the sum of `wholes`, such as a micro-F1 (2TP over 2TP + FP + FN), bootstrapped over rows or groups.

    1 where there is nothing to find and nothing was found; with no error at all the lower end is Wilson's.

    Raises:
        ValueError: there are no rows.
    """
    top, whole = np.asarray(parts, dtype=float), np.asarray(wholes, dtype=float)
    _some(top)
    of_row = _clusters(groups, len(top))
    codes = np.arange(len(top)) if of_row is None else of_row
    tops, wholes_of = np.bincount(codes, weights=top), np.bincount(codes, weights=whole)
    if bool((tops == wholes_of).all()):
        return wilson(len(tops), len(tops))
    draws = [float(w @ tops) / max(float(w @ wholes_of), 1e-12) for w in _resamples(len(tops), seed)]
    return _percentiles(float(top.sum() / max(whole.sum(), 1e-12)), np.minimum(draws, 1.0))


def compare_ratio(
    a: tuple[Floats, Floats], b: tuple[Floats, Floats], groups: Groups = None, *, seed: int = 0
) -> Comparison:
    """Two such ratios on the same rows, by a paired bootstrap over rows or groups."""
    columns = [np.asarray(column, dtype=float) for column in (*a, *b)]
    of_row = _clusters(groups, len(columns[0]))
    codes = np.arange(len(columns[0])) if of_row is None else of_row
    sums = np.stack([np.bincount(codes, weights=column) for column in columns], axis=1)

    def gap(weights: npt.NDArray[np.float64]) -> float:
        x, n, y, m = weights @ sums
        return float(x / max(n, 1e-12) - y / max(m, 1e-12))

    return _from_draws(gap(np.ones(len(sums))), np.asarray([gap(w) for w in _resamples(len(sums), seed)]))


def wilson(successes: int, n: int) -> Interval:
    """A share with Wilson's score interval (Wilson, JASA 22, 1927).

    Raises:
        ValueError: n is not positive.
    """
    if n <= 0:
        raise ValueError("a share needs at least one row")
    p, z2 = successes / n, Z95 * Z95
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * float(np.sqrt(p * (1 - p) / n + z2 / (4 * n * n)))
    return Interval(p, max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half)))


def clopper_pearson_upper(errors: int, n: int, delta: float) -> float:
    """The exact upper bound of an error rate: it is above the true rate with probability at least 1 - delta.

    No rows bound nothing: the bound is then 1 (Clopper and Pearson, Biometrika 26, 1934).
    """
    return 1.0 if errors >= n else float(betaincinv(errors + 1, n - errors, 1 - delta))


def binomial_p_value(errors: int, n: int, max_error: float) -> float:
    """The p-value of "the error rate is above `max_error`": how likely so few errors would then be. 1 when n is 0."""
    return 1.0 if n == 0 else float(bdtr(errors, n, max_error))


def rows_needed(max_error: float, delta: float) -> int:
    """How many rows without an error are needed to show, but for `delta`, that at most `max_error` are wrong."""
    return int(np.ceil(np.log(delta) / np.log1p(-max_error)))


def mcnemar(a_correct: Bools, b_correct: Bools) -> float:
    """The two-sided mid-p McNemar test of "a and b are equally often right" on the same rows.

    1 when a and b are never right apart (Fagerland et al., BMC Med. Res. Methodol. 13:91, 2013).
    """
    return min(1.0, 2 * min(mcnemar_worse(a_correct, b_correct), mcnemar_worse(b_correct, a_correct)))


def mcnemar_worse(a_correct: Bools, b_correct: Bools) -> float:
    """The one-sided mid-p McNemar test: small when a is measurably less often right than b on the same rows."""
    a, b = _pair(a_correct, b_correct)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return 1.0 if only_a + only_b == 0 else _mid_p(only_a, only_a + only_b)


def compare_accuracy(a_correct: Bools, b_correct: Bools, groups: Groups = None, *, seed: int = 0) -> Comparison:
    """Two models' accuracy on the same rows: McNemar where rows are independent, else a bootstrap over groups.

    The interval for independent rows is Bonett and Price's adjusted Wald (J. Educ. Behav. Stat. 37, 2012).
    """
    a, b = _pair(a_correct, b_correct)
    if _clusters(groups, len(a)) is not None:
        return paired_bootstrap(a.astype(float), b.astype(float), groups, seed=seed)
    n, only_a, only_b = len(a), int((a & ~b).sum()), int((b & ~a).sum())
    value, up, down = (only_a - only_b) / n, (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    half = Z95 * float(np.sqrt((up + down - (up - down) ** 2) / (n + 2)))
    low, high = min(value, up - down - half), max(value, up - down + half)
    interval = Interval(value, max(-1.0, low), min(1.0, high))
    return Comparison(interval, mcnemar(a, b), mcnemar_worse(a, b), mcnemar_worse(b, a))


def compare_macro_f1(expected: Values, a: Values, b: Values, groups: Groups = None, *, seed: int = 0) -> Comparison:
    """Two models' macro-F1 on the same rows by a paired bootstrap: both are scored on the same resamples."""
    truth, first, k = _coded(expected, a)
    _, second, _ = _coded(expected, b)
    of_row = _clusters(groups, len(truth))
    ones = np.ones(len(truth))
    value = _macro_f1(truth, first, ones, k) - _macro_f1(truth, second, ones, k)
    weights = _row_weights(len(truth) if of_row is None else int(of_row.max()) + 1, of_row, seed)
    draws = [_macro_f1(truth, first, w, k) - _macro_f1(truth, second, w, k) for w in weights]
    return _from_draws(value, np.asarray(draws))


def macro_f1_worse(expected: Values, a: Values, b: Values, groups: Groups = None, *, seed: int = 0) -> float:
    """The one-sided paired bootstrap test: small when a's macro-F1 is measurably below b's on the same rows."""
    return compare_macro_f1(expected, a, b, groups, seed=seed).p_worse


def compare(
    metric: str,
    expected: Values,
    a: Values,
    b: Values,
    groups: Groups = None,
    *,
    seed: int = 0,
) -> Comparison:
    """Two models' answers on the same rows, by the task's metric: `accuracy` or `macro_f1`."""
    if metric == "macro_f1":
        return compare_macro_f1(expected, a, b, groups, seed=seed)
    right = [np.asarray([e == g for e, g in zip(expected, given, strict=True)], dtype=bool) for given in (a, b)]
    return compare_accuracy(right[0], right[1], groups, seed=seed)


def paired_bootstrap(a: Floats, b: Floats, groups: Groups = None, *, seed: int = 0) -> Comparison:
    """The difference of the means of two scores of the same rows, bootstrapped over rows, or over groups if given."""
    gap = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    _some(gap)
    of_row = _clusters(groups, len(gap))
    codes = np.arange(len(gap)) if of_row is None else of_row
    sums, sizes = np.bincount(codes, weights=gap), np.bincount(codes)
    draws = [(w @ sums) / (w @ sizes) for w in _resamples(len(sums), seed)]
    return _from_draws(float(gap.mean()), np.asarray(draws))


def reliability_bins(confidence: Floats, correct: Bools, bins: int = 15) -> list[ReliabilityBin]:
    """The non-empty ones of `bins` equally wide bins of confidence, 0 first."""
    sure, right = np.asarray(confidence, dtype=float), np.asarray(correct, dtype=bool)
    at = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    found = []
    for i in np.unique(at):
        here = at == i
        mean, share = float(sure[here].mean()), float(right[here].mean())
        found.append(ReliabilityBin(int(i) / bins, (int(i) + 1) / bins, int(here.sum()), mean, share))
    return found


def expected_calibration_error(confidence: Floats, correct: Bools, bins: int = 15) -> float:
    """How far confidence is from the share of right answers, averaged over rows (Guo et al., arXiv 1706.04599)."""
    found = reliability_bins(confidence, correct, bins)
    rows = sum(b.rows for b in found)
    return sum(b.rows * abs(b.confidence - b.accuracy) for b in found) / rows if rows else 0.0


def risk_coverage(confidence: Floats, correct: Bools, *, points: int = 200) -> list[tuple[float, float]]:
    """Pairs (share of rows answered, share of those wrong) as the threshold falls, the surest rows first.

    Rows of equal confidence are answered together. At most `points` pairs are kept; the last is (1, error rate).
    """
    coverage, risk = _risk_curve(confidence, correct)
    keep = np.arange(len(coverage))
    if len(keep) > points:  # evenly in coverage, where the plot needs them
        keep = np.unique(np.minimum(np.searchsorted(coverage, np.linspace(0, 1, points)), len(coverage) - 1))
    return [(float(coverage[i]), float(risk[i])) for i in keep]


def area_under_risk_coverage(confidence: Floats, correct: Bools) -> float:
    """The mean error over all coverages (AURC; Geifman and El-Yaniv, arXiv 1705.08500); 0 is best."""
    coverage, risk = _risk_curve(confidence, correct)
    return float(np.sum(np.diff(coverage, prepend=0.0) * risk))


def auroc(positive: Floats, negative: Floats) -> Interval:
    """How often a positive scores above a negative, ties by half, with DeLong's interval on the logit scale.

    Where the two are wholly apart, DeLong's variance is 0; the interval is then Wilson's on the smaller side.

    Raises:
        ValueError: one side is empty.
    """
    up, down = np.asarray(positive, dtype=float), np.asarray(negative, dtype=float)
    _some(up)
    _some(down)
    of_up = (np.searchsorted(np.sort(down), up, "left") + np.searchsorted(np.sort(down), up, "right")) / (2 * len(down))
    of_down = 1 - (np.searchsorted(np.sort(up), down, "left") + np.searchsorted(np.sort(up), down, "right")) / (
        2 * len(up)
    )
    value, smaller = float(of_up.mean()), min(len(up), len(down))
    variance = sum(float(x.var(ddof=1)) / len(x) if len(x) > 1 else 0.25 for x in (of_up, of_down))
    if variance == 0 or value in (0.0, 1.0):
        edge = wilson(round(value * smaller), smaller)
        return Interval(value, min(value, edge.low), max(value, edge.high))
    half = Z95 * float(np.sqrt(variance)) / (value * (1 - value))
    return Interval(value, min(value, float(expit(logit(value) - half))), max(value, float(expit(logit(value) + half))))


def log_odds(log_probability: float, most: float = 30.0) -> float:
    """log(p / (1 - p)) of a probability given by its natural logarithm, within ±`most`."""
    p = min(log_probability, -1e-13)
    return max(-most, min(most, p - math.log(-math.expm1(p))))


def _some(values: npt.NDArray[Any]) -> None:
    if len(values) == 0:
        raise ValueError("a score needs at least one row")


def _clusters(groups: Groups, n: int) -> npt.NDArray[np.int64] | None:
    """Each row's cluster, 0, 1, 2 …; None where rows count as independent: no groups, all distinct, all the same."""
    if groups is None:
        return None
    if len(groups) != n:
        raise ValueError(f"{len(groups)} groups for {n} rows")
    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    return None if len(names) in (1, n) else codes.astype(np.int64)


def _resamples(clusters: int, seed: int) -> list[npt.NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    return [
        np.bincount(rng.integers(0, clusters, clusters), minlength=clusters).astype(float) for _ in range(RESAMPLES)
    ]


def _row_weights(clusters: int, of_row: npt.NDArray[np.int64] | None, seed: int) -> list[npt.NDArray[np.float64]]:
    draws = _resamples(clusters, seed)
    return draws if of_row is None else [w[of_row] for w in draws]


def _percentiles(value: float, draws: npt.NDArray[np.float64]) -> Interval:
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(value, max(0.0, min(value, float(low))), min(1.0, max(value, float(high))))


def _from_draws(value: float, draws: npt.NDArray[np.float64]) -> Comparison:
    low, high = np.quantile(draws, [0.025, 0.975])
    interval = Interval(value, min(value, float(low)), max(value, float(high)))
    # Ties count half, as in the mid-p test; one is added so that no p-value claims more than the resamples can show.
    ties = float((draws == 0).sum()) / 2
    p_worse = (float((draws > 0).sum()) + ties + 1) / (len(draws) + 1)
    p_better = (float((draws < 0).sum()) + ties + 1) / (len(draws) + 1)
    return Comparison(interval, min(1.0, 2 * min(p_worse, p_better)), min(1.0, p_worse), min(1.0, p_better))


def _coded(expected: Values, given: Values) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
    if len(expected) != len(given):
        raise ValueError(f"{len(expected)} expected values for {len(given)} answers")
    code = {name: i for i, name in enumerate(sorted(set(expected)))}
    truth = np.fromiter((code[e] for e in expected), np.int64, len(expected))
    _some(truth)
    answers = np.fromiter((len(code) if g is None else code.get(g, len(code)) for g in given), np.int64, len(given))
    return truth, answers, len(code)


def _macro_f1(
    truth: npt.NDArray[np.int64], answers: npt.NDArray[np.int64], weights: npt.NDArray[np.float64], k: int
) -> float:
    support = np.bincount(truth, weights, k)
    claimed = np.bincount(answers, weights, k + 1)[:k]
    hits = np.bincount(truth, weights * (truth == answers), k)
    present = support > 0  # a resample may miss a rare class
    return float((2 * hits[present] / (support[present] + claimed[present])).mean())


def _pair(a: Bools, b: Bools) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    first, second = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    if len(first) != len(second):
        raise ValueError(f"{len(first)} answers of one model for {len(second)} of the other")
    _some(first)
    return first, second


def _mid_p(successes: int, n: int) -> float:
    """P(X < successes) + P(X = successes) / 2 for X ~ Binomial(n, 1/2)."""
    below = float(bdtr(successes - 1, n, 0.5)) if successes else 0.0
    return (below + float(bdtr(successes, n, 0.5))) / 2


def _risk_curve(confidence: Floats, correct: Bools) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    sure, right = np.asarray(confidence, dtype=float), np.asarray(correct, dtype=bool)
    _some(sure)
    order = np.argsort(-sure, kind="stable")
    wrong, answered = np.cumsum(~right[order]), np.arange(1, len(sure) + 1)
    last = np.append(sure[order][1:] != sure[order][:-1], True)
    return answered[last] / len(sure), wrong[last] / answered[last]
