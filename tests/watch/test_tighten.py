"""Where thresholds are put."""

from __future__ import annotations

import random

import pytest

from shokunin.watch.alarm import Alarm
from shokunin.watch.tighten import higher_threshold, safe_threshold


def test_with_evidence_it_is_the_lowest_that_halves_the_rate() -> None:
    pairs = [(0.80 + i / 1000, i >= 80 or i % 4 > 0, 1.0) for i in range(200)]
    found = higher_threshold(0.8, pairs, 0.05)
    # Errors stop at 0.880; a few may remain above the new threshold.
    assert found is not None and 0.86 <= found <= 0.88


def test_a_step_is_never_small() -> None:
    pairs = [(0.80 + i / 1000, i > 0, 1.0) for i in range(200)]
    assert higher_threshold(0.8, pairs, 0.05) == pytest.approx(0.8 / (0.8 + 0.7 * 0.2))


def test_with_few_pairs_the_odds_of_an_error_are_halved() -> None:
    found = higher_threshold(0.8, [(0.9, False, 1.0)] * 5, 0.05)
    assert found is not None
    assert (1 - found) / found == pytest.approx((1 - 0.8) / 0.8 / 2)


def test_where_the_surest_err_as_often_none_helps() -> None:
    pairs = [(0.8 + i / 1000, i % 3 > 0, 1.0) for i in range(150)]
    assert higher_threshold(0.8, pairs, 0.05) is None
    assert higher_threshold(1.0, [], 0.05) is None


def test_a_pair_counts_for_as_many_answers_as_it_stands_for() -> None:
    pairs = [(0.9, True, 1.0)] * 100 + [(0.9, False, 10.0)] * 2 + [(0.95, True, 1.0)] * 40
    assert higher_threshold(0.8, pairs, 0.05) == 0.95
    assert higher_threshold(0.8, [(c, a, 1.0) for c, a, _ in pairs], 0.05) == 0.9


def test_safe_again_is_the_lowest_threshold_that_passes_from_above() -> None:
    rows = [(0.95, True, 1.0)] * 100 + [(0.85, True, 1.0)] * 100
    assert safe_threshold([0.8, 0.9], rows, 0.05, 0.05) == 0.8
    rows += [(0.82, False, 1.0)] * 30
    assert safe_threshold([0.8, 0.9], rows, 0.05, 0.05) == 0.9
    assert safe_threshold([0.8], rows, 0.05, 0.05) is None


def test_too_few_rows_say_nothing_and_do_not_stop_the_search() -> None:
    assert safe_threshold([0.8], [(0.9, True, 1.0)] * 58, 0.05, 0.05) is None
    assert safe_threshold([0.8, 0.99], [(0.9, True, 1.0)] * 59, 0.05, 0.05) == 0.8
    # Ten audits that stand for ten answers each are ten, not a hundred.
    assert safe_threshold([0.8], [(0.9, True, 10.0)] * 10, 0.05, 0.05) is None


def test_the_alarm_rings_soon_and_seldom_for_nothing() -> None:
    def until(rate: float, seed: int, most: int) -> int:
        alarm, rng = Alarm(0.05), random.Random(seed)
        for i in range(most):
            alarm.add(rng.random() >= rate)
            if alarm.rings:
                return i + 1
        return most

    assert sum(until(0.3, seed, 1000) for seed in range(50)) / 50 < 40
    # At the very limit it may ring once in 3,000 audits on average; at two thirds of it far less often.
    assert sum(until(0.05, seed, 4000) for seed in range(50)) / 50 > 2000
    assert sum(until(0.033, seed, 4000) < 4000 for seed in range(50)) <= 10


def test_the_alarm_knows_since_when() -> None:
    alarm = Alarm(0.05)
    for _ in range(300):
        alarm.add(True)
    for _ in range(5):
        alarm.add(False)
    assert alarm.suspects and 5 <= alarm.since <= 305
    alarm.reset()
    assert alarm.level == 0 and alarm.since == 0
