"""What in a document may be a field's value: dates, amounts and codes as they stand, and pieces of lines for texts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from shokunin.fields.amounts import find_amounts, plain
from shokunin.fields.dates import Order
from shokunin.fields.normalise import canonical
from shokunin.fields.places import Places
from shokunin.forms import FieldType

_TOKEN = re.compile(r"[^\s:;,()\[\]<>|]+")
MOST = 400
"""Candidates of one field in one document that are looked at; a receipt has some 30."""

# A line is cut where its writer cut it: behind a colon, at a wide gap or tab, and around brackets with a number in them.
_CUT = re.compile(
    r"(?<=:)\s*(?!\d\d\b)(?!//)|\s{2,}|\t+|\s*(?=\([^()]{0,40}?\d)|(?<=\d\))\s*|(?<=[A-Za-z]\))\s+(?=\()|\s+\|\s+"
)


@dataclass(frozen=True, slots=True)
class Mention:
    """One place where a value stands.

    Attributes:
        start, end: its place in the document's text.
        inner_start, inner_end: without currency and sign.
        line: the number of its line.
        value: in canonical spelling.
        number: the amount, or the day as an ordinal; 0 for codes.
        decimals, marked: digits after the decimal mark; whether a currency stands beside it.
        percent: a percent sign follows.
    """

    start: int
    end: int
    inner_start: int
    inner_end: int
    line: int
    value: str
    number: float = 0.0
    decimals: int = 0
    marked: bool = False
    percent: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a line that a text value may begin or end with."""

    start: int
    end: int
    line: int
    first: bool
    last: bool


def mentions(page: Places, type: FieldType, order: Order = "dmy") -> list[Mention]:
    """All values of a type that stand in a document, at most `MOST`, in order."""
    if type == "date":
        found = [
            Mention(d.start, d.end, d.start, d.end, page.line_at(d.start), day.isoformat(), float(day.toordinal()))
            for d in page.dates
            for day in (d.read(order),)
        ]
    elif type in ("money", "number"):
        dated = bytearray(len(page.text))
        for d in page.dates:
            dated[d.start : d.end] = b"\1" * (d.end - d.start)
        found = [
            Mention(
                a.start, a.end, a.inner_start, a.inner_end, page.line_at(a.inner_start), plain(a.value), float(a.value),
                a.decimals, bool(a.currency), a.percent,
            )
            for a in find_amounts(page.plain, money=type == "money")
            if not any(dated[a.start : a.end])
        ]  # fmt: skip
    else:
        found = list(_codes(page))
    return found[:MOST]


def segments(page: Places, before: Sequence[str] = (), behind: Sequence[str] = ()) -> list[Segment]:
    """The lines cut into pieces, in order; empty pieces are left out.

    Args:
        page: the document.
        before: learned words (as `word_key` spells them) that a value begins behind, in the middle of a line.
        behind: learned words that stand right behind a value, in the middle of a line.
    """
    found = []
    for number, line in enumerate(page.lines):
        if not line.strip():
            continue
        cuts = sorted({0, len(line), *_cuts(line), *_learned_cuts(line, before, behind)})
        pieces = [(a, b) for a, b in pairwise(cuts) if re.search(r"\w", line[a:b])]
        base = page.starts[number]
        for place, (a, b) in enumerate(pieces):
            piece = line[a:b]
            start = base + a + len(piece) - len(piece.lstrip())
            found.append(Segment(start, base + a + len(piece.rstrip()), number, place == 0, place == len(pieces) - 1))
    return found


def learned_cuts(
    pairs: Iterable[tuple[str, tuple[int, int]]], least: int = 2
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words before and behind values that stand in the middle of a line, seen at least so often.

    Args:
        pairs: a document's text and the place of a value in it.
        least: rarer words are left out.
    """
    before: Counter[str] = Counter()
    behind: Counter[str] = Counter()
    for text, (start, end) in pairs:
        line_start, line_end = text.rfind("\n", 0, start) + 1, text.find("\n", end)
        left = _TOKEN.findall(text[line_start:start])
        right = _TOKEN.findall(text[end : line_end if line_end >= 0 else len(text)])
        if left:
            before[word_key(left[-1])] += 1
        if right:
            behind[word_key(right[0])] += 1
    return tuple(sorted(w for w, n in before.items() if n >= least)), tuple(
        sorted(w for w, n in behind.items() if n >= least)
    )


@lru_cache(maxsize=65_536)
def word_key(word: str) -> str:
    """A word as anchors know it: upper case, digits as 0, no punctuation at its ends."""
    return re.sub(r"\d", "0", word.upper()).strip(".,:;'\"*()[]#-")


def _cuts(line: str) -> Iterable[int]:
    for match in _CUT.finditer(line):
        yield match.end()
        yield match.start()


def _learned_cuts(line: str, before: Sequence[str], behind: Sequence[str]) -> Iterable[int]:
    if not before and not behind:
        return
    for match in _TOKEN.finditer(line):
        word = word_key(match.group())
        if word and word in before:
            yield match.end()
        if word and word in behind:
            yield match.start()


def _codes(page: Places) -> Iterable[Mention]:
    """Words with a digit in them, and two neighbours of which both have one (a number written in groups)."""
    for number, line in enumerate(page.lines):
        base = page.starts[number]
        tokens = [m for m in _TOKEN.finditer(line) if any(c.isdigit() for c in m.group())]
        for place, match in enumerate(tokens):
            a, b = _trimmed(line, match.start(), match.end())
            value = canonical(line[a:b], "id")
            if value is not None and 2 <= len(value) <= 40:
                yield Mention(base + a, base + b, base + a, base + b, number, value)
            end = match.end()
            for other in tokens[place + 1 : place + 4]:
                if line[end : other.start()] != " ":
                    break
                end = other.end()
                c, d = _trimmed(line, match.start(), end)
                joined = canonical(line[c:d], "id")
                if joined is not None and len(joined) <= 40:
                    yield Mention(base + c, base + d, base + c, base + d, number, joined)


def _trimmed(line: str, start: int, end: int) -> tuple[int, int]:
    while start < end and line[start] in "#.,'\"*-=":
        start += 1
    while end > start and line[end - 1] in "#.,'\"*-=":
        end -= 1
    return start, end
