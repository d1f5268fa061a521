"""TF-IDF over word and character n-grams: the encoder that needs no network and no word boundaries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from shokunin.errors import ArtefactError
from shokunin.files import read_json, write_json

WORD = {"analyzer": "word", "ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b"}
# From single characters up: Japanese and Chinese carry meaning in one or two of them. Not across spaces: that measured worse.
CHARACTERS = {"analyzer": "char_wb", "ngram_range": (1, 5)}
PARTS = ("word", "characters")


class TfidfEncoder:
    """Texts to sparse rows, each part of unit length."""

    def __init__(self, parts: tuple[TfidfVectorizer, ...]) -> None:
        self._parts = parts

    @property
    def size(self) -> int:
        """The number of features, d."""
        return sum(len(part.vocabulary_) for part in self._parts)

    def encode(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """Shape (n, d), float32."""
        return sparse.hstack([part.transform(texts) for part in self._parts], format="csr", dtype=np.float32)

    def save(self, folder: Path) -> None:
        """Write `vocabulary.json` and `idf.safetensors`."""
        words = [sorted(part.vocabulary_, key=part.vocabulary_.__getitem__) for part in self._parts]
        write_json(folder / "vocabulary.json", dict(zip(PARTS, words, strict=True)))
        idf = {name: part.idf_.astype(np.float32) for name, part in zip(PARTS, self._parts, strict=True)}
        save_file(idf, folder / "idf.safetensors")


def fit_tfidf(texts: Sequence[str], *, limit: int) -> tuple[TfidfEncoder, sparse.csr_matrix]:
    """An encoder for these texts, and the texts encoded.

    Args:
        texts: n texts.
        limit: at most this many features in each part; the most frequent stay.
    """
    # A character sequence seen once cannot generalise; in few texts everything is rare, so there it stays.
    rare = 2 if len(texts) >= 500 else 1
    words = _vectorizer(WORD, max_features=limit)
    characters = _vectorizer(CHARACTERS, max_features=limit, min_df=rare)
    rows = sparse.hstack([part.fit_transform(texts) for part in (words, characters)], format="csr", dtype=np.float32)
    encoder = TfidfEncoder((words, characters))
    return encoder, rows


def load_tfidf(folder: Path) -> TfidfEncoder:
    """The encoder that `save` wrote.

    Raises:
        ArtefactError: a file is missing or does not fit the other.
    """
    words = read_json(folder / "vocabulary.json")
    try:
        idf = load_file(folder / "idf.safetensors")
        parts = tuple(_restore(s, words[name], idf[name]) for name, s in zip(PARTS, (WORD, CHARACTERS), strict=True))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"the vocabulary in {str(folder)!r} is damaged: {error}") from error
    return TfidfEncoder(parts)


def _vectorizer(settings: dict[str, Any], **more: Any) -> TfidfVectorizer:
    return TfidfVectorizer(sublinear_tf=True, dtype=np.float32, **settings, **more)


def _restore(settings: dict[str, Any], words: list[str], idf: npt.NDArray[np.float32]) -> TfidfVectorizer:
    part = _vectorizer(settings, vocabulary={word: i for i, word in enumerate(words)})
    part.idf_ = idf
    return part
