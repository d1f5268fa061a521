"""Text completions without a server: what is read, what is refused, and the reply that clients parse."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import Completion
from serve_fakes import lengths

from shokunin.answer import Answer
from shokunin.serve.completions_wire import (
    IGNORED,
    REFUSED,
    CompletionRequest,
    parse_completions,
    text_completion,
    text_stream,
)
from shokunin.serve.refusal import Refusal

SERVED = lengths()["lengths@2"]
ODD = Answer("odd", 0.75, "lengths@2", scores={"odd": 0.75, "even": 0.25})
EVEN = Answer("even", 0.5, "lengths@2", sure=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def ask(**fields: Any) -> CompletionRequest:
    body = {"model": "m", "prompt": "hello", **fields}
    return parse_completions(json.dumps(body).encode(), choices=8, prompts=3)


def reply(request: CompletionRequest, *answers: Answer) -> Completion:
    texts = [str(answer.value) for answer in answers]
    return Completion.model_validate_json(
        text_completion(request, SERVED, answers, texts, request_id="1", created=5), strict=True
    )


def test_every_field_of_the_official_client_is_known() -> None:
    from openai.types.completion_create_params import CompletionCreateParamsBase

    known = set(CompletionRequest.model_fields)
    assert set(CompletionCreateParamsBase.__annotations__) | {"stream"} == known
    honoured = {
        "model", "prompt", "n", "best_of", "echo", "logprobs", "max_tokens", "stop", "stream", "stream_options",
    }  # fmt: skip
    assert honoured | set(IGNORED) | set(REFUSED) == known


def test_null_means_not_said() -> None:
    nothing = dict.fromkeys(name for name in CompletionRequest.model_fields if name not in ("model", "prompt"))
    assert ask(**nothing) == ask()


def test_each_prompt_is_a_chat_of_its_own() -> None:
    assert ask(prompt=["a", "b"]).chats() == [[{"role": "user", "content": "a"}], [{"role": "user", "content": "b"}]]
    assert ask(prompt="a").chats() == [[{"role": "user", "content": "a"}]]


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"prompt": [1, 2]}, "prompt", "unsupported_value"),
        ({"prompt": [[1, 2]]}, "prompt", "unsupported_value"),
        ({"prompt": []}, "prompt", "invalid_value"),
        ({"prompt": None}, "prompt", "invalid_value"),
        ({"prompt": ["a", 1]}, "prompt[1]", "invalid_value"),
        ({"prompt": ["a"] * 4}, "prompt", "invalid_value"),
        ({"n": 9}, "n", "invalid_value"),
        ({"best_of": 9}, "best_of", "invalid_value"),
        ({"n": 2, "best_of": 1}, "best_of", "invalid_value"),
        ({"best_of": 2, "stream": True}, "best_of", "invalid_value"),
        ({"echo": True, "logprobs": 1}, "echo", "unsupported_value"),
        ({"logprobs": 6}, "logprobs", "invalid_value"),
        ({"logprobs": True}, "logprobs", "invalid_value"),
        ({"suffix": "end"}, "suffix", "unsupported_value"),
        ({"logit_bias": {"1": 1}}, "logit_bias", "unsupported_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"stop": [""]}, "stop", "invalid_value"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        ({"messages": []}, "messages", "unknown_parameter"),
    ],
)
def test_what_cannot_be_honoured_is_refused(fields: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(Refusal) as caught:
        ask(**fields)
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, param, code)


def test_choices_are_in_the_order_of_the_prompts() -> None:
    request = ask(prompt=["hello", "ab"], n=2, best_of=3)
    body = reply(request, ODD, EVEN)
    assert (body.id, body.object, body.model, body.system_fingerprint) == (
        "cmpl-1",
        "text_completion",
        "m",
        "lengths@2",
    )
    assert [(c.index, c.text, c.finish_reason) for c in body.choices] == [
        (0, "odd", "stop"), (1, "odd", "stop"), (2, "even", "stop"), (3, "even", "stop"),
    ]  # fmt: skip
    assert [c.shokunin["sure"] for c in body.choices] == [True, True, False, False]
    assert body.usage is not None
    assert (body.usage.prompt_tokens, body.usage.completion_tokens, body.usage.total_tokens) == (3, 4, 7)


def test_echo_says_the_prompt_first() -> None:
    assert reply(ask(echo=True), ODD).choices[0].text == "helloodd"


@pytest.mark.parametrize(("most", "top"), [(0, None), (1, {"odd"}), (5, {"odd", "even"})])
def test_logprobs_in_the_older_shape(most: int, top: set[str] | None) -> None:
    logprobs = reply(ask(logprobs=most), ODD).choices[0].logprobs
    assert logprobs is not None
    assert (logprobs.tokens, logprobs.text_offset) == (["odd"], [0])
    assert logprobs.token_logprobs == [pytest.approx(math.log(0.75))]
    assert (set(logprobs.top_logprobs[0]) if logprobs.top_logprobs else None) == top


def test_a_stream_adds_up_to_the_completion() -> None:
    request = ask(prompt=["hello", "ab"], n=2, stream=True, stream_options={"include_usage": True}, echo=True)
    events = (
        text_stream(request, SERVED, [ODD, EVEN], ["odd", "even"], request_id="1", created=5).decode().split("\n\n")
    )
    assert events[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 4
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    whole = reply(request, ODD, EVEN)
    for choice in whole.choices:
        mine = [c["choices"][0] for c in chunks[:-1] if c["choices"][0]["index"] == choice.index]
        assert "".join(part["text"] for part in mine) == choice.text
        assert [part["finish_reason"] for part in mine] == [None, "stop"]


@settings(max_examples=200)
@given(st.sampled_from(sorted(CompletionRequest.model_fields)), json_values)
def test_any_value_of_any_field_is_taken_or_refused_by_name(field: str, value: Any) -> None:
    try:
        request = ask(**{field: value})
    except Refusal as refusal:
        assert refusal.status == 400
        assert refusal.param is not None
        assert refusal.param.startswith(field)
    else:
        rows = len(request.prompts)
        text_completion(request, SERVED, [ODD] * rows, ["odd"] * rows, request_id="1", created=5)


@given(st.text(), st.floats(0, 1), st.text(max_size=9))
def test_replies_are_json_whatever_the_label_and_the_prompt(label: str, confidence: float, prompt: str) -> None:
    answer = Answer(label, confidence, "lengths@2", scores={label: confidence})
    assert reply(ask(prompt=prompt, echo=True), answer).choices[0].text == prompt + label
    logprobs = reply(ask(prompt=prompt, logprobs=5), answer).choices[0].logprobs
    assert logprobs is not None and logprobs.token_logprobs is not None
    assert math.exp(logprobs.token_logprobs[0]) == pytest.approx(confidence, abs=1e-9)
