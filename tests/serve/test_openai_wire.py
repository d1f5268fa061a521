"""Requests read and replies written without a server: any bytes give a request or a 400, replies are always JSON."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serve_fakes import lengths

from shokunin.answer import Answer
from shokunin.serve.openai_reply import completion, cut, stream
from shokunin.serve.openai_wire import IGNORED, REFUSED, ChatRequest, parse_chat
from shokunin.serve.refusal import Refusal, internal_error
from shokunin.serve.reply_parts import least_sure, likeliest, route_headers
from shokunin.serve.typed_wire import parse_predict, predictions

ASK = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
SERVED = lengths()["lengths@2"]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
confidences = st.floats(0, 1)


def chat(**fields: Any) -> ChatRequest:
    return parse_chat(json.dumps({**ASK, **fields}).encode(), choices=8)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_a_400(body: bytes) -> None:
    for parse in (lambda: parse_chat(body, choices=8), lambda: parse_predict(body, rows=10)):
        with pytest.raises(Refusal) as caught:
            parse()
        assert caught.value.status == 400


@settings(max_examples=300)
@given(st.sampled_from(sorted(ChatRequest.model_fields)), json_values)
def test_any_value_of_any_field_is_taken_or_refused_by_name(field: str, value: Any) -> None:
    try:
        request = parse_chat(json.dumps({**ASK, field: value}).encode(), choices=8)
    except Refusal as refusal:
        assert refusal.status == 400
        assert refusal.param is not None
        assert refusal.param.startswith(field) or refusal.code == "missing_required_parameter"
        assert json.loads(refusal.body())["error"]["message"] == refusal.message
    else:
        assert request.model


@given(st.text(max_size=30).filter(lambda name: name not in ChatRequest.model_fields), json_values)
def test_an_unknown_field_is_refused(field: str, value: Any) -> None:
    try:
        body = json.dumps({**ASK, field: value}).encode()
    except UnicodeEncodeError:
        return
    with pytest.raises(Refusal) as caught:
        parse_chat(body, choices=8)
    assert caught.value.code in ("unknown_parameter", "invalid_json")


def test_every_field_is_honoured_ignored_openly_or_refused() -> None:
    honoured = {
        "model", "messages", "n", "stop", "max_tokens", "max_completion_tokens", "logprobs", "top_logprobs", "stream",
        "stream_options", "response_format", "modalities", "tool_choice", "function_call",
    }  # fmt: skip
    assert honoured | set(IGNORED) | set(REFUSED) == set(ChatRequest.model_fields)
    assert len(honoured) + len(IGNORED) + len(REFUSED) == len(ChatRequest.model_fields)


def test_every_field_of_the_official_client_is_known() -> None:
    from openai.types.chat.completion_create_params import CompletionCreateParamsBase

    assert set(CompletionCreateParamsBase.__annotations__) | {"stream"} == set(ChatRequest.model_fields)


def test_null_means_not_said() -> None:
    nothing = dict.fromkeys(name for name in ChatRequest.model_fields if name not in ASK)
    assert chat(**nothing) == chat()


@pytest.mark.parametrize("value", ["1", True, 1.5])
def test_values_are_not_bent_to_fit(value: Any) -> None:
    with pytest.raises(Refusal, match=r"^n: "):
        chat(n=value)


def test_a_refusal_never_quotes_the_text() -> None:
    for body in (
        {**ASK, "messages": [{"role": "user", "content": {"secret": "words"}}]},
        {**ASK, "user": {"secret": "words"}},
        {**ASK, "messages": "secret words"},
    ):
        with pytest.raises(Refusal) as caught:
            parse_chat(json.dumps(body).encode(), choices=8)
        assert "words" not in caught.value.message


@given(st.text(max_size=20), st.lists(st.text(min_size=1, max_size=3), max_size=4))
def test_cut_ends_before_the_first_stop(text: str, stops: list[str]) -> None:
    left = cut(text, stops)
    assert text.startswith(left)
    assert not any(stop in left for stop in stops)
    if left != text:
        assert any(text[len(left) :].startswith(stop) for stop in stops)


@given(st.text(), confidences, st.dictionaries(st.text(max_size=5), confidences, max_size=5), st.integers(0, 20))
def test_replies_are_json_whatever_the_label(label: str, confidence: float, scores: dict[str, float], top: int) -> None:
    request = chat(logprobs=True, top_logprobs=top)
    answer = Answer(label, confidence, "lengths@2", scores=dict(sorted(scores.items(), key=lambda item: -item[1])))
    reply = json.loads(completion(request, SERVED, answer, label, request_id="1", created=5))
    (token,) = reply["choices"][0]["logprobs"]["content"]
    assert reply["choices"][0]["message"]["content"] == token["token"] == label
    assert bytes(token["bytes"]).decode() == label
    assert math.exp(token["logprob"]) == pytest.approx(confidence, abs=1e-9)
    assert len(token["top_logprobs"]) <= top
    if top > len(scores):
        assert label in [t["token"] for t in token["top_logprobs"]]
    ranks = [t["logprob"] for t in token["top_logprobs"]]
    assert ranks == sorted(ranks, reverse=True)
    events = stream(request, SERVED, answer, label, request_id="1", created=5).decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == label
    assert json.loads(predictions(SERVED, [answer]))["answers"][0]["value"] == label


@given(st.lists(st.text(max_size=50), min_size=1, max_size=4))
def test_prompt_tokens_are_a_quarter_of_the_bytes(texts: list[str]) -> None:
    request = chat(messages=[{"role": "user", "content": t} for t in texts])
    reply = json.loads(completion(request, SERVED, Answer("odd", 0.5, "x"), "odd", request_id="1", created=5))
    assert reply["usage"]["prompt_tokens"] == math.ceil(sum(len(t.encode()) for t in texts) / 4)
    assert reply["usage"]["total_tokens"] == reply["usage"]["prompt_tokens"] + 1


def test_a_reply_in_a_shape_stands_among_the_likeliest_as_it_was_written() -> None:
    answer = Answer("odd", 0.75, "lengths@2", scores={"odd": 0.75, "even": 0.25})
    assert likeliest(answer, '{"length": "odd"}', 5) == [('{"length": "odd"}', 0.75), ("even", 0.25)]
    assert likeliest(Answer("odd", 0.75, "lengths@2"), "odd", 5) == [("odd", 0.75)]
    assert likeliest(answer, "odd", 0) == []


def test_headers_say_who_answered_and_of_several_answers_the_least_sure() -> None:
    sure, unsure = Answer("odd", 0.9, "lengths@2"), Answer("odd", 0.95, "lengths@2", sure=False)
    assert route_headers(SERVED, least_sure([sure, unsure]), "fallback") == {
        "x-shokunin-route": "fallback",
        "x-shokunin-specialist": "lengths@2",
        "x-shokunin-confidence": "0.950000",
        "x-shokunin-sure": "false",
    }
    assert least_sure([sure, Answer("even", 0.8, "lengths@2")]).confidence == 0.8
    assert route_headers(None, None, "passed") == {"x-shokunin-route": "passed"}


def test_an_internal_error_names_the_request_only() -> None:
    assert json.loads(internal_error("abc").body())["error"] == {
        "message": "the server failed on this request; its log has the reason under abc",
        "type": "server_error",
        "param": None,
        "code": "internal_error",
    }
