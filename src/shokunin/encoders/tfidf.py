"""TF-IDF over word and character n-grams: the encoder that needs no network and no word boundaries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils.sparsefuncs_fast import inplace_csr_row_normalize_l2

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
        self._analyzers = tuple(part.build_analyzer() for part in parts)

    @property
    def size(self) -> int:
        """The number of features, d."""
        return sum(len(part.vocabulary_) for part in self._parts)

    def encode(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """Shape (n, d), float32."""
        blocks, first = [], 0
        for part, analyze in zip(self._parts, self._analyzers, strict=True):
            blocks.append(_transformed(part, analyze, texts, first))
            first += len(part.vocabulary_)
        return _side_by_side(blocks, first)

    def save(self, folder: Path) -> None:
        """Write `vocabulary.json` and `idf.safetensors`."""
        words = [sorted(part.vocabulary_, key=part.vocabulary_.__getitem__) for part in self._parts]
        write_json(folder / "vocabulary.json", dict(zip(PARTS, words, strict=True)))
        idf = {name: part.idf_.astype(np.float32) for name, part in zip(PARTS, self._parts, strict=True)}
        save_file(idf, folder / "idf.safetensors")


def _transformed(
    part: TfidfVectorizer, analyze: Callable[[str], Sequence[str]], texts: Sequence[str], first: int
) -> sparse.csr_matrix:
    """`part.transform(texts)` number for number, without its checks: for one text they took ten times as long as the rest.

    The columns are numbered from `first`, and there may be more of them than the shape says.
    """
    known, columns, counts, ends = part.vocabulary_.get, [], [], [0]
    for text in texts:
        found: dict[int, int] = {}
        for word in analyze(text):
            column = known(word)
            if column is not None:
                found[column] = found.get(column, 0) + 1
        mine = sorted(found)
        columns += mine
        counts += [found[column] for column in mine]
        ends.append(len(columns))
    at = np.array(columns, np.int32)
    data = np.log(np.array(counts, np.float32)) + np.float32(1)
    data *= part.idf_[at]
    rows = sparse.csr_matrix((len(texts), len(part.vocabulary_)), dtype=np.float32)
    rows.data, rows.indices, rows.indptr = data, at, np.array(ends, np.int32)
    inplace_csr_row_normalize_l2(rows)
    rows.indices += first
    return rows


def _side_by_side(blocks: Sequence[sparse.csr_matrix], width: int) -> sparse.csr_matrix:
    """The blocks' rows one after the other, in one matrix."""
    rows = blocks[0].shape[0]
    ends = np.sum([block.indptr for block in blocks], axis=0, dtype=np.int32)
    parts = [(block, slice(block.indptr[i], block.indptr[i + 1])) for i in range(rows) for block in blocks]
    out = sparse.csr_matrix((rows, width), dtype=np.float32)
    if parts:
        out.data = np.concatenate([block.data[place] for block, place in parts])
        out.indices = np.concatenate([block.indices[place] for block, place in parts])
        out.indptr = ends
    return out


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
