"""The scripted upstream is one: the official client finds nothing wrong with it, and it misbehaves as told."""

import sys
import time
from collections.abc import Iterator

import openai
import pytest

from shokunin.serve.process import ServerProcess
from shokunin.serve.scripted_upstream import Act, ScriptedUpstream, Seen, by_model

MESSAGES = [{"role": "user", "content": "where is it?"}]


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(by_model(lambda messages: f"{len(messages)} message, {messages[0]['content']}")) as server:
        yield server


@pytest.fixture
def client(upstream: ScriptedUpstream) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=upstream.base_url, api_key="sk-any", max_retries=0, timeout=5) as made:
        yield made


def test_chat(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="large", messages=MESSAGES, n=2)
    assert [c.message.content for c in whole.choices] == ["1 message, where is it?"] * 2
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 10


def test_chat_as_a_stream(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="large", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "1 message, where is it?"
    assert chunks[-1].usage is not None


def test_completions_responses_embeddings_models(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    upstream.script = "fine"
    assert client.completions.create(model="large", prompt="a").choices[0].text == "fine"
    assert client.responses.create(model="large", input="a").output_text == "fine"
    last = list(client.responses.create(model="large", input="a", stream=True))[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == "fine"
    one, other, same = client.embeddings.create(model="large", input=["a", "b", "a"], encoding_format="float").data
    assert one.embedding == same.embedding != other.embedding
    assert [m.id for m in client.models.list()] == ["scripted"]
    assert client.models.retrieve("any").id == "any"


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("error-429", openai.RateLimitError),
        ("error-500", openai.InternalServerError),
        ("html", openai.InternalServerError),
        ("refuse", openai.APIConnectionError),
        ("reset", openai.APIConnectionError),
        ("malformed", openai.APIConnectionError),
    ],
)
def test_it_misbehaves_as_told(client: openai.OpenAI, model: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        client.chat.completions.create(model=model, messages=MESSAGES)


def test_it_hangs(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.1).chat.completions.create(model="hang", messages=MESSAGES)


def test_it_takes_its_time(upstream: ScriptedUpstream, client: openai.OpenAI) -> None:
    upstream.script = lambda seen: Act("two words", delay=0.1, pause=0.05)
    start = time.perf_counter()
    stream = client.chat.completions.create(model="large", messages=MESSAGES, stream=True)
    arrived = [time.perf_counter() - start for _ in stream]
    assert arrived[0] >= 0.1
    assert arrived[-1] - arrived[0] >= 0.1


def test_it_remembers_what_it_saw(upstream: ScriptedUpstream, client: openai.OpenAI) -> None:
    client.chat.completions.create(model="large", messages=MESSAGES)
    seen = upstream.requests[0]
    assert (seen.method, seen.path, seen.json["messages"]) == ("POST", "/v1/chat/completions", MESSAGES)
    assert seen.headers["authorization"] == "Bearer sk-any"
    assert Seen("POST", "/", {}, b"no json").json == {}


def test_as_a_process() -> None:
    command = (sys.executable, "-m", "shokunin.serve.scripted_upstream")
    with ServerProcess(["--reply", "from afar"], command=command, seconds=20) as server:
        client = openai.OpenAI(base_url=server.base_url + "/v1", api_key="sk-any", max_retries=0)
        with pytest.raises(openai.APIConnectionError):
            client.chat.completions.create(model="reset", messages=MESSAGES)
        said = client.chat.completions.create(model="large", messages=MESSAGES).choices[0].message.content
        client.close()
    assert said == "from afar"
