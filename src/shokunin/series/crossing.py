"""Cross-fitting: every training unit is scored by models that were taught on other units, scales and encoder included.

What is decided with such scores (when to stop, how sure to be, which rung, which threshold) rests on all units that
train instead of on the few that a validation side would hold (Chernozhukov et al., arXiv 1608.00060, cross-fit
nuisances in the same way).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shokunin.errors import UsageError
from shokunin.progress import Progress
from shokunin.series.features import Recipe
from shokunin.series.lessons import SeriesLessons
from shokunin.series.ranking import areas
from shokunin.series.trees import CrossedTrees, TreeOptions

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Crossed:
    """Scores of the validation windows by models that saw no window of their unit.

    Attributes:
        raw: log-odds before calibration, or a rule's numbers; float64 (n, horizons).
        trees: how many trees each horizon is to have.
        grown_for: the number of the horizon whose labels each horizon's trees are grown for. What comes within fifteen
            steps comes within thirty, and more units show it; so a horizon with few events is given the trees of a
            longer one where these rank its own windows better.
    """

    raw: Floats
    trees: tuple[int, ...]
    grown_for: tuple[int, ...]


def cross_trees(
    lessons: SeriesLessons,
    recipe: Callable[[SeriesLessons], Recipe],
    options: TreeOptions,
    *,
    seed: int,
    progress: Progress,
) -> Crossed:
    """Trees of every part and horizon.

    Args:
        lessons: crossed ones.
        recipe: makes the rows' recipe from the lessons that a part's models may look at.
        options: of the trees.
        seed: of the trees.
        progress: told how far it is.

    Raises:
        UsageError: events of a horizon stand before the windows of fewer than two units.
    """
    count = len(lessons.horizons)
    trees = CrossedTrees(options, seed)
    places: list[npt.NDArray[np.int64]] = []
    labels: list[Labels] = []
    parts = lessons.parts()
    _enough(lessons)
    for number, part in enumerate(parts):
        progress("measuring windows without a part of the units", number, len(parts))
        some = lessons.without(part)
        cook = recipe(some)
        trees.add(
            cook.matrix(some.readings, some.windows.take(some.train)),
            cook.matrix(some.readings, some.windows.take(some.validation)),
        )
        labels.append(some.labels[some.train])
        places.append(np.flatnonzero(np.isin(lessons.validation, some.validation)))
    place = np.concatenate(places)
    scores, grown = np.empty((len(lessons.validation), count)), []
    truth = lessons.labels[lessons.validation][place]
    for j in range(count):
        progress(f"growing trees for {lessons.horizons[j]} steps ahead, part by part", j, count)

        def better(found: Floats, y: Labels = truth[:, j]) -> float:
            return worth(found, y, options.metric)

        trees_of, scores[:, j] = trees.grow([y[:, j] for y in labels], better, horizon=lessons.horizons[j])
        grown.append(trees_of)
    sources = tuple(_borrowed(j, scores, truth, lessons) for j in range(count))
    raw = np.empty_like(scores)
    raw[place] = scores[:, sources]
    return Crossed(raw, tuple(grown[s] for s in sources), sources)


def _borrowed(j: int, scores: Floats, truth: Labels, lessons: SeriesLessons) -> int:
    """The horizon whose trees rank the windows of horizon j best: itself, or a longer one (of questions `within` a time)."""
    longer = [k for k, h in enumerate(lessons.horizons) if h > lessons.horizons[j] and lessons.when == "within"]
    known = truth[:, j] >= 0
    return max([j, *longer], key=lambda k: areas(scores[known, k], truth[known, j])[1])


def cross_rule(lessons: SeriesLessons, score: Callable[[SeriesLessons], Floats]) -> Floats:
    """A rule's numbers, float64 (n,), of the validation windows; `score` makes them of one part's, on scales of the others."""
    raw = np.empty(len(lessons.validation))
    for part in lessons.parts():
        some = lessons.without(part)
        raw[np.isin(lessons.validation, some.validation)] = score(some)
    return raw


def worth(scores: Floats, labels: Labels, metric: str) -> float:
    """How good log-odds are on rows whose label is known: an area, or less the mean log loss; more is better."""
    known = labels >= 0
    s, y = scores[known], labels[known]
    if metric == "binary_logloss":
        return -float(np.mean(np.logaddexp(0.0, np.where(y == 1, -s, s))))
    roc, pr = areas(s, y)
    return roc if metric == "auc" else pr


def _enough(lessons: SeriesLessons) -> None:
    for j, horizon in enumerate(lessons.horizons):
        rows = lessons.train[lessons.labels[lessons.train, j] == 1]
        units = np.unique(lessons.windows.unit[rows])
        if len(units) < 2:
            known = int((lessons.labels[lessons.train, j] >= 0).sum())
            raise UsageError(
                f"{len(rows)} of {known} windows of the training side come before an event within {horizon} steps, of "
                f"{len(units)} of the units; trees need events of at least two units, to learn from one and check on the "
                "other: choose a longer horizon, or split by time"
            )
