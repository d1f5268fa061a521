"""The rest of the surface over a real server: typed endpoint, gate, limits, and one envelope for every failure."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from serve_fakes import LengthPredictor, lengths, running, running_app, until

from shokunin.errors import UsageError
from shokunin.serve.app import create_app
from shokunin.serve.edge import OPEN
from shokunin.serve.limits import Limits
from shokunin.serve.refusal import Refusal

CHAT = "/v1/chat/completions"
PREDICT = "/v1/specialists/lengths/predict"
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def server() -> Iterator[httpx.Client]:
    with running(lengths(), Limits(body_bytes=10_000, rows=100)) as url, httpx.Client(base_url=url) as client:
        yield client


def is_envelope(reply: httpx.Response, status: int | None = None, code: str | None = None) -> dict[str, Any]:
    """The error, after checking that it is one."""
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-request-id"]
    assert status is None or reply.status_code == status, reply.text
    body = reply.json()
    assert list(body) == ["error"]
    error: dict[str, Any] = body["error"]
    assert sorted(error) == ["code", "message", "param", "type"]
    assert isinstance(error["message"], str) and error["message"]
    assert error["type"] in ("invalid_request_error", "permission_denied", "rate_limit_exceeded", "server_error")
    assert code is None or error["code"] == code
    return error


def chat(text: str) -> dict[str, Any]:
    return {"model": "lengths", "messages": [{"role": "user", "content": text}]}


def test_typed_answers_in_order_with_a_bad_row_in_its_place(server: httpx.Client) -> None:
    reply = server.post(PREDICT, json={"inputs": ["hello", {"text": "ab"}, {"txt": "ab"}, "", "no value"]})
    body = reply.json()
    assert (body["specialist"], body["name"], body["version"]) == ("lengths@2", "lengths", 2)
    assert [(a["value"], a["problem"]) for a in body["answers"]] == [
        ("odd", None), ("even", None), (None, "the text is empty"), (None, "the text is empty"), (None, "cannot say"),
    ]  # fmt: skip
    first = body["answers"][0]
    assert first["confidence"] == pytest.approx(6 / 7)
    assert first["scores"] == {"odd": pytest.approx(6 / 7), "even": pytest.approx(1 / 7)}
    assert (first["answered_by"], first["sure"]) == ("lengths@2", True)
    assert reply.headers["x-shokunin-specialist"] == "lengths@2"


@pytest.mark.parametrize("one", ["hello", {"text": "hello"}])
def test_typed_takes_a_single_input(server: httpx.Client, one: Any) -> None:
    assert [a["value"] for a in server.post(PREDICT, json={"inputs": one}).json()["answers"]] == ["odd"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "inputs"),
        ({"inputs": []}, "inputs"),
        ({"inputs": ["a", 7]}, "inputs[1]"),
        ({"inputs": {"text": 1}}, "inputs.text"),
        ({"inputs": None}, "inputs"),
        ({"inputs": "a", "input": "a"}, "input"),
        ({"inputs": ["a"] * 101}, "inputs"),
    ],
)
def test_typed_refuses_what_is_no_row(server: httpx.Client, body: Any, param: str) -> None:
    assert is_envelope(server.post(PREDICT, json=body), 400)["param"] == param


def test_an_overlong_row_is_a_problem_of_that_row() -> None:
    with running(lengths(), Limits(text_chars=5)) as url:
        answers = httpx.post(f"{url}{PREDICT}", json={"inputs": ["123456", {"text": "123456"}, "12345"]}).json()[
            "answers"
        ]
    assert [a["value"] for a in answers] == [None, None, "odd"]
    assert answers[0]["problem"] == answers[1]["problem"] == "the input is longer than 5 characters"


def test_the_plain_pages(server: httpx.Client) -> None:
    assert server.get("/health").json() == {"status": "ok"}
    assert server.get("/ready").json() == {"status": "ready"}
    assert server.get("/version").json()["name"] == "shokunin"
    assert server.get("/").json()["models"] == "/v1/models"
    paths = server.get("/openapi.json").json()["paths"]
    assert {CHAT, "/v1/models", "/v1/models/{name}", "/v1/specialists/{name}/predict"} <= set(paths)
    assert "422" not in json.dumps(paths)


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "code"),
    [
        ("GET", "/nothing", {}, 404, "not_found"),
        ("GET", "/v1/models/", {}, 404, "not_found"),
        ("GET", "/docs", {}, 404, "not_found"),
        ("GET", "/../etc/passwd", {}, 404, "not_found"),
        ("GET", CHAT, {}, 405, "method_not_allowed"),
        ("DELETE", "/v1/models/lengths", {}, 405, "method_not_allowed"),
        ("OPTIONS", CHAT, {"headers": {"access-control-request-method": "POST"}}, 405, "method_not_allowed"),
        ("POST", CHAT, {"content": b"{", "headers": JSON}, 400, "invalid_json"),
        ("POST", CHAT, {"content": b"", "headers": JSON}, 400, "invalid_json"),
        ("POST", CHAT, {"content": b"\xff\xfe", "headers": JSON}, 400, "invalid_json"),
        ("POST", CHAT, {"content": b"[" * 9000, "headers": JSON}, 400, "too_deeply_nested"),
        ("POST", CHAT, {"content": b'{"inputs": "\\ud800"}', "headers": JSON}, 400, "invalid_json"),
        ("POST", CHAT, {"content": b'{"temperature": NaN}', "headers": JSON}, 400, None),
        ("POST", CHAT, {"content": b"[]", "headers": JSON}, 400, "invalid_value"),
        ("POST", CHAT, {"content": b"null", "headers": JSON}, 400, "invalid_value"),
        ("POST", CHAT, {"content": b'{"seed": 1' + b"0" * 5000 + b"}", "headers": JSON}, 400, None),
        ("POST", CHAT, {"content": b"{}", "headers": {"content-type": "text/plain"}}, 415, "unsupported_media_type"),
        ("POST", CHAT, {"content": b"{}"}, 415, "unsupported_media_type"),
        (
            "POST",
            CHAT,
            {"content": b"{}", "headers": {**JSON, "content-encoding": "gzip"}},
            415,
            "unsupported_media_type",
        ),
        ("POST", CHAT, {"content": b"x" * 10_001, "headers": JSON}, 413, "request_too_large"),
        ("POST", "/v1/specialists/nobody/predict", {"json": {"inputs": "a"}}, 404, "model_not_found"),
    ],
)
def test_every_failure_is_an_envelope(
    server: httpx.Client, method: str, path: str, sent: dict[str, Any], status: int, code: str | None
) -> None:
    is_envelope(server.request(method, path, **sent), status, code)


def test_a_body_that_grows_too_large_is_cut_off(server: httpx.Client) -> None:
    def pieces() -> Iterator[bytes]:
        yield from (b" " * 1000 for _ in range(11))

    is_envelope(server.post(CHAT, content=pieces(), headers=JSON), 413, "request_too_large")


def test_a_body_announced_too_large_is_not_read(server: httpx.Client) -> None:
    with socket.create_connection(("127.0.0.1", server.base_url.port)) as connection:
        connection.settimeout(10)
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
            b"content-type: application/json\r\ncontent-length: 10001\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_method_not_allowed_says_what_is(server: httpx.Client) -> None:
    assert server.get(CHAT).headers["allow"] == "POST"


def test_no_cors_header_is_ever_sent(server: httpx.Client) -> None:
    for reply in (server.get("/v1/models"), server.get("/v1/models", headers={"origin": "https://evil.example"})):
        assert not [name for name in reply.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil", ""]
)
def test_a_foreign_name_for_this_machine_is_refused(server: httpx.Client, host: str) -> None:
    is_envelope(server.get("/v1/models", headers={"host": host}), 403, "permission_denied")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8321", "127.0.0.1:1", "[::1]:80"])
def test_local_names_are_welcome(server: httpx.Client, host: str) -> None:
    assert server.get("/v1/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1"])
def test_a_page_of_another_site_is_refused(server: httpx.Client, origin: str) -> None:
    is_envelope(server.post(PREDICT, json={"inputs": "a"}, headers={"origin": origin}), 403, "permission_denied")


def test_a_page_of_this_server_is_welcome(server: httpx.Client) -> None:
    origin = {"origin": str(server.base_url).rstrip("/")}
    assert server.post(PREDICT, json={"inputs": "a"}, headers=origin).status_code == 200


def test_every_route_is_behind_the_gate() -> None:
    def closed(request: Any) -> None:
        raise Refusal(401, "no", "invalid_api_key")

    app = create_app(lengths(), gate=closed)
    routes = [(r.path, sorted(r.methods)[0]) for r in app.routes]  # type: ignore[attr-defined]
    assert len([r for r in app.routes if isinstance(r, APIRoute)]) >= 8

    async def walk() -> dict[str, int]:
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://x") as client,
        ):
            return {
                path: (await client.request(method, path.replace("{name}", "lengths"))).status_code
                for path, method in routes
            }

    statuses = asyncio.run(walk())
    assert {path for path, status in statuses.items() if status != 401} == OPEN


def test_other_machines_are_refused_whatever_the_socket() -> None:
    app = create_app(lengths())

    async def ask(address: str) -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(address, 5000))
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as c,
        ):
            return await c.get("/v1/models")

    for address in ("192.0.2.7", "10.0.0.1", "2001:db8::1", "::ffff:192.0.2.7", "nonsense"):
        is_envelope(asyncio.run(ask(address)), 403, "permission_denied")
    for address in ("127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"):
        assert asyncio.run(ask(address)).status_code == 200


def test_an_unforeseen_failure_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    served = lengths()

    class Broken(type(served["lengths@2"].codec)):  # type: ignore[misc]
        def problem(self, inputs: Any) -> str | None:
            raise KeyError(f"/home/secret {inputs['text']}")

    object.__setattr__(served["lengths@2"], "codec", Broken())
    with running(served) as url:
        reply = httpx.post(f"{url}{CHAT}", json=chat("private words"))
    error = is_envelope(reply, 500, "internal_error")
    assert "secret" not in reply.text and "private" not in reply.text
    assert reply.headers["x-request-id"] in error["message"]
    assert reply.headers["x-request-id"] in caplog.text


def test_a_predictor_that_raises_harms_its_row_only(caplog: pytest.LogCaptureFixture) -> None:
    with running(lengths()) as url:
        answers = httpx.post(f"{url}{PREDICT}", json={"inputs": ["a", "poison", "bb"]}).json()["answers"]
        refused = httpx.post(f"{url}{CHAT}", json=chat("poison"))
    assert [a["value"] for a in answers] == ["odd", None, "even"]
    assert "secret" not in answers[1]["problem"]
    assert "secret" not in is_envelope(refused, 500, "no_answer")["message"]
    assert "secret" in caplog.text


def test_an_answer_that_takes_too_long_is_503_and_its_row_is_dropped() -> None:
    predictor = LengthPredictor()
    predictor.hold.clear()
    with running(lengths(predictor), Limits(seconds=0.3)) as url:
        first = threading.Thread(target=httpx.post, args=(f"{url}{CHAT}",), kwargs={"json": chat("first")})
        first.start()
        until(lambda: predictor.batches == [["first"]])
        late = httpx.post(f"{url}{CHAT}", json=chat("late"))
        is_envelope(late, 503, "overloaded")
        assert late.headers["retry-after"] == "1"
        predictor.hold.set()
        first.join()
        assert httpx.post(f"{url}{CHAT}", json=chat("next")).status_code == 200
    assert predictor.batches == [["first"], ["next"]]


def test_a_client_that_leaves_takes_its_row_along() -> None:
    predictor = LengthPredictor()
    predictor.hold.clear()
    app = create_app(lengths(predictor))
    with running_app(app) as url:
        first = threading.Thread(target=httpx.post, args=(f"{url}{CHAT}",), kwargs={"json": chat("first")})
        first.start()
        until(lambda: predictor.batches == [["first"]])
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{url}{CHAT}", json=chat("left"), timeout=0.3)
        until(lambda: app.state.parts.shelf.waiting()["lengths@2"] == 0)
        predictor.hold.set()
        first.join()
        assert httpx.post(f"{url}{CHAT}", json=chat("next")).status_code == 200
    assert predictor.batches == [["first"], ["next"]]


def test_a_full_queue_turns_requests_away_and_keeps_its_word_to_the_others() -> None:
    predictor = LengthPredictor()
    predictor.hold.clear()
    replies: list[httpx.Response] = []
    with running(lengths(predictor), Limits(waiting=4)) as url:
        threads = [
            threading.Thread(target=lambda i=i: replies.append(httpx.post(f"{url}{CHAT}", json=chat("x" * (i + 1)))))
            for i in range(12)
        ]
        threads[0].start()
        until(lambda: predictor.batches == [["x"]])
        for thread in threads[1:]:
            thread.start()
        until(lambda: len(replies) == 7)
        predictor.hold.set()
        for thread in threads:
            thread.join()
    assert sorted(r.status_code for r in replies) == [200] * 5 + [503] * 7
    for reply in replies:
        if reply.status_code == 503:
            is_envelope(reply, 503, "overloaded")
            assert reply.headers["retry-after"] == "1"


def test_a_body_that_does_not_come_is_not_waited_for_forever() -> None:
    with (
        running(lengths(), Limits(body_seconds=0.2)) as url,
        socket.create_connection(("127.0.0.1", httpx.URL(url).port)) as s,
    ):
        s.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
            b"content-type: application/json\r\ncontent-length: 50\r\n\r\n{"
        )
        s.settimeout(10)
        assert s.recv(100).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"hello\r\n\r\n", 400, "invalid_http"),
        (b"GET / HTTP/9.9\r\n\r\n", 400, "invalid_http"),
        (b"GET / HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n", 400, "invalid_http"),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n", 400, "invalid_http"),
        (b"GET / HTTP/1.1\r\nhost: " + b"a" * 300_000, 431, "head_too_large"),
        (b"GET /" + b"a" * 300_000, 431, "head_too_large"),
    ],
)
def test_what_is_not_http_gets_the_envelope_too(server: httpx.Client, sent: bytes, status: int, code: str) -> None:
    with socket.create_connection(("127.0.0.1", server.base_url.port)) as connection:
        connection.settimeout(10)
        connection.sendall(sent)
        head, _, body = connection.recv(10_000).partition(b"\r\n\r\n")
        assert head.startswith(f"HTTP/1.1 {status} ".encode())
        assert json.loads(body)["error"]["code"] == code


def test_requests_one_after_the_other_on_one_connection(server: httpx.Client) -> None:
    request = b"GET /health HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 40_000 + b"\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.base_url.port)) as connection:
        connection.settimeout(10)
        for _ in range(5):  # together longer than the bound on one head
            connection.sendall(request)
            assert connection.recv(10_000).startswith(b"HTTP/1.1 200 ")


def test_200_at_once_get_what_each_gets_alone_and_share_runs() -> None:
    predictor = LengthPredictor(seconds=0.002)
    texts = [f"{'x' * (i % 37)}{i}" for i in range(200)]

    async def ask(url: str, at_once: int) -> list[str]:
        room = asyncio.Semaphore(at_once)
        limits = httpx.Limits(max_connections=at_once)
        async with httpx.AsyncClient(base_url=url, limits=limits, timeout=30) as client:

            async def one(text: str) -> str:
                async with room:
                    reply = await client.post(CHAT, json={**chat(text), "logprobs": True})
                choice = reply.json()["choices"][0]
                return f"{choice['message']['content']} {choice['logprobs']['content'][0]['logprob']}"

            return await asyncio.gather(*(one(text) for text in texts))

    with running(lengths(predictor)) as url:
        alone = asyncio.run(ask(url, 1))
        assert max(map(len, predictor.batches)) == 1
        together = asyncio.run(ask(url, 200))
    assert together == alone
    assert max(map(len, predictor.batches)) > 1
    assert sum(map(len, predictor.batches)) == 400
    assert max(map(len, predictor.batches)) <= Limits().batch


def test_nothing_to_serve() -> None:
    with pytest.raises(UsageError, match="no specialist to serve"):
        create_app({})


def test_two_versions_cannot_share_an_alias() -> None:
    with pytest.raises(UsageError, match="lengths@champion would be two"):
        create_app({**lengths(version=1), **lengths(version=2)})


def test_a_specialist_is_served_under_its_id() -> None:
    with pytest.raises(UsageError, match="under its id"):
        create_app({"other": lengths()["lengths@2"]})


def test_without_a_champion_the_newest_version_has_the_name() -> None:
    with running({**lengths(version=10, aliases=()), **lengths(version=9, aliases=())}) as url:
        assert httpx.get(f"{url}/v1/models/lengths").json()["root"] == "lengths@10"


@pytest.mark.parametrize("name", ["body_bytes", "rows", "seconds"])
def test_limits_are_above_zero(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        Limits(**{name: 0})
