"""What scores are worth: areas beside a slow reference, intervals over units, alarms counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from shokunin.series.alarms import (
    raise_alarms,
    record,
    row_scores,
    threshold_for_alarms,
    threshold_for_budget,
    threshold_for_f1,
)
from shokunin.series.labels import When
from shokunin.series.proof import Sides, judge, sentence
from shokunin.series.ranking import areas, blocks_of, compare_rankings, ranking, within_units
from shokunin.series.readings import Grid
from shokunin.series.windows import Windows


@given(st.integers(0, 10_000), st.booleans())
def test_areas_are_those_of_the_field(seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, 60).astype(np.int8)
    y[:2] = 0, 1
    s = rng.integers(0, 5, 60).astype(float) if ties else rng.normal(size=60)
    got = ranking(s, y, np.arange(60), draws=3)
    assert got.roc_auc.value == pytest.approx(roc_auc_score(y, s))
    assert got.pr_auc.value == pytest.approx(average_precision_score(y, s))


def test_intervals_are_over_units_and_rows_of_a_unit_are_no_further_evidence() -> None:
    rng = np.random.default_rng(0)
    units = np.repeat(np.arange(12), 5)
    y = rng.integers(0, 2, 60).astype(np.int8)
    s = y + rng.normal(size=60)
    once = ranking(s, y, units)
    often = ranking(np.repeat(s, 50), np.repeat(y, 50), np.repeat(units, 50))
    assert often.roc_auc.low == pytest.approx(once.roc_auc.low, abs=0.03) and once.blocks == often.blocks == 12


def test_few_units_are_drawn_in_stretches_of_time() -> None:
    units, steps = np.repeat([0, 1], 100), np.tile(np.arange(100), 2)
    assert len(np.unique(blocks_of(units, steps, 25))) == 8
    many = np.repeat(np.arange(9), 3)
    assert len(np.unique(blocks_of(many, np.tile(np.arange(3), 9), 1))) == 9


def test_a_better_score_is_measurably_better_and_labels_nobody_knows_do_not_count() -> None:
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 4000).astype(np.int8)
    good, bad = y + rng.normal(size=4000), y + 4 * rng.normal(size=4000)
    units = np.arange(4000) % 40
    unknown = y.copy()
    unknown[::7] = -1
    found = compare_rankings(good, bad, unknown, units)["roc_auc"]
    assert found.p_better < 0.01 and found.difference.low > 0
    assert compare_rankings(good, good, y, units)["pr_auc"].difference.value == 0
    with pytest.raises(ValueError, match="needs some of both"):
        ranking(good, np.zeros(4000, np.int8), units)


def one_unit(scores: list[float], events: list[int], h: int):
    steps = np.arange(len(scores))
    labels = np.array([any(t < e <= t + h for e in events) for t in steps], dtype=np.int8)
    return np.zeros(len(scores), dtype=np.int64), steps, np.array(scores), labels


def test_an_alarm_stands_for_its_horizon_and_is_right_when_the_event_comes_in_it() -> None:
    scores = [0, 0.9, 0.9, 0, 0, 0, 0.9, 0.9, 0.9, 0.9, 0, 0]
    units, steps, s, y = one_unit(scores, [9], 3)
    found = record(units, steps, s, y, {0: [9]}, 0.5, 3)
    assert [(a.step, a.outcome) for a in found.alarms] == [(1, 0), (6, 1), (9, 0)]
    assert (found.right, found.wrong, found.events, found.caught, found.ahead) == (1, 2, 1, 1, (3,))
    assert found.each(12) == (3, 2)


def test_ringing_always_is_not_free() -> None:
    units, steps, s, y = one_unit([1.0] * 30, [29], 5)
    found = record(units, steps, s, y, {0: [29]}, 0.5, 5)
    assert (found.right, found.wrong, found.caught) == (1, 5, 1)


def test_an_event_that_nobody_watched_before_is_not_missed_and_an_open_end_is_open() -> None:
    units, steps, s, y = one_unit([0.0] * 10, [50], 5)
    assert record(units, steps, s, y, {0: [50]}, 0.5, 5).events == 0
    y[-1], s[-1] = -1, 1
    found = record(units, steps, s, y, {}, 0.5, 5)
    assert (found.open, found.right, found.wrong, found.precision) == (1, 0, 0, None)


def test_where_exactly_that_step_is_asked_for_only_an_alarm_about_it_catches() -> None:
    scores = [0.0, 0.9, 0.9, 0, 0, 0.9, 0, 0, 0.9, 0, 0, 0]
    units, steps, s, _ = one_unit(scores, [9, 11], 3)
    y = np.array([t + 3 in (9, 11) for t in steps], dtype=np.int8)
    found = record(units, steps, s, y, {0: [9, 11]}, 0.5, 3, when="at")
    # Steps 1, 2 and 5 are about 4, 5 and 8, where nothing came; step 8 is about the event on 11; nothing was about 9.
    assert [(a.step, a.outcome) for a in found.alarms] == [(1, 0), (2, 0), (5, 0), (8, 1)]
    assert (found.right, found.wrong, found.events, found.caught, found.ahead) == (1, 3, 2, 1, (3,))
    within = record(units, steps, s, one_unit(scores, [9, 11], 3)[3], {0: [9, 11]}, 0.5, 3)
    assert within.caught == 1 + 1, "the alarm of 8 is within three steps of both"
    assert record(units[7:], steps[7:], s[7:], y[7:], {0: [9, 11]}, 0.5, 3, when="at").events == 1, (
        "nobody watched on 6"
    )


def test_the_threshold_for_alarms_about_one_step_is_that_of_their_step() -> None:
    events, h = [20, 40, 60], 15
    scores = [0.9 if t + h in events else 0.6 if any(0 < e - t <= h for e in events) else 0.1 for t in range(61)]
    units, steps, s, _ = one_unit(scores, events, h)
    y = np.array([t + h in events for t in steps], dtype=np.int8)
    threshold = threshold_for_alarms(units, steps, s, y, {0: events}, h, when="at")
    found = record(units, steps, s, y, {0: events}, threshold, h, when="at")
    assert threshold > 0.6 and (found.right, found.wrong, found.caught, found.events) == (3, 0, 3, 3)


@pytest.mark.parametrize(("when", "head", "caught"), [
    ("within", "within 30 days: ", "1 of 1 events caught, 18 days ahead in the middle; "),
    ("at", "in 30 days: ", "0 of 1 events had an alarm exactly 30 days before; "),
])  # fmt: skip
def test_a_sentence_counts_days_where_a_step_is_two(when: When, head: str, caught: str) -> None:
    steps, units = np.arange(60), np.zeros(60, dtype=np.int64)
    labels = np.array([0 < 50 - t <= 15 if when == "within" else t + 15 == 50 for t in steps], dtype=np.int8)[:, None]
    windows = Windows(5, units, steps, units, steps)
    logits = np.where((steps == 41)[:, None], 3.0, -3.0)
    side = Sides(windows, labels, logits)
    grid = Grid(step="day", times=2)
    (worth,) = judge((15,), None, side, {0: [50]}, grid, thresholds=[0.5], when=when)
    told = sentence(worth, grid)
    assert told.startswith(head + caught) and "alarms per unit in 30 days" in told, told
    assert worth.month[0] == pytest.approx(15 / 60), "fifteen steps of two days are a month"


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 60)), max_size=60, unique=True), st.integers(1, 9))
def test_two_alarms_of_a_unit_are_never_nearer_than_the_horizon(rows: list[tuple[int, int]], h: int) -> None:
    units, steps = (np.array([r[i] for r in rows], dtype=np.int64) for i in (0, 1))
    alarms = raise_alarms(units, steps, np.ones(len(rows)), np.zeros(len(rows), np.int8), 0.5, h)
    for a in alarms:
        near = [b for b in alarms if b.unit == a.unit and 0 <= b.step - a.step < h]
        assert near == [a]
    for unit, step in rows:  # and every hot row is covered by one
        assert any(a.unit == unit and a.step <= step < a.step + h for a in alarms)


def test_who_only_tells_units_apart_is_nothing_within_them() -> None:
    rng = np.random.default_rng(0)
    units, steps = np.repeat(np.arange(20), 50), np.tile(np.arange(50), 20)
    level = units / 20
    y = (rng.random(1000) < 0.1 + 0.8 * level).astype(np.int8)
    apart = within_units(level + 0.01 * rng.normal(size=1000), y, units, steps, 5)
    assert apart is not None and apart.roc_auc.low < 0.5 < apart.roc_auc.high and apart.roc_auc.value < 0.6
    assert areas(level, y)[0] > 0.75
    knows = within_units(y + 0.8 * rng.normal(size=1000), y, units, steps, 5)
    assert knows is not None and knows.roc_auc.low > 0.7
    # Ties count half, units count by their rows before events, unknown labels not at all.
    s, y = np.array([1.0, 1, 0, 5, 9, 2]), np.array([1, 0, 0, 1, -1, 0], np.int8)
    found = within_units(s, y, np.array([0, 0, 0, 1, 1, 1]), np.arange(6), 100)
    assert found is not None and found.units == 2 and found.roc_auc.value == pytest.approx((0.75 + 1) / 2)
    assert within_units(s, y, np.array([0, 1, 1, 2, 2, 3]), np.arange(6), 100) is None
    alone = within_units(s[:3], y[:3], np.zeros(3, int), np.arange(3), 100)  # a single block says nothing of its spread
    assert alone is not None and (alone.roc_auc.low, alone.roc_auc.high) == (0.0, 1.0)


def test_a_budget_of_alarms_is_kept_and_used() -> None:
    rng = np.random.default_rng(0)
    units, steps = np.repeat(np.arange(10), 300), np.tile(np.arange(300), 10)
    s, y = rng.random(3000), np.zeros(3000, np.int8)
    for allowed in (5, 20):
        threshold = threshold_for_budget(units, steps, s, y, 10, allowed=allowed)
        count = len(raise_alarms(units, steps, s, y, threshold, 10))
        assert allowed / 2 <= count <= allowed
    assert threshold_for_budget(units, steps, np.ones(3000), y, 10, allowed=3, wrong=True) == np.inf


def test_a_lower_threshold_is_not_used_where_its_early_alarms_stand_in_the_way_of_right_ones() -> None:
    # Ten units that fail at step 40, five steps after their histories end; risk is 1 from step 25 on and 2 in the end.
    units, steps = np.repeat(np.arange(10), 35), np.tile(np.arange(35), 10)
    s, y = np.where(steps >= 30, 2.0, np.where(steps >= 25, 1.0, 0.0)), (steps >= 30).astype(np.int8)
    assert [a.outcome for a in raise_alarms(units, steps, s, y, 1.0, 10)] == [0] * 10
    assert 1 < threshold_for_budget(units, steps, s, y, 10, allowed=20, wrong=True) <= 2


def test_the_threshold_for_alarms_does_not_ring_always_where_most_rows_come_before_an_event() -> None:
    events = [20, 40, 60]
    scores = [0.9 if any(0 < e - t <= 3 for e in events) else 0.5 for t in range(61)]
    units, steps, s, y = one_unit(scores, events, 15)
    assert threshold_for_f1(s, y) == 0.5, "by rows it is best when it always rings"
    threshold = threshold_for_alarms(units, steps, s, y, {0: events}, 15)
    found = record(units, steps, s, y, {0: events}, threshold, 15)
    assert threshold > 0.5 and (found.right, found.wrong, found.caught) == (3, 0, 3)
    assert threshold_for_alarms(units, steps, s, y, {}, 15) == np.inf


def test_the_papers_threshold_and_row_scores() -> None:
    y = np.array([0, 0, 1, 0, 1, 1, -1], dtype=np.int8)
    s = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.99])
    threshold = threshold_for_f1(s, y)
    assert threshold == 0.3
    got = row_scores(s, y, threshold)
    assert (got["precision"], got["recall"], got["fpr"]) == (0.75, 1.0, pytest.approx(1 / 3))
