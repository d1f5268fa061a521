from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin.errors import TaskError
from shokunin.fields.schema import fields_of, guess_fields, json_schema
from shokunin.forms import Field

LINES = Field("lines", "list", (Field("description"), Field("amount", "money")))


def test_fields_are_named_with_their_types() -> None:
    told = {"company": "text", "total": "money", "lines": {"description": "text", "amount": "money"}}
    assert fields_of(told) == (Field("company"), Field("total", "money"), LINES)


def test_a_json_schema_names_fields_too() -> None:
    schema = {
        "type": "object",
        "properties": {
            "issued": {"type": "string", "format": "date"},
            "invoice_number": {"type": ["string", "null"]},
            "total": {"anyOf": [{"type": "number"}, {"type": "null"}]},
            "weight": {"type": "number"},
            "note": {"type": "string"},
            "lines": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"description": {"type": "string"}, "amount": {"type": "number"}},
                },
            },
        },
    }
    assert fields_of(schema) == (
        Field("issued", "date"),
        Field("invoice_number", "id"),
        Field("total", "money"),
        Field("weight", "number"),
        Field("note"),
        LINES,
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "missing"),
        ({"total": "cash"}, "'cash'"),
        ({"lines": "list"}, "parts of a list"),
        ({"lines": {"inner": {"a": "text"}}}, "'inner'"),
        ({"lines": {}}, "no parts"),
        ({"properties": {"a": {"type": "boolean"}}}, "boolean"),
        ({"properties": {"a": {"type": "array", "items": {"type": "string"}}}}, "'a'"),
        ({"properties": {}}, "no properties"),
        ({"properties": {"a": 3}}, "'a'"),
    ],
)
def test_what_makes_no_sense_is_said(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(TaskError, match=said):
        fields_of(wrong)


def test_every_field_of_the_schema_is_there_and_may_be_null() -> None:
    schema = json_schema((Field("company"), LINES))
    assert schema["required"] == ["company", "lines"] and schema["additionalProperties"] is False
    assert {"type": "null"} in schema["properties"]["company"]["anyOf"]
    rows = schema["properties"]["lines"]["anyOf"][0]["items"]
    assert list(rows["properties"]) == ["description", "amount"]


def test_types_are_guessed_from_past_answers() -> None:
    rows = [
        {
            "company": f"Shop {n}",
            "date": f"{n:02}/03/2018",
            "total": f"RM {n}.50",
            "invoice": f"INV-{n}",
            "count": n,
            "phone": f"060{n}1234",
        }
        for n in range(1, 9)
    ]
    rows[0]["total"] = None  # type: ignore[assignment]
    guessed = {f.name: f.type for f in guess_fields(rows)}
    assert guessed == {
        "company": "text",
        "date": "date",
        "total": "money",
        "invoice": "id",
        "count": "number",
        "phone": "id",
    }
    assert guess_fields([{"lines": [{"description": "nut", "amount": "1.00"}]}, {"lines": []}]) == (LINES,)


@pytest.mark.parametrize("rows", [[], [{}], [{"a": {"b": 1}}], [{"a": ["x"]}], [{"a": [{"b": [{"c": 1}]}]}]])
def test_answers_that_are_no_fields_are_refused(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(TaskError):
        guess_fields(rows)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
ANY = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=6) | st.just("properties"), ANY, max_size=4))
def test_any_options_make_fields_or_a_clear_error(told: dict[str, Any]) -> None:
    try:
        fields = fields_of(told)
    except TaskError:
        return
    assert fields and json_schema(fields)["type"] == "object"


@given(st.lists(st.dictionaries(st.text(max_size=6), ANY, max_size=4), max_size=4))
def test_any_answers_make_fields_or_a_clear_error(rows: list[dict[str, Any]]) -> None:
    try:
        fields = guess_fields(rows)
    except TaskError:
        return
    assert {f.name for f in fields} == {name for row in rows for name in row}


def test_fields_are_read_back_from_the_schema_that_is_made_of_them() -> None:
    fields = fields_of({"total": "money", "count": "number", "who": "text", "rows": {"price": "money", "what": "text"}})
    assert fields_of(json_schema(fields)) == fields
