"""Values as tools write them: tables that may be missing, numbers in text, times in five notations, JSON in text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic_core import from_json

LARGEST = 1e12
"""No count, price or duration of a call is larger; what is, is no such number."""
_NOTHING: Mapping[str, Any] = {}


def table(value: Any) -> Mapping[str, Any]:
    """The value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else _NOTHING


def first(*values: Any) -> Any:
    """The first that is neither None nor empty, or None."""
    for value in values:
        if value or value == 0:
            return value
    return None


def under(value: Mapping[str, Any], *names: str) -> Any:
    """What stands under the first of the names that has more than nothing."""
    for name in names:
        found = value.get(name)
        if found or found == 0:
            return found
    return None


def word(value: Any) -> str:
    """A name, or "" if it is none: text as it is, but for halves of surrogate pairs, and a number in digits."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode(errors="replace").decode()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 64 else ""


def number(value: Any) -> float | None:
    """A number that is not negative, written as one or as text; else None."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= LARGEST:
        return None
    return float(value)


def count(value: Any) -> int | None:
    """A whole number that is not negative, written as one or as text; else None."""
    if value is None:
        return None
    found = number(value)
    return int(found) if found is not None and found.is_integer() else None


def moment(value: Any) -> float | None:
    """Seconds since 1970 of a time in seconds, milli-, micro- or nanoseconds, or in ISO 8601; else None.

    A time without a zone is UTC. Which unit a number has, its size tells: seconds until the year 5138.
    """
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return _iso(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e20:
        return None
    found = float(value)
    return next((found * unit for unit in (1e-9, 1e-6, 1e-3) if found * unit > 1e8), found)


def lasted(start: Any, end: Any) -> float | None:
    """Seconds from one time to another, or None where one is not known or the order is wrong."""
    begun, ended = moment(start), moment(end)
    return None if begun is None or ended is None or ended < begun else ended - begun


def milliseconds(value: Any) -> float | None:
    """Seconds of a duration in milliseconds."""
    found = number(value)
    return None if found is None else found / 1000


def paid(*values: Any) -> float | None:
    """The first price that is more than nothing: tools write 0 for a model whose price they do not know."""
    return next((found for value in values if (found := number(value))), None)


def parsed(value: Any) -> Any:
    """The object or list that a text holds as JSON; every other value as it is."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return value
    try:
        return loads(value)
    except ValueError:
        return value


def loads(text: str | bytes) -> Any:
    """JSON, quickly.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
    """
    try:
        return from_json(text)  # more than twice as quick as the standard library
    except ValueError:
        try:
            return json.loads(text)  # takes halves of surrogate pairs too
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def _iso(text: str) -> float | None:
    try:
        time = datetime.fromisoformat(text.strip().removesuffix(" UTC"))
        found = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and found > 0 else None
