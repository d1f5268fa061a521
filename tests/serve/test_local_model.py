"""A base model served from this process: the official client, and another gateway that has it as its upstream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from gateway_fakes import Kept
from serve_fakes import running_app

from shokunin.language.base_models import DEFAULT_LANGUAGE_MODEL
from shokunin.pipeline.local_models import open_local
from shokunin.serve.app import create_app
from shokunin.serve.parts import Parts
from shokunin.serve.routing import Routes
from shokunin.serve.shelf import Shelf
from shokunin.serve.upstream import UpstreamClient, UpstreamSettings

pytest.importorskip("openvino_genai")

ASK: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]
SHORT = DEFAULT_LANGUAGE_MODEL.removeprefix("pkg:")
SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"]}


@pytest.fixture(scope="module")
def kept() -> Kept:
    return Kept()


@pytest.fixture(scope="module")
def url(kept: Kept, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOKUNIN_CACHE", str(tmp_path_factory.mktemp("cache")))
        local = open_local([DEFAULT_LANGUAGE_MODEL], threads=2)
    clients = {name: one.client for name, one in local.items()}
    routes = Routes({name: (one.model.name, ()) for name, one in local.items()})
    with running_app(create_app(Parts(Shelf({}), upstreams=clients, routes=routes, recorder=kept))) as url:
        yield f"{url}/v1"


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url, api_key="unused", max_retries=0) as client:
        yield client


def test_it_is_listed(client: openai.OpenAI) -> None:
    assert DEFAULT_LANGUAGE_MODEL in [model.id for model in client.models.list()]


def test_a_completion_and_its_record(client: openai.OpenAI, kept: Kept) -> None:
    reply = client.chat.completions.create(
        model=DEFAULT_LANGUAGE_MODEL, messages=ASK, temperature=0, max_tokens=20, logprobs=True
    )
    (choice,) = reply.choices
    assert (choice.message.content, choice.finish_reason) == ("The capital of France is Paris.", "stop")
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    assert "".join(token.token for token in choice.logprobs.content) == choice.message.content
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (37, 8, 45)
    exchange = kept.exchanges[-1]
    assert (exchange.route, exchange.upstream, exchange.prompt_tokens) == ("passed", SHORT, 37)


def test_a_stream_is_the_same_answer(client: openai.OpenAI) -> None:
    events = list(
        client.chat.completions.create(
            model=SHORT, messages=ASK, temperature=0, max_tokens=5, stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(e.choices[0].delta.content or "" for e in events if e.choices) == "The capital of France is"
    assert [e.choices[0].finish_reason for e in events if e.choices][-1] == "length"
    assert events[-1].usage is not None
    assert events[-1].usage.completion_tokens == 5


def test_a_schema_is_obeyed(client: openai.OpenAI) -> None:
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "c", "schema": SCHEMA, "strict": True}}
    reply = client.chat.completions.create(model=SHORT, messages=ASK, temperature=0, response_format=wanted)
    assert json.loads(reply.choices[0].message.content or "").keys() == {"city"}


def test_a_seed_repeats_the_draw_and_choices_differ(client: openai.OpenAI) -> None:
    def ask(**more: Any) -> list[str | None]:
        asked: dict[str, Any] = {"model": SHORT, "messages": ASK, "max_tokens": 12, "temperature": 1.5, **more}
        return [choice.message.content for choice in client.chat.completions.create(**asked).choices]

    assert ask(seed=4) == ask(seed=4)
    assert len(set(ask(seed=4, n=3))) > 1
    assert ask(temperature=0, stop=[" is"]) == ["The capital of France"]


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"model": "nothing"}, 404, "model_not_found"),
        ({"messages": [{"role": "user", "content": "x " * 9000}]}, 400, "context_length_exceeded"),
        ({"max_tokens": 9000}, 400, "context_length_exceeded"),
        ({"presence_penalty": 1.0}, 400, "unsupported_value"),
        ({"tool_choice": "required", "tools": [{"type": "function"}]}, 400, "unsupported_value"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "c"}}}, 400, "missing_required_parameter"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "c", "schema": {"pattern": "a"}}}},
            400,
            "unsupported_value",
        ),
        ({"n": 99}, 400, "invalid_value"),
        ({"stop": ["", "a"]}, 400, "invalid_value"),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    client: openai.OpenAI, change: dict[str, Any], status: int, code: str
) -> None:
    asked: dict[str, Any] = {"model": SHORT, "messages": ASK, "max_tokens": 5, **change}
    with pytest.raises(openai.APIStatusError) as failed:
        client.chat.completions.create(**asked)
    assert (failed.value.status_code, failed.value.code) == (status, code)


def test_other_endpoints_are_not_its_own(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="answers at /v1/chat/completions only"):
        client.completions.create(model=SHORT, prompt="x")


def test_it_is_the_upstream_of_another_gateway(url: str) -> None:
    settings = UpstreamSettings(name="house", base_url=url)
    parts = Parts(
        Shelf({}),
        upstreams={"house": UpstreamClient(settings)},
        routes=Routes({"house": (SHORT, ())}, "house"),
    )
    with running_app(create_app(parts)) as outer, openai.OpenAI(base_url=f"{outer}/v1", api_key="x") as client:
        plain = client.chat.completions.create(model="auto", messages=ASK, temperature=0, max_tokens=20)
        assert plain.choices[0].message.content == "The capital of France is Paris."
        events = client.chat.completions.create(model=SHORT, messages=ASK, temperature=0, max_tokens=20, stream=True)
        text = "".join(e.choices[0].delta.content or "" for e in events if e.choices)
        assert text == plain.choices[0].message.content


def test_a_short_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    from shokunin.errors import UsageError

    with pytest.raises(UsageError, match=f"would be called '{SHORT}', and that is taken"):
        open_local([DEFAULT_LANGUAGE_MODEL], [SHORT])
