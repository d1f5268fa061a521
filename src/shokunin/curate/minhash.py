"""Sketches of texts: MinHash signatures over character n-grams, and the pairs of texts that look alike.

Broder (1997); banding as in Leskovec et al., Mining of Massive Datasets, chapter 3. Every pair is verified by its true
Jaccard similarity: the sketches only decide which pairs are looked at. Work and memory grow linearly with the texts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from shokunin.progress import Progress, silent

BANDS, ROWS = 12, 5
"""A pair of similarity s becomes a candidate with probability 1 - (1 - s^5)^12: 0.99 at 0.8, 0.32 at 0.5."""
HASHES = BANDS * ROWS
LONGEST = 20_000
"""Characters of a text that are compared."""
CHUNK = 1 << 16
"""Characters hashed at once: small enough for the processor's cache."""
GRAM, GRAM_UNSEGMENTED = 5, 3
"""Characters in an n-gram; fewer where words are not separated and a character says more (Japanese, Chinese, Thai)."""

_UNSEGMENTED = re.compile(r"[\u0e00-\u0e7f\u3040-\u9fff\uf900-\ufaff]")
_random = np.random.default_rng(20_011)
_POWERS = _random.integers(1, 1 << 32, size=8, dtype=np.uint32) | np.uint32(1)
_FACTORS = _random.integers(1, 1 << 32, size=HASHES, dtype=np.uint32) | np.uint32(1)
_MASKS = _random.integers(0, 1 << 32, size=HASHES, dtype=np.uint32)
_MIX = _random.integers(1, 1 << 63, size=ROWS, dtype=np.uint64) | np.uint64(1)


@dataclass(frozen=True)
class Sketches:
    """Sketches of n texts, u of them distinct.

    Attributes:
        texts: the n texts, not copied.
        same: shape (n,), int64: which distinct text a row has, 0 to u - 1, numbered by first appearance.
        first: shape (u,), int64: the first row with each distinct text.
        bands: shape (BANDS, u), uint32: equal numbers in a band make a candidate pair.
        signatures: shape (u, HASHES), uint8: the low bits of the minima, to estimate a similarity before computing it.
    """

    texts: Sequence[str]
    same: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    bands: npt.NDArray[np.uint32]
    signatures: npt.NDArray[np.uint8]

    def grams(self, distinct: int) -> set[str]:
        """The n-grams of a distinct text."""
        return grams(normal_form(self.texts[self.first[distinct]]))


def normal_form(text: str) -> str:
    """What two exact duplicates have in common: NFKC, case folded, runs of white space as one space."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())


def sketch(texts: Sequence[str], progress: Progress = silent) -> Sketches:
    """Sketches of all texts, distinct normal forms only once."""
    keys = np.empty(len(texts), dtype=np.uint64)
    for i, text in enumerate(texts):
        # 64 bits: among a million texts, two different ones share a key with probability 3e-8.
        keys[i] = int.from_bytes(blake2b(normal_form(text).encode("utf-8", "surrogatepass"), digest_size=8).digest())
        if i % 50_000 == 0:
            progress("exact duplicates", i, len(texts))
    same, first = _distinct(keys)
    bands = np.empty((BANDS, len(first)), dtype=np.uint32)
    signatures = np.empty((len(first), HASHES), dtype=np.uint8)
    done = 0
    for part in _chunks(texts, first):
        minima = _minima(part)
        rows = slice(done, done + len(part))
        signatures[rows] = minima.T & np.uint32(0xFF)
        for band in range(BANDS):
            block = minima[band * ROWS : (band + 1) * ROWS].astype(np.uint64)
            mixed = (block * _MIX[:, None]).sum(axis=0, dtype=np.uint64)
            bands[band, rows] = mixed >> np.uint64(32)  # a chance match in 32 bits costs a comparison, no more
        done += len(part)
        progress("sketches for near duplicates", done, len(first))
    return Sketches(texts, same, first, bands, signatures)


def grams(normal: str) -> set[str]:
    """The set of n-grams of a normal form; a text shorter than n is its own only n-gram."""
    n = gram_length(normal)
    normal = normal[:LONGEST]
    return {normal[i : i + n] for i in range(max(1, len(normal) - n + 1))}


def gram_length(normal: str) -> int:
    """3 for texts that are mostly kana, Chinese characters or Thai, 5 for all others."""
    if normal.isascii():
        return GRAM
    head = normal[:200]
    return GRAM_UNSEGMENTED if 3 * len(_UNSEGMENTED.findall(head)) >= len(head) else GRAM


def jaccard(a: set[str], b: set[str]) -> float:
    """Size of the intersection over size of the union."""
    both = len(a & b)
    return both / (len(a) + len(b) - both) if both else 0.0


def estimated_floor(threshold: float) -> float:
    """Share of equal signature bytes that a pair at the threshold hardly ever stays below (3.5 standard errors)."""
    return threshold - 3.5 * float(np.sqrt(threshold * (1 - threshold) / HASHES))


def _distinct(keys: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty(len(first), dtype=np.int64)
    rank[order] = np.arange(len(first))
    return rank[inverse.reshape(-1)], first[order].astype(np.int64)


def _chunks(texts: Sequence[str], first: npt.NDArray[np.int64]) -> Iterator[list[str]]:
    part: list[str] = []
    size = 0
    for row in first:
        normal = normal_form(texts[row])[:LONGEST]
        part.append(normal)
        size += len(normal)
        if size >= CHUNK:
            yield part
            part, size = [], 0
    if part:
        yield part


def _minima(normals: list[str]) -> npt.NDArray[np.uint32]:
    """MinHash minima, shape (HASHES, texts)."""
    lengths = [gram_length(normal) for normal in normals]
    result = np.empty((HASHES, len(normals)), dtype=np.uint32)
    for n in set(lengths):
        chosen = [i for i, length in enumerate(lengths) if length == n]
        result[:, chosen] = _minima_of([normals[i] for i in chosen], n)
    return result


def _minima_of(normals: list[str], n: int) -> npt.NDArray[np.uint32]:
    padded = [normal if len(normal) >= n else normal.ljust(n) for normal in normals]
    text = "".join(padded)
    characters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    sizes = np.fromiter(map(len, padded), dtype=np.int64, count=len(padded))
    hashes = np.full(len(characters), n, dtype=np.uint32)
    for k in range(n):
        hashes[: len(characters) - k] += characters[k:] * _POWERS[k]
    ends = np.cumsum(sizes)
    inside = np.ones(len(characters), dtype=bool)
    for k in range(1, n):
        inside[ends - k] = False  # n-grams that would reach into the next text
    hashes = _scramble(hashes[inside])
    starts = np.concatenate(([0], np.cumsum(sizes - (n - 1))[:-1]))
    minima = np.empty((HASHES, len(padded)), dtype=np.uint32)
    work = np.empty_like(hashes)
    for h in range(HASHES):
        np.bitwise_xor(hashes, _MASKS[h], out=work)
        np.multiply(work, _FACTORS[h], out=work)
        np.minimum.reduceat(work, starts, out=minima[h])
    return _scramble(minima)


def _scramble(x: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Spread every bit over all others (the finaliser of MurmurHash3)."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))
