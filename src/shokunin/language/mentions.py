"""Mentions: the stretches of a prompt that an answer may copy, found by a lexicon of values and by what they look like.

A mention has a sort: the column that its value stands in (`state.state_name`), or what it looks like (`number`, `code`, `mail`,
`quoted`, `name`). A stretch may be mentioned as several sorts; which is meant, a reading says.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WORD = re.compile(r"[぀-ヿ㐀-鿿가-힣ｦ-ﾟ]|[^\W぀-ヿ㐀-鿿가-힣ｦ-ﾟ]+")
# Lengths are bounded, so that no prompt takes time with its square.
PATTERNS = {
    "mail": re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64})+"),
    "number": re.compile(r"(?<![\w.,])\d+(?:[.,]\d+)*(?![\w])"),
    "code": re.compile(r"(?<!\w)(?=[\w/#-]{0,40}\d)(?=[\w/#-]{0,40}[^\W\d])[\w#]{1,40}(?:[-/]\w{1,40}){0,8}(?!\w)"),
    "quoted": re.compile(r"(?<=\")[^\"\n]{1,80}(?=\")|(?<=“)[^”\n]{1,80}(?=”)|(?<=「)[^」\n]{1,80}(?=」)"),
}
NAME = re.compile(r"[^\W\d_a-z][\w'’-]*(?: [^\W\d_a-z][\w'’-]*)*")
LONGEST_NAME = 4
LONGEST_VALUE = 8
"""Words of the longest value that a lexicon is searched for."""
MOST = 60
"""Mentions of one prompt that are weighed; in longer prompts the first ones."""
READINGS = 12


@dataclass(frozen=True, slots=True)
class Mention:
    """A stretch of a prompt that an answer may copy.

    Attributes:
        start: first character.
        end: behind the last character.
        sort: what it would be a value of.
        value: as an answer spells it.
    """

    start: int
    end: int
    sort: str
    value: str


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a prompt: the mentions that are meant, in their order, and how likely that is (a logarithm)."""

    mentions: tuple[Mention, ...]
    logprob: float


@dataclass(frozen=True)
class Lexicon:
    """Values by their key: `known[key]` maps each sort to the value's spelling. With `looks`, patterns count as well."""

    known: Mapping[str, Mapping[str, str]]
    looks: tuple[str, ...] = ()

    def find(self, text: str) -> tuple[Mention, ...]:
        """Every mention in `text`, by place, the longer first."""
        words = list(WORD.finditer(text))
        keys = [key_of(word.group()) for word in words]
        found: dict[tuple[int, int, str], str] = {}
        for i in range(len(words)):
            for j in range(i + 1, min(len(words), i + LONGEST_VALUE) + 1):
                for sort, spelling in self.known.get(" ".join(keys[i:j]), {}).items():
                    found.setdefault((words[i].start(), words[j - 1].end(), sort), spelling)
        for sort in self.looks:
            for start, end in _looking(sort, text):
                found.setdefault((start, end, sort), text[start:end])
        ordered = sorted(found.items(), key=lambda item: (item[0][0], -item[0][1], item[0][2]))
        return tuple(Mention(*place, value) for place, value in ordered[:MOST])


def key_of(value: str) -> str:
    """What two spellings of a value share: no case, no width, no quotes, single spaces."""
    return " ".join(WORD.findall(unicodedata.normalize("NFKC", value).casefold()))


def masked(text: str, mentions: Sequence[Mention], codes: Mapping[str, int]) -> str:
    """The text with every mention replaced by a made-up word for its sort."""
    parts, at = [], 0
    for mention in mentions:
        parts += [text[at : mention.start], f" xx{codes[mention.sort]}xx "]
        at = mention.end
    return "".join([*parts, text[at:]])


def clues(text: str, found: Sequence[Mention], at: int) -> list[str]:
    """What tells whether the mention `found[at]` is meant: names of present features."""
    mention = found[at]
    before = [key_of(w) for w in WORD.findall(text[max(0, mention.start - 60) : mention.start])][-2:]
    after = [key_of(w) for w in WORD.findall(text[mention.end : mention.end + 60])][:2]
    sort, value = mention.sort, key_of(mention.value)
    left, right = (before or ["^"])[-1], (after or ["$"])[0]
    same = [m for m in found if (m.start, m.end) == (mention.start, mention.end) and m.sort != sort]
    around = [
        m
        for m in found
        if m.start <= mention.start and m.end >= mention.end and m.end - m.start > mention.end - mention.start
    ]
    return [
        "always",
        sort,
        f"{sort}<{left}",
        f"{sort}>{right}",
        f"<{left}",
        f">{right}",
        f"{sort}<<{' '.join(before)}",
        f"{sort}>>{' '.join(after)}",
        f"{sort}={value}",
        f"{sort} words {min(len(value.split()), 4)}",
        *(f"{sort} or {other.sort}" for other in same),
        *(f"{sort} inside {other.sort}" for other in around),
        *([f"{sort} first"] if not any(m.sort == sort for m in found[:at]) else []),
    ]


def readings(
    text: str, found: Sequence[Mention], weights: Mapping[str, float], *, most: int = READINGS
) -> list[Reading]:
    """The likeliest ways to read the mentions found, the likeliest first: each is meant or not, and none overlaps another."""
    beam: list[tuple[float, tuple[Mention, ...]]] = [(0.0, ())]
    for at, mention in enumerate(found):
        score = sum(weights.get(clue, 0.0) for clue in clues(text, found, at))
        meant, other = -math.log1p(math.exp(-_clipped(score))), -math.log1p(math.exp(_clipped(score)))
        grown = [(total + other, chosen) for total, chosen in beam]
        grown += [
            (total + meant, (*chosen, mention))
            for total, chosen in beam
            if not chosen or chosen[-1].end <= mention.start
        ]
        beam = sorted(grown, key=lambda pair: -pair[0])[:most]
    top = max(total for total, _ in beam)
    norm = top + math.log(sum(math.exp(total - top) for total, _ in beam))
    return [Reading(chosen, total - norm) for total, chosen in beam]


def lexicon_to_json(lexicon: Lexicon) -> dict[str, Any]:
    """The lexicon as JSON values."""
    return {"known": {key: dict(sorts) for key, sorts in lexicon.known.items()}, "looks": list(lexicon.looks)}


def lexicon_from_json(value: Mapping[str, Any]) -> Lexicon:
    """The inverse of `lexicon_to_json`."""
    return Lexicon(
        {str(k): {str(s): str(v) for s, v in sorts.items()} for k, sorts in value["known"].items()},
        tuple(value["looks"]),
    )


def _looking(sort: str, text: str) -> list[tuple[int, int]]:
    if sort != "name":
        return [found.span() for found in PATTERNS[sort].finditer(text)]
    spans = []
    for run in NAME.finditer(text):
        words = [(m.start() + run.start(), m.end() + run.start()) for m in re.finditer(r"\S+", run.group())]
        spans += [
            (words[i][0], words[j][1]) for i in range(len(words)) for j in range(i, min(len(words), i + LONGEST_NAME))
        ]
    return spans


def _clipped(score: float) -> float:
    return max(-30.0, min(30.0, score))
