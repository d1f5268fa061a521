"""What to find: fields from a task's options, from a JSON Schema or from past answers, and back to a JSON Schema."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast, get_args

from shokunin.errors import TaskError
from shokunin.fields.amounts import CURRENCY, find_amounts
from shokunin.fields.dates import find_dates
from shokunin.fields.normalise import is_missing
from shokunin.forms import Field, FieldType

TYPES: tuple[str, ...] = get_args(FieldType)
NUMERIC = ("money", "number")
"""The types whose values may be numbers."""
_MOST_ROWS = 2_000
_NUMBER = re.compile(r"-?\d{1,18}(\.\d{1,17})?(e[+-]?\d{1,2})?")
"""A number as JSON that an answer held to a schema may have; `language.json_grammar` allows no longer ones."""
_MONEY_NAMES = re.compile(
    r"(total|amount|price|cost|sum|subtotal|tax|vat|gst|fee|balance|due|paid|betrag|preis|summe|prix|montant|金額|合計|価格|税)",
    re.I,
)
_ID_NAMES = re.compile(r"(^|_)(id|no|number|nr|num|code|ref|reference|sku|iban|ean|isbn|vin)($|_)|番号|コード", re.I)


def fields_of(options: Mapping[str, Any]) -> tuple[Field, ...]:
    """The fields that a task names.

    Args:
        options: from a field's name to its type (`"text"`, `"date"`, `"money"`, `"number"`, `"id"`), or to a mapping of the
            same sort for a list of rows; or a JSON Schema of an object.

    Raises:
        TaskError: a type is unknown, a list stands in a list, or there is no field.
    """
    if not isinstance(options, Mapping) or not options:
        raise TaskError(
            'the fields are missing; name them with their types, like {"company": "text", "total": "money"}'
        )
    if isinstance(options.get("properties"), Mapping):
        return _from_json_schema(options)
    return tuple(_field(str(name), kind, "") for name, kind in options.items())


def json_schema(fields: Sequence[Field]) -> dict[str, Any]:
    """A JSON Schema of the answer: every field is there, in this order, and may be null; an amount is a text or a number."""
    return {
        "type": "object",
        "properties": {f.name: _property(f) for f in fields},
        "required": [f.name for f in fields],
        "additionalProperties": False,
    }


def conforming(fields: Sequence[Field], values: Mapping[str, Any]) -> dict[str, Any]:
    """An answer as `json_schema` allows it, and as whoever is held to it can write it; what it says stays the same.

    Every field is there, in order, null where it has no value, the rows of a list likewise. An amount that is a number stays
    one, unless it has more digits than such a number may have; what else is no text becomes one.
    """
    return {f.name: _conforming(f, values.get(f.name)) for f in fields}


def guess_fields(values: Sequence[Mapping[str, Any]]) -> tuple[Field, ...]:
    """The fields of past answers, with the types that their values have; in the order in which they first come.

    Raises:
        TaskError: no answer has a field, or a field holds what no field can.
    """
    seen: dict[str, list[Any]] = {}
    for row in values[:_MOST_ROWS]:
        for name, value in row.items():
            seen.setdefault(str(name), []).append(value)
    if not seen:
        raise TaskError(
            'the answers hold no fields; each should be a JSON object like {"company": "…", "total": "9.00"}'
        )
    return tuple(_guess(name, [v for v in found if not is_missing(v)]) for name, found in seen.items())


def _field(name: str, kind: Any, within: str) -> Field:
    if isinstance(kind, Mapping):
        if within:
            raise TaskError(
                f"the field {name!r} in the list {within!r} is a list itself; rows of a list hold plain values"
            )
        if not kind:
            raise TaskError(f"the list {name!r} has no parts; name them with their types")
        return Field(name, "list", tuple(_field(str(part), sort, name) for part, sort in kind.items()))
    if kind not in TYPES or kind == "list":
        expected = ", ".join(t for t in TYPES if t != "list")
        raise TaskError(
            f"the field {name!r} has the unknown type {kind!r}; expected one of {expected}, or the parts of a list"
        )
    return Field(name, cast(FieldType, kind))


def _from_json_schema(schema: Mapping[str, Any], within: str = "") -> tuple[Field, ...]:
    fields = []
    for name, told in schema["properties"].items():
        if not isinstance(told, Mapping):
            raise TaskError(f"the property {name!r} of the JSON Schema is {told!r}, not a schema")
        fields.append(_from_property(str(name), told, within))
    if not fields:
        raise TaskError("the JSON Schema has no properties; it should name the fields to find")
    return tuple(fields)


def _from_property(name: str, told: Mapping[str, Any], within: str) -> Field:
    kinds = told.get("type")
    if kinds is None and isinstance(told.get("anyOf"), Sequence):
        real = [t for t in told["anyOf"] if isinstance(t, Mapping) and t.get("type") != "null"]
        if {str(t.get("type")) for t in real} in ({"string", "number"}, {"string", "integer"}):
            real = [t for t in real if t["type"] != "string"]  # an amount, as `json_schema` writes it
        if len(real) == 1:
            return _from_property(name, {**told, **real[0], "anyOf": None}, within)
    kind = next((k for k in (kinds if isinstance(kinds, list) else [kinds]) if k != "null"), None)
    hinted = told.get("x-type")
    if hinted is not None:
        return _field(name, hinted, within)
    if kind == "array":
        rows = told.get("items")
        if within or not isinstance(rows, Mapping) or not isinstance(rows.get("properties"), Mapping):
            raise TaskError(
                f"the list {name!r} of the JSON Schema should hold objects with properties, and no lists in them"
            )
        return Field(name, "list", _from_json_schema(rows, name))
    if kind == "string":
        return Field(name, "date" if told.get("format") in ("date", "date-time") else _by_name(name, "text"))
    if kind in ("number", "integer"):
        return Field(name, "money" if _MONEY_NAMES.search(name) else "number")
    raise TaskError(_wrong_type(f"the property {name!r} of the JSON Schema", kinds))


def _wrong_type(what: str, kinds: Any) -> str:
    said = f"{what} has the type {kinds!r}; expected string, number, integer or array"
    return f'{said}; have true and false written as texts, like "yes" and "no"' if "boolean" in str(kinds) else said


def _by_name(name: str, otherwise: FieldType) -> FieldType:
    return "id" if _ID_NAMES.search(name) else otherwise


def _property(field: Field) -> dict[str, Any]:
    if field.type == "list":
        return {"anyOf": [{"type": "array", "items": json_schema(field.parts)}, {"type": "null"}]}
    kinds = ("string", "number", "null") if field.type in NUMERIC else ("string", "null")
    return {"anyOf": [{"type": kind} for kind in kinds]}


def _conforming(field: Field, value: Any) -> Any:
    if is_missing(value):
        return None
    if field.type == "list" and isinstance(value, list):
        return [conforming(field.parts, row) for row in value if isinstance(row, Mapping)]
    if isinstance(value, str):
        return value
    written = json.dumps(value, ensure_ascii=False)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and field.type in NUMERIC and _NUMBER.fullmatch(written) else written


def _guess(name: str, values: list[Any]) -> Field:
    if values and all(isinstance(v, list) for v in values):
        rows = [row for value in values for row in value if isinstance(row, Mapping)]
        if rows:
            parts = guess_fields(rows)
            if any(part.type == "list" for part in parts):
                raise TaskError(f"the list {name!r} has lists in its rows; rows of a list hold plain values")
            return Field(name, "list", parts)
    if any(isinstance(v, bool) for v in values):
        raise TaskError(_wrong_type(f"the field {name!r} of the answers", "boolean"))
    if any(isinstance(v, list | Mapping) for v in values):
        raise TaskError(
            f"the field {name!r} holds {type(values[0]).__name__} values; expected texts, numbers or lists of rows"
        )
    return Field(name, _type_of(name, values))


def _type_of(name: str, values: list[Any]) -> FieldType:
    texts = [str(v).strip() for v in values]
    if not texts:
        return "text"
    if all(isinstance(v, int | float) for v in values):
        return "money" if _MONEY_NAMES.search(name) else "number"
    if _share(texts, _is_date) >= 0.9:
        return "date"
    if _share(texts, _is_amount) >= 0.9:
        return _numeric(name, texts)
    if _share(texts, _is_code) >= 0.9:
        return "id"
    return "text"


def _numeric(name: str, texts: list[str]) -> FieldType:
    if _ID_NAMES.search(name) and not any(re.search(r"[.,]\d{1,2}$", text) for text in texts):
        return "id"
    priced = _share(texts, lambda t: bool(re.search(CURRENCY, t, re.I) or re.search(r"[.,]\d\d$", t)))
    if priced >= 0.5 or _MONEY_NAMES.search(name):
        return "money"
    # Long runs of digits, or leading zeros, name something: nobody adds them up.
    return (
        "id"
        if _share(texts, lambda t: len(t) >= 7 or (t[0] == "0" and t.isdigit() and len(t) > 1)) >= 0.5
        else "number"
    )


def _share(texts: list[str], test: Callable[[str], bool]) -> float:
    return sum(map(test, texts)) / len(texts)


def _is_date(text: str) -> bool:
    found = find_dates(text)
    return len(found) == 1 and found[0].end - found[0].start >= len(text) - 10


def _is_amount(text: str) -> bool:
    found = find_amounts(text)
    return len(found) == 1 and found[0].end - found[0].start >= len(text) - 1


def _is_code(text: str) -> bool:
    """One word with a digit in it, or several of mostly digits."""
    digits = sum(c.isdigit() for c in text)
    written = re.fullmatch(r"[\w./#-]+( [\w./#-]+)*", text)
    return bool(written) and len(text) <= 40 and digits > 0 and (" " not in text or digits >= len(text) / 2)
