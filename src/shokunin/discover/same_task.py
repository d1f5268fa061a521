"""Same task: whether two wordings ask for the same work, so that one specialist could answer both.

For labels that is put to the test: a quick learner that has seen only the one wording's calls must answer the other's
nearly as well as its own. Two prompts that sort different things into `positive` and `negative` fail it, two versions of
one prompt pass it, however they are worded. Other work is the same if inputs and replies are drawn from the same
distribution, which cosines say when they are corrected for the size of the samples (split halves; Spearman, 1904).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from shokunin import metrics
from shokunin.discover.answers import CHAT, CLASSIFY, ESTIMATE, EXTRACT, SHORT, said_alike
from shokunin.discover.features import learn_and_answer
from shokunin.discover.wording import Wording

ALIKE_LABELS, ALIKE_FIELDS = 0.8, 0.7
READABLE = 0.8
HALF = 0.5
"""A learner from elsewhere must gain at least this share of what one from here gains over the commonest answer."""
LITTLE = 0.1
"""A gain below this says nothing, as the work cannot be learnt from so few calls."""
ALIKE_TEXTS, SAME_TEXTS = 0.85, 0.95
SAME_WORDS = 0.5


def same_task(large: Wording, small: Wording) -> bool:
    """Whether the second asks for the same work as the first, which has more calls."""
    kinds = {large.answers.kind, small.answers.kind}
    if kinds == {CHAT} and not (large.instructs and small.instructs):
        # A phrase that many users begin with is no instruction of an application's, if the replies are those of the talk.
        return large.instructs == small.instructs or (
            large.fixed[0] == small.fixed[0] and alike_replies(large, small) >= SAME_TEXTS
        )
    if large.answers.kind == CLASSIFY and small.answers.kind in (CLASSIFY, SHORT):
        return _same_labels(large, small)
    if kinds == {EXTRACT}:
        return said_alike(large.answers, small.answers) >= ALIKE_FIELDS and (
            max(_blocks(large, small)) >= SAME_WORDS or alike_inputs(large, small) >= ALIKE_TEXTS
        )
    if kinds == {ESTIMATE}:
        return alike_words(large, small) >= SAME_WORDS or alike_inputs(large, small) >= ALIKE_TEXTS
    if len(kinds) > 1 or large.answers.sql != small.answers.sql:
        return False
    if alike_words(large, small) >= SAME_WORDS:
        return True
    inputs, replies = alike_inputs(large, small), alike_replies(large, small)
    return min(inputs, replies) >= ALIKE_TEXTS or (inputs >= SAME_TEXTS and replies >= HALF)


def alike_words(first: Wording, second: Wording) -> float:
    """How much of their fixed text two wordings share, 0 to 1; in the block where they differ more."""
    return min(_blocks(first, second), default=1.0)


def alike_inputs(first: Wording, second: Wording) -> float:
    """The corrected cosine between what is asked about."""
    assert first.rarity is not None
    return alike_texts(first.features, second.features, first.rarity[0])


def alike_replies(first: Wording, second: Wording) -> float:
    """The corrected cosine between the replies."""
    assert first.rarity is not None
    return alike_texts(first.reply_features, second.reply_features, first.rarity[1])


def alike_texts(first: Any, second: Any, weights: npt.NDArray[np.float64]) -> float:
    """The cosine between the mean texts of two samples, corrected for their size; 1 for draws from one distribution.

    Args:
        first: features, shape (n, d), and `second`, shape (m, d).
        weights: of the features, shape (d,), so that what all texts have counts little.
    """
    one, other = _reliability(first, weights), _reliability(second, weights)
    cosine = _cosine(_mean(first) * weights, _mean(second) * weights)
    return float(min(1.0, cosine / np.sqrt(one * other))) if one > 0 and other > 0 else 0.0


def _blocks(first: Wording, second: Wording) -> list[float]:
    """How much of the fixed text is shared in each block where there is any."""
    shares = []
    for a, b in zip(first.fixed, second.fixed, strict=True):
        if either := sum(map(len, a | b)):
            shares.append(sum(map(len, a & b)) / either)
    return shares or [1.0]


def _same_labels(large: Wording, small: Wording) -> bool:
    read = small.forms(large.answers)
    known = np.array([form is not None for form in read])
    if known.mean() < READABLE or (
        small.answers.kind == CLASSIFY and said_alike(large.answers, small.answers) < ALIKE_LABELS
    ):
        return False
    ours = large.forms(large.answers)
    there = np.array([form is not None for form in ours])
    return transfers(large.features[there], ours[there], small.features[known], read[known]) or (
        # Too hard to be learnt from so few calls, in either wording.
        not _learnable(large.features[there], ours[there]) and alike_inputs(large, small) >= ALIKE_TEXTS
    )


def transfers(from_x: Any, from_y: npt.NDArray[np.object_], to_x: Any, to_y: npt.NDArray[np.object_]) -> bool:
    """Whether a learner that has seen the first calls answers the second ones nearly as well as its own.

    Args:
        from_x: features, shape (n, d), and `from_y`, shape (n,), the answers.
        to_x: features, shape (m, d), and `to_y`, shape (m,), the answers.
    """
    gain, commonest = _gain(from_x, from_y)
    given = learn_and_answer(from_x, from_y, to_x) == to_y
    chance = float((to_y == commonest).mean())
    return gain >= LITTLE and metrics.wilson(int(given.sum()), len(given)).high >= chance + HALF * gain


def _learnable(x: Any, y: npt.NDArray[np.object_]) -> bool:
    return _gain(x, y)[0] >= LITTLE


def _gain(x: Any, y: npt.NDArray[np.object_]) -> tuple[float, Any]:
    """How much better than the commonest answer a learner of the first half answers the second; and that answer."""
    half = len(y) // 2
    usual, counts = np.unique(y.astype(str), return_counts=True)
    commonest = usual[counts.argmax()]
    at_home = float((learn_and_answer(x[:half], y[:half], x[half:]) == y[half:]).mean())
    return at_home - float((y[half:] == commonest).mean()), commonest


def _reliability(x: Any, weights: npt.NDArray[np.float64]) -> float:
    """How alike two halves of one sample are, as an estimate for the whole (Spearman and Brown)."""
    r = _cosine(_mean(x[::2]) * weights, _mean(x[1::2]) * weights)
    return 2 * r / (1 + r)


def _mean(x: Any) -> npt.NDArray[np.float64]:
    return np.asarray(x.mean(axis=0)).ravel() if x.shape[0] else np.zeros(x.shape[1])


def _cosine(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if length else 0.0
