"""What many texts share: a frame of fixed text around the parts that vary."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from shokunin.template.pattern import Pattern, escape
from shokunin.template.segments import NUMBER, spans_of

NEARLY_ALL = 0.9
FRAME = 12
"""Characters; a shorter common beginning or end may be chance, unless it ends at a mark such as a colon or a new line."""
MOST_SLOTS = 40
MANY = 100
"""So many texts that all begin with the same word were not written by so many people."""
LOOKED_AT = 200
"""Segments of one text that may divide it."""
LONG = 12
"""Letters and digits of a segment that does not end with a mark, for it not to be chance."""
MARKS = ":：=>\n\t\"'`「『【([{<"
ENDERS = ".!?。！？"
TRIED = 300
FITS, GAIN = 0.98, 0.02
"""A pattern that fits so many of the texts is left as it is; a simpler one must fit so many more."""
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
    step = max(1, len(texts) // TRIED)
    tried = texts[::step][:TRIED]
    parts = _merged(_parts(list(texts), MOST_SLOTS, frame))
    parts = _as_few_as_fit(_widened(parts, tried), tried)
    following = [*parts[1:], ""][: len(parts)]  # of texts that are all empty there is no part
    return [
        Slot() if part is None else Fixed(part, escape(part, slot_follows=after is None))
        for part, after in zip(parts, following, strict=True)
    ]


def frame_of(texts: Sequence[str], frame: int = FRAME, opened: str = "", *, asked: bool = False) -> tuple[str, str]:
    """The common beginning and end of nearly all of the texts, cut where words end; "" where it may be chance.

    `opened` is the fixed text before them, whose quote or tag the end may close; `asked` says that they are requests, in
    which a word that all of many begin with is the application's, not replies, where it is a part of all labels.
    """
    before = _beginning(texts)
    if len(before.strip()) < frame and not (before.rstrip(" ") and before.rstrip(" ")[-1] in MARKS):
        by_all = (
            asked and before.endswith(" ") and len(texts) >= MANY and all(text.startswith(before) for text in texts)
        )
        before = before if by_all else ""
    rests = [text[len(before) :] for text in texts if text.startswith(before)]
    after = _beginning([rest[::-1] for rest in rests])[::-1]
    own = after.lstrip(ENDERS)
    if own and sum(rest.endswith(own) for rest in rests) > sum(rest.endswith(after) for rest in rests):
        after = own  # most texts end with a full stop, which is theirs
    opened = before or opened
    closes = after.startswith("</") if opened.endswith(">") else after.startswith(_PAIRS.get(opened[-1:], "\n"))
    return before, after if closes or "\n" in after or len(after.strip()) >= frame else ""


def _merged(parts: Iterable[str | None]) -> list[str | None]:
    """Without empty parts; neighbours of one sort are one."""
    made: list[str | None] = []
    for part in parts:
        if part == "" or (part is None and made and made[-1] is None):
            continue
        if part is not None and made and made[-1] is not None:
            made[-1] += part
        else:
            made.append(part)
    return made


def _pattern(parts: Sequence[str | None]) -> Pattern:
    literals, slots = [""], 0
    for part in parts:
        if part is None:
            literals.append("")
            slots += 1
        else:
            literals[-1] += part
    return Pattern(tuple(literals), tuple(f"_{i}" for i in range(slots)))


def _widened(parts: list[str | None], texts: Sequence[str]) -> list[str | None]:
    """With slots for whole numbers and dates: what stays of `12 October 2026` this month will change with the next."""
    pattern = _pattern(parts)
    if not pattern.slots:
        return parts
    left: list[Counter[int]] = [Counter() for _ in pattern.slots]
    right: list[Counter[int]] = [Counter() for _ in pattern.slots]
    for text in texts:
        values = pattern.match(text)
        if values is None:
            continue
        at = 0
        numbers = [found.span() for found in NUMBER.finditer(text)]
        for i, name in enumerate(pattern.slots):
            start = at + len(pattern.literals[i])
            end = at = start + len(values[name])
            left[i][next((start - s for s, e in numbers if s < start < e or s < start == end == e), 0)] += 1
            right[i][next((e - end for s, e in numbers if s < end < e or s == start == end < e), 0)] += 1
    literals = list(pattern.literals)
    for i in range(len(pattern.slots)):
        if left[i]:
            literals[i] = literals[i][: max(0, len(literals[i]) - left[i].most_common(1)[0][0])]
            literals[i + 1] = literals[i + 1][right[i].most_common(1)[0][0] :]
    made: list[str | None] = [literals[0]]
    for literal in literals[1:]:
        made += [None, literal]
    return _merged(made)


def _as_few_as_fit(parts: list[str | None], texts: Sequence[str]) -> list[str | None]:
    """Without the slightest of the words between slots, as long as the pattern does not fit nearly all texts with them."""
    share = _fitting(parts, texts)
    best, most = parts, share
    while share < FITS:
        inner = [
            i for i in range(1, len(parts) - 1) if parts[i] is not None and None in parts[:i] and None in parts[i:]
        ]
        if not inner:
            break
        # What stands in every text once divides it; what comes again and again belongs to what is in the slot.
        least = min(inner, key=lambda i: (sum(t.count(parts[i] or "") == 1 for t in texts), _letters(parts[i] or "")))
        parts = _merged([*parts[:least], *parts[least + 1 :]])
        share = _fitting(parts, texts)
        if share > most + GAIN:
            best, most = parts, share
    return best


def _letters(text: str) -> int:
    return sum(c.isalnum() for c in text)


def _fitting(parts: Sequence[str | None], texts: Sequence[str]) -> float:
    pattern = _pattern(parts)
    return sum(pattern.match(text) is not None for text in texts) / len(texts) if texts else 1.0


def _parts(texts: list[str], slots: int, frame: int, opened: str = "") -> Iterator[str | None]:
    if len(set(texts)) == 1:
        yield texts[0]
        return
    before, after = frame_of(texts, frame, opened, asked=True)
    yield before
    cores = [
        text[len(before) : len(text) - len(after)]
        for text in texts
        if len(text) >= len(before) + len(after) and text.startswith(before) and text.endswith(after)
    ]
    literal = _divider(cores) if slots > 1 else None
    if literal is not None:
        halves = [core.partition(literal) for core in cores if literal in core]
        yield from _parts([left for left, _, _ in halves], slots - 1, frame, before or opened)
        yield literal
        yield from _parts([right for _, _, right in halves], slots - 1, frame, literal)
    elif slots > 1 and (thirds := _divided(cores)):
        yield from _parts([left for left, _, _ in thirds], slots - 1, frame, before or opened)
        yield from _parts([between for _, between, _ in thirds], slots - 1, 1)
        yield from _parts([right for _, _, right in thirds], slots - 1, frame, thirds[0][1])
    else:
        yield None if any(cores) else ""
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
            if _in_nearly_all(candidate, cores):
                return candidate
    return None


def _in_nearly_all(candidate: str, cores: Sequence[str]) -> bool:
    missing = 0
    for core in cores:
        missing += candidate not in core
        if missing > (1 - NEARLY_ALL) * len(cores):
            return False
    return True


def _divided(cores: Sequence[str]) -> list[tuple[str, str, str]]:
    """The texts cut at a segment that nearly all have, numbers and dates in it aside: before, the segment, behind."""
    if len(cores) < 2:
        return []
    cut = [spans_of(core) for core in cores]
    counts: Counter[str] = Counter()
    for spans in cut:
        counts.update({segment for segment, _, _ in spans})
    usual = {segment for segment, n in counts.items() if n >= NEARLY_ALL * len(cores) and _telling(segment)}
    first = next((segment for segment, _, _ in min(cut, key=len)[:LOOKED_AT] if segment in usual), None)
    if first is None:
        return []
    thirds = []
    for core, spans in zip(cores, cut, strict=True):
        place = next(((start, end) for segment, start, end in spans if segment == first), None)
        if place is not None:
            thirds.append((core[: place[0]], core[place[0] : place[1]], core[place[1] :]))
    # A text that is the segment and nothing else is what is asked about.
    return thirds if any(left.strip() or right.strip() for left, _, right in thirds) else []


def _telling(segment: str) -> bool:
    return segment[-1] in MARKS or _letters(segment) >= LONG


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
