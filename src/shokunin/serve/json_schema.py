"""Whether a JSON value is valid under a caller's schema, as far as that can be told in few steps.

What cannot be told counts as not valid: keywords that are not known here, and regular expressions, which a caller could
make arbitrarily slow. The keywords known are those of OpenAI's structured outputs.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

STEPS = 20_000
"""Comparisons after which a schema is given up; schemas of applications take a few hundred."""

_NOTES = frozenset(
    {
        "title", "description", "default", "examples", "$schema", "$id", "$comment", "$defs", "definitions", "format",
        "deprecated", "readOnly", "writeOnly",
    }
)  # fmt: skip
_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
    "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    "integer": lambda v: (isinstance(v, int) and not isinstance(v, bool)) or (isinstance(v, float) and v.is_integer()),
}
_BOUNDS: Mapping[str, tuple[str, Callable[[Any], Any], Callable[[Any, Any], bool]]] = {
    "minLength": ("string", len, operator.ge),
    "maxLength": ("string", len, operator.le),
    "minItems": ("array", len, operator.ge),
    "maxItems": ("array", len, operator.le),
    "minProperties": ("object", len, operator.ge),
    "maxProperties": ("object", len, operator.le),
    "minimum": ("number", lambda v: v, operator.ge),
    "maximum": ("number", lambda v: v, operator.le),
    "exclusiveMinimum": ("number", lambda v: v, operator.gt),
    "exclusiveMaximum": ("number", lambda v: v, operator.lt),
}


def is_valid(value: Any, schema: Any) -> bool:
    """Whether a JSON value is valid under a schema; False also where that cannot be told."""
    try:
        return _Check(schema).valid(value, schema)
    except (_CannotTell, RecursionError, TypeError, AttributeError):
        return False  # the schema is not one, or it says what is not known here


class _CannotTell(Exception):  # noqa: N818 - no error: the caller is told "no"
    """The schema says something that is not known here."""


class _Check:
    """One value under one schema; knows the definitions and counts the steps."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._left = STEPS

    def valid(self, value: Any, schema: Any) -> bool:
        """Whether every keyword of the schema holds."""
        self._left -= 1
        if self._left < 0:
            raise _CannotTell
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict):
            raise _CannotTell
        return all(self._holds(name, said, value, schema) for name, said in schema.items() if name not in _NOTES)

    def _holds(self, name: str, said: Any, value: Any, schema: Mapping[str, Any]) -> bool:
        if name in _BOUNDS:
            kind, size, compare = _BOUNDS[name]
            if not _TYPES["number"](said):
                raise _CannotTell
            return not _TYPES[kind](value) or compare(size(value), said)
        if name in ("anyOf", "allOf", "oneOf", "not", "$ref"):
            return self._combined(name, said, value)
        if name in ("properties", "required", "additionalProperties"):
            return not isinstance(value, dict) or self._object(name, said, value, schema)
        match name:
            case "type":
                return any(_TYPES[kind](value) for kind in _kinds(said))
            case "enum":
                return any(_same(value, one) for one in said)
            case "const":
                return _same(value, said)
            case "items":
                return not isinstance(value, list) or all(self.valid(one, said) for one in value)
        raise _CannotTell

    def _combined(self, name: str, said: Any, value: Any) -> bool:
        match name:
            case "anyOf":
                return any(self.valid(value, one) for one in said)
            case "allOf":
                return all(self.valid(value, one) for one in said)
            case "oneOf":
                return sum(self.valid(value, one) for one in said) == 1
            case "not":
                return not self.valid(value, said)
        return self.valid(value, self._definition(said))

    def _object(self, name: str, said: Any, value: dict[str, Any], schema: Mapping[str, Any]) -> bool:
        if name == "properties":
            return all(self.valid(value[key], one) for key, one in said.items() if key in value)
        if name == "required":
            return all(key in value for key in said)
        others = [value[key] for key in value if key not in schema.get("properties", {})]
        return all(self.valid(one, said) for one in others)

    def _definition(self, reference: str) -> Any:
        """What `#`, `#/$defs/name` and the like point at."""
        found = self._root
        if reference != "#" and not reference.startswith("#/"):
            raise _CannotTell
        for part in reference.split("/")[1:]:
            if not isinstance(found, dict) or part not in found:
                raise _CannotTell
            found = found[part]
        return found


def _kinds(said: Any) -> list[str]:
    kinds = [said] if isinstance(said, str) else list(said)
    if not all(kind in _TYPES for kind in kinds):
        raise _CannotTell
    return kinds


def _same(one: Any, other: Any) -> bool:
    """Equality of JSON, where true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool(one == other)
