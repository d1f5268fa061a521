"""A wrongly read document, field by field: what it should have found, what it found, and the words around the place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from shokunin.report import Case

AROUND = 24
"""Characters shown on either side of what was found."""


def wrong_fields(case: Case) -> list[dict[str, Any]]:
    """The fields whose value is not the expected one, letter for letter; none where the answer is no document's fields.

    Returns:
        for each `name`, `expected`, `value`, `confidence`, and `before`, `span`, `after` of the text where it was found, or
        `nowhere` in words.
    """
    fields = case.details.get("fields")
    try:
        expected = json.loads(case.expected)
    except ValueError:
        return []
    if not isinstance(fields, Mapping) or not isinstance(expected, Mapping):
        return []
    text = next(iter(case.inputs.values()), "")
    return [
        _told(name, expected.get(name), found, text)
        for name, found in fields.items()
        if found.get("value") != expected.get(name)
    ]


def _told(name: str, expected: Any, found: Mapping[str, Any], text: str) -> dict[str, Any]:
    value, span = found.get("value"), found.get("span")
    told = {"name": name, "expected": _shown(expected), "value": _shown(value), "confidence": found.get("confidence")}
    if not span:
        return {**told, "span": "", "nowhere": "–" if value is None else "not letter for letter in the document"}
    start, end = span
    before, after = text[max(0, start - AROUND) : start], text[end : end + AROUND]
    return {**told, "before": before, "span": text[start:end], "after": after}


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
