"""The official client through a gateway: what an application sees that knows of one base URL and nothing else."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from embedding_fakes import IN_JSON, Letters
from serve_fakes import SHAPED, lengths, running_app

from shokunin.serve.app import create_app
from shokunin.serve.embedding import Embeddings
from shokunin.serve.parts import Parts
from shokunin.serve.routing import Routes, Target, TaskPolicy
from shokunin.serve.scripted_upstream import Act, ScriptedUpstream, Seen, by_model
from shokunin.serve.shelf import Shelf
from shokunin.serve.upstream import UpstreamClient, UpstreamSettings
from shokunin.serve.watching import Watches

ASK: Any = [{"role": "user", "content": "hello"}]
TOOLS: Any = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]


class Sure:
    """A watch that gives what reaches 0.85, and asks for no audits."""

    status: Any = None

    def decide(self, confidence: float, *, auditable: bool = True) -> Any:
        return SimpleNamespace(give=confidence >= 0.85, audit=False, rate=0.0, reason="unsure", term=0)

    def audited(self, rate: float, agrees: bool | None, confidence: float, *, term: int | None = None) -> None:
        pass

    def compared(self, confidence: float, agrees: bool | None) -> None:
        pass

    def take_events(self) -> tuple[Any, ...]:
        return ()

    def to_dict(self) -> dict[str, Any]:
        return {}


def chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-x", "choices": [choice]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def calls(index: int, part: dict[str, Any], **more: Any) -> bytes:
    return chunk({"tool_calls": [{"index": index, **more, "function": part}]})


CALLING = (
    chunk({"role": "assistant", "content": None}),
    calls(0, {"name": "look_up", "arguments": ""}, id="call_0", type="function"),
    calls(1, {"name": "look_up", "arguments": ""}, id="call_1", type="function"),
    calls(0, {"arguments": '{"a": '}),
    calls(1, {"arguments": '{"b": '}),
    calls(0, {"arguments": "1}"}),
    calls(1, {"arguments": "2}"}),
    chunk({}, "tool_calls"),
    b"data: [DONE]\n\n",
)


def script(seen: Seen) -> Act:
    if seen.json.get("tools") and seen.json.get("stream"):
        return Act(events=CALLING)
    return by_model('{"length": "even"}')(seen)


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(script) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def url(upstream: ScriptedUpstream) -> Iterator[str]:
    served = {key: replace(one, templates=(IN_JSON,)) for key, one in lengths().items()}
    parts = Parts(
        Shelf(served),
        upstreams={"large": UpstreamClient(UpstreamSettings(name="large", base_url=upstream.base_url))},
        routes=Routes({"large": ("large", ["gpt-*", "error-*", "html", "text-embedding-*"])}, default="large"),
        policy_of=lambda task: TaskPolicy(target=Target("large", "large")),
        watches=Watches(lambda one: Sure()),  # type: ignore[arg-type, return-value]
        embeddings=Embeddings({"letters": Letters()}),
    )
    with running_app(create_app(parts)) as url:
        yield f"{url}/v1"


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url, api_key="unused", max_retries=0) as client:
        yield client


def shaped(text: str) -> Any:
    return [{"role": "system", "content": SHAPED}, {"role": "user", "content": text}]


@pytest.mark.parametrize(("text", "route", "length"), [("hello", "local", "odd"), ("a", "escalated", "even")])
@pytest.mark.parametrize("model", ["large", "auto"])
def test_a_task_is_answered_in_its_own_shape_whoever_answers(
    client: openai.OpenAI, model: str, text: str, route: str, length: str
) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=model, messages=shaped(text), response_format={"type": "json_object"}, temperature=0
    )
    assert raw.headers["x-shokunin-route"] == route
    assert raw.headers["x-shokunin-specialist"] == "lengths@2"
    assert json.loads(raw.parse().choices[0].message.content or "") == {"length": length}
    stream = client.chat.completions.create(model=model, messages=shaped(text), stream=True)
    assert json.loads("".join(c.choices[0].delta.content or "" for c in stream)) == {"length": length}


@pytest.mark.parametrize(("text", "route", "length"), [("hello", "local", "odd"), ("a", "escalated", "even")])
def test_a_task_asked_as_a_response(client: openai.OpenAI, text: str, route: str, length: str) -> None:
    raw = client.responses.with_raw_response.create(model="large", instructions=SHAPED, input=text)
    assert raw.headers["x-shokunin-route"] == route
    assert json.loads(raw.parse().output_text) == {"length": length}
    with client.responses.stream(model="large", instructions=SHAPED, input=text) as stream:
        assert json.loads(stream.get_final_response().output_text) == {"length": length}


def test_what_is_no_task_is_passed_on(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="gpt-x", messages=ASK, seed=7, extra_body={"a_new_field": [1]}
    )
    assert raw.headers["x-shokunin-route"] == "passed"
    assert "x-shokunin-specialist" not in raw.headers
    assert raw.parse().id == "chatcmpl-scripted"
    assert upstream.requests[-1].json == {"model": "gpt-x", "messages": ASK, "seed": 7, "a_new_field": [1]}
    assert client.completions.create(model="gpt-x", prompt=[1, 2]).choices[0].text == '{"length": "even"}'
    assert client.responses.create(model="gpt-x", input="x", previous_response_id="resp_0").status == "completed"
    assert len(client.embeddings.create(model="text-embedding-x", input=[[1, 2]]).data[0].embedding) == 8
    assert client.embeddings.create(model="letters", input="here").data[0].embedding == [4.0, 2.0]


def test_tool_calls_of_a_stream_stay_apart(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="gpt-x", messages=ASK, tools=TOOLS) as stream:
        message = stream.get_final_completion().choices[0].message
    found = [(c.id, c.function.name, c.function.arguments) for c in message.tool_calls or ()]
    assert found == [("call_0", "look_up", '{"a": 1}'), ("call_1", "look_up", '{"b": 2}')]


@pytest.mark.parametrize(
    ("model", "kind", "code"),
    [
        ("error-400", openai.BadRequestError, "scripted_400"),
        ("error-401", openai.AuthenticationError, "scripted_401"),
        ("error-429", openai.RateLimitError, "scripted_429"),
        ("error-500", openai.InternalServerError, "scripted_500"),
        ("html", openai.InternalServerError, None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_the_upstreams_own(
    client: openai.OpenAI, model: str, kind: type[openai.APIStatusError], code: str | None, stream: bool
) -> None:
    with pytest.raises(kind) as caught:
        client.chat.completions.create(model=model, messages=ASK, stream=stream)
    assert caught.value.code == code
    if model == "error-429":
        assert caught.value.response.headers["retry-after"] == "7"


def test_an_error_after_the_first_byte_is_raised(url: str, upstream: ScriptedUpstream) -> None:
    async def ask() -> None:
        async with openai.AsyncOpenAI(base_url=url, api_key="unused", max_retries=0) as client:
            stream = await client.chat.completions.create(model="reset", messages=ASK, stream=True)
            async for _ in stream:
                pass

    with pytest.raises(openai.APIError) as caught:
        asyncio.run(ask())
    assert not isinstance(caught.value, openai.APIConnectionError)


def test_a_question_without_usage_in_the_stream_gets_none(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="gpt-x", messages=ASK, stream=True))
    assert all(c.usage is None for c in chunks)
    asked = client.chat.completions.create(
        model="gpt-x", messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    assert [c.usage for c in asked][-1] is not None


def test_the_models_of_both(client: openai.OpenAI) -> None:
    models = {m.id: m.owned_by for m in client.models.list()}
    assert models["lengths"] == models["letters"] == "shokunin"
    assert client.models.retrieve("lengths@champion").id == "lengths@champion"
