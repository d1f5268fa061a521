"""Pattern: fixed text with slots, `Text: {{text}}`, matched in linear time.

`{{name}}` is a slot, `name` a word of letters, digits and `_`. Anything else is literal, single and double braces too. To
have the text `{{name}}` itself, put a backslash before it; backslashes right before a slot are then written twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from shokunin.errors import TaskError

LONGEST = 1_000_000
"""Characters; a longer text matches nothing."""
_SLOT = re.compile(r"(\\*)\{\{([^\W\d]\w{0,99})\}\}")


@dataclass(frozen=True, slots=True)
class Pattern:
    """Fixed text with slots.

    Attributes:
        literals: the fixed text before, between and after the slots; one more than there are slots.
        slots: the slots' names, in order; a name that comes twice stands for one text.
    """

    literals: tuple[str, ...]
    slots: tuple[str, ...]

    @property
    def fixed(self) -> int:
        """How many characters are fixed."""
        return sum(map(len, self.literals))

    def match(self, text: str) -> dict[str, str] | None:
        """What stands in the slots, or None; where a literal could lie in several places the first is taken."""
        first, last = self.literals[0], self.literals[-1]
        if not self.slots:
            return {} if text == first else None
        start, end = len(first), len(text) - len(last)
        if end < start or len(text) > LONGEST or not text.startswith(first) or not text.endswith(last):
            return None
        values: dict[str, str] = {}
        for slot, literal in zip(self.slots, self.literals[1:-1], strict=False):
            at = text.find(literal, start, end)
            if at < 0 or values.setdefault(slot, text[start:at]) != text[start:at]:
                return None
            start = at + len(literal)
        return values if values.setdefault(self.slots[-1], text[start:end]) == text[start:end] else None

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with the slots filled.

        Raises:
            TaskError: a slot has no value.
        """
        parts = [self.literals[0]]
        for slot, literal in zip(self.slots, self.literals[1:], strict=True):
            if slot not in values:
                raise TaskError(f"the slot {slot!r} of the template has no value; give one for each of {self.slots!r}")
            parts += (values[slot], literal)
        return "".join(parts)

    def __str__(self) -> str:
        """The pattern as it is written."""
        parts = [escape(self.literals[0], slot_follows=bool(self.slots))]
        for i, (slot, literal) in enumerate(zip(self.slots, self.literals[1:], strict=True), 1):
            parts += ("{{", slot, "}}", escape(literal, slot_follows=i < len(self.slots)))
        return "".join(parts)


def parse(text: str) -> Pattern:
    """The Pattern that is written so.

    Raises:
        TaskError: two slots touch, so that nobody could say where one ends; or the text is too long.
    """
    if len(text) > LONGEST:
        raise TaskError(f"a pattern has at most {LONGEST:,} characters, not {len(text):,}")
    literals: list[str] = []
    slots: list[str] = []
    start, literal = 0, ""
    for found in _SLOT.finditer(text):
        slashes, name = found.groups()
        literal += text[start : found.start()] + "\\" * (len(slashes) // 2)
        start = found.end()
        if len(slashes) % 2:
            literal += "{{" + name + "}}"
            continue
        if slots and not literal:
            raise TaskError(
                f"the slots {slots[-1]!r} and {name!r} touch; put fixed text between them, or make them one slot"
            )
        literals.append(literal)
        slots.append(name)
        literal = ""
    return Pattern((*literals, literal + text[start:]), tuple(slots))


def escape(literal: str, *, slot_follows: bool = False) -> str:
    """A literal as it is written in a pattern."""
    written = _SLOT.sub(lambda found: found[1] * 2 + "\\{{" + found[2] + "}}", literal)
    if slot_follows:
        written += "\\" * (len(written) - len(written.rstrip("\\")))
    return written
