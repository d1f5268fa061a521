"""Whether a reply fits the format asked for: as a JSON Schema validator says, or no."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shokunin.serve.json_schema import is_valid
from shokunin.serve.openai_wire import ChatRequest, parse_chat
from shokunin.serve.refusal import Refusal
from shokunin.serve.response_format import check_format, fits_response_format
from shokunin.serve.responses_wire import ResponsesRequest, parse_responses

INTENT = {
    "type": "object",
    "properties": {"intent": {"type": "string", "enum": ["refund", "parcel"]}, "note": {"type": ["string", "null"]}},
    "required": ["intent"],
    "additionalProperties": False,
}


def chat(response_format: Any) -> ChatRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "response_format": response_format}
    return parse_chat(json.dumps(body).encode(), choices=8)


def responses(wanted: Any) -> ResponsesRequest:
    return parse_responses(json.dumps({"model": "m", "input": "x", "text": {"format": wanted}}).encode())


@pytest.mark.parametrize(
    ("text", "is_object", "is_intent"),
    [
        ('{"intent": "refund"}', True, True),
        ('{"intent": "parcel", "note": null}', True, True),
        ('{"intent": "other"}', True, False),
        ('{"intent": "refund", "more": 1}', True, False),
        ('{"note": "x"}', True, False),
        ("[1]", False, False),
        ("refund", False, False),
        ('"refund"', False, False),
        ('{"intent": NaN}', False, False),
        ("", False, False),
        ("[" * 9000, False, False),
    ],
)
def test_a_reply_is_as_asked_or_not(text: str, is_object: bool, is_intent: bool) -> None:
    for request in (chat(None), chat({"type": "text"}), responses({"type": "text"})):
        assert fits_response_format(request, text)
    for request in (chat({"type": "json_object"}), responses({"type": "json_object"})):
        assert fits_response_format(request, text) is is_object
    for request in (
        chat({"type": "json_schema", "json_schema": {"name": "i", "schema": INTENT, "strict": True}}),
        responses({"type": "json_schema", "name": "i", "schema": INTENT, "strict": True}),
    ):
        assert fits_response_format(request, text) is is_intent


def test_a_reply_that_does_not_fit_is_refused() -> None:
    check_format(chat({"type": "json_object"}), "{}")
    with pytest.raises(Refusal) as caught:
        check_format(chat({"type": "json_object"}), "refund")
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "unsupported_value", "response_format")
    assert "refund" not in caught.value.message


@pytest.mark.parametrize(
    ("value", "schema", "valid"),
    [
        (1, {"enum": [True]}, False),
        (True, {"const": 1}, False),
        (1.0, {"const": 1}, True),
        ([1, {"a": True}], {"const": [1, {"a": 1}]}, False),
        (1.0, {"type": "integer"}, True),
        (True, {"type": "integer"}, False),
        (True, {"type": "number"}, False),
        ("ab", {"minLength": 3}, False),
        ("ab", {"maximum": 1}, True),
        (5, {"exclusiveMaximum": 5}, False),
        ({"a": 1}, {"additionalProperties": {"type": "string"}}, False),
        ({"a": 1}, {"maxProperties": 0}, False),
        ([1, "a"], {"items": {"type": "integer"}}, False),
        ("x", {"anyOf": [{"type": "integer"}, {"minLength": 1}]}, True),
        ("x", {"oneOf": [{"type": "string"}, {"minLength": 1}]}, False),
        ("x", {"not": {"type": "string"}}, False),
        ("x", {"$ref": "#/$defs/t", "$defs": {"t": {"type": "string"}}}, True),
        (
            {"next": {"next": None}},
            {
                "$ref": "#/$defs/n",
                "$defs": {
                    "n": {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}}
                },
            },
            True,
        ),
        ("x", {"title": "T", "description": "D", "default": "y", "format": "email"}, True),
        ("x", True, True),
        ("x", False, False),
    ],
)
def test_keywords(value: Any, schema: Any, valid: bool) -> None:
    assert is_valid(value, schema) is valid


DOUBLING = {str(i): {"allOf": [{"$ref": f"#/$defs/{i + 1}"}] * 2} for i in range(40)}
EXPLOSIVE = {"allOf": [{"$ref": "#/$defs/0"}], "$defs": {**DOUBLING, "40": {}}}


@pytest.mark.parametrize(
    "schema",
    [
        {"pattern": "^(a+)+$"},
        {"patternProperties": {}},
        {"not": {"pattern": "a"}},
        {"if": {}, "then": {}},
        {"$ref": "https://example.com/schema"},
        {"$ref": "#/$defs/none"},
        {"$ref": "#"},
        {"type": "text"},
        {"type": ["string", "text"]},
        {"minLength": "1"},
        {"enum": 5},
        {"anyOf": "x"},
        {"properties": []},
        5,
        "x",
        EXPLOSIVE,
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_no(schema: Any) -> None:
    assert is_valid({"a": "x"} if isinstance(schema, dict) and "properties" in schema else "x", schema) is False


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, "", "a", "ab"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=5,
)
kinds = st.sampled_from(["object", "array", "string", "boolean", "null", "number", "integer"])
bounds = st.dictionaries(
    st.sampled_from(["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"]),
    st.integers(0, 2),
    max_size=1,
) | st.dictionaries(
    st.sampled_from(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]), st.integers(-2, 2), max_size=1
)
schemas = st.recursive(
    st.booleans()
    | bounds
    | st.fixed_dictionaries({"type": kinds | st.lists(kinds, min_size=1, max_size=2, unique=True)})
    | st.fixed_dictionaries({"enum": st.lists(values, min_size=1, max_size=3)})
    | st.fixed_dictionaries({"const": values}),
    lambda inner: (
        st.fixed_dictionaries(
            {"properties": st.dictionaries(st.sampled_from("ab"), inner, max_size=2)},
            optional={
                "additionalProperties": inner,
                "required": st.lists(st.sampled_from("ab"), unique=True, max_size=2),
            },
        )
        | st.fixed_dictionaries({"items": inner})
        | st.fixed_dictionaries({"not": inner})
        | st.dictionaries(
            st.sampled_from(["anyOf", "allOf", "oneOf"]), st.lists(inner, min_size=1, max_size=2), min_size=1
        )
    ),
    max_leaves=6,
)


@settings(max_examples=400)
@given(values, schemas)
def test_it_agrees_with_a_validator(value: Any, schema: Any) -> None:
    validator = pytest.importorskip("jsonschema_rs")
    assert is_valid(value, schema) is validator.is_valid(schema, value)
