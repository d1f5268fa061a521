"""A part of a long JSON text in memory: what stands next in it is read, or passed over without being held."""

from __future__ import annotations

import codecs
import json
import re
from typing import IO, Any

CHUNK = 1 << 18
LONGEST_GAP = 200
_BETWEEN = re.compile(r"[\s,]*")
_TO_BRACKET = re.compile(r'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)  # whole strings are passed over with it
_IN_STRING = re.compile(r'["\\]')
_SCALAR_END = re.compile(r"[\s,\[\]{}]")
_KEY = re.compile(r'"((?:[^"\\]|\\.){0,200})"\s*:')
_BYTES = re.compile("[\udc80-\udcff]")  # what the error handler `surrogateescape` makes of a byte
_decode = json.JSONDecoder().raw_decode


class BrokenError(Exception):
    """What stands next is not JSON."""


class TooLongError(Exception):
    """What stands next is longer than is read."""


class NotUtf8Error(Exception):
    """What stands next has bytes that are not UTF-8; the window stands behind it."""


class Window:
    """The text of a stream from a place on.

    Attributes:
        text: what is in memory of it.
        at: the place within `text`.
        gap: the white space that the last `peek` has passed over, or the end of it.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        self._ended = False
        self.text, self.at, self.gap = "", 0, ""

    def peek(self) -> str:
        """The next character that is neither white space nor a comma; "" at the end."""
        self.gap = ""
        while True:
            begun = self.at
            found = _BETWEEN.match(self.text, begun)
            self.at = found.end() if found else begun
            self.gap = (self.gap + self.text[begun : self.at])[-LONGEST_GAP:]
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._more():
                return ""

    def value(self, longest: int) -> Any:
        """The value that begins here; the window stands behind it then.

        Raises:
            BrokenError: it is not JSON.
            TooLongError: it has more than `longest` characters.
            NotUtf8Error: it has bytes that are not UTF-8.
        """
        while True:
            try:
                value, end = _decode(self.text, self.at)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated string") or error.pos >= len(self.text) - 16
                if cut and len(self.text) - self.at > longest:
                    raise TooLongError from error
                if not cut or not self._more(len(self.text) - self.at):
                    raise BrokenError from error
            except (ValueError, RecursionError) as error:
                raise BrokenError from error
            else:
                break
        if end - self.at > longest:
            raise TooLongError
        written = self.text[self.at : end]
        self.at = end
        if not written.isascii() and _BYTES.search(written):
            raise NotUtf8Error
        return value

    def key(self) -> str:
        """The key that begins here, "" if it is a long one; the window stands behind its colon then.

        Raises:
            BrokenError: there is none.
        """
        while (found := _KEY.match(self.text, self.at)) is None and len(self.text) - self.at < CHUNK and self._more():
            pass
        if found is not None:
            self.at = found.end()
            return found[1]
        if self.text[self.at] != '"':
            raise BrokenError
        self.skip()
        if self.peek() != ":":
            raise BrokenError
        self.at += 1
        return ""

    def skip(self) -> None:
        """Pass over the value that begins here, however long it is.

        Raises:
            BrokenError: the text ends before it or within it.
        """
        if not self.peek():
            raise BrokenError
        if self.text[self.at] not in '"[{':
            self._find(_SCALAR_END, or_end=True)
            return
        if self.text[self.at] == '"':
            self._skip_string()
            return
        depth = 0
        while True:
            found = _TO_BRACKET.match(self.text, self.at)
            self.at = found.end() if found else self.at
            if self.at == len(self.text):
                if not self._more():
                    raise BrokenError
            elif self.text[self.at] == '"':  # it ends beyond what is in memory
                self._skip_string()
            else:
                depth += 1 if self.text[self.at] in "[{" else -1
                self.at += 1
                if not depth:
                    return

    def resume(self, pattern: re.Pattern[str]) -> bool:
        """Go to the end of the next match of a pattern that matches less than 4,096 characters; whether there is one."""
        self.at += 1
        while (found := pattern.search(self.text, self.at)) is None:
            self.at = max(self.at, len(self.text) - 4096)
            if not self._more():
                return False
        self.at = found.end()
        return True

    def _skip_string(self) -> None:
        self.at += 1
        while True:
            self._find(_IN_STRING)
            closes = self.text[self.at] == '"'
            self.at += 1 if closes else 2
            if closes:
                return

    def _find(self, pattern: re.Pattern[str], *, or_end: bool = False) -> None:
        """Go to the next match of one character."""
        while (found := pattern.search(self.text, self.at)) is None:
            behind = max(0, self.at - len(self.text))  # a backslash may have been the last character
            self.at = len(self.text)
            if not self._more():
                if or_end:
                    return
                raise BrokenError
            self.at += behind
        self.at = found.start()

    def _more(self, least: int = 0) -> bool:
        """Have more text in memory and forget what is behind; whether there was more."""
        if self._ended:
            return False
        data = self._stream.read(max(CHUNK, least))
        self._ended = not data
        self.text = self.text[self.at :] + self._decoder.decode(data, final=self._ended)
        self.at = 0
        return not self._ended
