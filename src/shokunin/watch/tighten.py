"""Where to put a threshold: higher when answers disagree too often, and from where on it would be safe again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from shokunin.metrics import binomial_p_value, rows_needed

Pair = tuple[float, bool, float]
"""A confidence, whether the upstream agreed, and how many answers the pair stands for (1 / audit probability)."""

ENOUGH = 20
"""Of fewer pairs above a threshold nothing is concluded."""
LEAST_STEP = 0.7
"""A higher threshold lowers the odds of an error to this at most; a smaller step is soon repeated."""
CONCLUSIVE = 60
"""With so many pairs and no threshold that helps, none is to be hoped for."""


def higher_threshold(threshold: float, pairs: Sequence[Pair], max_error: float) -> float | None:
    """A higher threshold at which about half of the allowed disagreements are to be expected.

    Args:
        threshold: the present one.
        pairs: recent ones at or above it.
        max_error: the share of disagreements that is allowed.

    Returns:
        The lowest confidence among the pairs from which on they disagree half as often as allowed; where there are too
        few to say, the threshold at which the odds of an error are half; None where many pairs say that none helps.
    """
    ranked = sorted(pairs, reverse=True)
    found, weight, wrong, largest = None, 0.0, 0.0, 0.0
    for count, (confidence, agrees, stands_for) in enumerate(ranked, 1):
        weight += stands_for
        wrong += 0.0 if agrees else stands_for
        largest = max(largest, stands_for)
        last_of_its_confidence = count == len(ranked) or ranked[count][0] < confidence
        # Half a disagreement is added, so that a handful of good pairs does not look perfect.
        expected = (wrong + largest / 2) / (weight + largest)
        if last_of_its_confidence and count >= ENOUGH and confidence > threshold and expected <= max_error / 2:
            found = confidence
    if found is not None:
        return max(found, _with_odds(threshold, LEAST_STEP))
    if len(ranked) >= CONCLUSIVE and not _surer_are_better(ranked, max_error):
        return None
    return _with_odds(threshold, 0.5) if threshold < 1 else None


def safe_threshold(thresholds: Iterable[float], rows: Iterable[Pair], max_error: float, delta: float) -> float | None:
    """The lowest of `thresholds` at which at most `max_error` of such rows disagree, tested from the highest down.

    Testing begins where there are rows enough to succeed and stops at the first failure, so no correction for several
    thresholds is needed (fixed-sequence testing). Rows that stand for different numbers of answers are tested as the
    smaller number of equal ones that would say as much (Kish's effective size). This is advice: the promise does not
    rest on it.
    """
    known, safe, needed = list(rows), None, rows_needed(max_error, delta)
    for threshold in sorted(set(thresholds), reverse=True):
        above = [(agrees, stands_for) for confidence, agrees, stands_for in known if confidence >= threshold]
        total = sum(stands_for for _, stands_for in above)
        size = math.floor(total**2 / sum(stands_for**2 for _, stands_for in above) + 1e-9) if above else 0
        if size < needed:
            continue
        wrong = sum(stands_for for agrees, stands_for in above if not agrees)
        if binomial_p_value(math.ceil(wrong / total * size - 1e-9), size, max_error) > delta:
            break
        safe = threshold
    return safe


def _with_odds(threshold: float, share: float) -> float:
    """The confidence whose odds of an error are this share of those at `threshold`."""
    return min(1.0, threshold / (threshold + share * (1 - threshold)))


def _surer_are_better(ranked: Sequence[Pair], max_error: float) -> bool:
    """Whether the surer third of the pairs is within the limit, so that a higher threshold may be worth a try."""
    third = ranked[: len(ranked) // 3]
    return sum(w for _, agrees, w in third if not agrees) <= max_error * sum(w for _, _, w in third)
