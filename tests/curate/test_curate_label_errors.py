"""Confident learning: planted wrong labels are found, and the same ones as by the reference implementation."""

from __future__ import annotations

import numpy as np
import pytest

from shokunin.curate.label_errors import find_label_errors


def noisy(n: int, k: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels with planted errors, true labels, and the probabilities of a decent model; classes of different sizes."""
    draw = np.random.default_rng(seed)
    true = draw.choice(k, size=n, p=np.arange(1, k + 1) / np.arange(1, k + 1).sum())
    scores = draw.normal(size=(n, k)) * 1.0
    scores[np.arange(n), true] += 2.5 + k / 10
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    wrong = draw.random(n) < share
    labels = np.where(wrong, (true + draw.integers(1, k, size=n)) % k, true)
    return labels.astype(np.int64), true, probabilities


@pytest.mark.parametrize("k", [2, 5, 20])
def test_planted_errors_are_found(k):
    labels, true, probabilities = noisy(3000, k, 0.08, seed=k)
    names = [f"c{i}" for i in range(k)]
    found = find_label_errors(labels, probabilities, names)
    rows = np.array([c.row for c in found.candidates])
    wrong = labels != true
    assert wrong[rows].mean() > 0.6
    assert wrong[rows].sum() / wrong.sum() > 0.6
    assert wrong[rows[:100]].mean() > 0.85  # the most suspicious come first
    assert 0.04 < found.estimated_share < 0.2
    assert found.joint.sum() == pytest.approx(3000)
    for c in found.candidates[:50]:
        assert c.given == names[labels[c.row]] and c.suggested != c.given
        assert c.score == pytest.approx(probabilities[c.row, labels[c.row]])


def test_clean_labels_give_few_candidates():
    labels, _, probabilities = noisy(2000, 4, 0.0, seed=1)
    assert len(find_label_errors(labels, probabilities, list("abcd")).candidates) < 200


def test_perfect_probabilities_flag_nothing():
    labels = np.repeat(np.arange(3), 10)
    assert find_label_errors(labels, np.eye(3)[labels], list("abc")).candidates == ()


def test_a_class_without_rows_is_never_suggested_by_the_counts():
    labels, _, probabilities = noisy(500, 4, 0.1, seed=2)
    wide = np.hstack([probabilities, np.zeros((500, 1))])
    a = find_label_errors(labels, probabilities, list("abcd"))
    b = find_label_errors(labels, wide, list("abcde"))
    assert a.candidates == b.candidates


@pytest.mark.parametrize("k", [2, 3, 10, 40])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.3])
def test_the_same_rows_as_the_reference_implementation(k, share):
    cleanlab = pytest.importorskip("cleanlab")
    labels, _, probabilities = noisy(2000, k, share, seed=k)
    reference = cleanlab.filter.find_label_issues(
        labels, probabilities, filter_by="prune_by_noise_rate", return_indices_ranked_by="self_confidence", n_jobs=1
    )
    ours = [c.row for c in find_label_errors(labels, probabilities, [str(i) for i in range(k)]).candidates]
    both = len(set(ours) & set(reference.tolist()))
    assert both >= 0.95 * max(len(ours), len(reference))
