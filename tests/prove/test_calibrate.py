"""The promise is exact where it can be checked, and holds in simulation; temperature and scope do what they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from shokunin.calibration import Calibration, calibration_from_dict, calibration_to_dict
from shokunin.metrics import binomial_p_value, expected_calibration_error
from shokunin.prove.calibrate import GRID, NEVER, calibrate, fit_temperature, promise, shaping_rows
from shokunin.task import Task

TASK = Task("inquiries")


def scored(n: int, seed: int, boast: float = 3.0, skill: float = 1.6) -> tuple[np.ndarray, np.ndarray]:
    """Log-scores over four labels from a model that is `boast` times as sure as it may be."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    raw = rng.normal(0, 1, (n, 4))
    raw[np.arange(n), labels] += skill * rng.gamma(4, 0.6, n)
    return (boast * raw).astype(np.float32), labels.astype(np.int64)


def accepted_error(raw: np.ndarray, labels: np.ndarray, calibration: Calibration) -> tuple[float, float]:
    """Coverage and error of the answers that are given, decoded as the codec does."""
    assert calibration.promise is not None
    sure = (
        softmax(raw.astype(np.float64) / calibration.temperature, axis=1).max(axis=1) >= calibration.promise.threshold
    )
    if calibration.scope_threshold is not None:
        sure &= raw.max(axis=1) >= calibration.scope_threshold
    return float(sure.mean()), float((raw.argmax(axis=1) != labels)[sure].mean()) if sure.any() else 0.0


@pytest.mark.parametrize("boast", [0.3, 1.0, 4.0])
def test_temperature_undoes_boasting(boast: float) -> None:
    raw, labels = scored(4000, 1, boast=boast)
    honest, _ = scored(4000, 1, boast=1.0)
    temperature = fit_temperature(raw, labels)
    assert temperature == pytest.approx(boast * fit_temperature(honest, labels), rel=0.02)
    right = raw.argmax(axis=1) == labels
    before, after = (
        expected_calibration_error(softmax(raw / t, axis=1).max(axis=1), right) for t in (1.0, temperature)
    )
    assert after < 0.04
    assert after <= before + 0.005


def test_temperature_of_few_rows_or_of_a_constant_stays_near_one() -> None:
    raw = np.log(np.asarray([[0.7, 0.2, 0.1]] * 3))
    assert 0.2 < fit_temperature(raw, np.zeros(3, dtype=np.int64)) < 1.5
    assert fit_temperature(np.zeros((40, 3)), np.arange(40) % 3) == pytest.approx(1.0, abs=0.02)
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, dtype=np.int64)) == 1.0


@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.integers(2, 6))
@settings(max_examples=40, deadline=None)
def test_temperature_is_always_a_usable_number(seed: int, n: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    raw = rng.normal(0, rng.choice([0.0, 1e-6, 1.0, 1e4]), (n, k)).astype(np.float32)
    assert 0.05 <= fit_temperature(raw, rng.integers(0, k, n)) <= 20.01


def test_every_threshold_kept_was_shown_to_hold() -> None:
    raw, labels = scored(2000, 2)
    confidence, right = softmax(raw, axis=1).max(axis=1), raw.argmax(axis=1) == labels
    made = promise(confidence, right, max_error=0.05, confidence_level=0.95)
    given_ = confidence >= made.threshold
    assert (made.given, made.errors) == (int(given_.sum()), int((~right[given_]).sum()))
    assert made.coverage == pytest.approx(given_.mean())
    assert (made.bound, made.confidence, made.rows, made.exact, made.reason) == (0.05, 0.95, 2000, True, None)
    assert binomial_p_value(made.errors, made.given, 0.05) <= 0.05
    below = GRID[GRID.index(made.threshold) + 1]
    more = confidence >= below
    assert binomial_p_value(int((~right[more]).sum()), int(more.sum()), 0.05) > 0.05  # the next one could not be shown


def test_a_faultless_model_answers_everything() -> None:
    made = promise(np.linspace(0.3, 1, 200), np.ones(200, dtype=bool), max_error=0.05, confidence_level=0.95)
    assert made.threshold == 0.0
    assert made.coverage == 1.0


def test_too_few_rows_get_no_promise_but_a_reason_in_numbers() -> None:
    made = promise(np.ones(40), np.ones(40, dtype=bool), max_error=0.05, confidence_level=0.95)
    assert made.reason == "59 error-free rows are needed for 5 % at 95 %; there are 40 validation rows"
    assert (made.threshold, made.coverage) == (NEVER, 0.0)
    exactly = promise(np.ones(59), np.ones(59, dtype=bool), max_error=0.05, confidence_level=0.95)
    assert (exactly.threshold, exactly.reason) == (0.0, None)
    shared = promise(np.ones(85), np.ones(85, dtype=bool), max_error=0.05, confidence_level=0.95, candidates=4)
    assert (
        shared.reason
        == "86 error-free rows are needed for 5 % at 95 % after a choice among 4; there are 85 validation rows"
    )


def test_a_model_that_is_wrong_too_often_gets_no_promise() -> None:
    rng = np.random.default_rng(3)
    made = promise(rng.random(1000), rng.random(1000) < 0.7, max_error=0.05, confidence_level=0.95)
    assert made.threshold == NEVER
    assert made.reason is not None
    assert made.reason.startswith("even of the surest ")
    nothing = promise(np.full(300, -1.0), np.zeros(300, dtype=bool), max_error=0.05, confidence_level=0.95)
    assert nothing.threshold == NEVER


def test_a_choice_among_more_models_makes_the_promise_stricter() -> None:
    raw, labels = scored(1500, 4)
    confidence, right = softmax(raw, axis=1).max(axis=1), raw.argmax(axis=1) == labels
    alone, among = (
        promise(confidence, right, max_error=0.05, confidence_level=0.95, candidates=n).threshold for n in (1, 8)
    )
    assert among >= alone


@pytest.mark.parametrize(("rows", "seed"), [(240, 5), (800, 6)])
def test_the_promise_holds_in_95_of_100_deployments_and_naive_thresholds_do_not(rows: int, seed: int) -> None:
    pool, truth = scored(5_000, seed)
    rng = np.random.default_rng(seed)
    broken = naive_broken = answered = 0
    for run in range(100):
        drawn = rng.integers(0, len(pool), rows)
        calibration = calibrate(pool[drawn], truth[drawn], task=TASK, candidates=1, exact=True, seed=run)
        coverage, error = accepted_error(pool, truth, calibration)
        broken += error > TASK.max_error
        answered += coverage > 0
        naive_broken += _naive_error(pool, truth, drawn) > TASK.max_error
    assert answered >= 60  # it is not kept by never answering
    assert (
        broken <= 12
    )  # 7.5 expected at the very most; 12 or fewer in 97 of 100 runs of a method that is just good enough
    assert naive_broken >= 40


def _naive_error(pool: np.ndarray, truth: np.ndarray, drawn: np.ndarray) -> float:
    """The lowest threshold at which the validation rows themselves are right often enough."""
    sure, right = softmax(pool, axis=1).max(axis=1), pool.argmax(axis=1) == truth
    order = drawn[np.argsort(-sure[drawn])]
    kept = np.flatnonzero(np.cumsum(~right[order]) / np.arange(1, len(order) + 1) <= TASK.max_error)
    given_ = sure >= sure[order[kept[-1]]] if len(kept) else sure > 2
    return float((~right[given_]).mean()) if given_.any() else 0.0


def test_the_best_of_many_models_keeps_its_promise_only_because_the_choice_is_paid_for() -> None:
    # Confidence is uniform; an answer is never wrong above 0.5 and with probability 0.3 below, so that above a
    # threshold t < 0.5 a share 0.3 (0.5 - t) / (1 - t) is wrong: at most 5 % exactly when t is 0.4 or more.
    rng, models, runs = np.random.default_rng(7), 20, 150
    broken = {1: 0, models: 0}
    for _ in range(runs):
        lowest = dict.fromkeys(broken, NEVER)
        for _ in range(models):  # equally good models, each with its own luck on its validation rows
            confidence = rng.random(600)
            right = (confidence > 0.5) | (rng.random(600) > 0.3)
            for paid in broken:
                made = promise(confidence, right, max_error=0.05, confidence_level=0.95, candidates=paid)
                lowest[paid] = min(lowest[paid], made.threshold)  # the one that would answer most is chosen
        for paid, threshold in lowest.items():
            broken[paid] += threshold < 0.4
    assert broken[models] <= 0.03 * runs
    assert broken[1] > 0.05 * runs


def test_rows_that_shape_the_scores_do_not_test_the_promise() -> None:
    raw, labels = scored(1000, 8)
    shapes = shaping_rows(1000, seed=5)
    assert shapes.sum() == 250
    made = calibrate(raw, labels, task=TASK, candidates=1, exact=True, seed=5)
    assert made.promise is not None
    assert made.promise.rows == 750
    spoilt = labels.copy()
    spoilt[~shapes] = (spoilt[~shapes] + 1) % 4  # only the testing rows are wrong now
    again = calibrate(raw, spoilt, task=TASK, candidates=1, exact=True, seed=5)
    assert again.temperature == made.temperature
    assert again.scope_threshold == made.scope_threshold
    assert again.promise is not None
    assert again.promise.threshold == NEVER


def test_rows_of_one_group_count_once() -> None:
    raw, labels = scored(100, 9, skill=5.0)
    groups = np.repeat(np.arange(100), 10)
    made = calibrate(
        raw.repeat(10, axis=0), labels.repeat(10), task=TASK, candidates=1, exact=True, groups=groups, seed=1
    )
    assert made.promise is not None
    assert made.promise.rows < 60
    assert made.promise.reason is not None  # a thousand rows, but too few independent ones
    one_group = calibrate(
        raw, labels, task=TASK, candidates=1, exact=True, groups=np.zeros(100, dtype=np.int64), seed=1
    )
    assert one_group.promise is not None
    assert one_group.promise.rows == 75  # no groups at all


def test_without_strange_rows_hardly_a_right_answer_is_lost() -> None:
    raw, labels = scored(4000, 10, boast=1.0)
    made = calibrate(raw, labels, task=TASK, candidates=1, exact=True)
    assert made.scope_threshold is not None
    fresh, truth = scored(20_000, 11, boast=1.0)
    right = fresh.argmax(axis=1) == truth
    best = fresh.max(axis=1)
    declined = best < made.scope_threshold
    assert declined.mean() < 0.005
    assert declined[right].mean() < 0.001
    # Out of reach it must not be either: about where the rows end, not where no score ever comes.
    assert best.min() - (np.median(best) - best.min()) / 2 < made.scope_threshold < np.quantile(best, 0.01)


def test_few_rows_say_nothing_about_what_is_strange() -> None:
    raw, labels = scored(60, 12)
    assert calibrate(raw, labels, task=TASK, candidates=1, exact=True).scope_threshold is None


def test_strange_rows_set_the_scope_where_most_answers_are_right() -> None:
    raw, labels = scored(2000, 13, boast=1.0, skill=2.0)
    rng = np.random.default_rng(13)
    strange = rng.normal(0, 1, (400, 4)).astype(np.float32)
    made = calibrate(raw, labels, task=TASK, candidates=1, exact=True, none_raw=strange)
    assert made.scope_threshold is not None
    fresh, truth = scored(5000, 14, boast=1.0, skill=2.0)
    more = rng.normal(0, 1, (1000, 4)).astype(np.float32)

    def right_answers(limit: float) -> int:
        kept = (fresh.argmax(axis=1) == truth) & (fresh.max(axis=1) >= limit)
        return int(kept.sum() + (more.max(axis=1) < limit).sum())

    best = max(right_answers(limit) for limit in np.linspace(-2, 8, 101))
    assert right_answers(made.scope_threshold) > max(right_answers(-1e9), 0.985 * best)


def test_strange_rows_that_cannot_be_told_apart_set_no_scope() -> None:
    raw, labels = scored(400, 15)
    same = np.zeros((40, 4), dtype=np.float32) + raw.max() + 1
    assert calibrate(raw, labels, task=TASK, candidates=1, exact=True, none_raw=same).scope_threshold is None


def test_strange_rows_that_are_answered_count_against_the_promise() -> None:
    raw, labels = scored(1200, 16, skill=4.0)
    clean = calibrate(raw, labels, task=TASK, candidates=1, exact=True)
    impostors, _ = scored(400, 17, skill=4.0)  # as sure as the others, but belonging nowhere
    dirty = calibrate(raw, labels, task=TASK, candidates=1, exact=True, none_raw=impostors)
    assert clean.promise is not None
    assert dirty.promise is not None
    assert clean.promise.coverage > 0.9
    assert dirty.promise.coverage < 0.2


@given(st.integers(0, 2**32 - 1), st.integers(1, 120), st.integers(2, 5), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_any_scores_give_a_calibration_that_survives_json(seed: int, n: int, k: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    raw = rng.choice([0.0, 1.0, -5.0, 30.0], (n, k)).astype(np.float32)
    none = rng.normal(0, 1, (m, k)).astype(np.float32)
    made = calibrate(raw, rng.integers(0, k, n), task=TASK, candidates=2, exact=False, none_raw=none, seed=seed % 1000)
    assert made.promise is not None
    assert not made.promise.exact
    assert (made.promise.reason is None) == (made.promise.threshold <= 1)
    assert calibration_from_dict(calibration_to_dict(made)) == made


def test_recorded_answers_that_are_wrong_at_random_do_not_cost_the_whole_promise() -> None:
    # Three of a hundred recorded answers are wrong whatever they are about, so the surest few look no better than all.
    rng, made = np.random.default_rng(3), []
    for seed in range(40):
        raw, labels = scored(500, seed)
        labels = np.where(rng.random(500) < 0.03, (labels + 1) % raw.shape[1], labels)
        task = Task("noisy", max_error=0.15)
        made.append(calibrate(raw, labels, task=task, candidates=4, exact=True, seed=seed).promise)
    assert sum(p is not None and p.threshold <= 1 for p in made) >= 34
