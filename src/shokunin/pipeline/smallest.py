"""Which of several models to keep: the smallest that is not measurably worse than the best."""

from __future__ import annotations

from collections.abc import Sequence

TOLERANCE = 0.005
"""A smaller model may be chosen while it is at most half a point behind and no test can tell it from the best."""
SAME_SIZE = 1.5
"""Models less than this far apart in size are as small as each other; among those the better score decides."""
LEVEL = 0.05


def smallest_good_enough(sizes: Sequence[int], behind: Sequence[float], worse: Sequence[float]) -> int:
    """Which rung to keep: the smallest that is not measurably worse than the best, and of those about as small the best.

    Args:
        sizes: bytes of each rung.
        behind: the best score minus each rung's; 0 for the best.
        worse: p-value of "not worse than the best" for each rung; 1 for the best.
    """
    good = [i for i in range(len(sizes)) if behind[i] <= 0 or (worse[i] > LEVEL and behind[i] <= TOLERANCE)]
    limit = SAME_SIZE * min(sizes[i] for i in good)
    return min((i for i in good if sizes[i] <= limit), key=lambda i: (behind[i], sizes[i]))
