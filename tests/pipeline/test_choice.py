"""Which rung is kept: small, not measurably worse, and among the about equally small the best."""

from __future__ import annotations

import pytest

from shokunin.pipeline.smallest import smallest_good_enough

MB = 1_000_000


@pytest.mark.parametrize(
    ("sizes", "behind", "worse", "kept"),
    [
        ([6 * MB, 91 * MB, 97 * MB], [0.03, 0.01, 0.0], [0.001, 0.02, 1.0], 2),  # the smaller ones are measurably worse
        ([6 * MB, 91 * MB, 97 * MB], [0.004, 0.002, 0.0], [0.3, 0.4, 1.0], 0),  # much smaller and as good
        ([6 * MB, 91 * MB, 97 * MB], [0.03, 0.004, 0.0], [0.001, 0.3, 1.0], 2),  # as small: the better one
        (
            [6 * MB, 91 * MB, 188 * MB],
            [0.03, 0.004, 0.0],
            [0.001, 0.3, 1.0],
            1,
        ),  # twice the size for no measurable gain
        ([6 * MB, 91 * MB], [0.006, 0.0], [0.5, 1.0], 1),  # no test can tell, but more than half a point behind
        ([6 * MB], [0.0], [1.0], 0),
    ],
)
def test_the_choice(sizes: list[int], behind: list[float], worse: list[float], kept: int) -> None:
    assert smallest_good_enough(sizes, behind, worse) == kept
