"""Training units are scored by models of other units only, and all of them together say when to stop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from series.fleets import fleet
from shokunin.errors import DataError, UsageError
from shokunin.progress import silent
from shokunin.series.crossing import cross_rule, cross_trees, worth
from shokunin.series.features import Recipe
from shokunin.series.labels import from_failures
from shokunin.series.lessons import SeriesLessons
from shokunin.series.scaling import fit_scale
from shokunin.series.split import by_units, crossed
from shokunin.series.trees import TreeOptions
from shokunin.series.windows import windows_of

QUICK = TreeOptions(rounds=20, num_leaves=7, min_child_samples=5, threads=1)
LENGTH = 8


def wearing(units: int = 10, days: int = 120, seed: int = 0):
    """Units that rise over the twelve days before each failure."""
    rng = np.random.default_rng(seed)
    histories, failures = {}, {}
    for u in range(units):
        x = rng.normal(size=days)
        failures[f"u{u}"] = failed = [30 + 3 * u, 75 + 3 * u]
        for f in failed:
            x[f - 12 : f + 1] += np.linspace(0, 4, 13)
        histories[f"u{u}"] = x
    return fleet(histories), failures


def lessons_of(readings, failures, horizons=(4, 8), parts: int = 4) -> SeriesLessons:
    windows = windows_of(readings, LENGTH)
    labels = from_failures(readings, windows, failures, horizons)
    split = crossed(by_units(readings, windows, validation=None), windows, labels, parts=parts)
    return SeriesLessons(
        readings,
        windows,
        labels,
        tuple(horizons),
        "within",
        split.train,
        split.validation,
        split.known,
        folds=split.folds,
    )


def recipe_of(some: SeriesLessons) -> Recipe:
    scale = fit_scale(some.readings, some.known, by="fleet", least=LENGTH)
    return Recipe(some.readings.channels, LENGTH, ("statistics", "recent"), scale)


@given(st.integers(3, 14), st.integers(2, 6), st.integers(0, 3))
def test_every_training_unit_is_in_one_part_and_events_are_spread(units: int, parts: int, seed: int) -> None:
    readings = fleet({f"u{i}": np.zeros(20) for i in range(units)})
    windows = windows_of(readings, LENGTH)
    rng = np.random.default_rng(seed)
    failing = rng.random(units) < 0.5
    labels = (failing[windows.unit] & (windows.step > 15)).astype(np.int8)[:, None]
    split = crossed(by_units(readings, windows, folds=3, validation=None), windows, labels, parts=parts, seed=seed)
    assert split.folds is not None and np.array_equal(split.train, split.validation)
    inside = np.unique(windows.unit[split.train])
    assert (split.folds[inside] >= 0).all() and (np.delete(split.folds, inside) == -1).all()
    counts = np.bincount(split.folds[inside])
    assert counts.min() >= 1 and np.ptp(counts) <= 1 and len(counts) == min(parts, len(inside))
    spread = np.bincount(split.folds[inside[failing[inside]]], minlength=len(counts))
    assert np.ptp(spread) <= 1
    assert not {s.unit for s, mask in split.known if mask.any()} - set(inside.tolist())


def test_without_a_part_nothing_of_its_units_is_seen() -> None:
    lessons = lessons_of(*wearing())
    assert lessons.parts() == [0, 1, 2, 3] and lessons.folds is not None
    together: list[int] = []
    for part in lessons.parts():
        some = lessons.without(part)
        learnt, held = (set(some.windows.unit[rows].tolist()) for rows in (some.train, some.validation))
        assert learnt and held and not learnt & held and some.parts() == [p for p in lessons.parts() if p != part]
        assert {s.unit for s, mask in some.known if mask.any()} == learnt
        together += some.validation.tolist()
    assert sorted(together) == lessons.validation.tolist()
    with pytest.raises(ValueError, match="not crossed"):
        replace(lessons, folds=None).without(0)


def test_a_units_scores_do_not_depend_on_what_became_of_it() -> None:
    lessons = lessons_of(*wearing())
    one = QUICK.model_copy(update={"rounds": 1})  # so that nothing can be chosen by the labels either
    plain = cross_trees(lessons, recipe_of, one, seed=0, progress=silent)
    part = lessons.without(2)
    labels = lessons.labels.copy()
    side = labels[part.validation]
    labels[part.validation] = np.where(side < 0, side, 1 - side)
    other = cross_trees(replace(lessons, labels=labels), recipe_of, one, seed=0, progress=silent)
    held = np.isin(lessons.validation, part.validation)
    assert np.array_equal(plain.raw[held][:, plain.grown_for], plain.raw[held])
    assert len(plain.raw) == len(lessons.validation)
    assert np.array_equal(plain.raw[held, 1], other.raw[held, 1]) and not np.array_equal(
        plain.raw[~held], other.raw[~held]
    )


def test_scores_rank_units_that_were_never_seen_and_unknown_labels_count_for_nothing() -> None:
    lessons = lessons_of(*wearing())
    labels = lessons.labels.copy()
    labels[lessons.train[::7]] = -1
    lessons = replace(lessons, labels=labels)
    found = cross_trees(lessons, recipe_of, QUICK, seed=0, progress=silent)
    assert np.isfinite(found.raw).all() and all(1 <= t <= 20 for t in found.trees)
    for j in range(2):
        assert worth(found.raw[:, j], labels[lessons.validation, j], "auc") > 0.9


def test_a_horizon_with_few_events_is_given_the_trees_of_a_longer_one_only_for_questions_within() -> None:
    readings, failures = wearing(units=14)
    lessons = lessons_of(readings, failures, horizons=(1, 8))
    labels = lessons.labels.copy()
    rng = np.random.default_rng(0)
    # Near events are known of three units only, and half of what is learnt of them is wrong.
    near = np.unique(lessons.windows.unit[lessons.train])[:3]
    labels[~np.isin(lessons.windows.unit, near), 0] = 0
    labels[:, 0] = np.where(rng.random(len(labels)) < 0.02, 1, labels[:, 0])
    lessons = replace(lessons, labels=labels)
    found = cross_trees(lessons, recipe_of, QUICK, seed=0, progress=silent)
    assert found.grown_for == (1, 1) and np.array_equal(found.raw[:, 0], found.raw[:, 1])
    assert found.trees[0] == found.trees[1]
    alone = cross_trees(replace(lessons, when="at"), recipe_of, QUICK, seed=0, progress=silent)
    assert alone.grown_for == (0, 1)


def test_events_of_one_unit_alone_are_an_error_with_counts() -> None:
    readings, failures = wearing()
    lessons = lessons_of(readings, failures)
    name = readings.units[int(lessons.windows.unit[lessons.train[0]])]
    with pytest.raises(UsageError, match=r"of 1 of the units.*at least two units.*longer horizon"):
        cross_trees(lessons_of(readings, {name: failures[name]}), recipe_of, QUICK, seed=0, progress=silent)
    windows = windows_of(readings, LENGTH)
    split = by_units(readings, windows, validation=None)
    one = replace(split, train=split.train[windows.unit[split.train] == windows.unit[split.train[0]]])
    with pytest.raises(DataError, match="1 unit trains"):
        crossed(one, windows, lessons.labels)


def test_a_rules_numbers_come_from_scales_of_the_other_units() -> None:
    lessons = lessons_of(*wearing())
    seen: list[set[int]] = []

    def score(some: SeriesLessons) -> np.ndarray:
        seen.append({s.unit for s, mask in some.known if mask.any()})
        return some.windows.unit[some.validation].astype(float)

    raw = cross_rule(lessons, score)
    assert np.array_equal(raw, lessons.windows.unit[lessons.validation].astype(float))
    assert len(seen) == 4 and len(set.union(*seen)) == 8 and all(len(s) == 6 for s in seen)


def test_more_is_better_by_every_measure() -> None:
    y = np.array([0, 0, 1, 1, -1], np.int8)
    good, bad = np.array([-2.0, -1, 1, 2, 9]), np.array([2.0, 1, -1, -2, 9])
    for metric in ("auc", "average_precision", "binary_logloss"):
        assert worth(good, y, metric) > worth(bad, y, metric)
    assert worth(good, y, "auc") == 1.0 and worth(np.zeros(5), y, "binary_logloss") == pytest.approx(-np.log(2))
