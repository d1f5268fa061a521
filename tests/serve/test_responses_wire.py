"""`/v1/responses` without a server: what is read as a chat, what is refused, and the typed reply and events."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from serve_fakes import lengths

from shokunin.answer import Answer
from shokunin.serve.refusal import Refusal
from shokunin.serve.responses_reply import response, response_stream
from shokunin.serve.responses_wire import (
    IGNORED,
    LOGPROBS,
    REFUSED,
    ResponsesRequest,
    messages_of,
    parse_responses,
)

SERVED = lengths()["lengths@2"]
ODD = Answer("odd", 0.75, "lengths@2", scores={"odd": 0.75, "even": 0.25})
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def ask(**fields: Any) -> ResponsesRequest:
    return parse_responses(json.dumps({"model": "m", "input": "hello", **fields}).encode())


def reply(request: ResponsesRequest, text: str = "odd") -> dict[str, Any]:
    body: dict[str, Any] = json.loads(response(request, SERVED, ODD, text, request_id="1", created=5))
    return body


def test_every_field_of_the_official_client_is_known() -> None:
    from openai.types.responses.response_create_params import ResponseCreateParamsBase

    known = set(ResponsesRequest.model_fields)
    assert set(ResponseCreateParamsBase.__annotations__) | {"stream"} == known
    honoured = {
        "model", "input", "instructions", "text", "stream", "include", "top_logprobs", "max_output_tokens",
        "tool_choice",
    }  # fmt: skip
    assert honoured | set(IGNORED) | set(REFUSED) == known
    assert not set(IGNORED) & set(REFUSED)


def test_null_means_not_said() -> None:
    nothing = dict.fromkeys(name for name in ResponsesRequest.model_fields if name not in ("model", "input"))
    assert ask(**nothing) == ask()


def test_it_is_read_as_a_chat() -> None:
    assert messages_of(ask()) == [{"role": "user", "content": "hello"}]
    said = [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]
    answered = [{"type": "output_text", "text": "odd", "annotations": []}]
    items = [
        {"role": "developer", "content": "Be brief."},
        {"type": "message", "role": "user", "content": said},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed", "content": answered},
        {"role": "user", "content": "c"},
    ]
    request = ask(input=items, instructions="Say even or odd.")
    assert messages_of(request) == [
        {"role": "system", "content": "Say even or odd."},
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "odd"}]},
        {"role": "user", "content": "c"},
    ]
    assert request.characters() == len("Say even or odd.Be brief.aboddc")
    assert request.chat() == messages_of(request)


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id", "unsupported_value"),
        ({"conversation": "conv_1"}, "conversation", "unsupported_value"),
        ({"conversation": {"id": "conv_1"}}, "conversation", "unsupported_value"),
        ({"background": True}, "background", "unsupported_value"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt", "unsupported_value"),
        ({"moderation": {"model": "x"}}, "moderation", "unsupported_value"),
        ({"tool_choice": "required"}, "tool_choice", "unsupported_value"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "tool_choice", "unsupported_value"),
        ({"tool_choice": {"type": "allowed_tools", "mode": "required", "tools": []}}, "tool_choice", "unsupported_value"),
        ({"text": {"format": {"type": "yaml"}}}, "text.format.type", "invalid_value"),
        ({"top_logprobs": 21}, "top_logprobs", "invalid_value"),
        ({"stream_options": {"include_obfuscation": False}}, "stream_options", "invalid_value"),
        ({"input": []}, "input", "invalid_value"),
        ({"input": 5}, "input", "invalid_value"),
        ({"input": [{"type": "reasoning"}]}, "input", "invalid_value"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].type", "unsupported_value"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role", "invalid_value"),
        ({"input": [{"content": "x"}]}, "input[0].role", "missing_required_parameter"),
        ({"input": [{"role": "user"}]}, "input[0].content", "missing_required_parameter"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content", "unsupported_value"),
        ({"messages": []}, "messages", "unknown_parameter"),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_refused(fields: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(Refusal) as caught:
        ask(**fields)
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, param, code)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tools", b'[{"a": 1e999}]'),
        ("tool_choice", b'{"mode": "auto", "a": [1e999]}'),
        ("text", b'{"format": {"type": "json_schema", "name": "n", "schema": {"maximum": 1e999}}}'),
    ],
)
def test_numbers_that_could_not_be_said_back_are_refused(field: str, value: bytes) -> None:
    with pytest.raises(Refusal, match="number that is too large") as caught:
        parse_responses(b'{"model": "m", "input": "x", "' + field.encode() + b'": ' + value + b"}")
    assert (caught.value.status, caught.value.param) == (400, field)


@pytest.mark.parametrize("fields", [{"background": False}, {"store": True}, {"tools": [{"type": "web_search"}]}])
def test_what_asks_for_nothing_is_accepted(fields: dict[str, Any]) -> None:
    assert messages_of(ask(**fields)) == [{"role": "user", "content": "hello"}]


def test_the_reply_is_one_message_with_one_text() -> None:
    body = reply(ask(store=True, metadata={"team": "a"}))
    parsed = Response.model_validate(body)
    assert (parsed.id, parsed.object, parsed.status, parsed.model) == ("resp_1", "response", "completed", "m")
    assert parsed.output_text == "odd"
    assert [item.type for item in parsed.output] == ["message"]
    assert parsed.usage is not None
    assert (parsed.usage.input_tokens, parsed.usage.output_tokens, parsed.usage.total_tokens) == (2, 1, 3)
    assert body["store"] is False
    assert body["metadata"] == {"team": "a"}
    assert body["shokunin"]["confidence"] == 0.75
    assert body["output"][0]["content"][0]["logprobs"] == []


def test_logprobs_when_they_are_to_be_included() -> None:
    (token,) = reply(ask(include=[LOGPROBS], top_logprobs=2))["output"][0]["content"][0]["logprobs"]
    assert (token["token"], bytes(token["bytes"])) == ("odd", b"odd")
    assert math.exp(token["logprob"]) == pytest.approx(0.75)
    assert [t["token"] for t in token["top_logprobs"]] == ["odd", "even"]


def test_the_format_is_said_back_as_asked() -> None:
    schema = {"type": "json_schema", "name": "i", "schema": {"type": "object"}, "strict": True}
    assert reply(ask(text={"format": schema}), '{"a": 1}')["text"] == {"format": schema}
    with pytest.raises(Refusal) as caught:
        reply(ask(text={"format": schema}))
    assert caught.value.param == "text.format"


def test_the_events_are_those_that_clients_follow() -> None:
    request = ask(stream=True, include=[LOGPROBS])
    raw = response_stream(request, SERVED, ODD, "odd", request_id="1", created=5).decode()
    blocks = [block.split("\n") for block in raw.removesuffix("\n\n").split("\n\n")]
    values = [json.loads(data.removeprefix("data: ")) for _, data in blocks]
    assert [name for name, _ in blocks] == [f"event: {value['type']}" for value in values]
    assert [value["sequence_number"] for value in values] == list(range(9))
    events = [EVENT.validate_python(value) for value in values]
    assert [event.type.removeprefix("response.") for event in events] == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.done",
        "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    assert events[0].response.status == events[1].response.status == "in_progress"
    assert (events[0].response.output, events[0].response.usage) == ([], None)
    assert (events[4].delta, events[5].text, events[6].part.text) == ("odd", "odd", "odd")
    assert events[3].part.text == ""
    assert {event.item_id for event in events[3:7]} == {events[2].item.id} == {events[7].item.id} == {"msg_1"}
    assert values[8]["response"] == reply(request)


@settings(max_examples=300)
@given(st.sampled_from(sorted(ResponsesRequest.model_fields)), json_values)
def test_any_value_of_any_field_is_taken_or_refused_by_name(field: str, value: Any) -> None:
    try:
        request = ask(**{field: value})
    except Refusal as refusal:
        assert refusal.status == 400
        assert refusal.param is not None
        assert refusal.param.startswith(field)
    else:
        reply(request, "{}")


@given(st.text())
def test_replies_are_json_whatever_the_label(label: str) -> None:
    assert reply(ask(), label)["output"][0]["content"][0]["text"] == label
