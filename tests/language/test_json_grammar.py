"""What can be enforced becomes a grammar, what cannot is named. Whether answers obey is tested with the engine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shokunin.errors import UsageError
from shokunin.language.json_grammar import grammar


def rules(schema: Any) -> dict[str, str]:
    return dict(line.split(" ::= ", 1) for line in grammar(json.dumps(schema)).splitlines() if " ::= " in line)


def test_every_rule_that_is_used_is_there() -> None:
    node = {
        "type": "object",
        "properties": {"v": {"type": "integer"}, "next": {"$ref": "#/$defs/node"}},
        "required": ["v"],
    }
    found = rules({"$ref": "#/$defs/node", "$defs": {"node": node}})
    used = {
        word.strip("()*?")
        for body in found.values()
        for word in body.split()
        if word[0] in "rd" and word[1:2].isdigit()
    }
    assert {word.split("{")[0] for word in used} <= found.keys()
    assert found["root"] in found


def test_optional_members_may_be_left_out_and_required_ones_may_not() -> None:
    found = rules({"type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "null"}}, "required": ["b"]})
    bodies = set(found.values())
    assert any("|" in body and '\\"a\\"' in body for body in bodies)
    assert not any("|" in body and '\\"b\\"' in body and '\\"a\\"' not in body for body in bodies)


def test_names_and_values_are_spelled_as_json_has_them() -> None:
    assert '"\\"\\\\\\"é\\""' in rules({"enum": ['"é', 1, None]})["r0"]


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ("{", "is not JSON"),
        ("[]", "is list, expected a JSON Schema object"),
        ('{"type": "date"}', "has the type 'date'"),
        ('{"type": "string", "pattern": "a+"}', "'pattern' of the schema cannot be enforced"),
        ('{"type": "integer", "maximum": 7}', "the bounds None…7"),
        ('{"type": "number", "minimum": 0}', "'minimum' of the schema"),
        ('{"type": "array", "items": {"$ref": "http://x/y"}}', "only references within the schema"),
        ('{"$ref": "#/$defs/a"}', "which is not in the schema"),
        ('{"$ref": "#"}', "refers to itself"),
        ('{"type": "object", "properties": {}, "required": ["a"]}', "requires 'a'"),
        ('{"enum": []}', "is a list of values"),
        ('{"allOf": [{}, {}]}', "cannot be enforced, except with one schema"),
        ('{"type": "array", "minItems": 9, "maxItems": 2}', "minItems and maxItems"),
    ],
)
def test_what_cannot_be_enforced_is_named(schema: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        grammar(schema)
