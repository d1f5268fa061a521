"""The official client against a real server: what an application that changes its base URL will see."""

import asyncio
import math
from collections.abc import Iterator

import openai
import pytest
from serve_fakes import lengths, running

ASK = [{"role": "system", "content": "Say even or odd."}, {"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running(
        {**lengths(version=1, aliases=()), **lengths(version=2), **lengths(version=3, aliases=("candidate",))}
    ) as url:
        yield f"{url}/v1"


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url, api_key="unused", max_retries=0) as client:
        yield client


def test_a_completion_is_the_label(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="lengths", messages=ASK)
    reply = raw.parse()
    assert reply.object == "chat.completion"
    assert reply.model == "lengths"
    assert reply.system_fingerprint == "lengths@2"
    assert reply.id.startswith("chatcmpl-")
    assert [(c.index, c.finish_reason, c.message.role, c.message.content) for c in reply.choices] == [
        (0, "stop", "assistant", "odd")
    ]
    assert reply.choices[0].logprobs is None
    assert reply.usage.prompt_tokens == math.ceil(len("Say even or odd.hello") / 4)
    assert (reply.usage.completion_tokens, reply.usage.total_tokens) == (1, reply.usage.prompt_tokens + 1)
    assert raw.headers["x-shokunin-specialist"] == "lengths@2"
    assert raw.headers["x-shokunin-confidence"] == "0.857143"
    assert raw.headers["x-shokunin-sure"] == "true"
    assert reply._request_id == raw.headers["x-request-id"]
    assert reply.id == f"chatcmpl-{reply._request_id}"


def test_request_ids_differ(client: openai.OpenAI) -> None:
    assert len({client.chat.completions.create(model="lengths", messages=ASK).id for _ in range(20)}) == 20


def test_logprobs_are_those_of_the_label(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(model="lengths", messages=ASK, logprobs=True, top_logprobs=20)
    (token,) = reply.choices[0].logprobs.content
    assert (token.token, bytes(token.bytes)) == ("odd", b"odd")
    assert math.exp(token.logprob) == pytest.approx(6 / 7)
    assert [(t.token, round(math.exp(t.logprob), 6)) for t in token.top_logprobs] == [
        ("odd", 0.857143),
        ("even", 0.142857),
    ]


@pytest.mark.parametrize("top", [0, 1])
def test_fewer_top_logprobs(client: openai.OpenAI, top: int) -> None:
    reply = client.chat.completions.create(model="lengths", messages=ASK, logprobs=True, top_logprobs=top)
    assert len(reply.choices[0].logprobs.content[0].top_logprobs) == top


def test_n_choices(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(model="lengths", messages=ASK, n=3)
    assert [(c.index, c.message.content) for c in reply.choices] == [(0, "odd"), (1, "odd"), (2, "odd")]
    assert reply.usage.completion_tokens == 3


def test_content_in_parts_and_a_long_conversation(client: openai.OpenAI) -> None:
    parts = [{"type": "text", "text": "ab"}, {"type": "text", "text": "cd"}]
    messages = [
        {"role": "developer", "content": "Say even or odd."},
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "odd"},
        {"role": "user", "content": parts},
    ]
    assert client.chat.completions.create(model="lengths", messages=messages).choices[0].message.content == "even"


def test_fields_without_effect_are_accepted_and_listed(client: openai.OpenAI) -> None:
    fields = {
        "temperature": 0, "top_p": 1, "seed": 7, "presence_penalty": 0, "frequency_penalty": 0.5, "user": "u",
        "metadata": {"team": "a"}, "store": False, "reasoning_effort": "low", "service_tier": "auto",
    }  # fmt: skip
    honoured = {
        "max_tokens": 1,
        "max_completion_tokens": 5,
        "n": 1,
        "stop": ["\n"],
        "response_format": {"type": "text"},
    }
    reply = client.chat.completions.create(model="lengths", messages=ASK, **fields, **honoured)
    assert reply.choices[0].message.content == "odd"
    assert set(fields) <= set(client.models.retrieve("lengths").capabilities["ignored"])
    assert not set(honoured) & set(client.models.retrieve("lengths").capabilities["ignored"])


def test_a_stop_sequence_cuts_the_reply(client: openai.OpenAI) -> None:
    assert client.chat.completions.create(model="lengths", messages=ASK, stop="d").choices[0].message.content == "o"


def test_a_stream_adds_up_to_the_completion(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="lengths", messages=ASK, stream=True, stream_options={"include_usage": True}, logprobs=True, n=2
        )
    )
    assert {c.object for c in chunks} == {"chat.completion.chunk"}
    assert len({c.id for c in chunks}) == 1
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 2
    for index in (0, 1):
        mine = [c.choices[0] for c in chunks if c.choices and c.choices[0].index == index]
        assert mine[0].delta.role == "assistant"
        assert "".join(c.delta.content or "" for c in mine) == "odd"
        assert [c.finish_reason for c in mine] == [None, None, "stop"]
        assert mine[1].logprobs.content[0].token == "odd"


def test_a_stream_without_usage_has_none(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="lengths", messages=ASK, stream=True))
    assert all(c.usage is None and c.choices for c in chunks)


def test_the_async_client(url: str) -> None:
    async def ask() -> list[str | None]:
        async with openai.AsyncOpenAI(base_url=url, api_key="unused") as client:
            texts = ["a" * i for i in range(1, 21)]
            replies = await asyncio.gather(
                *(
                    client.chat.completions.create(model="lengths", messages=[{"role": "user", "content": t}])
                    for t in texts
                )
            )
            streamed = await client.chat.completions.create(model="lengths", messages=ASK, stream=True)
            parts = [c.choices[0].delta.content or "" async for c in streamed]
            return [*(r.choices[0].message.content for r in replies), "".join(parts)]

    assert asyncio.run(ask()) == ["odd", "even"] * 10 + ["odd"]


def test_models_are_listed_by_plain_name_and_by_version(client: openai.OpenAI) -> None:
    models = {m.id: m for m in client.models.list()}
    assert sorted(models) == ["lengths", "lengths@1", "lengths@2", "lengths@3"]
    assert {m.object for m in models.values()} == {"model"}
    assert models["lengths"].root == "lengths@2"
    assert models["lengths"].created == 1_700_000_000


@pytest.mark.parametrize(
    ("name", "version"),
    [("lengths", 2), ("lengths@champion", 2), ("lengths@candidate", 3), ("lengths@1", 1), ("lengths@3", 3)],
)
def test_names_lead_to_versions(client: openai.OpenAI, name: str, version: int) -> None:
    model = client.models.retrieve(name)
    assert (model.id, model.root, model.shokunin["version"]) == (name, f"lengths@{version}", version)
    raw = client.chat.completions.with_raw_response.create(model=name, messages=ASK)
    assert raw.headers["x-shokunin-specialist"] == f"lengths@{version}"
    assert raw.parse().model == name


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    for ask in (
        lambda: client.models.retrieve("length"),
        lambda: client.chat.completions.create(model="length", messages=ASK),
    ):
        with pytest.raises(openai.NotFoundError) as caught:
            ask()
        assert caught.value.code == "model_not_found"
        assert caught.value.param == "model"
        assert "did you mean 'lengths'?" in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"n": 9}, "n", "invalid_value"),
        ({"n": 0}, "n", "invalid_value"),
        ({"temperature": 3}, "temperature", "invalid_value"),
        ({"temperature": "warm"}, "temperature", "invalid_value"),
        ({"top_logprobs": 2}, "top_logprobs", "invalid_value"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "invalid_value"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "invalid_value"),
        ({"stop": ""}, "stop", "invalid_value"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        ({"response_format": {"type": "json_object"}}, "response_format", "unsupported_value"),
        ({"response_format": {"type": "yaml"}}, "response_format.type", "invalid_value"),
        ({"tool_choice": "required"}, "tool_choice", "unsupported_value"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice", "unsupported_value"),
        ({"function_call": {"name": "f"}}, "function_call", "unsupported_value"),
        ({"logit_bias": {"1": 5}}, "logit_bias", "unsupported_value"),
        ({"modalities": ["text", "audio"]}, "modalities", "unsupported_value"),
        ({"extra_body": {"temprature": 0}}, "temprature", "unknown_parameter"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages", "invalid_value"),
        ({"messages": [{"role": "user", "content": " "}]}, "messages", "unanswerable_input"),
        ({"messages": [{"role": "user", "content": "x" * 1_000_001}]}, "messages", "context_length_exceeded"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://a"}}]}]},
            "messages[0].content",
            "unsupported_value",
        ),
    ],
)
def test_what_cannot_be_honoured_is_a_bad_request(client: openai.OpenAI, fields: dict, param: str, code: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**{"model": "lengths", "messages": ASK, **fields})
    assert (caught.value.param, caught.value.code, caught.value.type) == (param, code, "invalid_request_error")


@pytest.mark.parametrize(
    "choice",
    [
        {},
        {"tool_choice": "none"},
        {"tool_choice": "auto"},
        {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}},
    ],
)
def test_tools_that_need_not_be_called_are_not(client: openai.OpenAI, choice: dict) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    reply = client.chat.completions.create(model="lengths", messages=ASK, tools=tools, **choice)
    assert reply.choices[0].message.content == "odd"
    assert reply.choices[0].message.tool_calls is None


def test_an_answer_without_value_is_a_server_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="lengths", messages=[{"role": "user", "content": "no value"}])
    assert caught.value.code == "no_answer"
