"""What is written of an exchange is read back, whatever clients and upstreams put into it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from traffic_fakes import exchange

from shokunin.exchange import Exchange
from shokunin.traffic.lines import BODY_BYTES, NAME_CHARS, exchange_of, line_of, row_of, storable

ANY_TEXT = st.text(st.characters(codec=None), max_size=40)  # lone surrogates, NUL, U+2028 and all
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)
BODY = st.none() | st.dictionaries(ANY_TEXT, JSON, max_size=4)


def back(line: bytes) -> Exchange:
    assert line.endswith(b"\n") and line.count(b"\n") == 1 and line.isascii()
    return exchange_of(row_of(line[:-1]))


def through_json(body: Any) -> Any:
    """Two halves of a surrogate pair that stand together are one character after any JSON."""
    return json.loads(json.dumps(body))


@settings(deadline=None)
@given(request=BODY, response=BODY, model=ANY_TEXT, value=st.none() | ANY_TEXT, agrees=st.none() | st.booleans())
def test_any_exchange_is_read_back(
    request: dict[str, Any] | None, response: dict[str, Any] | None, model: str, value: str | None, agrees: bool | None
) -> None:
    made = exchange("a", request=request, response=response, model=model, value=value, agrees=agrees)
    assert back(line_of(made)) == replace(
        made,
        request=through_json(request),
        response=through_json(response),
        model=storable(through_json(model)),
        value=None if value is None else storable(through_json(value)),
    )


@settings(deadline=None)
@given(text=ANY_TEXT)
def test_what_is_storable_is_unicode_without_nul_and_plain_text_stays(text: str) -> None:
    assert "\0" not in storable(text)
    storable(text).encode()
    assert storable("Bestellung 職人 😀") == "Bestellung 職人 😀"


@settings(deadline=None)
@given(data=st.data())
def test_a_changed_line_is_noticed(data: st.DataObject) -> None:
    line = bytearray(line_of(exchange("a"))[:-1])
    place = data.draw(st.integers(0, len(line) - 1))
    byte = data.draw(st.integers(0, 255))
    if line[place] == byte:
        return
    line[place] = byte
    with pytest.raises(ValueError):
        row_of(bytes(line))


@settings(deadline=None)
@given(length=st.integers(0, 200))
def test_a_line_cut_short_is_noticed(length: int) -> None:
    with pytest.raises(ValueError):
        row_of(line_of(exchange("a"))[:length])


def test_without_bodies_nothing_that_was_said_is_written() -> None:
    line = line_of(exchange("geheim"), bodies=False)
    assert b"where is" not in line and b"card_arrival" in line  # the answer is a label of ours, not the reply
    assert back(line).request is None and back(line).response is None


def test_a_large_body_is_replaced_by_its_size() -> None:
    text = "ä" * (BODY_BYTES // 6)
    kept = back(line_of(exchange("a", request={"x": text[:-10]}))).request
    assert kept == {"x": text[:-10]}
    assert back(line_of(exchange("a", request={"x": text}))).request == {
        "shokunin_omitted": "too_large",
        "bytes": len(json.dumps({"x": text}, separators=(",", ":"))),
    }


def test_numbers_that_json_does_not_have_are_null() -> None:
    made = exchange("a", request={"t": math.nan, "m": [math.inf, 1]}, confidence=math.nan, seconds=math.inf)
    got = back(line_of(made))
    assert got.request == {"t": None, "m": [None, 1]} and got.confidence is None and got.seconds == 0.0


@pytest.mark.parametrize("body", [{"x": b"bytes"}, {"x": {1, 2}}, {("a", "b"): 1}])
def test_a_body_that_is_not_json_says_so(body: dict[Any, Any]) -> None:
    assert back(line_of(exchange("a", request=body))).request == {"shokunin_omitted": "not_json"}


def test_a_body_nested_without_end_says_so() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    assert back(line_of(exchange("a", request=deep))).request == {"shokunin_omitted": "not_json"}
    while deep:  # Python would free it recursively
        deep = deep.pop("a")


def test_names_are_cut_and_counts_bounded() -> None:
    got = back(line_of(exchange("a", model="m" * 10_000, prompt_tokens=10**40, completion_tokens=-(10**40))))
    assert got.model == "m" * NAME_CHARS
    assert (got.prompt_tokens, got.completion_tokens) == (10**12, -(10**12))
