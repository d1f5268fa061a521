"""Duplicates: rows with (nearly) the same text, grouped before anything is split, and leaks across a given split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shokunin.curate.minhash import BANDS, Sketches, estimated_floor, jaccard, sketch
from shokunin.progress import Progress, silent

Rows = npt.NDArray[np.int64]
THRESHOLD = 0.8
SHOWN = 20


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
    pairs: list[tuple[int, int, float]] = []
    near = 0
    candidates = _distinct_pairs(_neighbours(sketches), sketches, threshold)
    for done, (a, b, similarity) in enumerate(_verified(candidates, sketches, threshold, forest)):
        near += forest.join(a, b)
        pairs.append((int(sketches.first[a]), int(sketches.first[b]), similarity))
        if len(pairs) > 50 * SHOWN:
            pairs = _most_alike(pairs)
        if done % 10_000 == 0:
            progress("near duplicates", done, None)
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
    marked = test_row >= 0
    best_of = np.full(distinct, -1, dtype=np.int64)
    best = np.zeros(distinct, dtype=np.float32)
    candidates = _distinct_pairs(_across(sketches, marked), sketches, threshold)
    for a, b, alike in _verified(candidates, sketches, threshold, None):
        train, test = (b, a) if marked[a] and not marked[b] else (a, b)
        if learnt[train] and not marked[train] and alike > best[train]:
            best_of[train], best[train] = test_row[test], alike
    near = ~is_test & (of < 0) & (best_of[sketches.same] >= 0)
    of[near], similarity[near] = best_of[sketches.same[near]], best[sketches.same[near]]
    return Leaks(of, similarity)


def _neighbours(sketches: Sketches) -> Iterator[tuple[Rows, Rows]]:
    """In every bucket of every band: each text with the bucket's first and with the one before it."""
    for band in range(BANDS):
        order, start = _buckets(sketches.bands[band])
        position = np.arange(len(order))
        later = np.flatnonzero(position > start)
        yield order[start[later]], order[later]
        beyond = later[position[later] - 1 > start[later]]
        yield order[beyond - 1], order[beyond]


def _across(sketches: Sketches, marked: npt.NDArray[np.bool_]) -> Iterator[tuple[Rows, Rows]]:
    """In every bucket of every band: each unmarked text with the marked ones before and after it."""
    for band in range(BANDS):
        order, start = _buckets(sketches.bands[band])
        position = np.arange(len(order))
        is_marked = marked[order]
        before = np.maximum.accumulate(np.where(is_marked, position, -1))
        after = np.minimum.accumulate(np.where(is_marked, position, len(order))[::-1])[::-1]
        free = ~is_marked
        left = np.flatnonzero(free & (before >= start))
        yield order[before[left]], order[left]
        right = np.flatnonzero(free & (after < len(order)))
        right = right[start[after[right]] == start[right]]
        yield order[after[right]], order[right]


def _buckets(keys: npt.NDArray[np.uint64]) -> tuple[Rows, Rows]:
    """The order that sorts the keys, and for each place in it the place where its run of equal keys begins."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    fresh = np.concatenate(([True], ordered[1:] != ordered[:-1])) if len(keys) else np.zeros(0, dtype=bool)
    start = np.maximum.accumulate(np.where(fresh, np.arange(len(keys)), 0))
    return order, start


def _distinct_pairs(pairs: Iterator[tuple[Rows, Rows]], sketches: Sketches, threshold: float) -> tuple[Rows, Rows]:
    """The pairs whose signatures agree well enough, each once, sorted by the smaller number."""
    needed = estimated_floor(threshold) * sketches.signatures.shape[1]
    distinct = np.uint64(max(1, len(sketches.first)))
    codes: list[npt.NDArray[np.uint64]] = []
    for a, b in pairs:
        for part in range(0, len(a), 1 << 18):
            left, right = a[part : part + (1 << 18)], b[part : part + (1 << 18)]
            equal = (sketches.signatures[left] == sketches.signatures[right]).sum(axis=1)
            low, high = np.minimum(left, right)[equal >= needed], np.maximum(left, right)[equal >= needed]
            codes.append(low.astype(np.uint64) * distinct + high.astype(np.uint64))
    if not codes:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    unique = np.unique(np.concatenate(codes))
    return (unique // distinct).astype(np.int64), (unique % distinct).astype(np.int64)


def _verified(
    pairs: tuple[Rows, Rows], sketches: Sketches, threshold: float, forest: _Forest | None
) -> Iterator[tuple[int, int, float]]:
    """The pairs whose true similarity reaches the threshold; those that a forest has joined already are passed over."""
    last, last_grams = -1, set[str]()
    for a, b in zip(pairs[0].tolist(), pairs[1].tolist(), strict=True):
        if forest is not None and forest.root(a) == forest.root(b):
            continue
        if a != last:
            last, last_grams = a, sketches.grams(a)
        similarity = jaccard(last_grams, sketches.grams(b))
        if similarity >= threshold:
            yield a, b, similarity


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

    def join(self, a: int, b: int) -> bool:
        """Put two sets together; whether they were apart."""
        a, b = self.root(a), self.root(b)
        if a != b:
            self.parent[max(a, b)] = min(a, b)
        return a != b

    def roots(self) -> Rows:
        return np.fromiter(map(self.root, range(len(self.parent))), dtype=np.int64, count=len(self.parent))


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
