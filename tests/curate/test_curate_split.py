"""The split: shares met, groups whole, deterministic; by time nothing in train is newer than the test."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shokunin.curate.split import TEST, TRAIN, VALIDATION, split

ROWS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40)), min_size=1, max_size=120)


def test_shares_are_met_for_every_label():
    labels = np.repeat(np.arange(10), 100)
    part = split(labels, np.arange(1000), shares=(0.1, 0.2), seed=0)
    for label in range(10):
        assert np.bincount(part[labels == label], minlength=3).tolist() == [70, 10, 20]


def test_rounding_is_carried_over_labels():
    labels = np.repeat(np.arange(60), 3)
    part = split(labels, np.arange(180), shares=(0.1, 0.2), seed=0)
    assert abs((part == TEST).sum() - 36) <= 1 and abs((part == VALIDATION).sum() - 18) <= 1
    assert all((part[labels == label] == TRAIN).sum() >= 2 for label in range(60))


def test_duplicates_turn_up_in_the_test_as_often_as_others():
    groups = np.repeat(np.arange(1000), np.where(np.arange(1000) % 2, 1, 3))
    share = [
        (split(np.zeros(2000, int), groups, shares=(0.0, 0.2), seed=s)[groups % 2 == 0] == TEST).mean()
        for s in range(5)
    ]
    assert 0.15 < np.mean(share) < 0.25


def test_a_label_of_one_group_stays_in_train():
    labels = np.array([0] * 20 + [1] * 80)
    groups = np.array([0] * 20 + list(range(1, 81)))
    part = split(labels, groups, shares=(0.1, 0.2), seed=3)
    assert (part[:20] == TRAIN).all()
    assert 16 <= (part == TEST).sum() <= 20


@given(ROWS, st.floats(0, 0.4), st.floats(0, 0.4), st.integers(0, 2**31))
@settings(max_examples=200, deadline=None)
def test_groups_are_never_split(rows, validation, test, seed):
    labels, groups = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    part = split(labels, groups, shares=(validation, test), seed=seed)
    for group in set(groups.tolist()):
        assert len(set(part[groups == group].tolist())) == 1
    assert (part == TRAIN).any()
    again = split(labels, groups, shares=(validation, test), seed=seed)
    assert (part == again).all()


@given(ROWS, st.lists(st.integers(-5, 5), min_size=120, max_size=120), st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_by_time_the_future_never_trains_the_past(rows, times, seed):
    labels, groups = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    time = np.array(times[: len(rows)], dtype=np.float64)
    part = split(labels, groups, shares=(0.1, 0.2), seed=seed, time=time)
    for group in set(groups.tolist()):
        assert len(set(part[groups == group].tolist())) == 1
        if part[groups == group][0] == TEST:
            assert time[part == TRAIN].max() <= time[groups == group].max()


def test_by_time_takes_the_newest_rows():
    time = np.random.default_rng(0).permutation(100).astype(float)
    part = split(np.zeros(100, int), np.arange(100), shares=(0.1, 0.2), seed=0, time=time)
    assert set(time[part == TEST]) == set(range(80, 100))
    assert set(time[part == VALIDATION]) == set(range(70, 80))


def test_another_seed_is_another_split():
    labels = np.repeat(np.arange(5), 40)
    a, b = (split(labels, np.arange(200), shares=(0.1, 0.2), seed=s) for s in (0, 1))
    assert (a != b).any()


def test_no_rows():
    assert len(split(np.zeros(0, int), np.zeros(0, int), shares=(0.1, 0.2), seed=0)) == 0
