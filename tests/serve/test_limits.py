"""Limits on what a client may send, hold and leave unread; each refusal in OpenAI's envelope, and the server goes on."""

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from gateway_fakes import MODEL, gateway
from hypothesis import given, settings
from hypothesis import strategies as st
from serve_fakes import LengthPredictor, lengths, running, running_app, until

from shokunin.serve import connection as connection_module
from shokunin.serve.app import create_app
from shokunin.serve.callers import Allowance
from shokunin.serve.gate import KeyGate
from shokunin.serve.keys import KeyFile
from shokunin.serve.limits import Limits, check_nesting
from shokunin.serve.refusal import Refusal

CHAT = "/v1/chat/completions"
PREDICT = "/v1/specialists/lengths/predict"


def chat(text: Any = "hello", **more: Any) -> dict[str, Any]:
    return {"model": "lengths", "messages": [{"role": "user", "content": text}], **more}


def too_deep(body: bytes, limit: int) -> bool:
    try:
        check_nesting(body, limit)
    except Refusal as refusal:
        assert (refusal.status, refusal.code) == (400, "too_deeply_nested")
        return True
    return False


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


TEXTS = st.text(alphabet='[]{}"\\,: aé\u2028\n')
VALUES = st.recursive(
    TEXTS | st.none() | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=40,
)


@settings(max_examples=300, deadline=None)
@given(VALUES, st.integers(1, 6), st.booleans())
def test_depth_is_counted_as_json_means_it(value: Any, limit: int, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert too_deep(body, limit) == (depth_of(value) > limit)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet='[]{}"\\ab').map(str.encode) | st.binary(), st.integers(1, 5))
def test_whatever_is_no_json_is_counted_without_a_fault(body: bytes, limit: int) -> None:
    too_deep(body, limit)


@pytest.mark.parametrize("limit", [64, 70_000])
def test_depth_across_the_pieces_in_which_it_is_counted(limit: int) -> None:
    assert not too_deep(b"[],[" * 50_000 + b"[" * (limit - 50_000 if limit > 50_000 else 0), max(limit, 50_001))
    assert too_deep(b"[" * (limit + 1), limit)
    assert not too_deep(b"[" * limit + b"]" * limit, limit)
    assert not too_deep(b"[]" * 90_000, 1)


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 100_000, b'{"model":"lengths","messages":' + b"[" * 100_000]
)
def test_a_body_that_is_nested_without_end_is_refused_and_the_server_lives(body: bytes) -> None:
    with running(lengths()) as url:
        for path in (CHAT, PREDICT):
            reply = httpx.post(url + path, content=body, headers={"content-type": "application/json"})
            assert reply.status_code == 400
            assert reply.json()["error"]["type"] == "invalid_request_error"
        assert httpx.post(url + CHAT, json=chat()).status_code == 200


def test_beyond_the_requests_in_flight_the_door_is_closed_for_a_moment() -> None:
    predictor = LengthPredictor()
    predictor.hold.clear()
    with running(lengths(predictor), Limits(in_flight=2)) as url, httpx.Client(base_url=url) as client:
        held = [threading.Thread(target=lambda: client.post(CHAT, json=chat())) for _ in range(2)]
        for thread in held:
            thread.start()
        until(lambda: client.get("/v1/models").status_code == 503)
        reply = client.post(CHAT, json=chat())
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
        assert reply.json()["error"]["code"] == "overloaded"
        assert client.get("/health").status_code == 200
        assert client.get("/ready").status_code == 200
        predictor.hold.set()
        for thread in held:
            thread.join()
        until(lambda: client.post(CHAT, json=chat()).status_code == 200)


def test_all_bodies_together_are_bounded() -> None:
    predictor = LengthPredictor()
    predictor.hold.clear()
    with running(lengths(predictor), Limits(held_bytes=10_000)) as url, httpx.Client(base_url=url) as client:
        large = {"inputs": ["x" * 6000]}
        held = threading.Thread(target=lambda: client.post(PREDICT, json=large))
        held.start()
        until(lambda: predictor.batches)
        reply = client.post(PREDICT, json=large)
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
        predictor.hold.set()
        held.join()
        until(lambda: client.post(PREDICT, json=large).status_code == 200)


# a client that is slow, or never ends


def connected(url: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=10)


def all_of(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(connection_module, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(connection_module, "STALLED_SECONDS", 0.5)
    with running(lengths(), Limits(body_seconds=0.3)) as url:
        yield url


@pytest.mark.parametrize("head", [b"", b"GET /health HT", b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
def test_a_head_that_does_not_come_is_not_waited_for(url: str, head: bytes) -> None:
    with connected(url) as connection:
        connection.sendall(head)
        reply = all_of(connection)
    assert reply.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert json.loads(reply.partition(b"\r\n\r\n")[2])["error"]["code"] == "timeout"


def test_the_next_head_on_a_connection_is_not_waited_for_either_but_an_idle_one_is_kept(url: str) -> None:
    whole = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with connected(url) as connection:
        for _ in range(2):
            connection.sendall(whole)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            time.sleep(0.5)
        connection.sendall(whole[:10])
        assert all_of(connection).startswith(b"HTTP/1.1 408")


def test_a_head_in_pieces_is_read() -> None:
    with running(lengths()) as url, connected(url) as connection:
        for piece in (b"GET /hea", b"lth HTTP/1.1\r\nHo", b"st: localhost\r\nConnection: close\r\n\r\n"):
            connection.sendall(piece)
            time.sleep(0.02)
        assert all_of(connection).startswith(b"HTTP/1.1 200")


def test_a_body_that_does_not_come_is_not_waited_for(url: str) -> None:
    with connected(url) as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )
        assert all_of(connection).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    "header", [b"X-Long: " + b"x" * (1 << 20), b"".join(b"X-%d: y\r\n" % n for n in range(50_000))]
)
def test_a_huge_head_is_refused(url: str, header: bytes) -> None:
    with connected(url) as connection:
        try:
            connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n" + header)
            reply = all_of(connection)
        except (ConnectionResetError, BrokenPipeError):
            reply = b""  # refused while we were still sending
    assert reply == b"" or int(reply.split(b" ")[1]) == 431
    assert httpx.get(f"{url}/health").status_code == 200


def test_a_half_head_behind_a_slow_answer_does_not_spoil_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "HEAD_SECONDS", 0.2)
    predictor = LengthPredictor(seconds=1.0)
    body = json.dumps(chat()).encode()
    with running(lengths(predictor)) as url, connected(url) as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body) + body + b"GET /heal"
        )
        replies = all_of(connection)
    assert replies.startswith(b"HTTP/1.1 200") and b"HTTP/1.1 408" in replies
    answer = replies[: replies.index(b"HTTP/1.1 408")].partition(b"\r\n\r\n")[2]
    assert json.loads(answer)["choices"][0]["message"]["content"] == "odd"


def test_requests_that_are_sent_without_waiting_are_answered_in_order() -> None:
    texts = ["x" * n for n in range(1, 401)]
    sent = b""
    for text in texts:
        body = json.dumps({"inputs": [text]}).encode()
        sent += (
            b"POST /v1/specialists/lengths/predict HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        ) + body
    with running(lengths()) as url, connected(url) as connection:
        connection.sendall(sent + b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        replies = all_of(connection).decode()
    values = re.findall(r'"value": "(odd|even)"', replies)
    assert values == ["odd", "even"] * 200


def test_a_client_that_never_reads_is_let_go_with_what_it_was_owed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection_module, "STALLED_SECONDS", 0.5)
    body = json.dumps({"inputs": ["x"] * 1000}).encode()
    request = (
        b"POST /v1/specialists/lengths/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    ) + body
    app = create_app(lengths())
    lost: list[Exception | None] = []
    real = connection_module.Connection.connection_lost

    def spy(self: connection_module.Connection, exc: Exception | None) -> None:
        lost.append(exc)
        real(self, exc)

    monkeypatch.setattr(connection_module.Connection, "connection_lost", spy)
    with running_app(app) as url, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(0.2)
        connection.connect(("127.0.0.1", int(url.rpartition(":")[2])))
        end, sent = time.monotonic() + 10, 0
        while not lost and time.monotonic() < end:  # ask again and again, and read nothing
            try:
                sent += connection.send(request[sent % len(request) :])
            except TimeoutError:
                continue
            except OSError:
                break
        assert lost
        assert httpx.get(f"{url}/health").status_code == 200
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_too_many_connections_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "CONNECTIONS", 3)
    with running(lengths()) as url:
        held = [connected(url) for _ in range(3)]
        with connected(url) as one_more:
            reply = all_of(one_more)
        assert reply.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"retry-after: 1\r\n" in reply
        for connection in held:
            connection.close()
        until(lambda: _answers(url))


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 129}, "n"),
        ({"max_tokens": 1_000_001}, "max_tokens"),
        ({"max_completion_tokens": 10**30}, "max_tokens"),
        ({"messages": [{"role": "user", "content": "x"}] * 4097}, "messages"),
    ],
)
def test_what_no_request_may_ask_for(more: dict[str, Any], param: str) -> None:
    with running(lengths()) as url:
        reply = httpx.post(url + CHAT, json=chat(**more))
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


# how much a key may use


def test_the_official_client_reads_the_limit_of_a_key(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    _, token = file.create("shop", limits=Allowance(requests_per_minute=2, tokens_per_day=100_000))
    with (
        running_app(create_app(lengths(), gate=KeyGate(file))) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0) as client,
    ):
        raw = client.chat.completions.with_raw_response.create(**chat())
        assert raw.headers["x-ratelimit-limit-requests"] == "2"
        assert raw.headers["x-ratelimit-remaining-requests"] == "1"
        assert 0 < int(raw.headers["x-ratelimit-remaining-tokens"]) < 100_000
        client.chat.completions.create(**chat())
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(**chat())
        assert caught.value.code == "rate_limit_exceeded"
        assert 55 <= int(caught.value.response.headers["retry-after"]) <= 61
        assert caught.value.response.headers["x-ratelimit-remaining-requests"] == "0"
        assert client.models.list().data, "what costs nothing is not counted"


# no address in a request is ever fetched


def test_an_address_in_a_request_is_never_fetched() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.5)
    trap = f"http://127.0.0.1:{listener.getsockname()[1]}/latest/meta-data"
    content = [{"type": "text", "text": "hello"}, {"type": "image_url", "image_url": {"url": trap}}]
    bodies: list[tuple[str, dict[str, Any]]] = [
        (CHAT, chat(content)),
        (CHAT, chat(trap)),
        (CHAT, chat([{"type": "file", "file": {"file_data": trap}}])),
        (CHAT, chat([{"type": "input_audio", "input_audio": {"data": trap, "format": "wav"}}])),
        ("/v1/responses", {"model": "lengths", "input": [{"role": "user", "content": [
            {"type": "input_image", "image_url": trap}]}]}),
        (PREDICT, {"inputs": [trap, {"text": trap}]}),
    ]  # fmt: skip
    with running(lengths()) as url, listener:
        statuses = [httpx.post(url + path, json=body).status_code for path, body in bodies]
        assert statuses == [400, 200, 400, 400, 400, 200]
        with pytest.raises(TimeoutError):
            listener.accept()


def test_an_address_is_passed_on_unread_and_not_fetched_on_the_way() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.5)
    trap = f"http://127.0.0.1:{listener.getsockname()[1]}/latest/meta-data"
    content = [{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": trap}}]
    with gateway() as made, listener:
        reply = httpx.post(made.url + CHAT, json={"model": MODEL, "messages": [{"role": "user", "content": content}]})
        assert (reply.status_code, reply.headers["x-shokunin-route"]) == (200, "passed")
        [seen] = made.upstream.requests
        assert seen.json["messages"][0]["content"] == content
        with pytest.raises(TimeoutError):
            listener.accept()
