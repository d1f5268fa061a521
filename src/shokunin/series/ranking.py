"""How well scores rank what was to come: ROC-AUC and average precision beside the base rate, with intervals over whole units.

Windows of one unit share their readings, so rows are never drawn one by one: the bootstrap draws units, or where
there are few, stretches of time within them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shokunin.metrics import Comparison, Interval

Scores = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int8]
Blocks = npt.NDArray[np.int64]
DRAWS = 400
FEW_UNITS = 8


@dataclass(frozen=True)
class Ranking:
    """What scores are worth on judged rows.

    Attributes:
        rows, positives: judged rows, and those before an event.
        blocks: independent pieces that the intervals are drawn from.
        base_rate: the share of positives: what average precision would be without any skill.
        roc_auc: chance that a row before an event scores above one that is not; 0.5 without any skill.
        pr_auc: average precision.
    """

    rows: int
    positives: int
    blocks: int
    base_rate: float
    roc_auc: Interval
    pr_auc: Interval


def ranking(scores: Scores, labels: Labels, blocks: Blocks, *, seed: int = 0, draws: int = DRAWS) -> Ranking:
    """Of the rows whose label is known.

    Args:
        scores: shape (n,), larger means sooner.
        labels: 1, 0, or -1 (left out).
        blocks: shape (n,), rows of one block are drawn together.
        seed: of the draws.
        draws: how many.

    Raises:
        ValueError: the known labels are all alike.
    """
    known = labels >= 0
    s, y, b = scores[known], labels[known].astype(np.float64), blocks[known]
    if not 0 < y.sum() < len(y):
        raise ValueError(f"{int(y.sum())} of {len(y)} rows are positive; a ranking needs some of both")
    sorted_ = _Sorted(s, y, b)
    roc, pr = sorted_.areas(None)
    drawn = np.asarray([sorted_.areas(w) for w in _weights(sorted_.count, seed, draws)])
    return Ranking(
        len(y), int(y.sum()), sorted_.count, float(y.mean()), _interval(roc, drawn[:, 0]), _interval(pr, drawn[:, 1])
    )


@dataclass(frozen=True)
class Within:
    """How well scores tell a unit's own bad times from its own good ones; who only tells units apart has 0.5 here.

    Attributes:
        units: that have rows of both kinds; only these say anything.
        roc_auc: chance that a row before an event scores above one of the same unit that is not, over all rows before
            events.
    """

    units: int
    roc_auc: Interval


def within_units(
    scores: Scores, labels: Labels, units: Blocks, steps: Blocks, reach: int, *, seed: int = 0, draws: int = DRAWS
) -> Within | None:
    """The ranking inside units; None where no unit has known rows of both kinds.

    Args:
        scores: shape (n,), larger means sooner.
        labels: 1, 0, or -1 (left out).
        units, steps: whose and which step each row is, shape (n,).
        reach: steps within which rows depend on one another; as of `blocks_of`.
        seed: of the draws.
        draws: how many.
    """
    known = labels >= 0
    s, y, u, t = scores[known], labels[known].astype(np.float64), units[known], steps[known]
    place = np.unique(u, return_inverse=True)[1]
    positive, count = np.bincount(place, y), np.bincount(place)
    both = (positive > 0) & (positive < count)
    if not both.any():
        return None
    mixed = both[place]
    s, y, u, t = s[mixed], y[mixed], u[mixed], t[mixed]
    blocks = blocks_of(u, t, reach)
    each = [
        (_Sorted(s[u == unit], y[u == unit], blocks[u == unit]), np.unique(blocks[u == unit])) for unit in np.unique(u)
    ]
    whole = [(float(unit.labels.sum()), unit.areas(None)[0]) for unit, _ in each]
    drawn = []
    for weights in _weights(int(blocks.max()) + 1, seed, draws if blocks.max() else 0):
        found = []
        for (unit, mine), (before, area) in zip(each, whole, strict=True):
            w = weights[mine]
            # A block that is a whole unit changes how much the unit counts, and nothing inside it.
            found.append((w[0] * before, area) if len(mine) == 1 else (unit.before(w), unit.areas(w)[0]))
        drawn.append(_mean(found))
    return Within(len(each), _interval(_mean(whole), np.asarray(drawn)))


def _mean(areas: Sequence[tuple[float, float]]) -> float:
    """Of areas with their weights; NaN where none can be told."""
    told = [(weight, area) for weight, area in areas if np.isfinite(area)]
    total = sum(weight for weight, _ in told)
    return float(sum(weight * area for weight, area in told) / total) if total > 0 else np.nan


def areas(scores: Scores, labels: Labels) -> tuple[float, float]:
    """ROC-AUC and average precision of scores of rows with labels 0 or 1; NaN where these are all alike."""
    return _Sorted(scores, labels.astype(np.float64), np.zeros(len(labels), dtype=np.int64)).areas(None)


def compare_rankings(
    a: Scores, b: Scores, labels: Labels, blocks: Blocks, *, seed: int = 0, draws: int = DRAWS
) -> Mapping[str, Comparison]:
    """`roc_auc` and `pr_auc` of a less those of b, on the same draws of blocks."""
    known = labels >= 0
    y, groups = labels[known].astype(np.float64), blocks[known]
    first, second = _Sorted(a[known], y, groups), _Sorted(b[known], y, groups)
    whole = np.subtract(first.areas(None), second.areas(None))
    drawn = np.asarray([np.subtract(first.areas(w), second.areas(w)) for w in _weights(first.count, seed, draws)])
    return {name: _comparison(float(whole[i]), drawn[:, i]) for i, name in enumerate(("roc_auc", "pr_auc"))}


def blocks_of(units: Blocks, steps: Blocks, reach: int) -> Blocks:
    """Blocks to draw: units, or where there are fewer than eight, stretches of `reach` steps of each."""
    if len(np.unique(units)) >= FEW_UNITS:
        return np.unique(units, return_inverse=True)[1].astype(np.int64)
    pairs = np.stack([units, (steps - steps.min()) // max(reach, 1)], axis=1)
    return np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


class _Sorted:
    """Rows in the order of their scores, so that a draw of blocks is one pass."""

    def __init__(self, scores: Scores, labels: npt.NDArray[np.float64], blocks: Blocks) -> None:
        order = np.argsort(-scores, kind="stable")
        self.labels = labels[order]
        names, self.blocks = np.unique(blocks[order], return_inverse=True)
        self.count = len(names)
        ordered = scores[order]
        # Rows of one score stand or fall together: areas are only read where the score changes.
        self.ends = np.r_[np.flatnonzero(np.diff(ordered)), len(ordered) - 1]

    def before(self, weights: npt.NDArray[np.float64]) -> float:
        """The weight of rows before an event."""
        return float((weights[self.blocks] * self.labels).sum())

    def areas(self, weights: npt.NDArray[np.float64] | None) -> tuple[float, float]:
        """ROC-AUC and average precision; NaN where a draw has only one class."""
        w = np.ones(len(self.labels)) if weights is None else weights[self.blocks]
        hits = np.cumsum(w * self.labels)[self.ends]
        seen = np.cumsum(w)[self.ends]
        positive, total = hits[-1], seen[-1]
        if positive <= 0 or positive >= total:
            return np.nan, np.nan
        recall = np.r_[0.0, hits / positive]
        alarm = np.r_[0.0, (seen - hits) / (total - positive)]
        roc = float(((alarm[1:] - alarm[:-1]) * (recall[1:] + recall[:-1]) / 2).sum())
        precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
        return roc, float(((recall[1:] - recall[:-1]) * precision).sum())


def _weights(blocks: int, seed: int, draws: int) -> list[npt.NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    return [np.bincount(rng.integers(0, blocks, blocks), minlength=blocks).astype(np.float64) for _ in range(draws)]


def _interval(value: float, drawn: npt.NDArray[np.float64]) -> Interval:
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) < 2:
        return Interval(value, 0.0, 1.0)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(value, float(min(low, value)), float(max(high, value)))


def _comparison(value: float, drawn: npt.NDArray[np.float64]) -> Comparison:
    drawn = drawn[np.isfinite(drawn)]
    n = len(drawn)
    worse, better = (1 + int((drawn >= 0).sum())) / (n + 1), (1 + int((drawn <= 0).sum())) / (n + 1)
    low, high = np.quantile(drawn, [0.025, 0.975]) if n else (-1.0, 1.0)
    return Comparison(Interval(value, float(low), float(high)), min(1.0, 2 * min(worse, better)), worse, better)
