"""What many texts share: a frame of fixed text around the parts that vary."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shokunin.template.pattern import escape

NEARLY_ALL = 0.9
FRAME = 12
"""Characters; a shorter common beginning or end may be chance, unless it ends at a mark such as a colon or a new line."""
MOST_SLOTS = 8
MARKS = ":：=>\n\t\"'`「『【([{<"
_NAMES = (re.compile(r"[^:：\n]{1,60}[:：] ?"), re.compile(r"\s*<[\w-]{1,40}>"))
"""What a line may begin with that names the rest of it: `Body: `, `<body>`."""
_PAIRS = {'"': '"', "'": "'", "`": "`", "「": "」", "『": "』", "【": "】", "(": ")", "[": "]", "{": "}", "<": ">"}


@dataclass(frozen=True, slots=True)
class Fixed:
    """Text that stays."""

    text: str
    written: str


@dataclass(frozen=True, slots=True)
class Slot:
    """A part that varies."""


Piece = Fixed | Slot


def pattern_of(texts: Sequence[str], frame: int = FRAME) -> list[Piece]:
    """The frame that nearly all of the texts have, with slots for the rest; the pieces of a pattern.

    Args:
        texts: as they were recorded.
        frame: characters that a common beginning or end must have if no mark says that it is one.
    """
    parts: list[str | None] = []
    for part in _parts(list(texts), MOST_SLOTS, frame):  # None is a slot
        if part == "" or (part is None and parts and parts[-1] is None):
            continue
        if part is not None and parts and parts[-1] is not None:
            parts[-1] += part
        else:
            parts.append(part)
    following = [*parts[1:], ""]
    return [
        Slot() if part is None else Fixed(part, escape(part, slot_follows=after is None))
        for part, after in zip(parts, following, strict=True)
    ]


def frame_of(texts: Sequence[str], frame: int = FRAME, opened: str = "") -> tuple[str, str]:
    """The common beginning and end of nearly all of the texts, cut where words end; "" where it may be chance.

    `opened` is the fixed text before them, whose quote or tag the end may close.
    """
    before = _beginning(texts)
    if len(before.strip()) < frame and not (before.rstrip(" ") and before.rstrip(" ")[-1] in MARKS):
        before = ""
    rests = [text[len(before) :] for text in texts if text.startswith(before)]
    after = _beginning([rest[::-1] for rest in rests])[::-1]
    opened = before or opened
    closes = after.startswith("</") if opened.endswith(">") else after.startswith(_PAIRS.get(opened[-1:], "\n"))
    return before, after if closes or "\n" in after or len(after.strip()) >= frame else ""


def _parts(texts: list[str], slots: int, frame: int, opened: str = "") -> Iterator[str | None]:
    if len(set(texts)) == 1:
        yield texts[0]
        return
    before, after = frame_of(texts, frame, opened)
    yield before
    cores = [
        text[len(before) : len(text) - len(after)]
        for text in texts
        if len(text) >= len(before) + len(after) and text.startswith(before) and text.endswith(after)
    ]
    literal = _divider(cores) if slots > 1 else None
    if literal is None:
        yield None if any(cores) else ""
    else:
        halves = [core.partition(literal) for core in cores if literal in core]
        yield from _parts([left for left, _, _ in halves], slots // 2, frame, before or opened)
        yield literal
        yield from _parts([right for _, _, right in halves], slots // 2, frame, literal)
    yield after


def _beginning(texts: Sequence[str]) -> str:
    """The longest text that nearly all begin with, cut where a word ends."""
    ordered = sorted(texts)
    width = max(2, round(NEARLY_ALL * len(ordered)))
    if len(ordered) < width:
        return ""
    longest = max((_common(a, b) for a, b in zip(ordered, ordered[width - 1 :], strict=False)), key=len)
    follows = {text[len(longest)] for text in ordered if text.startswith(longest) and len(text) > len(longest)}
    cut = len(longest)
    while cut and _in_word(longest[cut - 1]) and any(map(_in_word, follows)):
        cut -= 1
        follows = {longest[cut]}
    return longest[:cut]


def _divider(cores: Sequence[str]) -> str | None:
    """Text on a line of its own, or that names what follows (`Body:`), between the parts of nearly all texts."""
    if len(cores) < 2:
        return None
    sample = min(cores, key=lambda core: core.count("\n"))
    for line in sample.split("\n")[1:][:200]:
        names = [f"\n{found[0]}" for mark in _NAMES if (found := mark.match(line))]
        for candidate in (f"\n{line}\n", *names):
            if len(candidate.strip()) < 2 or candidate not in sample:
                continue
            if sum(candidate in core for core in cores) >= NEARLY_ALL * len(cores):
                return candidate
    return None


def _common(first: str, last: str) -> str:
    """The common beginning of two texts; found by halving, since texts may be long."""
    low, high = 0, min(len(first), len(last))
    while low < high:
        middle = (low + high + 1) // 2
        if first[:middle] == last[:middle]:
            low = middle
        else:
            high = middle - 1
    return first[:low]


def _in_word(character: str) -> bool:
    return (character.isalnum() or character in "_-") and ord(
        character
    ) < 0x2E80  # from there on no spaces divide words
