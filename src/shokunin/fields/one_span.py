"""One span a field, or none: the spans of tokens that a value may have, and what begin, inside and end scores say of each.

The scores of a field are log-odds against "no value" (B, I and E against O). The score of a span is that of its first token as a
beginning, of all its tokens as inside, of its last as an end; the likeliest labelling with one value is then the span with the
highest score, found exactly, and with 0 for "no value" the softmax over all spans is the probability of each (a linear-chain
model, Lafferty et al. 2001, that allows one value).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shokunin.fields.candidates import Mention
from shokunin.fields.read_tokens import Numbers, Rows, Tokenised

PARTS = 3
"""Scores a field: a value begins with the token, has it inside, ends with it."""


@dataclass(frozen=True)
class Spans:
    """m spans: their first and last tokens, both of shape (m,), int64."""

    firsts: Rows
    lasts: Rows

    def __len__(self) -> int:
        return len(self.firsts)

    def take(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Spans:
        """The spans at `rows`."""
        return Spans(self.firsts[rows], self.lasts[rows])

    def within(self, start: int, stop: int) -> Spans:
        """The spans that lie in a window, counted from its start."""
        there = self.take((self.firsts >= start) & (self.lasts < stop))
        return Spans(there.firsts - start, there.lasts - start)

    def among(self, others: Spans) -> npt.NDArray[np.bool_]:
        """Which of these are among `others`, shape (m,)."""
        known = set(zip(others.firsts.tolist(), others.lasts.tolist(), strict=True))
        pairs = zip(self.firsts.tolist(), self.lasts.tolist(), strict=True)
        return np.fromiter((pair in known for pair in pairs), bool, len(self))


def spans_of(pairs: Sequence[tuple[int, int]]) -> Spans:
    """Spans from pairs of first and last token."""
    both = np.asarray(pairs, np.int64).reshape(-1, 2)
    return Spans(both[:, 0], both[:, 1])


def text_spans(tokens: Tokenised, longest: int, most_lines: int) -> Spans:
    """All spans that cut no word in two, of at most `longest` tokens on at most `most_lines` lines."""
    begins = np.flatnonzero(tokens.begins)
    firsts, lasts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for length in range(longest):
        begins = begins[begins + length < len(tokens)]
        begins = begins[tokens.lines[begins + length] - tokens.lines[begins] < most_lines]
        if not len(begins):
            break
        here = begins[tokens.closes[begins + length]]
        firsts.append(here)
        lasts.append(here + length)
    return Spans(np.concatenate(firsts), np.concatenate(lasts))


def mention_spans(tokens: Tokenised, found: Sequence[Mention]) -> tuple[Spans, list[int]]:
    """The spans of mentions, and the number of the mention that each belongs to; what no token stands for is left out."""
    pairs = [tokens.covering(m.start, m.end) for m in found]
    kept = [i for i, pair in enumerate(pairs) if pair is not None]
    return spans_of([pair for pair in pairs if pair is not None]), kept


def score(numbers: Numbers, spans: Spans) -> npt.NDArray[np.float64]:
    """Log-odds of each span against "no value", shape (m,); `numbers` are those of one field, shape (n, 3)."""
    begin, inside, end = numbers.astype(np.float64).T
    total = np.concatenate([[0.0], np.cumsum(inside)])
    return np.asarray(begin[spans.firsts] + end[spans.lasts] + total[spans.lasts + 1] - total[spans.firsts], np.float64)
