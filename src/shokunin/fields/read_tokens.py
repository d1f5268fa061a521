"""A document as the tokens of an encoder: where each stands, where a value may begin and end, and windows over long documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shokunin.encoders.tokens import Spelled, Spelling
from shokunin.fields.normalise import is_edge
from shokunin.fields.places import Places

Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.float32]
Window = tuple[int, int]
"""First token, and the one behind the last."""


@dataclass(frozen=True)
class Tokenised:
    """n tokens of one document; between two lines stands the token that the encoder knows as the end of a text.

    Attributes:
        ids: shape (n,), int64.
        starts, ends: shape (n,), int64; the characters of the document's text that each stands for.
        lines: shape (n,), int64; the line each is on.
        begins, closes: shape (n,); whether a text value may begin or end with the token.
    """

    ids: Rows
    starts: Rows
    ends: Rows
    lines: Rows
    begins: Flags
    closes: Flags

    def __len__(self) -> int:
        return len(self.ids)

    def covering(self, start: int, end: int) -> tuple[int, int] | None:
        """The first and the last token of a span of characters; None where no token stands for any of them."""
        first = int(np.searchsorted(self.ends, start, side="right"))
        last = int(np.searchsorted(self.starts, end, side="left")) - 1
        return (first, last) if first <= last else None


def tokenise(pages: Sequence[Places], spelling: Spelling) -> list[Tokenised]:
    """Each document as tokens."""
    lines = spelling.tokens([line for page in pages for line in page.lines])
    out, at = [], 0
    for page in pages:
        out.append(_together(page, lines[at : at + len(page.lines)], spelling.behind[-1:]))
        at += len(page.lines)
    return out


def windows(tokens: int, room: int, overlap: int) -> list[Window]:
    """Windows of at most `room` tokens that cover so many, neighbours sharing at least `overlap`; none of no tokens."""
    out: list[Window] = []
    start = 0
    while start < tokens:
        stop = min(start + room, tokens)
        out.append((max(0, stop - room), stop))
        if stop == tokens:
            break
        start = stop - overlap
    return out


def joined(parts: Sequence[Numbers], of: Sequence[Window], tokens: int, columns: int) -> Numbers:
    """What windows say of their tokens as one array (tokens, columns): where two overlap, each half from the nearer one."""
    out = np.zeros((tokens, columns), np.float32)
    for number, (part, (start, stop)) in enumerate(zip(parts, of, strict=True)):
        first = start if number == 0 else (of[number - 1][1] + start) // 2
        out[first:stop] = part[first - start :]
    return out


def _together(page: Places, lines: Sequence[Spelled], mark: tuple[int, ...]) -> Tokenised:
    ids: list[Rows] = []
    starts: list[Rows] = []
    ends: list[Rows] = []
    where: list[Rows] = []
    for number, line in enumerate(lines):
        base = page.starts[number]
        if number and mark:
            gap = np.asarray([base - 1], np.int64)  # it stands for no character
            ids.append(np.asarray(mark, np.int64))
            starts.append(gap)
            ends.append(gap)
            where.append(np.asarray([number - 1], np.int64))
        ids.append(line.ids)
        starts.append(line.starts + base)
        ends.append(line.ends + base)
        where.append(np.full(len(line.ids), number, np.int64))
    first, last = _without_blanks(page.text, _all(starts), _all(ends))
    written = first < last
    begins = np.asarray([is_edge(page.text, a) for a in first.tolist()], bool) & written
    closes = np.asarray([is_edge(page.text, b) for b in last.tolist()], bool) & written
    return Tokenised(_all(ids), first, last, _all(where), begins, closes)


def _without_blanks(text: str, starts: Rows, ends: Rows) -> tuple[Rows, Rows]:
    """Some tokenizers count the blank before a word as a part of it."""
    firsts, lasts = [], []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        while start < end and text[start].isspace():
            start += 1
        while start < end and text[end - 1].isspace():
            end -= 1
        firsts.append(start)
        lasts.append(end)
    return np.asarray(firsts, np.int64), np.asarray(lasts, np.int64)


def _all(parts: Sequence[Rows]) -> Rows:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)
