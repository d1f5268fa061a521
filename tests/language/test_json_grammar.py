"""What can be enforced becomes a grammar, what cannot is named. Whether answers obey is tested with the engine."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin.errors import UsageError
from shokunin.language.json_grammar import BLOCK, LONGEST_TEXT, grammar


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


PLAIN, ESCAPE = r'[^"\\\x00-\x1F]', r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})'
SPELLED = {"plain": PLAIN, "escape": ESCAPE, "rest": f'{PLAIN}*(?:{ESCAPE}{PLAIN}*)*"', r'"\""': '"'}


def allows(schema: Any, text: str) -> bool:
    """Whether the grammar of a schema of one text lets these characters through."""
    found = {name: body.replace(PLAIN, "plain") for name, body in rules(schema).items()}

    @cache
    def ends(part: str, start: int) -> frozenset[int]:
        """The places up to which a part of a rule may reach from here."""
        if part in SPELLED:
            match = re.compile(SPELLED[part]).match(text, start)
            return frozenset() if match is None else frozenset({match.end()})
        reached: frozenset[int] = frozenset()
        for way in found[part].split(" | "):
            places = frozenset({start})
            for inner in way.split():
                places = frozenset(end for place in places for end in ends(inner, place))
            reached |= places
        return reached

    return len(text) in ends("root", 0)


@given(st.data())
def test_texts_of_bounded_length_have_that_length(data: st.DataObject) -> None:
    least = data.draw(st.integers(0, 3 * BLOCK))
    most = data.draw(st.none() | st.integers(least, least + 3 * BLOCK))
    edges = [least - 1, least, least + 1, BLOCK - 1, BLOCK, BLOCK + 1, *((most - 1, most, most + 1) if most else ())]
    length = data.draw(st.sampled_from([n for n in edges if n >= 0]) | st.integers(0, 8 * BLOCK))
    alphabet = data.draw(st.text('ab é"\\\n東', min_size=1))
    text = json.dumps((alphabet * length)[:length], ensure_ascii=data.draw(st.booleans()))
    schema = {"type": "string", "minLength": least, **({} if most is None else {"maxLength": most})}
    assert allows(schema, text) == (least <= length and (most is None or length <= most))


def test_texts_that_may_be_long_have_few_rules() -> None:
    ours = rules({"type": "string", "maxLength": LONGEST_TEXT})
    assert len(ours) < 4 * BLOCK
