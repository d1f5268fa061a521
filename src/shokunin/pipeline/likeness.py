"""Likeness: a memory of texts that tells, one text at a time, whether nearly the same one was there before.

Candidates come from MinHash bands as in `curate.minhash` and are verified by their true similarity, so nothing is taken for a
repetition wrongly; at the threshold of 0.7 about one in nine is missed, at 0.8 one in a hundred.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from shokunin.curate.minhash import BANDS, grams, jaccard, normal_form, sketch
from shokunin.dataset import SealedRows, read_examples
from shokunin.distill.extend import text_of

THRESHOLD = 0.7


class Likeness:
    """Texts that were seen."""

    def __init__(self, texts: Iterable[str] = (), threshold: float = THRESHOLD) -> None:
        self._threshold = threshold
        self._normal: list[str] = []
        self._exact: set[str] = set()
        self._buckets: list[defaultdict[int, list[int]]] = [defaultdict(list) for _ in range(BANDS)]
        self.add_all(list(texts))

    def __len__(self) -> int:
        return len(self._normal)

    def is_there(self, text: str) -> bool:
        """Whether the same text was added, up to case, width and white space."""
        return normal_form(text) in self._exact

    def repeats(self, text: str) -> bool:
        """Whether a text is nearly one that was added."""
        normal = normal_form(text)
        if normal in self._exact:
            return True
        bands = sketch([text]).bands[:, 0].tolist()
        near = {i for band, key in enumerate(bands) for i in self._buckets[band].get(key, ())}
        own = grams(normal)
        return any(jaccard(own, grams(self._normal[i])) >= self._threshold for i in near)

    def add(self, text: str) -> None:
        """Remember a text."""
        self.add_all([text])

    def add_all(self, texts: Sequence[str]) -> None:
        """Remember texts."""
        if not texts:
            return
        found = sketch(texts)
        start = len(self._normal)
        for place, row in enumerate(found.first.tolist()):
            normal = normal_form(texts[row])
            self._normal.append(normal)
            self._exact.add(normal)
            for band in range(BANDS):
                self._buckets[band][int(found.bands[band, place])].append(start + place)


def of_sealed(rows: SealedRows, names: Sequence[str]) -> Likeness:
    """The test rows' input fields of these names, to compare others with; nobody sees them, so it is no opening."""
    with tempfile.TemporaryDirectory(prefix="shokunin-") as scratch:
        path = Path(scratch) / "rows.jsonl"
        rows.copy_to(path)
        return Likeness(text_of(e.inputs, names) for e in read_examples(path))
