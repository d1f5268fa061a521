"""The official client on every endpoint: sync, async, streams, raw replies, helpers, and what it does when refused."""

import asyncio
import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Literal

import httpx
import openai
import pytest
from embedding_fakes import lengths_and_letters
from pydantic import BaseModel
from serve_fakes import SHAPED, running_app

from shokunin.serve.refusal import Refusal, overloaded


class Length(BaseModel):
    """What an application may ask for in place of a bare text."""

    length: Literal["even", "odd"]


ASK: Any = [{"role": "user", "content": "hello"}]
ASK_SHAPED: Any = [{"role": "system", "content": SHAPED}, *ASK]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running_app(lengths_and_letters()) as url:
        yield f"{url}/v1"


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url, api_key="unused", max_retries=0) as client:
        yield client


# --- chat: formats


def test_json_that_fits_is_given(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(
        model="lengths", messages=ASK_SHAPED, response_format={"type": "json_object"}
    )
    assert json.loads(reply.choices[0].message.content or "") == {"length": "odd"}


def test_the_parse_helper(client: openai.OpenAI) -> None:
    reply = client.chat.completions.parse(model="lengths", messages=ASK_SHAPED, response_format=Length)
    assert reply.choices[0].message.parsed == Length(length="odd")
    with client.chat.completions.stream(model="lengths", messages=ASK_SHAPED, response_format=Length) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == Length(length="odd")


@pytest.mark.parametrize("stream", [False, True])
def test_what_does_not_fit_is_refused(client: openai.OpenAI, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="lengths", messages=ASK, response_format={"type": "json_object"}, stream=stream
        )
    assert (caught.value.param, caught.value.code) == ("response_format", "unsupported_value")


# --- completions


def test_a_text_completion(client: openai.OpenAI) -> None:
    raw = client.completions.with_raw_response.create(model="lengths", prompt="hello", logprobs=2)
    reply = raw.parse()
    assert (reply.object, reply.model, reply.system_fingerprint) == ("text_completion", "lengths", "lengths@2")
    assert reply.id == f"cmpl-{raw.headers['x-request-id']}"
    assert [(c.text, c.finish_reason) for c in reply.choices] == [("odd", "stop")]
    logprobs = reply.choices[0].logprobs
    assert logprobs is not None and logprobs.top_logprobs is not None and logprobs.token_logprobs is not None
    assert math.exp(logprobs.token_logprobs[0]) == pytest.approx(6 / 7)
    assert set(logprobs.top_logprobs[0]) == {"odd", "even"}
    assert raw.headers["x-shokunin-specialist"] == "lengths@2"
    assert raw.headers["x-shokunin-route"] == "local"


def test_several_prompts_and_choices(client: openai.OpenAI) -> None:
    raw = client.completions.with_raw_response.create(model="lengths", prompt=["hello", "ab"], n=2, echo=True, stop="e")
    reply = raw.parse()
    assert [(c.index, c.text) for c in reply.choices] == [(0, "helloodd"), (1, "helloodd"), (2, "ab"), (3, "ab")]
    assert reply.usage is not None and reply.usage.completion_tokens == 4
    assert (raw.headers["x-shokunin-confidence"], raw.headers["x-shokunin-sure"]) == ("0.750000", "false")


def test_a_streamed_text_completion(client: openai.OpenAI) -> None:
    chunks = list(
        client.completions.create(
            model="lengths", prompt=["hello", "ab"], stream=True, stream_options={"include_usage": True}
        )
    )
    texts = ["".join(c.choices[0].text for c in chunks[:-1] if c.choices[0].index == i) for i in (0, 1)]
    assert texts == ["odd", "even"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 2


def test_token_ids_as_a_prompt_are_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model="lengths", prompt=[1, 2, 3])
    assert (caught.value.param, caught.value.code) == ("prompt", "unsupported_value")


# --- responses


def test_a_response(client: openai.OpenAI) -> None:
    raw = client.responses.with_raw_response.create(
        model="lengths",
        input="hello",
        instructions="Say even or odd.",
        include=["message.output_text.logprobs"],
        top_logprobs=2,
        store=True,
    )
    reply = raw.parse()
    assert (reply.output_text, reply.status, reply.model) == ("odd", "completed", "lengths")
    assert reply.id == f"resp_{raw.headers['x-request-id']}"
    assert reply.error is None and reply.incomplete_details is None
    (message,) = reply.output
    assert message.type == "message" and message.content[0].type == "output_text"
    assert message.content[0].logprobs is not None
    assert [t.token for t in message.content[0].logprobs[0].top_logprobs] == ["odd", "even"]
    assert reply.usage is not None and reply.usage.output_tokens == 1
    assert raw.headers["x-shokunin-specialist"] == "lengths@2"


def test_a_conversation_is_sent_whole(client: openai.OpenAI) -> None:
    first = client.responses.create(model="lengths", input="hello")
    items: Any = [{"role": "user", "content": "hello"}, *first.output, {"role": "user", "content": "ab"}]
    assert client.responses.create(model="lengths", input=items).output_text == "even"
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="lengths", input="ab", previous_response_id=first.id)
    assert (caught.value.param, caught.value.code) == ("previous_response_id", "unsupported_value")
    assert "send the whole conversation" in str(caught.value)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)


def test_the_events_of_a_response(client: openai.OpenAI) -> None:
    events = list(client.responses.create(model="lengths", input="hello", stream=True))
    assert [event.type for event in events] == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
        "response.output_text.delta", "response.output_text.done", "response.content_part.done",
        "response.output_item.done", "response.completed",
    ]  # fmt: skip
    assert [event.sequence_number for event in events] == list(range(9))
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == "odd"


def test_the_helpers_of_responses(client: openai.OpenAI) -> None:
    with client.responses.stream(model="lengths", input="hello") as stream:
        texts = [event.delta for event in stream if event.type == "response.output_text.delta"]
        assert "".join(texts) == stream.get_final_response().output_text == "odd"
    reply = client.responses.parse(model="lengths", instructions=SHAPED, input="hello", text_format=Length)
    assert reply.output_parsed == Length(length="odd")
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.parse(model="lengths", input="hello", text_format=Length)
    assert (caught.value.param, caught.value.code) == ("text.format", "unsupported_value")


# --- embeddings


def test_embeddings_in_both_formats(client: openai.OpenAI) -> None:
    raw = client.embeddings.with_raw_response.create(model="letters", input=["here", "we are"])  # asks for base64
    reply = raw.parse()
    assert (reply.object, reply.model) == ("list", "letters")
    assert [(d.object, d.index, d.embedding) for d in reply.data] == [
        ("embedding", 0, [4.0, 2.0]), ("embedding", 1, [6.0, 2.0]),
    ]  # fmt: skip
    assert (reply.usage.prompt_tokens, reply.usage.total_tokens) == (10, 10)
    assert raw.headers["x-request-id"]
    plain = client.embeddings.create(model="letters", input=["here", "we are"], encoding_format="float")
    assert plain.data == reply.data
    packed = client.embeddings.create(model="letters", input="here", encoding_format="base64", dimensions=2)
    assert isinstance(packed.data[0].embedding, str)  # the client leaves it as it is when asked for by name


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"input": [1, 2]}, "input", "unsupported_value"),
        ({"input": ""}, "input", "invalid_value"),
        ({"input": "far too long"}, "input", "context_length_exceeded"),
        ({"input": "here", "dimensions": 1}, "dimensions", "unsupported_value"),
    ],
)
def test_what_no_encoder_can_give_is_refused(
    client: openai.OpenAI, fields: dict[str, Any], param: str, code: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="letters", **fields)
    assert (caught.value.param, caught.value.code) == (param, code)


# --- every endpoint


def asks(client: Any, model: str = "lengths", encoder: str = "letters") -> list[Any]:
    """One request to each endpoint, not sent yet."""
    return [
        lambda: client.chat.completions.create(model=model, messages=ASK),
        lambda: client.completions.create(model=model, prompt="hello"),
        lambda: client.responses.create(model=model, input="hello"),
        lambda: client.embeddings.create(model=encoder, input="here"),
    ]


def test_the_async_client(url: str) -> None:
    async def ask() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=url, api_key="unused", max_retries=0) as client:
            chat, text, response, vectors = await asyncio.gather(*(one() for one in asks(client)))
            chunks = await client.completions.create(model="lengths", prompt="hello", stream=True)
            streamed = "".join([chunk.choices[0].text async for chunk in chunks])
            async with client.responses.stream(model="lengths", input="hello") as stream:
                final = await stream.get_final_response()
            return [
                chat.choices[0].message.content, text.choices[0].text, response.output_text, vectors.data[0].embedding,
                streamed, final.output_text, [m.id async for m in client.models.list()],
            ]  # fmt: skip

    assert asyncio.run(ask()) == ["odd", "odd", "odd", [4.0, 2.0], "odd", "odd", ["lengths", "lengths@2", "letters"]]


@pytest.mark.parametrize("number", range(4))
def test_an_unknown_model_is_not_found(client: openai.OpenAI, number: int) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        asks(client, "length", "letter")[number]()
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert "did you mean" in str(caught.value)


@pytest.mark.parametrize("path", ["chat/completions", "completions", "responses", "embeddings"])
@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", "invalid_json", None),
        (b'{"model": "lengths"', "invalid_json", None),
        (b"[" * 5000, None, None),
        (b"[]", "invalid_value", None),
        (b"{}", "missing_required_parameter", "model"),
        (b'{"model": 5}', "invalid_value", "model"),
        (b'{"model": "lengths", "model": "letters"}', "invalid_json", "model"),
        (b'{"model": "lengths", "stream": "yes"}', "invalid_value", "stream"),
    ],
)
def test_a_broken_body_is_a_bad_request_everywhere(
    url: str, path: str, body: bytes, code: str | None, param: str | None
) -> None:
    reply = httpx.post(f"{url}/{path}", content=body, headers={"content-type": "application/json"})
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert sorted(error) == ["code", "message", "param", "type"]
    assert code in (None, error["code"])
    assert param in (None, error["param"])
    assert reply.headers["x-request-id"]


def test_the_models_say_what_they_can(client: openai.OpenAI) -> None:
    able = {m.id: {k for k, v in m.capabilities.items() if v is True} for m in client.models.list()}  # type: ignore[attr-defined]
    assert able["lengths"] == {"chat", "completions", "responses", "stream", "logprobs"}
    assert able["letters"] == {"embeddings"}
    assert client.models.retrieve("letters").max_model_len == 8  # type: ignore[attr-defined]


# --- refusals that pass


class Refusing(BaseHTTPRequestHandler):
    """Says our own refusals, one a request, and 418 when there are none left."""

    refusals: ClassVar[list[Refusal]] = []
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        refusal = self.refusals.pop(0) if self.refusals else Refusal(418, "enough", "enough")
        body = refusal.body()
        self.send_response(refusal.status)
        for name, value in {"content-type": "application/json", **refusal.headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextmanager
def refusing(*refusals: Refusal) -> Iterator[str]:
    """A server that says these, one a request; gives its base URL."""
    Refusing.refusals[:] = refusals
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@pytest.mark.parametrize("number", range(4))
def test_the_client_asks_again_after_429_and_503(number: int) -> None:
    busy = Refusal(429, "too many requests", "rate_limit_exceeded", retry_after="0.01")
    full = Refusal(503, "full", "overloaded", retry_after="0.01")
    with (
        refusing(busy, full) as url,
        openai.OpenAI(base_url=url, api_key="unused", max_retries=2) as client,
        pytest.raises(openai.APIStatusError) as caught,
    ):
        asks(client)[number]()
    assert (caught.value.status_code, caught.value.code) == (418, "enough")
    assert Refusing.refusals == []


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (Refusal(401, "no such key", "invalid_api_key"), openai.AuthenticationError),
        (Refusal(403, "not for this key", "permission_denied"), openai.PermissionDeniedError),
        (Refusal(429, "too many", "rate_limit_exceeded", retry_after="1"), openai.RateLimitError),
        (overloaded("full"), openai.InternalServerError),
    ],
)
def test_refusals_raise_what_applications_catch(refusal: Refusal, kind: type[openai.APIStatusError]) -> None:
    with (
        refusing(refusal) as url,
        openai.OpenAI(base_url=url, api_key="unused", max_retries=0) as client,
        pytest.raises(kind) as caught,
    ):
        client.chat.completions.create(model="m", messages=ASK)
    assert caught.value.code == refusal.code
    assert refusal.message in str(caught.value)
