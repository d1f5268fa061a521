"""Conversations as rows of tokens: the prompt as the base's template writes it, then the answer and its end.

The prompt is tokenised for itself, as an engine will do it. A row that is longer than it may be is named, never cut.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shokunin.errors import LessonsError
from shokunin.forms import Conversations, Rows
from shokunin.language.chat_tokens import ChatTokens

NAMED = 20
"""So many rows that are too long are named; all are counted."""

Ids = npt.NDArray[np.int64]
Row = tuple[Ids, int]
"""Tokens, and how many of them are the prompt."""


@dataclass(frozen=True)
class TokenRows:
    """Lessons as tokens.

    Attributes:
        rows: those that are not too long.
        lessons: (len(rows),) which lesson each is.
        too_long: numbers of the lessons that are left out.
    """

    rows: tuple[Row, ...]
    lessons: Rows
    too_long: tuple[int, ...]

    @property
    def lengths(self) -> Rows:
        """Tokens of each row."""
        return np.array([len(ids) for ids, _ in self.rows], np.int64)

    def facts(self) -> dict[str, Any]:
        """What a specialist says about the rows that were left out."""
        return {"rows": len(self.rows), "rows_too_long": len(self.too_long), "too_long": list(self.too_long[:NAMED])}


def token_rows(lessons: Conversations, chat: ChatTokens, max_length: int) -> TokenRows:
    """All lessons as tokens.

    Raises:
        LessonsError: every one is longer than `max_length`.
    """
    rows, kept, too_long = [], [], []
    for number, (asked, answer) in enumerate(zip(lessons.asked, lessons.answers, strict=True)):
        prompt = chat.prompt(asked.messages)
        row = np.concatenate([prompt, chat.plain(answer), np.array([chat.end], np.int64)]), len(prompt)
        if len(row[0]) > max_length:
            too_long.append((len(row[0]), number))
        else:
            rows.append(row)
            kept.append(number)
    if not rows:
        shortest = min(too_long)[0] if too_long else 0
        raise LessonsError(
            f"all {len(lessons)} lessons are longer than max_length {max_length} tokens (the shortest has {shortest}); "
            "raise max_length or shorten the prompt"
        )
    return TokenRows(tuple(rows), np.array(kept, np.int64), tuple(number for _, number in too_long))


def held_back(groups: Rows, share: float, seed: int, *, fewest: int, most: int) -> npt.NDArray[np.bool_]:
    """Which rows are held back for early stopping: about `share` of them, whole groups; none when there are few rows."""
    chosen = np.zeros(len(groups), bool)
    names, sizes = np.unique(groups, return_counts=True)
    if share == 0 or len(groups) < fewest or len(names) < 10:
        return chosen
    wanted = min(most, share * len(groups))
    order = np.random.default_rng(seed).permutation(len(names))
    taken: list[int] = []
    count = 0
    for place in order:
        if count + sizes[place] <= wanted:
            taken.append(names[place])
            count += int(sizes[place])
    return np.isin(groups, taken)


def batches(rows: int, size: int, random: np.random.Generator) -> Iterator[Ids]:
    """One pass over all rows, shuffled; not by length, since packed rows need no padding and batches of like rows teach worse."""
    order = random.permutation(rows)
    for start in range(0, rows, size):
        yield order[start : start + size]


def split_up(rows: Sequence[Row], most: int) -> Iterator[Sequence[Row]]:
    """A batch in pieces of at most `most` tokens (a longer row is a piece of its own), for memory's sake."""
    start, longest = 0, 0
    for place, (ids, _) in enumerate(rows):
        longest = max(longest, len(ids))
        if place > start and longest * (place - start + 1) > most:
            yield rows[start:place]
            start, longest = place, len(ids)
    yield rows[start:]


def fingerprint(rows: TokenRows) -> bytes:
    """Bytes that differ when any token does."""
    digest = hashlib.sha256()
    for ids, prompt in rows.rows:
        digest.update(np.array([len(ids), prompt], np.int64).tobytes() + ids.tobytes())
    return digest.digest()
