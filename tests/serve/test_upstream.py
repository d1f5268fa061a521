"""The client passes requests on and replies back byte by byte, and says in one word what went wrong."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from shokunin.errors import UsageError
from shokunin.serve.breaker import Breaker
from shokunin.serve.scripted_upstream import Act, ScriptedUpstream, Seen, by_model
from shokunin.serve.upstream import UpstreamClient, UpstreamFailure, UpstreamReply, UpstreamSettings

PATH = "/v1/chat/completions"


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(by_model("refund please")) as server:
        yield server


def chat(model: str = "large", **more: Any) -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "where is it?"}], **more}).encode()


def settings(upstream: ScriptedUpstream, **more: Any) -> UpstreamSettings:
    return UpstreamSettings(name="large", base_url=upstream.base_url, key=SecretStr("sk-upstream"), **more)


def with_client(
    about: UpstreamSettings, story: Callable[[UpstreamClient], Awaitable[Any]], breaker: Breaker | None = None
) -> Any:
    async def whole() -> Any:
        client = UpstreamClient(about, breaker=breaker)
        try:
            return await story(client)
        finally:
            assert client.in_flight == 0
            await client.close()

    return asyncio.run(whole())


def ask(about: UpstreamSettings, body: bytes, headers: Any = (), **more: Any) -> tuple[UpstreamReply, bytes]:
    async def story(client: UpstreamClient) -> tuple[UpstreamReply, bytes]:
        reply = await client.send(PATH, body, headers, **more)
        return reply, await reply.read(1 << 20)

    return with_client(about, story)


def failing(about: UpstreamSettings, body: bytes, headers: Any = (), **more: Any) -> UpstreamFailure:
    with pytest.raises(UpstreamFailure) as caught:
        ask(about, body, headers, **more)
    return caught.value


def test_a_reply_comes_back(upstream: ScriptedUpstream) -> None:
    reply, body = ask(settings(upstream), chat())
    assert reply.status == 200
    assert not reply.is_stream
    assert reply.upstream_request_id == "req_scripted"
    assert json.loads(body)["choices"][0]["message"]["content"] == "refund please"
    assert upstream.requests[0].body == chat()
    assert upstream.requests[0].path == PATH


@pytest.mark.parametrize("tail", ["/v1", "/v1/", "/openai/v2"])
def test_the_path_is_taken_under_the_base_url(upstream: ScriptedUpstream, tail: str) -> None:
    base = upstream.base_url.removesuffix("/v1") + tail
    ask(UpstreamSettings(name="large", base_url=base), chat())
    assert upstream.requests[0].path == tail.rstrip("/") + "/chat/completions"


@pytest.mark.parametrize("path", ["chat", "/v1/../admin", "/v1/models/../../keys", "/v1"])
def test_an_address_outside_is_not_asked(upstream: ScriptedUpstream, path: str) -> None:
    async def story(client: UpstreamClient) -> None:
        with pytest.raises(ValueError, match="not an address under"):
            await client.send(path, b"", ())

    with_client(settings(upstream), story)
    assert not upstream.requests


@pytest.mark.parametrize(
    ("model", "status", "kind"),
    [
        ("error-400", 400, "application/json"),
        ("error-401", 401, "application/json"),
        ("error-429", 429, "application/json"),
        ("error-500", 500, "application/json"),
        ("html", 502, "text/html"),
    ],
)
def test_errors_of_the_upstream_pass_unchanged(upstream: ScriptedUpstream, model: str, status: int, kind: str) -> None:
    said = upstream.act(Seen("POST", PATH, {}, chat(model)))
    upstream.requests.clear()
    reply, body = ask(settings(upstream), chat(model))
    assert (reply.status, body) == (status, said.body)
    headers = dict(reply.headers)
    assert headers["content-type"] == kind
    assert headers.get("retry-after") == ("7" if status == 429 else None)
    assert len(upstream.requests) == 1  # the client of the client decides whether to ask again


def test_a_redirect_is_not_followed(upstream: ScriptedUpstream) -> None:
    upstream.script = lambda seen: Act(status=307, body=b"", headers=[("location", upstream.base_url + "/elsewhere")])
    reply, _ = ask(settings(upstream), chat())
    assert reply.status == 307
    assert len(upstream.requests) == 1


def test_a_stream_passes_byte_by_byte(upstream: ScriptedUpstream) -> None:
    pieces = [b": hello\n", b'\ndata: {"a":\r', b"\n1}\n\ndata", b": [DO", b"NE]\n\n", "\u2028é".encode()]
    upstream.script = lambda seen: Act(events=pieces, pause=0.01)

    async def story(client: UpstreamClient) -> list[bytes]:
        reply = await client.send(PATH, chat(stream=True), ())
        assert reply.is_stream
        return [piece async for piece in reply.chunks()]

    arrived = with_client(settings(upstream), story)
    assert b"".join(arrived) == b"".join(pieces)
    assert len(arrived) > 2  # nobody waited for the end


def test_an_encoded_body_is_passed_on_as_it_is(upstream: ScriptedUpstream) -> None:
    upstream.script = lambda seen: Act(body=b"\x1f\x8b no gzip", headers=[("content-encoding", "gzip")])
    reply, body = ask(settings(upstream), chat())
    assert body == b"\x1f\x8b no gzip"
    assert reply.content_encoding == "gzip"
    assert ("content-encoding", "gzip") in reply.headers


def test_headers_of_the_request(upstream: ScriptedUpstream) -> None:
    going = {
        "content-type": "application/json",
        "accept": "application/json",
        "user-agent": "OpenAI/Python 2.0",
        "openai-organization": "org",
        "openai-beta": "assistants=v2",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "x-stainless-lang": "python",
        "idempotency-key": "i-1",
    }
    staying = {
        "Authorization": "Bearer sk-client",
        "api-key": "sk-client",
        "Host": "127.0.0.1:8321",
        "Cookie": "session=1",
        "Connection": "close, X-Mine",
        "x-mine": "1",
        "Content-Length": "3",
        "Transfer-Encoding": "chunked",
        "TE": "trailers",
        "Expect": "100-continue",
        "x-shokunin-route": "local",
        "X-Forwarded-For": "10.0.0.1",
        "forwarded": "for=10.0.0.1",
        "Origin": "http://evil.example",
        "sec-fetch-site": "cross-site",
        "baggage": "customer=7",
        "accept-encoding": "br",
    }
    ask(settings(upstream), chat(), [*going.items(), *staying.items()])
    seen = upstream.requests[0].headers
    assert seen == {
        **going,
        "host": f"127.0.0.1:{upstream.port}",
        "content-length": str(len(chat())),
        "accept-encoding": "identity",
        "authorization": "Bearer sk-upstream",
    }


@pytest.mark.parametrize(
    ("forward", "own", "expected"),
    [
        (False, "Bearer sk-client", "Bearer sk-upstream"),
        (True, "Bearer sk-client", "Bearer sk-client"),
        (True, None, "Bearer sk-upstream"),
    ],
)
def test_whose_key(upstream: ScriptedUpstream, forward: bool, own: str | None, expected: str) -> None:
    ask(settings(upstream, forward_client_key=forward), chat(), client_authorization=own)
    assert upstream.requests[0].headers["authorization"] == expected


def test_without_a_key_none_is_sent(upstream: ScriptedUpstream) -> None:
    ask(UpstreamSettings(name="large", base_url=upstream.base_url), chat(), [("authorization", "Bearer sk-client")])
    assert "authorization" not in upstream.requests[0].headers


def test_headers_of_the_reply(upstream: ScriptedUpstream) -> None:
    passed = [
        ("x-ratelimit-remaining-requests", "9"),
        ("openai-processing-ms", "12"),
        ("warning", "a"),
        ("warning", "b"),
    ]
    left = [
        ("set-cookie", "session=1"),
        ("server", "cloudflare"),
        ("date", "today"),
        ("keep-alive", "timeout=5"),
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
        ("alt-svc", 'h3=":443"'),
        ("access-control-allow-origin", "*"),
        ("strict-transport-security", "max-age=1"),
        ("x-shokunin-route", "local"),
        ("CF-Ray", "1"),
    ]
    upstream.script = lambda seen: Act(headers=[*passed, *left])
    reply, _ = ask(settings(upstream), chat())
    assert reply.headers == [("content-type", "application/json"), *passed]


def test_cookies_are_not_kept(upstream: ScriptedUpstream) -> None:
    upstream.script = lambda seen: Act(headers=[("set-cookie", "session=1")])

    async def story(client: UpstreamClient) -> None:
        for _ in range(2):
            await (await client.send(PATH, chat(), ())).read(1 << 20)

    with_client(settings(upstream), story)
    assert "cookie" not in upstream.requests[1].headers
    assert upstream.connections == 1  # and the connection was used again


def test_a_client_that_goes_stops_the_upstream(upstream: ScriptedUpstream) -> None:
    upstream.script = lambda seen: Act("word " * 1000, pause=0.01)

    async def story(client: UpstreamClient) -> None:
        reply = await client.send(PATH, chat(stream=True), ())
        async for _ in reply.chunks():
            break
        await reply.aclose()
        for _ in range(200):
            if not upstream.open:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("the upstream goes on talking")

    with_client(settings(upstream), story)


def test_a_request_cancelled_while_waiting_stops_the_upstream(upstream: ScriptedUpstream) -> None:
    async def story(client: UpstreamClient) -> None:
        task = asyncio.create_task(client.send(PATH, chat("hang"), ()))
        while not upstream.requests:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for _ in range(200):
            if not upstream.open:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("the upstream still has the connection")

    with_client(settings(upstream), story)


# What goes wrong.


def test_nobody_there() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # bound but not listening: refused
        about = UpstreamSettings(name="large", base_url=f"http://127.0.0.1:{probe.getsockname()[1]}/v1", retries=1)
        failure = failing(about, chat())
    assert (failure.reason, failure.before_reply) == ("upstream_unreachable", True)
    refusal = failure.refusal()
    assert refusal.status == 502
    assert json.loads(refusal.body())["error"]["code"] == "upstream_unreachable"
    assert "127.0.0.1" not in str(failure)


def test_no_such_name() -> None:
    failure = failing(UpstreamSettings(name="large", base_url="http://nowhere.invalid/v1", retries=0), chat())
    assert failure.reason == "upstream_unreachable"


def test_it_hangs(upstream: ScriptedUpstream) -> None:
    failure = failing(settings(upstream, timeout_seconds=0.1), chat("hang"))
    assert (failure.reason, failure.before_reply) == ("upstream_timeout", True)
    assert failure.refusal().status == 504
    assert len(upstream.requests) == 1


def test_the_time_of_one_request_may_be_less(upstream: ScriptedUpstream) -> None:
    assert failing(settings(upstream), chat("hang"), seconds=0.05).reason == "upstream_timeout"


def test_a_body_that_does_not_end_in_time(upstream: ScriptedUpstream) -> None:
    upstream.script = lambda seen: Act(pause=30)
    assert failing(settings(upstream, timeout_seconds=0.15), chat()).reason == "upstream_timeout"


def test_it_resets_before_the_reply(upstream: ScriptedUpstream) -> None:
    failure = failing(settings(upstream), chat("refuse"))
    assert (failure.reason, failure.before_reply) == ("upstream_reset", True)
    assert len(upstream.requests) == 1  # it may be working on it


def test_what_is_idempotent_is_asked_once_more_where_the_connection_just_closed(upstream: ScriptedUpstream) -> None:
    answers = [Act(raw=b""), Act("at last")]
    upstream.script = lambda seen: answers.pop(0)
    _, body = ask(settings(upstream), chat(), [("Idempotency-Key", "i-1")])
    assert json.loads(body)["choices"][0]["message"]["content"] == "at last"
    assert len(upstream.requests) == 2


def test_but_only_once(upstream: ScriptedUpstream) -> None:
    upstream.script = lambda seen: Act(raw=b"")
    assert failing(settings(upstream, retries=5), chat(), [("idempotency-key", "i")]).reason == "upstream_reset"
    assert len(upstream.requests) == 2


def test_and_not_when_a_reply_had_begun(upstream: ScriptedUpstream) -> None:
    upstream.script = lambda seen: Act(raw=b"HTTP/1.1 200 OK\r\ncontent-le")
    assert failing(settings(upstream), chat(), [("idempotency-key", "i-1")]).reason == "upstream_reset"
    assert len(upstream.requests) == 1


def test_without_a_key_it_is_not_asked_again(upstream: ScriptedUpstream) -> None:
    upstream.script = lambda seen: Act(raw=b"")
    assert failing(settings(upstream), chat()).reason == "upstream_reset"
    assert len(upstream.requests) == 1


def test_it_is_not_http(upstream: ScriptedUpstream) -> None:
    failure = failing(settings(upstream), chat("malformed"), [("idempotency-key", "i-1")])
    assert failure.reason == "upstream_not_http"
    assert len(upstream.requests) == 1


def test_it_resets_in_the_middle_of_a_body(upstream: ScriptedUpstream) -> None:
    assert failing(settings(upstream), chat("reset")).reason == "upstream_reset"


def test_a_body_shorter_than_announced(upstream: ScriptedUpstream) -> None:
    upstream.script = lambda seen: Act(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort")
    assert failing(settings(upstream), chat()).reason == "upstream_reset"


def test_it_resets_in_the_middle_of_a_stream(upstream: ScriptedUpstream) -> None:
    got: list[bytes] = []

    async def story(client: UpstreamClient) -> None:
        reply = await client.send(PATH, chat("reset", stream=True), ())
        async for piece in reply.chunks():
            got.append(piece)

    with pytest.raises(UpstreamFailure) as caught:
        with_client(settings(upstream), story)
    assert (caught.value.reason, caught.value.before_reply) == ("upstream_reset", False)
    assert b"".join(got).startswith(b"data: {")
    event = caught.value.event()
    assert json.loads(event.strip().removeprefix(b"data: "))["error"]["code"] == "upstream_reset"


def test_a_stream_that_falls_silent(upstream: ScriptedUpstream) -> None:
    upstream.script = lambda seen: Act(events=[b"data: 1\n\n", b"data: 2\n\n"], pause=30)
    got: list[bytes] = []

    async def story(client: UpstreamClient) -> None:
        reply = await client.send(PATH, chat(stream=True), ())
        async for piece in reply.chunks():
            got.append(piece)

    with pytest.raises(UpstreamFailure) as caught:
        with_client(settings(upstream, idle_seconds=0.1), story)
    assert (caught.value.reason, caught.value.before_reply) == ("upstream_timeout", False)
    assert got == [b"data: 1\n\n"]


def test_silence_before_the_first_byte_is_not_idleness(upstream: ScriptedUpstream) -> None:
    upstream.script = lambda seen: Act(delay=0.2)
    reply, _ = ask(settings(upstream, idle_seconds=0.05), chat())
    assert reply.status == 200


def test_a_slow_drip_is_no_silence(upstream: ScriptedUpstream) -> None:
    async def story(client: UpstreamClient) -> bytes:
        reply = await client.send(PATH, chat("drip", stream=True), ())
        return b"".join([piece async for piece in reply.chunks()])

    assert with_client(settings(upstream, idle_seconds=0.5), story).endswith(b"data: [DONE]\n\n")


def test_a_huge_reply_is_cut_off(upstream: ScriptedUpstream) -> None:
    failure = failing(settings(upstream), chat("huge"))
    assert (failure.reason, failure.before_reply) == ("upstream_too_large", True)


def test_too_many_at_a_time(upstream: ScriptedUpstream) -> None:
    async def story(client: UpstreamClient) -> tuple[list[str], int]:
        async def one() -> str:
            try:
                return str((await (await client.send(PATH, chat("slow"), ())).read(1 << 20)) != b"")
            except UpstreamFailure as failure:
                assert failure.retry_after == 1.0
                return failure.reason

        given = list(await asyncio.gather(*(one() for _ in range(5))))
        return given, upstream.connections

    upstream.script = lambda seen: Act(delay=0.1)
    given, connections = with_client(settings(upstream, connections=2, waiting=1), story)
    assert given == ["True", "True", "True", "upstream_busy", "upstream_busy"]
    assert connections == 2


# The breaker around it.


def asked_often(client: UpstreamClient, *models: str) -> Awaitable[list[str]]:
    async def story() -> list[str]:
        said = []
        for model in models:
            try:
                reply = await client.send(PATH, chat(model), ())
                await reply.read(1 << 20)
                said.append(str(reply.status))
            except UpstreamFailure as failure:
                said.append(failure.reason)
        return said

    return story()


def test_failures_in_a_row_open_the_circuit(upstream: ScriptedUpstream) -> None:
    now = [0.0]
    breaker = Breaker(2, 10, clock=lambda: now[0], draw=lambda: 0.5)

    async def story(client: UpstreamClient) -> list[str]:
        said = await asked_often(client, "error-503", "reset", "fine")
        now[0] += 11
        return said + await asked_often(client, "fine", "fine")

    said = with_client(settings(upstream), story, breaker)
    assert said == ["503", "upstream_reset", "upstream_open_circuit", "200", "200"]
    assert len(upstream.requests) == 4
    assert breaker.state == "closed"


def test_an_open_circuit_says_when_to_ask_again(upstream: ScriptedUpstream) -> None:
    breaker = Breaker(1, 10, clock=lambda: 0.0, draw=lambda: 0.5)
    breaker.report(breaker.admit(), False)
    with pytest.raises(UpstreamFailure) as caught:
        with_client(settings(upstream), lambda client: client.send(PATH, chat(), ()), breaker)
    assert caught.value.retry_after == pytest.approx(10)
    assert caught.value.refusal().headers == {"retry-after": "10"}
    assert caught.value.refusal().status == 503


@pytest.mark.parametrize("model", ["error-429", "error-400", "error-401", "error-501"])
def test_what_is_no_failure_of_the_upstream_does_not_open_it(upstream: ScriptedUpstream, model: str) -> None:
    breaker = Breaker(2, 10)
    said = with_client(settings(upstream), lambda client: asked_often(client, *[model] * 4), breaker)
    assert "upstream_open_circuit" not in said
    assert breaker.state == "closed"


def test_refused_connections_open_it_within_one_request() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        about = UpstreamSettings(
            name="large", base_url=f"http://127.0.0.1:{probe.getsockname()[1]}/v1", retries=4, breaker_failures=2
        )
        assert failing(about, chat()).reason == "upstream_open_circuit"


# Settings.


@pytest.mark.parametrize(
    "base_url",
    ["", "api.openai.com", "ftp://a/v1", "http:///v1", "http://user:pass@a/v1", "http://a/v1?x=1", "http://["],
)
def test_an_address_that_is_none(base_url: str) -> None:
    with pytest.raises(UsageError, match="upstream 'large' is not an address") as caught:
        UpstreamSettings(name="large", base_url=base_url)
    assert "pass" not in str(caught.value).replace("password", "")


@pytest.mark.parametrize("field", ["timeout_seconds", "connect_seconds", "idle_seconds", "connections"])
def test_a_number_that_is_none(field: str) -> None:
    with pytest.raises(UsageError, match=f"{field} of upstream 'large' is a number above 0, not 0"):
        UpstreamSettings(name="large", base_url="http://a/v1", **{field: 0})


def test_the_key_is_never_shown() -> None:
    about = UpstreamSettings(name="large", base_url="http://a/v1", key=SecretStr("sk-secret"))
    assert "sk-secret" not in repr(about) + str(about)
