"""Values in one spelling by the type of their field: when two are the same, and where one stands in a document."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from shokunin.fields.amounts import find_amounts, plain, read_amount
from shokunin.fields.dates import Order, find_dates, read_date
from shokunin.fields.spelling import fold, key, keyed, tidy
from shokunin.forms import Field, FieldType


def canonical(value: Any, type: FieldType, *, order: Order = "dmy") -> str | None:
    """The value in the one spelling that all its spellings share.

    A date is ISO 8601 (`2018-12-25`), money and numbers are plain decimals without needless zeros (`1234.5`), an id is upper
    case without blanks and dashes, a text is one line, width-folded, without punctuation at its ends.

    Args:
        value: as somebody wrote it; a number may be a number.
        type: of the field; a `list` has no spelling.
        order: which number of a date like 03/04/2018 is the day.

    Returns:
        None where there is no value, or it is none of this type.
    """
    if is_missing(value) or type == "list":
        return None
    if type == "date":
        date = value if isinstance(value, datetime.date) else read_date(str(value), order)
        return None if date is None else date.isoformat()[:10]
    if type in ("money", "number"):
        amount = _decimal(value, money=type == "money")
        return None if amount is None else plain(amount)
    if type == "id":
        return re.sub(r"[\s-]", "", fold(str(value))).upper() or None
    return tidy(str(value)) or None


def same(field: Field, a: Any, b: Any, *, order: Order = "dmy") -> bool:
    """Whether two values of the field say the same.

    Texts are compared by letters, digits and meaningful signs, without case, blanks and other punctuation; a list row by row,
    in order, each of its parts. Nothing equals nothing only. What cannot be read as its type is compared as a text.
    """
    if is_missing(a) or is_missing(b):
        return is_missing(a) and is_missing(b)
    if field.type == "list":
        return _same_rows(field, a, b, order)
    first, second = (canonical(value, field.type, order=order) for value in (a, b))
    if field.type != "text" and first is not None and second is not None:
        return first == second
    return key(str(a)) == key(str(b)) and (key(str(a)) != "" or str(a).strip() == str(b).strip())


def find_spans(text: str, value: Any, type: FieldType, *, order: Order = "dmy") -> list[tuple[int, int]]:
    """Where a known value stands in a text, in order; line breaks, blanks and punctuation inside may differ."""
    wanted = canonical(value, type, order=order)
    if wanted is None:
        return []
    if type == "date":
        dates = find_dates(text)
        return [(d.start, d.end) for d in dates if wanted in {date.isoformat() for date in d.readings.values()}]
    if type in ("money", "number"):
        amounts = find_amounts(text, money=type == "money")
        return [(a.start, a.end) for a in amounts if plain(a.value) == wanted]
    return _find_text(text, str(value))


def is_missing(value: Any) -> bool:
    """Whether this is no value: None, an empty text, an empty list."""
    return value is None or (isinstance(value, str) and not value.strip()) or (isinstance(value, list) and not value)


def _find_text(text: str, value: str) -> list[tuple[int, int]]:
    """Places with the same key that cut no word or number in two."""
    wanted = key(value)
    hay, places = keyed(text)
    if not wanted:
        return []
    found = []
    at = hay.find(wanted)
    while at >= 0:
        last = at + len(wanted) - 1
        start, end = places[at], places[last] + 1
        # One letter may be two in upper case, and half of it is nothing.
        halved = (at > 0 and places[at - 1] == start) or (last + 1 < len(places) and places[last + 1] == end - 1)
        if not halved and is_edge(text, start) and is_edge(text, end):
            found.append((start, end))
        at = hay.find(wanted, at + 1)
    return found


def is_edge(text: str, place: int) -> bool:
    """Whether a value may begin or end at this place: it cuts no word or number in two."""
    if place <= 0 or place >= len(text):
        return True
    left, right = text[place - 1], text[place]
    # Scripts without blanks have no word edges to keep.
    if ord(left) > 0x2E80 or ord(right) > 0x2E80:
        return True
    return not (left.isalnum() and right.isalnum())


def _decimal(value: Any, *, money: bool) -> Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | Decimal):
        return Decimal(value)
    if isinstance(value, float):
        return Decimal(repr(value)) if value == value and abs(value) != float("inf") else None
    return read_amount(str(value), money=money)


def _same_rows(field: Field, a: Any, b: Any, order: Order) -> bool:
    if not isinstance(a, Sequence) or not isinstance(b, Sequence) or len(a) != len(b):
        return False
    rows = zip(a, b, strict=True)
    return all(
        isinstance(x, Mapping)
        and isinstance(y, Mapping)
        and all(same(part, x.get(part.name), y.get(part.name), order=order) for part in field.parts)
        for x, y in rows
    )
