"""The split: stratified by label, groups whole, the same for the same seed; or by time, the newest rows as the test."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

TRAIN, VALIDATION, TEST = 0, 1, 2


def split(
    labels: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    *,
    shares: tuple[float, float],
    seed: int,
    time: npt.NDArray[np.float64] | None = None,
) -> npt.NDArray[np.int8]:
    """The part of every row: TRAIN, VALIDATION or TEST.

    At random, every label gives its share of rows as exactly as whole groups allow, rounding errors are carried from
    label to label, and every label keeps two rows in train, or its only group. A group that is too large for what is
    left of a part goes to train. By time, the groups with the newest rows are the test, the next the validation: no
    training row is newer than the newest row of any test group.

    Args:
        labels: shape (n,); of a group with several labels the most frequent one counts.
        groups: shape (n,); rows with equal numbers get the same part.
        shares: of validation and of test, 0 to 1 each.
        seed: for the draw.
        time: shape (n,), larger is newer; None for a random split.

    Returns:
        shape (n,), int8.
    """
    if len(labels) == 0:
        return np.zeros(0, dtype=np.int8)
    _, group, size = np.unique(groups, return_inverse=True, return_counts=True)
    group = group.reshape(-1)
    if time is not None:
        return _by_time(group, size, time, shares)[group]
    stratum = _majority(labels, group, len(size))
    draw = np.random.default_rng(seed)
    order = draw.permutation(len(size))
    order = order[np.lexsort((-size[order], stratum[order]))]  # by label, large groups first, ties at random
    part = np.zeros(len(size), dtype=np.int8)
    carry = [0.0, 0.0]
    for members in np.split(order, np.flatnonzero(np.diff(stratum[order])) + 1):
        kept = 2 if size[members[0]] == 1 else 1  # train keeps two rows of every label if it can
        free = members[kept:]
        wanted = _rounded(int(size[members].sum()), int(size[free].sum()), shares, carry)
        _fill(part, free, size, wanted, draw)
    return part[group]


def _by_time(
    group: npt.NDArray[np.int64],
    size: npt.NDArray[np.int64],
    time: npt.NDArray[np.float64],
    shares: tuple[float, float],
) -> npt.NDArray[np.int8]:
    newest = np.full(len(size), -np.inf)
    np.maximum.at(newest, group, time)
    order = np.lexsort((np.arange(len(size)), -newest))
    before = np.cumsum(size[order]) - size[order]
    rows = len(group)
    part = np.zeros(len(size), dtype=np.int8)
    part[order[before < round((shares[0] + shares[1]) * rows)]] = VALIDATION
    part[order[before < round(shares[1] * rows)]] = TEST
    part[order[-1]] = TRAIN
    return part


def _majority(labels: npt.NDArray[np.int64], group: npt.NDArray[np.int64], groups: int) -> npt.NDArray[np.int64]:
    """The most frequent label of every group, the smallest among equals."""
    kinds = int(labels.max()) + 1
    pairs, counts = np.unique(group * kinds + labels, return_counts=True)
    order = np.lexsort((pairs % kinds, -counts, pairs // kinds))
    owner = pairs[order] // kinds
    first = np.concatenate(([True], owner[1:] != owner[:-1]))
    result = np.empty(groups, dtype=np.int64)
    result[owner[first]] = pairs[order][first] % kinds
    return result


def _rounded(rows: int, free: int, shares: tuple[float, float], carry: list[float]) -> list[int]:
    """Whole numbers of rows for validation and test, at most `free`; what rounding gives or takes is carried on."""
    wanted = [0, 0]
    for i in (TEST - 1, VALIDATION - 1):
        exact = shares[i] * rows + carry[i]
        wanted[i] = min(free, max(0, int(np.floor(exact + 0.5))))
        carry[i] = min(1.0, exact - wanted[i])
        free -= wanted[i]
    return wanted


def _fill(
    part: npt.NDArray[np.int8],
    free: npt.NDArray[np.int64],
    size: npt.NDArray[np.int64],
    wanted: list[int],
    draw: np.random.Generator,
) -> None:
    """Give the free groups of one label, large ones first, to the parts."""
    left = list(wanted)
    train = int(size[free].sum()) - sum(wanted)
    large = free[size[free] > 1]
    for g in large:
        # By chance, in proportion to what each part still wants: large groups turn up in the test like others.
        room = [n if n >= size[g] else 0 for n in left]
        ticket = draw.random() * (sum(room) + max(0, train))
        for code, n in ((VALIDATION, room[0]), (TEST, room[1])):
            if ticket < n:
                part[g] = code
                left[code - 1] -= int(size[g])
                break
            ticket -= n
        else:
            train -= int(size[g])
    single = free[len(large) :]
    part[single[: left[1]]] = TEST
    part[single[left[1] : left[1] + left[0]]] = VALIDATION
