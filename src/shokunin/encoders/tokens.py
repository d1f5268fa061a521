"""Tokens: texts to token ids with a fast tokenizer, however long or odd the text."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from shokunin.errors import ArtefactError

CHUNK = 4096
"""How many texts are tokenised at a time."""
CHARACTERS_A_TOKEN = 64
"""Text beyond this many characters per token of `max_length` is not even tokenised: no real token is so long."""


class Tokens:
    """An open tokenizer, for readers of different lengths; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        """Open the tokenizer at `path`.

        Raises:
            ArtefactError: it is missing or damaged.
        """
        self._tokenizer = read_tokenizer(path)
        self._tokenizer.no_padding()
        self._length: int | None = None
        self._lock = threading.Lock()

    def ids(self, texts: Sequence[str], max_length: int) -> list[list[int]]:
        """Token ids of each text, special tokens included, at most `max_length` of them and perhaps none."""
        most = max_length * CHARACTERS_A_TOKEN
        cut = [_clean(text[:most]) for text in texts]
        with self._lock:  # the length to cut at is a setting of the tokenizer
            if self._length != max_length:
                self._tokenizer.enable_truncation(max_length)
                self._length = max_length
            return [e.ids for e in self._tokenizer.encode_batch_fast(cut)]


@dataclass(frozen=True)
class Spelled:
    """A text as tokens, without special ones.

    Attributes:
        ids: shape (n,), int64.
        starts, ends: shape (n,), int64; the characters of the text that each token stands for.
    """

    ids: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]


class Spelling:
    """An open tokenizer that tells where its tokens stand, however long the text; safe to use from several threads.

    Attributes:
        before, behind: the special tokens that stand around every text.
    """

    def __init__(self, path: Path) -> None:
        """Open the tokenizer at `path`.

        Raises:
            ArtefactError: it is missing or damaged.
        """
        self._tokenizer = read_tokenizer(path)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        around = self._tokenizer.encode("a")
        inner = [i for i, special in enumerate(around.special_tokens_mask) if not special] or [len(around.ids)]
        self.before, self.behind = tuple(around.ids[: inner[0]]), tuple(around.ids[inner[-1] + 1 :])

    def tokens(self, texts: Sequence[str]) -> list[Spelled]:
        """Each text as tokens; a character that no token stands for is left out."""
        found = self._tokenizer.encode_batch([_clean(text) for text in texts], add_special_tokens=False)
        return [Spelled(np.array(e.ids, np.int64), *np.array(e.offsets, np.int64).reshape(-1, 2).T) for e in found]


def read_pad_id(path: Path, fallback: int) -> int:
    """The padding token that the tokenizer at `path` itself names, else `fallback`."""
    padding = read_tokenizer(path).padding
    return int(padding["pad_id"]) if padding else fallback


def token_ids(path: Path, texts: Sequence[str], max_length: int, pad_id: int) -> list[npt.NDArray[np.int64]]:
    """Token ids of each text under the tokenizer at `path`, special tokens included, from 1 to `max_length` of them."""
    tokens = Tokens(path)
    out = []
    for start in range(0, len(texts), CHUNK):
        encoded = tokens.ids(texts[start : start + CHUNK], max_length)
        out += [np.array(ids or [pad_id], np.int64) for ids in encoded]
    return out


def read_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer as its file says.

    Raises:
        ArtefactError: it is missing or damaged.
    """
    if not path.is_file():
        raise ArtefactError(f"{str(path)!r} is missing; restore the folder from a copy")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers library raises plain Exception
        raise ArtefactError(f"{str(path)!r} is not a readable tokenizer: {error}") from error


def _clean(text: str) -> str:
    """The text without lone surrogates, which no tokenizer takes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
