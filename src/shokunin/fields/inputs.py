"""A document out of two columns: its text, and where each line of it stands."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from shokunin.errors import TaskError
from shokunin.forms import Document, Line

TEXT, LAYOUT = "text", "layout"


def document_of(inputs: Mapping[str, str], *, text: str = TEXT, layout: str = LAYOUT) -> Document:
    """The document in a row.

    Args:
        inputs: the row's fields.
        text: the field with the lines, parted by line feeds.
        layout: the field with a JSON list that has one entry for each line: `[left, top, right, bottom, page]`, or null
            where the place is not known. Without it, or where it is empty, no line has a place.

    Raises:
        TaskError: there is no text, or the layout is not one, or not that of this text.
    """
    if text not in inputs:
        raise TaskError(f"the input lacks the field {text!r}, the text of the document")
    lines = inputs[text].split("\n")
    written = inputs.get(layout, "")
    if not written.strip():
        return Document(tuple(map(Line, lines)))
    try:
        places = json.loads(written)
    except (ValueError, RecursionError) as error:
        raise TaskError(f"{layout!r} is not JSON: {error}; leave it empty where no places are known") from error
    if not isinstance(places, list):
        raise TaskError(f"{layout!r} is not a list; expected one entry for each line of {text!r}")
    if len(places) != len(lines):
        raise TaskError(f"{layout!r} has {len(places)} entries where {text!r} has {len(lines)} lines; they must agree")
    return Document(
        tuple(_line(line, place, n, layout) for n, (line, place) in enumerate(zip(lines, places, strict=True)))
    )


def _line(line: str, place: Any, number: int, layout: str) -> Line:
    if place is None:
        return Line(line)
    if not isinstance(place, list) or len(place) != 5 or not all(map(_is_number, place)):
        raise TaskError(
            f"entry {number} of {layout!r} is no place; expected [left, top, right, bottom, page] in numbers, or null"
        )
    left, top, right, bottom, page = place
    if left > right or top > bottom or page < 0 or page != int(page):
        raise TaskError(
            f"entry {number} of {layout!r} is no place: left is at most right, top at most bottom, and the page 0, 1, 2 …"
        )
    return Line(line, (float(left), float(top), float(right), float(bottom)), int(page))


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and -1e9 < value < 1e9 and math.isfinite(value)
    )
