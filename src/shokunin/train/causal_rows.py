"""Conversations as rows of tokens: the prompt as the base's template writes it, then the answer and its end.

The prompt is tokenised for itself, as an engine will do it. A row that is longer than it may be is named, never cut.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shokunin.errors import BaseModelError, UsageError
from shokunin.forms import Conversation, Conversations, Rows

BATCHES_SORTED_TOGETHER = 20
NAMED = 20
"""So many rows that are too long are named; all are counted."""
_PROBE = "7461"

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


class ChatTokens:
    """Tokenizer and template of a base model's folder.

    Raises:
        BaseModelError: there is no chat template, or the tokenizer cannot be read.
    """

    def __init__(self, folder: Path, name: str) -> None:
        from transformers import AutoTokenizer

        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise BaseModelError(f"the tokenizer of {name!r} cannot be read: {error}") from error
        if not self.tokenizer.chat_template:
            raise BaseModelError(
                f"{name!r} has no chat template, so nobody knows how it is asked; choose the instruct version of it"
            )
        self.end = self._end(name)

    def prompt(self, asked: Conversation) -> Ids:
        """The tokens that a conversation is put to the model with."""
        text = self.template([dict(m) for m in asked.messages], add_generation_prompt=True)
        return self.plain(text)

    def row(self, asked: Conversation, answer: str) -> Row:
        """Prompt, answer and end."""
        prompt = self.prompt(asked)
        return np.concatenate([prompt, self.plain(answer), [self.end]]), len(prompt)

    def plain(self, text: str) -> Ids:
        """The tokens of a text, none added."""
        return np.array(self.tokenizer(text, add_special_tokens=False)["input_ids"], np.int64)

    def template(self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = False) -> str:
        """Messages as the template writes them.

        Raises:
            UsageError: the template refuses them.
        """
        from jinja2 import TemplateError

        try:
            return str(
                self.tokenizer.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=add_generation_prompt
                )
            )
        except TemplateError as error:
            roles = ", ".join(str(m.get("role")) for m in messages)
            raise UsageError(f"the base's chat template refuses messages of the roles {roles}: {error}") from error

    def _end(self, name: str) -> int:
        """The token with which the template ends an answer; else the tokenizer's own end."""
        text = self.template([{"role": "user", "content": "?"}, {"role": "assistant", "content": _PROBE}])
        after = self.plain(text[text.rindex(_PROBE) + len(_PROBE) :]) if _PROBE in text else np.empty(0, np.int64)
        special = set(self.tokenizer.all_special_ids)
        for token in after:
            if int(token) in special:
                return int(token)
        if self.tokenizer.eos_token_id is None:
            raise BaseModelError(f"the tokenizer of {name!r} has no token that ends an answer")
        return int(self.tokenizer.eos_token_id)


def token_rows(lessons: Conversations, chat: ChatTokens, max_length: int) -> TokenRows:
    """All lessons as tokens.

    Raises:
        UsageError: every one is longer than `max_length`.
    """
    rows, kept, too_long = [], [], []
    for number, (asked, answer) in enumerate(zip(lessons.asked, lessons.answers, strict=True)):
        row = chat.row(asked, answer)
        if len(row[0]) > max_length:
            too_long.append((len(row[0]), number))
        else:
            rows.append(row)
            kept.append(number)
    if not rows:
        shortest = min(too_long)[0] if too_long else 0
        raise UsageError(
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


def batches(lengths: Rows, size: int, random: np.random.Generator) -> Iterator[Ids]:
    """One pass over all rows: shuffled, then sorted by length within groups of batches, so that batches are even."""
    order = random.permutation(len(lengths))
    made: list[Ids] = []
    for start in range(0, len(order), size * BATCHES_SORTED_TOGETHER):
        part = order[start : start + size * BATCHES_SORTED_TOGETHER]
        part = part[np.argsort(lengths[part], kind="stable")]
        made += [part[i : i + size] for i in range(0, len(part), size)]
    for place in random.permutation(len(made)):
        yield made[place]


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
