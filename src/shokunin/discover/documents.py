"""Records in JSON that is not one record a line: an array of them, an object with such a list, objects one after another.

A document is never held as a whole. A record that is broken is set aside, and reading goes on where the next one seems to begin.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import IO, Any

from shokunin.discover.lines import LONGEST, NOT_AN_OBJECT, NOT_JSON, NOT_UTF8, TOO_LONG, Found
from shokunin.discover.window import LONGEST_GAP, BrokenError, NotUtf8Error, TooLongError, Window
from shokunin.recorded import LISTS

DEEPEST = 100
"""Lists and objects within each other that are gone into."""
_NEXT = re.compile(r"(?:\n|\},)\s{0,200}(?=\{)")


def documents(stream: IO[bytes], *, longest: int = LONGEST) -> Iterator[Found]:
    """(number of the record, object or reason) for everything that stands in a list, or by itself.

    Args:
        stream: UTF-8.
        longest: characters of one record; a longer object is gone into if it has a list of records, else passed over.
    """
    yield from enumerate(_Walk(Window(stream), longest).records(), 1)


class _Walk:
    """On the way through a document: which lists and objects we are in."""

    def __init__(self, window: Window, longest: int) -> None:
        self._window, self._longest = window, longest
        self._inside: list[bool] = []  # whether it is an object that is too long to be held, or a list
        self._large: list[tuple[int, int]] = []  # of such objects, how deep they are and what was found before
        self._found = 0
        self._last: dict[str, Any] = {}

    def records(self) -> Iterator[Any]:
        """Objects, and reasons in the place of those that cannot be read."""
        window = self._window
        while character := window.peek():
            broken, gap = False, window.gap
            try:
                value = self._next(character)
            except NotUtf8Error:
                value = NOT_UTF8
            except BrokenError:
                value, broken = NOT_JSON, True
            if value is not None:
                self._found += 1
                yield value
            if broken and not window.resume(_following(gap, self._last)):
                return
        if self._large and self._found == self._large[0][1]:
            yield TOO_LONG

    def _next(self, character: str) -> Any:
        """The record or the reason that begins here, or None where none does; the window stands behind it then."""
        window = self._window
        if character in "]}":
            return self._leave()
        if self._inside and self._inside[-1]:
            if not self._goes_on_in_list():
                return None
            character = window.peek()
        if character == "[":
            return self._enter(is_object=False)
        try:
            value = window.value(self._longest)
        except TooLongError:
            if character == "{":
                return self._enter(is_object=True)
            window.skip()
            return TOO_LONG
        if not isinstance(value, dict):
            return NOT_AN_OBJECT
        self._last = value
        return value

    def _enter(self, *, is_object: bool) -> None:
        if len(self._inside) >= DEEPEST:
            raise BrokenError
        self._inside.append(is_object)
        if is_object:
            self._large.append((len(self._inside), self._found))
        self._window.at += 1

    def _leave(self) -> str | None:
        self._window.at += 1
        if self._inside:
            self._inside.pop()
        if not self._large or len(self._inside) >= self._large[-1][0]:
            return None
        _, before = self._large.pop()
        return TOO_LONG if self._found == before else None

    def _goes_on_in_list(self) -> bool:
        """In an object that is too long: pass over the next value, unless it is one where records are."""
        key = self._window.key()
        if self._window.peek() in ("[", "{") and key in LISTS:
            return True
        self._window.skip()
        return False


def _following(gap: str, last: Mapping[str, Any]) -> re.Pattern[str]:
    """What stands before a record: a line of its own with the same indentation as this one, or one that begins as the last."""
    if "\n" in gap:
        return re.compile("\n" + re.escape(gap[gap.rindex("\n") + 1 :]) + r"(?=\{)")
    key = next(iter(last), "")
    if not key or len(key) > LONGEST_GAP:
        return _NEXT
    return re.compile(r"[\n,]\s{0,200}(?=\{\s{0,200}" + re.escape(f'"{key}"') + r"\s{0,20}:)")
