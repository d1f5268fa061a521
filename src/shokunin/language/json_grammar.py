"""JSON grammar: a JSON Schema as the grammar that holds a model's answer to it, token by token.

The answer is JSON on one line, its properties in the order of the schema, with at most one space after a comma or colon:
where any white space is allowed, an untuned model fills its answer with line breaks, and where numbers have any length,
with digits (they have up to 18 here). A schema that asks for what a
grammar cannot hold is refused rather than held to in part. Dialect: EBNF as XGrammar reads it (Dong et al., 2024,
arXiv:2411.15100).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from shokunin.errors import UsageError

LONGEST_LIST = 64
"""`maxItems` and `maxLength` beyond what a grammar should spell out are refused."""
LONGEST_TEXT = 4096
BLOCK = 64
"""Characters of a text are counted one by one up to here, and in blocks of so many beyond: each counted one takes the engine
about 15 ms when it first meets the schema, and in blocks some are tried anew for each token (2 ms on average)."""
WIDEST_RANGE = 1000
"""An integer between two bounds is spelled out, if there are no more than these."""

_ANNOTATIONS = frozenset(
    ("title", "description", "default", "examples", "example", "$schema", "$id", "$comment", "$defs", "definitions",
     "deprecated", "readOnly", "writeOnly", "format", "strict", "name")
)  # fmt: skip
_OF_TYPE = {
    "object": {"properties", "required", "additionalProperties", "propertyNames"},
    "array": {"items", "minItems", "maxItems"},
    "string": {"minLength", "maxLength"},
    "integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
    "number": set(),
    "boolean": set(),
    "null": set(),
}
# Which tokens a repeated class of characters allows is found once and for all; a repeated rule (`char*`, `char{3}`) is tried anew
# for every token of the vocabulary: 30 ms a token, and 270 ms where there may be a thousand. So characters are counted by rules
# one behind the other (`_text`).
_PLAIN = r'[^"\\\x00-\x1F]'
_GENERAL = r"""
value ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" (string colon value (comma string colon value)*)? "}"
array ::= "[" (value (comma value)*)? "]"
string ::= "\"" rest
rest ::= [^"\\\x00-\x1F]* (escape [^"\\\x00-\x1F]*)* "\""
escape ::= "\\" (["\\/bfnrt] | "u" [0-9a-fA-F] [0-9a-fA-F] [0-9a-fA-F] [0-9a-fA-F])
integer ::= "-"? natural
natural ::= "0" | [1-9] [0-9]{0,17}
number ::= integer ("." [0-9]{1,17})? ([eE] [+\-]? [0-9]{1,2})?
comma ::= "," " "?
colon ::= ":" " "?
"""


@lru_cache(maxsize=256)
def grammar(schema: str) -> str:
    """The grammar of the answers that a JSON Schema, given as JSON text, allows.

    Raises:
        UsageError: it is not a schema, or uses a keyword that cannot be enforced; the message names it.
    """
    try:
        found = json.loads(schema)
    except ValueError as error:
        raise UsageError(f"the schema is not JSON: {error}") from error
    writer = _Writer(found)
    root = writer.rule_for(found, "the schema")
    lines = [f"root ::= {root}", *(f"{name} ::= {body}" for name, body in writer.rules.items())]
    return "\n".join(lines) + _GENERAL


class _Writer:
    """Writes one rule for each schema within a schema."""

    def __init__(self, whole: Any) -> None:
        self.rules: dict[str, str] = {}
        self._whole = whole
        self._named: dict[str, str] = {}

    def rule_for(self, schema: Any, where: str) -> str:
        """The name of the rule for a schema, or an expression as short."""
        if schema is True or schema == {}:
            return "value"
        if not isinstance(schema, Mapping):
            raise UsageError(f"{where} is {type(schema).__name__}, expected a JSON Schema object")
        if "$ref" in schema:
            return self._referred(schema["$ref"], where)
        for key, write in self._special.items():
            if key in schema:
                _only(schema, {key, "type"}, where)
                return self._rule(lambda key=key, write=write: write(schema[key], where))  # type: ignore[misc]
        kinds = schema.get("type")
        if isinstance(kinds, list) and kinds:
            return self._rule(lambda: " | ".join(self.rule_for(_narrowed(schema, kind), where) for kind in kinds))
        if not isinstance(kinds, str) or kinds not in _OF_TYPE:
            raise UsageError(f"{where} has the type {kinds!r}; expected one of {', '.join(_OF_TYPE)}, or enum or anyOf")
        _only(schema, {"type", *_OF_TYPE[kinds]}, where)
        return self._typed(kinds, schema, where)

    @property
    def _special(self) -> dict[str, Callable[[Any, str], str]]:
        return {
            "const": lambda found, where: _literal(found),
            "enum": self._enum,
            "anyOf": self._any_of,
            "oneOf": self._any_of,
            "allOf": self._all_of,
        }

    def _rule(self, make: Callable[[], str]) -> str:
        name = f"r{len(self.rules)}"
        self.rules[name] = ""  # its place and name are taken, so that rules within it have others
        self.rules[name] = make()
        return name

    def _referred(self, to: Any, where: str) -> str:
        if not isinstance(to, str) or not to.startswith("#"):
            raise UsageError(f"{where} refers to {to!r}; only references within the schema ('#/$defs/…') are followed")
        if to not in self._named:
            found = self._whole
            for part in to.lstrip("#").strip("/").split("/") if to.strip("#/") else ():
                part = part.replace("~1", "/").replace("~0", "~")
                if not isinstance(found, Mapping) or part not in found:
                    raise UsageError(f"{where} refers to {to!r}, which is not in the schema")
                found = found[part]
            name = self._named[to] = f"d{len(self._named)}"
            self.rules[name] = ""
            self.rules[name] = self.rule_for(found, to)
            if self.rules[name] == name:
                raise UsageError(f"{to!r} refers to itself")
        return self._named[to]

    def _enum(self, values: Any, where: str) -> str:
        if not isinstance(values, list) or not values:
            raise UsageError(f"the enum of {where} is a list of values")
        return " | ".join(_literal(value) for value in values)

    def _any_of(self, schemas: Any, where: str) -> str:
        if not isinstance(schemas, list) or not schemas:
            raise UsageError(f"anyOf of {where} is a list of schemas")
        return " | ".join(self.rule_for(one, where) for one in schemas)

    def _all_of(self, schemas: Any, where: str) -> str:
        if not isinstance(schemas, list) or len(schemas) != 1:
            raise UsageError(f"allOf of {where} cannot be enforced, except with one schema; put them together")
        return self.rule_for(schemas[0], where)

    def _typed(self, kind: str, schema: Mapping[str, Any], where: str) -> str:
        if kind == "object":
            return self._object(schema, where)
        if kind == "array":
            return self._array(schema, where)
        if kind == "string":
            least, most = _bounds(schema, "minLength", "maxLength", LONGEST_TEXT, where)
            if (least, most) == (0, None):
                return "string"
            return self._rule(lambda: f'"\\"" {self._text(least, most)}')
        if kind == "integer":
            return self._integer(schema, where)
        return {"number": "number", "boolean": '("true" | "false")', "null": '"null"'}[kind]

    def _text(self, least: int, most: int | None) -> str:
        """The rule for so many more characters and the quote that ends them; texts that may go on alike share it."""
        if (least, most) == (0, None):
            return "rest"
        name = f"text{least}" if most is None else f"text{least}_{most}"
        if name not in self.rules:
            step = BLOCK if max(least, most or 0) > BLOCK else 1
            after = "" if most == 0 else self._text(max(least - step, 0), None if most is None else most - step)
            if step == BLOCK:
                ways = [f"{self._block(BLOCK)} {after}"]
                ways += [self._text(least, BLOCK - 1)] if most is not None and least < BLOCK else []
            else:
                ways = ['"\\""'] if least == 0 else []
                ways += [f"{_PLAIN} {after}", f"escape {after}"] if after else []
            self.rules[name] = " | ".join(ways)
        return name

    def _block(self, count: int) -> str:
        """The rule for exactly so many characters."""
        name = f"block{count}"
        if name not in self.rules:
            after = self._block(count - 1) if count > 1 else ""
            self.rules[name] = f"{_PLAIN} {after} | escape {after}"
        return name

    def _object(self, schema: Mapping[str, Any], where: str) -> str:
        properties, required = schema.get("properties") or {}, schema.get("required") or []
        if not isinstance(properties, Mapping) or not isinstance(required, list):
            raise UsageError(f"properties of {where} is an object, and required a list")
        if unknown := [name for name in required if name not in properties]:
            raise UsageError(f"{where} requires {unknown[0]!r}, which is none of its properties")
        more = schema.get("additionalProperties", True)
        if not properties:
            if more is False:
                return '"{}"'
            value = self.rule_for(more, f"additionalProperties of {where}")
            return self._rule(lambda: f'"{{" (string colon {value} (comma string colon {value})*)? "}}"')
        items = [
            (_literal(name) + " colon " + self.rule_for(inner, f"property {name!r}"), name in required)
            for name, inner in properties.items()
        ]
        return self._rule(lambda: f'"{{" {self._members(items)} "}}"')

    def _members(self, items: Sequence[tuple[str, bool]]) -> str:
        """The members from each place on: `first`, when none has been written yet, and `later`."""
        first, later = '""', '""'
        for text, needed in reversed(items):
            after = later
            begun, comma = f"{text} {after}", f"comma {text} {after}"
            if needed:
                first, later = self._rule(lambda t=begun: t), self._rule(lambda t=comma: t)  # type: ignore[misc]
            else:
                first = self._rule(lambda t=begun, o=first: f"{t} | {o}")  # type: ignore[misc]
                later = self._rule(lambda t=comma, o=later: f"{t} | {o}")  # type: ignore[misc]
        return first

    def _array(self, schema: Mapping[str, Any], where: str) -> str:
        least, most = _bounds(schema, "minItems", "maxItems", LONGEST_LIST, where)
        item = self.rule_for(schema.get("items", True), f"items of {where}")
        if most == 0:
            return '"[]"'
        rest = f"(comma {item}){_times(max(least - 1, 0), None if most is None else most - 1)}"
        full = f"{item} {rest}"
        return self._rule(lambda: f'"[" {full if least else f"({full})?"} "]"')

    def _integer(self, schema: Mapping[str, Any], where: str) -> str:
        low, high = schema.get("minimum"), schema.get("maximum")
        if isinstance(schema.get("exclusiveMinimum"), int):
            low = max(schema["exclusiveMinimum"] + 1, low if isinstance(low, int) else schema["exclusiveMinimum"] + 1)
        if isinstance(schema.get("exclusiveMaximum"), int):
            high = min(
                schema["exclusiveMaximum"] - 1, high if isinstance(high, int) else schema["exclusiveMaximum"] - 1
            )
        if low is None and high is None:
            return "integer"
        if low == 0 and high is None:
            return "natural"
        if low == 1 and high is None:
            return self._rule(lambda: "[1-9] [0-9]{0,17}")
        if isinstance(low, int) and isinstance(high, int) and 0 <= high - low < WIDEST_RANGE:
            return self._rule(lambda: " | ".join(f'"{n}"' for n in range(low, high + 1)))
        raise UsageError(
            f"the bounds {low}…{high} of {where} cannot be enforced; expected a minimum of 0 or 1, or both bounds less "
            f"than {WIDEST_RANGE} apart"
        )


def _only(schema: Mapping[str, Any], known: set[str], where: str) -> None:
    odd = sorted(set(schema) - known - _ANNOTATIONS)
    if odd:
        raise UsageError(f"{odd[0]!r} of {where} cannot be enforced while an answer is written; leave it out")


def _narrowed(schema: Mapping[str, Any], kind: Any) -> dict[str, Any]:
    """The schema for one of its types, with the keywords that speak of that type."""
    if not isinstance(kind, str) or kind not in _OF_TYPE:
        raise UsageError(f"{kind!r} is no type of JSON Schema; expected {', '.join(_OF_TYPE)}")
    every = set().union(*_OF_TYPE.values())
    return {
        "type": kind,
        **{k: v for k, v in schema.items() if k != "type" and (k in _OF_TYPE[kind] or k not in every)},
    }


def _bounds(schema: Mapping[str, Any], low: str, high: str, longest: int, where: str) -> tuple[int, int | None]:
    least, most = schema.get(low, 0), schema.get(high)
    good = isinstance(least, int) and 0 <= least <= longest and (most is None or isinstance(most, int))
    if not good or (most is not None and not least <= most <= longest):
        raise UsageError(f"{low} and {high} of {where} are whole numbers up to {longest}, not {least!r} and {most!r}")
    return least, most


def _times(least: int, most: int | None) -> str:
    if most is None:
        return "*" if least == 0 else f"{{{least},}}"
    return f"{{{least},{most}}}"


def _literal(value: Any) -> str:
    """A JSON value as a text of the grammar."""
    text = json.dumps(value, ensure_ascii=False)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'
