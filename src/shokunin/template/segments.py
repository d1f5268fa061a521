"""Segments: a prompt cut where its writer cut it, at line ends, sentence ends, colons and quotes, numbers masked."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Text = tuple[str, str]
HEAD, TAIL = 6000, 2000
"""Characters of a message that are looked at: its beginning and its end."""
MOST = 96
"""Segments of one message that are looked at, four fifths from its beginning and the rest from its end."""
SYSTEM = "<system>"
_CUT = re.compile(
    r"\s*\n\s*|(?<=[:：])(?=[\s\"'`「『<{\[(]|$)|(?<=[。！？])|(?<=[.!?])\s+(?=\S)|(?=[\"「『])|(?<=[\"」』])"
)
_NUMBER = (
    r"(?:[0-9]+年(?:[0-9]+月(?:[0-9]+日)?)?|[A-Za-z_]*[0-9][A-Za-z0-9_]*(?:[.,:/+ -]+[A-Za-z_]*[0-9][A-Za-z0-9_]*)*)"
)
_DAY = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December|"
    r"(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\b\.?)"
)
NUMBER = re.compile(
    rf"(?:{_DAY},? ?)?(?:{_MONTH} ?)?{_NUMBER}(?:(?:th|st|nd|rd)?,? (?:of )?{_MONTH},?(?: ?{_NUMBER})?)?(?:,? {_DAY}\b)?"
)
"""A number, a date, a version or a name with digits in it."""
_ADDRESS = re.compile(r"https?://\S+|(?<![\w.+-])[\w.+-]++@[\w-]+\.[\w.]+")
# The same as NUMBER in steps that look at few places each, since all traffic passes here.
_DIGITS = re.compile(r"(?<![A-Za-z0-9_])[A-Za-z_]*+[0-9][A-Za-z0-9_]*+(?:[.,:/+ -]++[A-Za-z_]*+[0-9][A-Za-z0-9_]*+)*+")
_BEHIND = re.compile(rf"#(?:年(?:#月(?:#日)?)?|(?:th|st|nd|rd)?,? (?:of )?{_MONTH},?(?: ?#)?|,? {_DAY}\b)")
_BEFORE = re.compile(rf"(?:{_DAY},? ?(?:{_MONTH} ?)?|{_MONTH} ?)#")
_MARK = re.compile(r"[:：。！？\"「『」』]|[.!?]\s")


@dataclass(frozen=True, slots=True)
class Segmented:
    """A call's prompt as three rows of segments.

    Attributes:
        system: what the system messages say, after `SYSTEM` if there are any.
        context: the messages between, one segment each: examples as turns, or what was said before.
        user: what the last message says.
    """

    system: tuple[str, ...]
    context: tuple[str, ...]
    user: tuple[str, ...]

    @property
    def blocks(self) -> tuple[tuple[str, ...], ...]:
        """The three in their order."""
        return self.system, self.context, self.user


class Segmenter:
    """Cuts prompts; fixed messages, which come again and again, are cut once."""

    def __init__(self, remembered: int = 4096, lines: int = 50_000) -> None:
        self._known: dict[str, tuple[str, ...]] = {}
        self._remembered = remembered
        self._lines: dict[str, tuple[str, ...]] = {}
        self._most_lines = lines

    def __call__(self, messages: Sequence[Text]) -> Segmented:
        """The segments of a call's messages."""
        last = len(messages) - 1
        systems = [i for i, (role, _) in enumerate(messages) if role == "system" and i != last]
        system: tuple[str, ...] = (SYSTEM,) if systems else ()
        for i in systems:
            system += self._cut(messages[i][1])
        context = tuple(f"{role}: {canonical(text[:300])}" for role, text in messages[:-1][-MOST:] if role != "system")
        return Segmented(system, context, segments_of(messages[-1][1], self._line))

    def _cut(self, text: str) -> tuple[str, ...]:
        found = self._known.get(text)
        if found is None:
            found = segments_of(text, self._line)
            if len(self._known) < self._remembered and len(text) <= HEAD + TAIL:
                self._known[text] = found
        return found

    def _line(self, line: str) -> tuple[str, ...]:
        found = self._lines.get(line)
        if found is None:
            found = _segments_of_line(line)
            if len(self._lines) < self._most_lines and len(line) < 400:
                self._lines[line] = found
        return found


def segments_of(text: str, cut: Callable[[str], tuple[str, ...]] | None = None) -> tuple[str, ...]:
    """The segments of one message, numbers and dates masked; what says nothing is left out.

    Args:
        text: the message.
        cut: cuts a line; by default `Segmenter` without a memory.
    """
    if len(text) > HEAD + TAIL:
        text = f"{text[:HEAD]}\n{text[-TAIL:]}"
    cut = cut or _segments_of_line
    parts = [part for line in text.split("\n") for part in cut(line)]
    if len(parts) > MOST:
        parts = parts[: MOST * 4 // 5] + parts[-MOST // 5 :]
    return tuple(parts)


def _segments_of_line(line: str) -> tuple[str, ...]:
    plain = canonical(line.strip())
    if not plain:
        return ()
    if not _MARK.search(plain):
        return (plain,)
    return tuple(part.strip() for part in _CUT.split(plain) if part and not part.isspace())


def spans_of(text: str) -> list[tuple[str, int, int]]:
    """(segment, where it begins, where it ends) in the text as it is, numbers and dates masked in the segment only."""
    found, start = [], 0
    for cut in [*_CUT.finditer(text), None]:
        end = len(text) if cut is None else cut.start()
        part = text[start:end]
        if part and not part.isspace():
            left = len(part) - len(part.lstrip())
            plain = part.strip()
            found.append((canonical(plain), start + left, start + left + len(plain)))
        start = end if cut is None else cut.end()
    return found


def canonical(text: str) -> str:
    """The text with every number, date, address and name with digits in it as one sign."""
    if "@" in text or "://" in text:
        text = _ADDRESS.sub("@", text)
    if _has_digit(text):
        text = _BEFORE.sub("#", _BEHIND.sub("#", _DIGITS.sub("#", text)))
    return text


_has_digit = re.compile(r"[0-9]").search
