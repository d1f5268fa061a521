"""Recorded calls: every shape gives the same call, what is none is set aside with a reason, and nothing raises."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import logged
from logged import COST, ID, ISO_START, MODEL, READ, SECONDS, START, WRITERS, WRITTEN, chat, completion
from shokunin.recorded import call_of, records_in
from shokunin.recorded.call import Call
from shokunin.recorded.record import (
    ERROR,
    MEDIA,
    NO_MESSAGES,
    NO_MODEL_CALL,
    NO_REPLY,
    NOT_ASKED,
    NOT_KEPT,
    REFUSED,
    SEVERAL,
    SURROGATE,
    UNKNOWN,
    UNREADABLE,
)

SYSTEM, USER, REPLY = "You sort messages of our shop.", "Where is my parcel?", "delivery"
KNOWN: dict[str, dict[str, Any]] = {
    "gateway": {"id": ID, "client": "shop", "workload": "inquiries", "cost": COST, "seconds": SECONDS},
    "gateway_responses": {"id": "resp_1"},
    "gateway_anthropic": {"id": "msg_1"},
    "gateway_streamed": {"id": ID, "prompt_tokens": READ},
    "fine_tuning": {"id": "f:1", "model": "", "timestamp": None, "prompt_tokens": None, "completion_tokens": None},
    "prompt_completion": {
        "id": "f:1",
        "model": "",
        "timestamp": None,
        "prompt_tokens": None,
        "completion_tokens": None,
    },
    "openpipe": {"id": ID, "workload": "inquiries", "timestamp": int(START)},
    "openpipe_log": {"id": ID, "workload": "inquiries", "seconds": SECONDS},
    "langfuse": {"id": "obs-1", "workload": "inquiries", "seconds": SECONDS, "cost": COST},
    "langfuse_stored": {"id": "obs-1", "workload": "inquiries", "seconds": SECONDS, "cost": COST, "client": "shop"},
    "otel_structured": {"id": ID, "seconds": SECONDS},
    "otel_events": {"id": ID, "seconds": SECONDS},
    "otel_details": {"id": ID, "seconds": SECONDS},
    "otlp": {"id": ID, "seconds": SECONDS},
    "otlp_typed": {"id": "00f067aa0ba902b7", "seconds": SECONDS, "prompt_tokens": None, "completion_tokens": None},
    "litellm": {"id": ID, "seconds": SECONDS, "cost": COST, "client": "shop"},
    "litellm_spend": {"id": ID, "seconds": SECONDS, "cost": COST, "client": "shop"},
    "helicone": {"id": ID, "seconds": SECONDS, "cost": COST, "client": "shop", "workload": "inquiries"},
    "helicone_nested": {"id": ID, "seconds": SECONDS, "cost": COST, "client": "shop"},
    "langsmith": {"id": "run-1", "seconds": SECONDS, "cost": COST},
}


def asked_and_answered(call: Call | str) -> tuple[Any, Any]:
    assert isinstance(call, Call), call
    return call.messages, call.reply


@pytest.mark.parametrize("shape", WRITERS)
def test_every_shape_gives_the_call_with_all_that_it_knows(shape: str) -> None:
    value = json.loads(json.dumps(WRITERS[shape](SYSTEM, USER, REPLY)))
    expected = {"model": MODEL, "timestamp": START, "prompt_tokens": READ, "completion_tokens": WRITTEN}
    messages = (("system", SYSTEM), ("user", USER))
    call = call_of(value, "f:1")
    assert isinstance(call, Call), call
    known = {**expected, **KNOWN[shape]}
    seconds = known.pop("seconds", None)
    assert call.seconds == (None if seconds is None else pytest.approx(seconds))
    assert call == Call(messages=messages, reply=REPLY, **known, seconds=call.seconds)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60).filter(
    lambda text: text != "redacted-by-litellm"  # which LiteLLM writes in place of a text
)


@pytest.mark.parametrize("shape", WRITERS)
@given(system=TEXT, user=TEXT, reply=TEXT)
@settings(max_examples=60, deadline=None)
def test_texts_come_back_as_they_were(shape: str, system: str, user: str, reply: str) -> None:
    value = json.loads(json.dumps(WRITERS[shape](system, user, reply)))
    assert asked_and_answered(call_of(value, "f:1")) == ((("system", system), ("user", user)), reply)


@pytest.mark.parametrize("shape", WRITERS)
def test_a_reply_that_is_json_stays_the_text_it_was(shape: str) -> None:
    for reply in ('{"intent": "refund", "sure": true}', '[{"name": "Ada"}]', '{"output": "x", "role": "y"}'):
        call = call_of(WRITERS[shape](SYSTEM, USER, reply), "f:1")
        assert asked_and_answered(call)[1] == reply


@pytest.mark.parametrize("output", [{"intent": "refund", "sure": True}, [{"name": "Ada"}, {"name": "Bo"}]])
def test_a_reply_that_the_tracer_parsed_is_json_again(output: Any) -> None:
    call = call_of({**logged.langfuse(SYSTEM, USER, ""), "output": output}, "f:1")
    assert json.loads(asked_and_answered(call)[1]) == output


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def mistyped(draw: st.DrawFn) -> Any:
    """One of our records with a few of its values replaced by anything, or left out."""
    value = draw(st.sampled_from(list(WRITERS.values())))(SYSTEM, USER, REPLY)
    value = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(1, 4))):
        at: Any = value
        while True:
            inner = list(at.items()) if isinstance(at, dict) else list(enumerate(at))
            if not inner:
                break
            key, below = draw(st.sampled_from(inner))
            if isinstance(below, (dict, list)) and below and draw(st.integers(0, 3)):
                at = below
                continue
            if draw(st.booleans()):
                at[key] = draw(JSON)
            elif isinstance(at, dict):
                del at[key]
            break
    return value


@given(mistyped())
@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nothing_raises_whatever_stands_in_a_record(value: dict[str, Any]) -> None:
    for one in records_in(value):
        call = call_of(one, "f:1")
        if isinstance(call, Call):
            assert call.messages and all(isinstance(t, str) and isinstance(r, str) for r, t in call.messages)
            assert call.reply is None or call.reply
            assert isinstance(call.id, str) and call.id and isinstance(call.model, str)
            assert call.timestamp is None or call.timestamp > 0
            json.dumps([call.timestamp, call.cost, call.seconds], allow_nan=False)
        else:
            assert call and "parcel" not in call


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=4))
@settings(max_examples=300, deadline=None)
def test_nothing_raises_on_any_object(value: dict[str, Any]) -> None:
    assert [call_of(one, "f:1") for one in records_in(value)]


def test_nothing_raises_on_a_value_nested_a_thousand_times() -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = {"arrayValue": {"values": [deep]}}
    for shape in WRITERS.values():
        value = shape(SYSTEM, USER, REPLY)
        for name in value:
            call_of({**value, name: deep}, "f:1")
    spans = {**logged.otlp(SYSTEM, USER, REPLY), "attributes": [{"key": "gen_ai.input.messages", "value": deep}]}
    assert isinstance(call_of(spans, "f:1"), str)


def test_containers_are_unpacked() -> None:
    spans = [logged.otlp(SYSTEM, f"{i}", REPLY) for i in range(3)]
    assert list(records_in(logged.resource_spans(*spans))) == spans
    observations = [logged.langfuse(SYSTEM, f"{i}", REPLY) for i in range(3)]
    assert list(records_in({"data": observations, "meta": {"page": 1}})) == observations
    assert list(records_in({"data": [], "meta": {}})) == [{"data": [], "meta": {}}]
    assert list(records_in({"data": [1, "x"]})) == [{"data": [1, "x"]}]
    trace = {"id": "t", "input": [{"role": "user", "content": USER}], "output": REPLY, "observations": observations}
    assert list(records_in(trace)) == observations
    for one in (logged.gateway(SYSTEM, USER, REPLY), {**logged.gateway(SYSTEM, USER, REPLY), "items": [{"price": 3}]}):
        assert list(records_in(one)) == [one]


# -- why there is none -----------------------------------------------------------------------------------------------

GATEWAY, LANGFUSE, LITELLM = (logged.WRITERS[name](SYSTEM, USER, REPLY) for name in ("gateway", "langfuse", "litellm"))
HELICONE, OTLP, SMITH = (logged.WRITERS[name](SYSTEM, USER, REPLY) for name in ("helicone", "otlp", "langsmith"))
PIPE, PIPE_LOG = (logged.WRITERS[name](SYSTEM, USER, REPLY) for name in ("openpipe", "openpipe_log"))
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
SEEN = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, PICTURE]}]
EMBEDDED = {"object": "list", "data": [{"object": "embedding", "embedding": [0.1]}], "model": "m"}

REASONS: list[tuple[dict[str, Any], str]] = [
    ({**GATEWAY, "response": {"error": {"message": "busy"}}}, ERROR),
    ({**GATEWAY, "status": 503, "response": None}, ERROR),
    ({**GATEWAY, "response": None}, NO_REPLY),
    ({**GATEWAY, "response": completion("")}, NO_REPLY),
    ({**GATEWAY, "response": completion(None, refusal="I cannot.")}, REFUSED),
    ({**GATEWAY, "response": {"choices": []}}, NO_REPLY),
    ({**GATEWAY, "response": {"unheard": "of"}}, UNREADABLE),
    ({**GATEWAY, "request": None, "response": None}, NOT_KEPT),
    ({**GATEWAY, "request": {"shokunin_omitted": "too_large"}}, NOT_KEPT),
    ({**GATEWAY, "route": "audit"}, NOT_ASKED),
    ({**GATEWAY, "route": "feedback", "response": None}, NOT_ASKED),
    ({**GATEWAY, "request": {**chat("", ""), "messages": []}}, NO_MESSAGES),
    ({**GATEWAY, "request": {"text": "hello"}}, NO_MESSAGES),
    ({**GATEWAY, "request": {**chat("", ""), "messages": SEEN}}, MEDIA),
    ({**GATEWAY, "request": {"input": "hello", "encoding_format": "float"}, "response": EMBEDDED}, NO_MODEL_CALL),
    ({**GATEWAY, "request": {"model": "m", "input": "hello"}, "response": EMBEDDED}, NO_MODEL_CALL),
    ({**GATEWAY, "request": {"prompt": ["a", "b"]}, "response": {"choices": [{"text": "c"}]}}, SEVERAL),
    ({**GATEWAY, "response": completion("\ud83d")}, SURROGATE),
    ({**GATEWAY, "request": chat("", "\ud83d")}, SURROGATE),
    ({"messages": [{"role": "user", "content": "hello"}]}, NO_REPLY),
    ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}]}, NO_REPLY),
    ({"messages": [{"role": "assistant", "content": "b"}]}, NO_MESSAGES),
    ({"messages": []}, NO_MESSAGES),
    ({**PIPE, "output": {"error": {"message": "busy"}}}, ERROR),
    ({**PIPE_LOG, "statusCode": 429, "respPayload": None}, ERROR),
    ({**PIPE_LOG, "respPayload": None}, NO_REPLY),
    ({**LANGFUSE, "type": "SPAN"}, NO_MODEL_CALL),
    ({**LANGFUSE, "level": "ERROR", "output": None}, ERROR),
    ({**LANGFUSE, "input": None, "output": None}, NOT_KEPT),
    ({**LANGFUSE, "output": None}, NO_REPLY),
    ({**LANGFUSE, "input": {"question": "hello"}}, NO_MESSAGES),
    ({**OTLP, "status": {"code": 2}}, ERROR),
    ({**OTLP, "attributes": [{"key": "gen_ai.operation.name", "value": {"stringValue": "embeddings"}}]}, NO_MODEL_CALL),
    ({**OTLP, "attributes": [{"key": "http.method", "value": {"stringValue": "GET"}}]}, NO_MODEL_CALL),
    ({**OTLP, "attributes": [{"key": "gen_ai.request.model", "value": {"stringValue": "m"}}]}, NOT_KEPT),
    ({**LITELLM, "call_type": "aembedding"}, NO_MODEL_CALL),
    ({**LITELLM, "status": "failure", "response": {}}, ERROR),
    ({**LITELLM, "messages": {}, "response": {}}, NOT_KEPT),
    ({**LITELLM, "messages": [{"role": "user", "content": "redacted-by-litellm"}]}, NOT_KEPT),
    ({**HELICONE, "response_status": 500, "response_body": {"error": "x"}}, ERROR),
    ({**HELICONE, "response_body": ""}, NOT_KEPT),
    ({**HELICONE, "request_path": "https://api.openai.com/v1/embeddings"}, NO_MODEL_CALL),
    ({**SMITH, "run_type": "chain"}, NO_MODEL_CALL),
    ({**SMITH, "error": "RateLimitError()", "outputs": None}, ERROR),
    ({"text": "hello", "label": "greeting"}, UNKNOWN),
    ({"instruction": "Say hello", "input": "to me", "output": "hello"}, UNKNOWN),
    ({"input": {"age": 3}, "output": {"price": 4}}, UNKNOWN),
    ({}, UNKNOWN),
]


@pytest.mark.parametrize(("value", "reason"), REASONS, ids=lambda v: v if isinstance(v, str) else "")
def test_what_is_no_call_has_a_reason(value: dict[str, Any], reason: str) -> None:
    assert call_of(value, "f:1") == reason


# -- what is told apart ----------------------------------------------------------------------------------------------


def test_a_tool_called_instead_of_an_answer_is_a_call_without_reply() -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]
    item = {"type": "function_call", "name": "weather", "arguments": "{}"}
    part = {"type": "tool_call", "name": "weather", "arguments": {}}
    answer = {"role": "assistant", "parts": [part]}
    for value in (
        {**GATEWAY, "response": completion(None, tool_calls=calls)},
        {**GATEWAY, "response": completion("", function_call={"name": "weather", "arguments": "{}"})},
        {**GATEWAY, "response": {"id": "r", "output": [item]}},
        {**GATEWAY, "response": {"role": "assistant", "content": [{"type": "tool_use", "name": "w", "input": {}}]}},
        {**GATEWAY, "response": [{"choices": [{"index": 0, "delta": {"tool_calls": calls}}]}]},
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": calls}]},
        {**LANGFUSE, "output": {"role": "assistant", "content": None, "tool_calls": calls}},
        logged.span(
            {"gen_ai.input.messages": [{"role": "user", "content": "a"}], "gen_ai.output.messages": [answer]}, []
        ),
    ):
        assert asked_and_answered(call_of(value, "f:1"))[1] is None


def test_what_tools_said_before_is_part_of_the_messages() -> None:
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Weather"}, {"type": "text", "text": "in Kyoto?"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        {"role": "tool", "tool_call_id": "1", "content": "rain"},
    ]
    texts, _ = asked_and_answered(call_of({**GATEWAY, "request": {"messages": messages}}, "f:1"))
    assert texts == (("system", "Be brief."), ("user", "Weather\nin Kyoto?"), ("assistant", ""), ("tool", "rain"))


def test_the_reply_of_a_fine_tuning_line_is_its_last_answer_that_counts() -> None:
    first, second = {"role": "assistant", "content": "one"}, {"role": "assistant", "content": "two"}
    asked = [{"role": "user", "content": "a"}, {**first, "weight": 0}, {"role": "user", "content": "b"}]
    texts, reply = asked_and_answered(call_of({"messages": [*asked, second]}, "f:1"))
    assert reply == "two" and texts == (("user", "a"), ("assistant", "one"), ("user", "b"))


@pytest.mark.parametrize("route", ["local", "fallback", "passed", "escalated"])
def test_answers_of_specialists_are_marked(route: str) -> None:
    call = call_of({**GATEWAY, "route": route}, "f:1")
    assert isinstance(call, Call) and call.local is (route in ("local", "fallback"))


def test_bodies_of_the_other_endpoints() -> None:
    completions = {"request": {"model": MODEL, "prompt": "Once"}, "response": {"choices": [{"text": " upon"}]}}
    assert asked_and_answered(call_of(completions, "f:1")) == ((("user", "Once"),), " upon")
    response = {"output_text": "Hello."}
    assert asked_and_answered(call_of({"request": {"input": "Hi"}, "response": response}, "f:1")) == (
        (("user", "Hi"),),
        "Hello.",
    )
    last = {"type": "response.completed", "response": {"output": [{"role": "assistant", "content": "Hello."}]}}
    events = [{"type": "response.created", "response": {"output": []}}, {"type": "response.output_text.delta"}, last]
    assert asked_and_answered(call_of({"request": {"input": "Hi"}, "response": events}, "f:1"))[1] == "Hello."
    plain = {"messages": [{"role": "user", "content": "Hi"}], "response": "Hello."}
    assert asked_and_answered(call_of(plain, "f:1"))[1] == "Hello."


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (START, START),
        (START * 1000, START),
        (START * 1e6, START),
        (str(int(START * 1000)), START),
        (ISO_START, START),
        ("2024-05-29 16:26:40.250", START),
        ("2024-05-29T18:26:40.25+02:00", START),
        ("2024-05-29 16:26:40.25 UTC", START),
        (-1, None),
        (True, None),
        ("yesterday", None),
        (float("nan"), None),
        (10**400, None),
    ],
)
def test_times_in_every_notation(written: Any, seconds: float | None) -> None:
    call = call_of({**GATEWAY, "timestamp": written}, "f:1")
    assert isinstance(call, Call)
    assert call.timestamp == (None if seconds is None else pytest.approx(seconds, abs=0.3))


def test_a_price_of_nothing_is_a_price_that_is_not_known() -> None:
    for value in (
        {**LITELLM, "response_cost": 0.0},
        {**HELICONE, "cost": 0},
        {**LANGFUSE, "costDetails": {"total": 0}},
    ):
        call = call_of(value, "f:1")
        assert isinstance(call, Call) and call.cost is None
    cached = call_of({**LITELLM, "response_cost": 0.0, "cache_hit": True}, "f:1")
    assert isinstance(cached, Call) and cached.cost == 0


def test_numbers_that_are_none_are_not_taken() -> None:
    for wrong in (-1, True, "many", float("inf"), 10**30, [], {}):
        call = call_of({**LITELLM, "prompt_tokens": wrong, "response_cost": wrong, "endTime": wrong}, "f:1")
        assert isinstance(call, Call) and (call.prompt_tokens, call.cost, call.seconds) == (None, None, None)
