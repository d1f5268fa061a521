"""Records that stand one on a line, split on line feed only; an oversized line is passed over without being held."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from shokunin.recorded.values import loads

LONGEST = 8 << 20
"""Bytes of one record; a longer one is no call that a small model could learn from."""
TOO_LONG = f"a record of more than {LONGEST >> 20} MB"
NOT_JSON = "not JSON"
NOT_AN_OBJECT = "JSON, but not an object"
NOT_UTF8 = "bytes that are not UTF-8"

Found = tuple[int, Any]
"""The number of a record in its file, and the JSON object; or the reason, a text, why there is none."""


def lines(stream: IO[bytes]) -> Iterator[Found]:
    """(line number, object or reason) for every line that is not blank."""
    number = 0
    while line := stream.readline(LONGEST):
        number += 1
        if len(line) == LONGEST and line[-1] != 10:
            while line and line[-1] != 10:
                line = stream.readline(1 << 16)
            yield number, TOO_LONG
        elif not line.isspace():
            yield number, object_in(line)


def object_in(line: bytes) -> Any:
    """The JSON object in these bytes, or why there is none."""
    try:
        value = loads(line)
    except ValueError:
        return _why(line)
    return value if isinstance(value, dict) else NOT_AN_OBJECT


def _why(line: bytes) -> str:
    try:
        line.decode()
    except UnicodeDecodeError:
        return NOT_UTF8
    return NOT_JSON
