"""The quick look at a body: what routing needs is there, whatever else is in it, and what is wrong is a 400 by name."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin.serve.body import peek
from shokunin.serve.limits import CONTAINERS, check_nesting
from shokunin.serve.refusal import Refusal

ASK = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def sent(**fields: Any) -> bytes:
    return json.dumps({**ASK, **fields}).encode()


def test_what_is_looked_at() -> None:
    seen = peek(
        sent(
            stream=True,
            stream_options={"include_usage": True, "new": 1},
            n=3,
            max_tokens=7,
            metadata={"workload_id": "inquiries", "odd": 5},
            anything={"else": [1, 2]},
        )
    )
    assert (seen.model, seen.stream, seen.include_usage, seen.n, seen.max_tokens) == ("m", True, True, 3, 7)
    assert seen.messages == ASK["messages"]
    assert seen.metadata == {"workload_id": "inquiries"}
    assert seen.raw["anything"] == {"else": [1, 2]}


def test_what_is_not_said() -> None:
    for seen in (
        peek(b'{"model": "m"}'),
        peek(b'{"model": "m", "stream": null, "messages": null, "n": null, "metadata": null, "stream_options": null}'),
    ):
        assert (seen.stream, seen.include_usage, seen.n, seen.max_tokens, seen.tools) == (False, False, 1, None, False)
        assert (list(seen.messages), dict(seen.metadata)) == ([], {})


@pytest.mark.parametrize("name", ["max_completion_tokens", "max_output_tokens", "max_tokens"])
def test_the_bound_on_the_reply_has_three_names(name: str) -> None:
    assert peek(sent(**{name: 5})).max_tokens == 5


@pytest.mark.parametrize(
    ("fields", "offered"),
    [
        ({"tools": [{}]}, True),
        ({"tools": [{}], "tool_choice": "auto"}, True),
        ({"tools": [{}], "tool_choice": "none"}, False),
        ({"tools": []}, False),
        ({"functions": [{}]}, True),
        ({"functions": [{}], "function_call": "none"}, False),
    ],
)
def test_whether_tools_are_offered(fields: dict[str, Any], offered: bool) -> None:
    assert peek(sent(**fields)).tools is offered


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", "invalid_json", None),
        (b"{", "invalid_json", None),
        (b"\xff\xfe{", "invalid_json", None),
        (b"[" * 9000, "invalid_json", None),
        (b'{"model": "m", "x": NaN}', "invalid_json", None),
        (b'{"model": "\\ud800"}', "invalid_json", None),
        (b'{"model": "m", "user": "\\u0061", "seed": ' + b"1" * 5000 + b"}", "invalid_json", None),
        (b"[]", "invalid_value", None),
        (b"null", "invalid_value", None),
        (b"{}", "missing_required_parameter", "model"),
        (b'{"model": null}', "missing_required_parameter", "model"),
        (b'{"model": ""}', "invalid_value", "model"),
        (b'{"model": 7}', "invalid_value", "model"),
        (b'{"model": "m", "messages": "x"}', "invalid_value", "messages"),
        (b'{"model": "m", "messages": [1]}', "invalid_value", "messages[0]"),
        (b'{"model": "m", "stream": 1}', "invalid_value", "stream"),
        (b'{"model": "m", "stream": "true"}', "invalid_value", "stream"),
        (b'{"model": "m", "stream_options": []}', "invalid_value", "stream_options"),
        (b'{"model": "m", "n": true}', "invalid_value", "n"),
        (b'{"model": "m", "n": 1.5}', "invalid_value", "n"),
        (b'{"model": "m", "n": -1}', "invalid_value", "n"),
        (b'{"model": "m", "max_tokens": "5"}', "invalid_value", "max_tokens"),
        (b'{"model": "m", "metadata": [1]}', "invalid_value", "metadata"),
    ],
)
def test_what_is_wrong_is_named(body: bytes, code: str, param: str | None) -> None:
    with pytest.raises(Refusal) as caught:
        peek(body)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, code, param)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "mine", "model": "another"}',
        b'{"model": "mine", "\\u006dodel": "another"}',
        b'{"m\\u006fdel": "mine", "\\u006dodel": "another"}',
    ],
)
def test_a_model_said_twice_is_refused(body: bytes) -> None:
    """The upstream, which gets the same bytes, might read the other one."""
    with pytest.raises(Refusal, match="`model` comes twice"):
        peek(body)


def test_the_word_model_elsewhere_is_no_matter() -> None:
    body = b'{"model": "m", "metadata": {"model": "x"}, "user": "\\u0061"}'
    assert peek(body).model == "m"


def test_millions_of_empty_lists_are_not_read() -> None:
    """In a body of 8 MiB they would take a fifth of a gigabyte and stop everybody for seconds."""
    inside_a_text = json.dumps({"model": "m", "user": "[]" * CONTAINERS}).encode()
    check_nesting(b'{"model": "m", "x": [' + b"[]," * (CONTAINERS - 10) + b"[]]}", 64)
    check_nesting(inside_a_text, 64)
    with pytest.raises(Refusal) as caught:
        check_nesting(b'{"model": "m", "x": [' + b"[]," * CONTAINERS + b"[]]}", 64)
    assert (caught.value.status, caught.value.code) == (400, "too_many_values")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_400_or_have_a_model(body: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        peek(body)
    assert caught.value.status == 400


@given(
    st.sampled_from(
        ["model", "messages", "stream", "stream_options", "n", "max_tokens", "metadata", "tools", "tool_choice", "x"]
    ),
    json_values,
)
def test_any_value_of_any_field_is_taken_or_refused_by_name(field: str, value: Any) -> None:
    try:
        seen = peek(sent(**{field: value}))
    except Refusal as refusal:
        assert refusal.status == 400
        assert (refusal.param or "").startswith(field)
        assert field not in ("x", "tools", "tool_choice")
    else:
        assert seen.raw[field] == value
        assert seen.model
