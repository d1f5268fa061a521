"""Duplicates: rows with (nearly) the same text, grouped before anything is split, and leaks across a given split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shokunin.curate.minhash import BANDS, HASHES, Sketches, estimated_floor, jaccard, sketch
from shokunin.progress import Progress, silent

Rows = npt.NDArray[np.int64]
THRESHOLD = 0.8
SHOWN = 20
PAIRS = 1 << 18
"""Pairs whose signatures are compared at once."""


@dataclass(frozen=True)
class Duplicates:
    """Which rows belong together.

    Attributes:
        groups: shape (n,), int64, 0 to g - 1 by first appearance; rows of one group stay on one side of every split.
        same: shape (n,), int64; rows with equal numbers are exact duplicates.
        exact: number of rows that repeat an earlier row's text.
        near: number of distinct texts that were joined to another one as near duplicates.
        pairs: examples of near duplicates as (row, row, similarity), most alike first.
    """

    groups: Rows
    same: Rows
    exact: int
    near: int
    pairs: tuple[tuple[int, int, float], ...]


@dataclass(frozen=True)
class Leaks:
    """Which rows repeat a test row.

    Attributes:
        of: shape (n,), int64: the test row that this row repeats, or -1.
        similarity: shape (n,), float32: 1 for exact duplicates.
    """

    of: Rows
    similarity: npt.NDArray[np.float32]


def group_duplicates(
    texts: Sequence[str],
    *,
    threshold: float = THRESHOLD,
    given_groups: Sequence[str | None] | None = None,
    sketches: Sketches | None = None,
    progress: Progress = silent,
) -> Duplicates:
    """Groups of rows with the same or nearly the same text, or with the same given group.

    Two texts are near duplicates when the Jaccard similarity of their character n-grams reaches `threshold`; groups are
    the connected parts. Candidates come from MinHash and are verified, so no pair is joined wrongly; at the threshold
    about one pair in a hundred is missed, fewer above it.

    Args:
        texts: n texts.
        threshold: between 0 and 1.
        given_groups: n values of a group column; None or "" stands alone.
        sketches: those of `texts`, if they are there already.
        progress: told how far it is.
    """
    sketches = sketches or sketch(texts, progress)
    distinct = len(sketches.first)
    forest = _Forest(distinct)
    comparison = _Comparison(sketches, threshold)
    pairs: list[tuple[int, int, float]] = []
    near = 0
    for band, (a, b) in enumerate(_neighbours(sketches)):
        progress("near duplicates", band, BANDS)
        roots = forest.roots()
        apart = roots[a] != roots[b]
        for x, y, similarity in comparison.alike(a[apart], b[apart], passed_over=forest.joined):
            near += forest.join(x, y)
            pairs.append((int(sketches.first[x]), int(sketches.first[y]), similarity))
            if len(pairs) > 50 * SHOWN:
                pairs = _most_alike(pairs)
    roots = forest.roots()[sketches.same]
    if given_groups is not None:
        roots = _join_given(roots, given_groups)
    return Duplicates(_numbered(roots), sketches.same, len(texts) - distinct, near, tuple(_most_alike(pairs)))


def find_leaks(sketches: Sketches, is_test: npt.NDArray[np.bool_], *, threshold: float = THRESHOLD) -> Leaks:
    """For every row that is no test row, a test row with the same or nearly the same text, found directly (no chains).

    Args:
        sketches: of all n texts, test rows included.
        is_test: shape (n,).
        threshold: Jaccard similarity of character n-grams from which two texts count as near duplicates.
    """
    of = np.full(len(is_test), -1, dtype=np.int64)
    similarity = np.zeros(len(is_test), dtype=np.float32)
    distinct = len(sketches.first)
    test_row = np.full(distinct, -1, dtype=np.int64)
    rows = np.flatnonzero(is_test)[::-1]
    test_row[sketches.same[rows]] = rows  # the first test row with each text stays
    exact = ~is_test & (test_row[sketches.same] >= 0)
    of[exact], similarity[exact] = test_row[sketches.same[exact]], 1.0
    learnt = np.zeros(distinct, dtype=bool)
    learnt[sketches.same[~is_test]] = True
    learnt &= test_row < 0
    best_of = np.full(distinct, -1, dtype=np.int64)
    best = np.zeros(distinct, dtype=np.float32)
    comparison = _Comparison(sketches, threshold)
    for train, test in _across(sketches, test_row >= 0):
        wanted = learnt[train] & (best_of[train] < 0)
        for x, y, alike in comparison.alike(
            train[wanted], test[wanted], passed_over=lambda x, _: bool(best_of[x] >= 0)
        ):
            best_of[x], best[x] = test_row[y], alike
    near = ~is_test & (of < 0) & (best_of[sketches.same] >= 0)
    of[near], similarity[near] = best_of[sketches.same[near]], best[sketches.same[near]]
    return Leaks(of, similarity)


def _neighbours(sketches: Sketches) -> Iterator[tuple[Rows, Rows]]:
    """For every band, in every bucket: each text with the bucket's first and with the one before it."""
    for band in range(BANDS):
        order, start = _buckets(sketches.bands[band])
        position = np.arange(len(order))
        later = np.flatnonzero(position > start)
        beyond = later[later - 1 > start[later]]
        yield (
            np.concatenate((order[start[later]], order[beyond - 1])),
            np.concatenate((order[later], order[beyond])),
        )


def _across(sketches: Sketches, marked: npt.NDArray[np.bool_]) -> Iterator[tuple[Rows, Rows]]:
    """For every band, in every bucket: each unmarked text with the marked ones before and after it."""
    for band in range(BANDS):
        order, start = _buckets(sketches.bands[band])
        position = np.arange(len(order))
        is_marked = marked[order]
        before = np.maximum.accumulate(np.where(is_marked, position, -1))
        after = np.minimum.accumulate(np.where(is_marked, position, len(order))[::-1])[::-1]
        left = np.flatnonzero(~is_marked & (before >= start))
        right = np.flatnonzero(~is_marked & (after < len(order)))
        right = right[start[after[right]] == start[right]]
        yield (
            np.concatenate((order[left], order[right])),
            np.concatenate((order[before[left]], order[after[right]])),
        )


def _buckets(keys: npt.NDArray[np.uint32]) -> tuple[Rows, Rows]:
    """The order that sorts the keys, and for each place in it the place where its run of equal keys begins."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    fresh = np.concatenate(([True], ordered[1:] != ordered[:-1])) if len(keys) else np.zeros(0, dtype=bool)
    start = np.maximum.accumulate(np.where(fresh, np.arange(len(keys)), 0))
    return order, start


class _Comparison:
    """Compares distinct texts by their true similarity, each pair at most once."""

    def __init__(self, sketches: Sketches, threshold: float) -> None:
        self.sketches = sketches
        self.threshold = threshold
        self.needed = estimated_floor(threshold) * HASHES
        self.rejected = np.zeros(0, dtype=np.uint64)

    def alike(self, a: Rows, b: Rows, passed_over: Callable[[int, int], bool]) -> Iterator[tuple[int, int, float]]:
        """The pairs whose similarity reaches the threshold; those in question are asked about one by one."""
        codes = self._worth_it(a, b)
        rejected: list[int] = []
        last, last_grams = -1, set[str]()
        distinct = len(self.sketches.first)
        for code in codes.tolist():
            x, y = divmod(code, distinct)
            if passed_over(x, y):
                continue
            if x != last:
                last, last_grams = x, self.sketches.grams(x)
            similarity = jaccard(last_grams, self.sketches.grams(y))
            if similarity >= self.threshold:
                yield x, y, similarity
            else:
                rejected.append(code)
        self.rejected = np.concatenate((self.rejected, np.asarray(rejected, dtype=np.uint64)))

    def _worth_it(self, a: Rows, b: Rows) -> npt.NDArray[np.uint64]:
        """The pairs whose signatures agree well enough, each once and none that was rejected, as a * distinct + b."""
        codes = [np.zeros(0, dtype=np.uint64)]
        distinct = np.uint64(max(1, len(self.sketches.first)))
        for part in range(0, len(a), PAIRS):
            x, y = a[part : part + PAIRS], b[part : part + PAIRS]
            equal = (self.sketches.signatures[x] == self.sketches.signatures[y]).sum(axis=1)
            good = equal >= self.needed
            codes.append(x[good].astype(np.uint64) * distinct + y[good].astype(np.uint64))
        return np.setdiff1d(np.concatenate(codes), self.rejected)


class _Forest:
    """Disjoint sets (union-find with path halving)."""

    def __init__(self, count: int) -> None:
        self.parent = list(range(count))

    def root(self, i: int) -> int:
        parent = self.parent
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def joined(self, a: int, b: int) -> bool:
        return self.root(a) == self.root(b)

    def join(self, a: int, b: int) -> bool:
        """Put two sets together; whether they were apart."""
        a, b = self.root(a), self.root(b)
        if a != b:
            self.parent[max(a, b)] = min(a, b)
        return a != b

    def roots(self) -> Rows:
        """The root of every member, shape (count,)."""
        roots = np.asarray(self.parent, dtype=np.int64)
        while not np.array_equal(further := roots[roots], roots):
            roots = further
        return roots


def _join_given(roots: Rows, given: Sequence[str | None]) -> Rows:
    """Join the sets that share a value of the group column."""
    forest = _Forest(int(roots.max(initial=-1)) + 1)
    first: dict[str, int] = {}
    for root, value in zip(roots.tolist(), given, strict=True):
        if value:
            forest.join(first.setdefault(value, root), root)
    return forest.roots()[roots]


def _numbered(roots: Rows) -> Rows:
    """The same sets, numbered 0, 1, 2 … by first appearance."""
    _, first, inverse = np.unique(roots, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return rank[inverse.reshape(-1)]


def _most_alike(pairs: list[tuple[int, int, float]]) -> list[tuple[int, int, float]]:
    return sorted(pairs, key=lambda p: (-p[2], p[0], p[1]))[:SHOWN]
