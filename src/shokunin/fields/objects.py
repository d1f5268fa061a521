"""Answers as JSON objects: read strictly, out of a reply or as such, and what is wrong with the shape of a value."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from shokunin.fields.normalise import is_missing
from shokunin.forms import Field

_FENCE = re.compile(r"^```[a-zA-Z]*\s*|\s*```$")


def object_of(text: str | None) -> dict[str, Any] | None:
    """The JSON object that a text is, or None."""
    if text is None:
        return None
    try:
        found = strict_json(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def object_in(text: str) -> dict[str, Any] | None:
    """The JSON object that a large model's reply is or, between words or in a fence, holds; None: it holds none, or several."""
    found = object_of(_FENCE.sub("", text.strip()))
    start, end = text.find("{"), text.rfind("}")
    return found if found is not None or not 0 <= start < end else object_of(text[start : end + 1])


def strict_json(text: str) -> Any:
    """The JSON value that a text is.

    Raises:
        ValueError: it is none, as NaN and a number beyond all doubles are not (RFC 8259).
    """
    return json.loads(text, parse_constant=_finite, parse_float=_finite)


def wrong_shape(field: Field, value: Any) -> str | None:
    """Why a field cannot have this value, whatever it says; None where it can."""
    what = f"the field {field.name!r} of the answer"
    if is_missing(value):
        return None
    if field.type == "list":
        if not isinstance(value, list) or not all(isinstance(row, Mapping) for row in value):
            return f"{what} is no list of objects"
        names = {part.name for part in field.parts}
        if strange := sorted({str(name) for row in value for name in row} - names):
            return f"{what} has rows with {strange[0]!r}, which the task has not"
        return next((p for row in value for part in field.parts if (p := wrong_shape(part, row.get(part.name)))), None)
    if isinstance(value, bool):
        return f"{what} is {str(value).lower()}; expected a text or a number"
    return f"{what} is no single value" if isinstance(value, list | Mapping) else None


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text} is no JSON number")
    return value
