"""Values that the owner's past rows gave to a field: the same shop comes again, and its rows spell it one way."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from shokunin.fields.spelling import key

MOST = 5_000
"""The most frequent values that are kept."""
ALIKE = 0.6
"""Values that share a smaller part of their letter triples are not thought of."""
RAREST, LOOKED_AT = 12, 5


class Memory:
    """The values of one field, by `key`: how often each was given, and how it is spelled most often."""

    def __init__(self, counts: Mapping[str, int], spellings: Mapping[str, str]) -> None:
        self.counts, self.spellings = dict(counts), dict(spellings)
        self._triples = {k: _triples(k) for k in self.counts}
        self._having: dict[str, list[str]] = defaultdict(list)
        for k, triples in self._triples.items():
            for triple in triples:
                self._having[triple].append(k)

    def count(self, value: str) -> int:
        """How often the value with that key was given."""
        return self.counts.get(value, 0)

    def nearest(self, value: str) -> tuple[str, float]:
        """The known key that shares most letter triples with this one, and the share (Jaccard); ("", 0.0): none is alike."""
        mine = _triples(value)
        having = self._having
        # The rarest triples find it, if anything is there to find: two values that share 6 of 10 share some of these.
        known = sorted((len(having[t]), t) for t in mine if t in having)[:RAREST]
        met = Counter(k for _, triple in known for k in having[triple])
        best, most = "", 0.0
        for other, _ in met.most_common(LOOKED_AT):
            theirs = self._triples[other]
            share = len(mine & theirs) / len(mine | theirs)
            if share > most or (share == most and self.counts[other] > self.counts.get(best, 0)):
                best, most = other, share
        return (best, most) if most >= ALIKE else ("", 0.0)

    def to_dict(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {k: [self.counts[k], self.spellings[k]] for k in sorted(self.counts)}


def learn_memory(values: Iterable[Any]) -> Memory:
    """The memory of these values; nothing and numbers are left out."""
    spelled: dict[str, Counter[str]] = defaultdict(Counter)
    for value in values:
        if isinstance(value, str) and key(value):
            spelled[key(value)][value] += 1
    counts = {k: sum(found.values()) for k, found in spelled.items()}
    kept = sorted(counts, key=lambda k: (-counts[k], k))[:MOST]
    return Memory(
        {k: counts[k] for k in kept},
        {k: min(spelled[k], key=lambda s: (-spelled[k][s], s)) for k in kept},
    )


def memory_from_dict(kept: Mapping[str, Any]) -> Memory:
    """The inverse of `to_dict`; raises KeyError, TypeError or ValueError where it is not one."""
    return Memory({k: int(pair[0]) for k, pair in kept.items()}, {k: str(pair[1]) for k, pair in kept.items()})


def _triples(value: str) -> frozenset[str]:
    return frozenset(value[i : i + 3] for i in range(max(len(value) - 2, 1)))
