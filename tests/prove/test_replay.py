"""Replay against a real server: it finds every difference, blames the row, and lets only what is allowed pass."""

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from shokunin.dataset import Example
from shokunin.errors import ReplayError
from shokunin.prove.replay import TYPED_CHARACTERS, TYPED_ROWS, ReplayResult, check_replay, replay, replay_to_dict


class FakeServer(BaseHTTPRequestHandler):
    """Upper-cases a text; knows both endpoints; `script` changes what it says to one text."""

    protocol_version = "HTTP/1.1"
    script: dict[str, Any]
    seen: list[tuple[str, Any]]

    def do_GET(self) -> None:
        known = self.path == "/v1/models/shout@1"
        missing = {"error": {"message": "no such model", "code": "model_not_found"}}
        self._send(200 if known else 404, {} if known else missing)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.seen.append((self.path, body))
        if self.path == "/v1/chat/completions":
            text = body["messages"][-1]["content"]
            said = self.script.get(text, text.upper())
            if isinstance(said, tuple):
                self._send(said[0], {"error": {"message": "said no", "code": said[1]}})
            else:
                self._send(200, {"choices": [{"message": {"content": said}}]})
        elif "typed broken" in self.script:
            self._send(500, {"error": {"message": "broken", "code": "internal_error"}})
        else:
            answers = [self._typed(row) for row in body["inputs"]]
            self._send(200, {"answers": answers[: self.script.get("typed rows")]})

    def _typed(self, row: dict[str, str]) -> dict[str, Any]:
        text = row["text"] if len(row) == 1 else json.dumps(row)
        said = self.script.get(f"typed {text}", self.script.get(text, text.upper()))
        return {"value": None, "problem": "no"} if isinstance(said, tuple) else {"value": said, "problem": None}

    def _send(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


class Listener(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves in the middle is part of one test."""
        assert isinstance(sys.exception(), ConnectionError)


Server = tuple[str, type[FakeServer]]


@pytest.fixture
def server() -> Iterator[Server]:
    handler = type("Handler", (FakeServer,), {"script": {}, "seen": []})
    with Listener(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}", handler
        http.shutdown()
        thread.join()


TEXTS = [f"text {i}" for i in range(20)]


def examples(texts: list[str]) -> list[Example]:
    return [Example({"text": t}, None, f"rows.csv:{i + 2}") for i, t in enumerate(texts)]


def send(
    url: str, texts: list[str] = TEXTS, expected: list[str | None] | None = None, exact: bool = True, **options: Any
) -> ReplayResult:
    values = [t.upper() for t in texts] if expected is None else expected
    return replay(url, "shout@1", examples(texts), values, exact=exact, **options)


def test_agreement(server: Server) -> None:
    url, handler = server
    told: list[tuple[float, float | None]] = []
    result = send(url, concurrency=3, progress=lambda what, done, total: told.append((done, total)))
    check_replay(result)
    assert (result.rows, result.disagreements, result.cases, result.concurrency) == (20, 0, (), 3)
    assert result.requests_per_second > 0
    assert result.typed_rows_per_second > 0
    assert 0 < result.latency_ms["p50"] <= result.latency_ms["p95"] <= result.latency_ms["p99"]
    chats = [body for path, body in handler.seen if path == "/v1/chat/completions"]
    assert sorted(body["messages"][0]["content"] for body in chats) == sorted(TEXTS)
    assert {body["model"] for body in chats} == {"shout@1"}
    typed = [body for path, body in handler.seen if path == "/v1/specialists/shout@1/predict"]
    assert [row["text"] for body in typed for row in body["inputs"]] == TEXTS
    assert max(done for done, _ in told) == 40
    assert {total for _, total in told} == {40}


@pytest.mark.parametrize("endpoint", ["chat", "typed"])
def test_one_other_answer_is_found_at_either_endpoint(server: Server, endpoint: str) -> None:
    url, handler = server
    only_chat = {"text 7": "OTHER", "typed text 7": "TEXT 7"}
    handler.script.update(only_chat if endpoint == "chat" else {"typed text 7": "OTHER"})
    result = send(url)
    assert result.disagreements == 1
    (case,) = result.cases
    assert (case.origin, case.endpoint, case.tested, case.served) == ("rows.csv:9", endpoint, "TEXT 7", "OTHER")
    with pytest.raises(ReplayError, match=rf"1 of 20 .*rows\.csv:9 \({endpoint}\) was 'TEXT 7', is 'OTHER'"):
        check_replay(result)
    assert json.loads(json.dumps(replay_to_dict(result)))["cases"][0]["served"] == "OTHER"


def test_a_row_wrong_at_both_endpoints_counts_once(server: Server) -> None:
    url, handler = server
    handler.script["text 7"] = "OTHER"
    result = send(url)
    assert (result.disagreements, len(result.cases)) == (1, 2)


@pytest.mark.parametrize(("wrong", "passes"), [(1, True), (2, True), (3, False)])
def test_the_tolerance_is_a_share_of_rows(server: Server, wrong: int, passes: bool) -> None:
    url, handler = server
    handler.script.update(dict.fromkeys(TEXTS[:wrong], "OTHER"))
    result = send(url, exact=False, tolerance=0.1)
    assert (result.disagreements, result.allowed) == (wrong, 2)
    if passes:
        check_replay(result)
    else:
        with pytest.raises(ReplayError, match=r"3 of 20 .*\(2 may differ\)"):
            check_replay(result)


def test_exact_weights_have_no_tolerance(server: Server) -> None:
    url, handler = server
    handler.script["text 0"] = "OTHER"
    with pytest.raises(ReplayError):
        check_replay(send(url, exact=True, tolerance=0.5))


def test_a_problem_in_the_test_is_a_refusal_at_the_server(server: Server) -> None:
    url, handler = server
    handler.script["text 3"] = (400, "unanswerable_input")
    expected: list[str | None] = [t.upper() for t in TEXTS]
    assert send(url, expected=expected).disagreements == 1
    expected[3] = None
    check_replay(send(url, expected=expected))


def test_an_overloaded_or_broken_server_is_no_agreement(server: Server) -> None:
    url, handler = server
    handler.script["text 3"] = (503, "overloaded")
    expected: list[str | None] = [None if i == 3 else t.upper() for i, t in enumerate(TEXTS)]
    result = send(url, expected=expected)
    assert [(c.origin, c.endpoint, c.error) for c in result.cases] == [("rows.csv:5", "chat", "HTTP 503: said no")]
    handler.script.clear()
    handler.script["typed broken"] = True
    assert send(url, expected=[None] * 20).disagreements == 20


def test_a_lost_row_is_noticed(server: Server) -> None:
    url, handler = server
    handler.script["typed rows"] = 19
    with pytest.raises(ReplayError, match="19 answers to 20 rows"):
        send(url)


def test_many_rows_and_long_rows_are_sent_in_small_batches(server: Server) -> None:
    url, handler = server
    texts = [*(f"t{i}" for i in range(TYPED_ROWS + 1)), "x" * TYPED_CHARACTERS, "y" * TYPED_CHARACTERS]
    check_replay(send(url, texts))
    sizes = sorted(len(body["inputs"]) for path, body in handler.seen if path.endswith("/predict"))
    assert sizes == [1, 1, 1, TYPED_ROWS]


def test_several_fields_travel_as_an_object(server: Server) -> None:
    url, handler = server
    inputs = {"title": "a", "body": "b"}
    said = json.dumps(inputs).upper()
    check_replay(replay(url, "shout@1", [Example(inputs, None, "r:2")], [said], exact=True))
    asked = [body["messages"][0]["content"] for path, body in handler.seen if path.startswith("/v1/chat")]
    assert [json.loads(text) for text in asked] == [inputs]
    assert [body["inputs"] for path, body in handler.seen if path.endswith("/predict")] == [[inputs]]


def test_no_rows(server: Server) -> None:
    result = send(server[0], [])
    check_replay(result)
    assert (result.rows, result.latency_ms) == (0, {"p50": 0.0, "p95": 0.0, "p99": 0.0})


def test_inside_a_running_event_loop(server: Server) -> None:
    async def notebook() -> ReplayResult:
        return send(server[0])

    check_replay(asyncio.run(notebook()))


def test_another_model_is_served(server: Server) -> None:
    with pytest.raises(ReplayError, match=r"does not serve 'whisper@1': HTTP 404: no such model"):
        replay(server[0], "whisper@1", [], [], exact=True)


def test_no_server() -> None:
    with pytest.raises(ReplayError, match="stopped answering"):
        send("http://127.0.0.1:9")


def test_rows_and_answers_must_belong_together() -> None:
    with pytest.raises(ReplayError, match="20 rows but 1 tested answers"):
        send("http://127.0.0.1:9", expected=["x"])


def test_whoever_cancels_through_progress_is_heard(server: Server) -> None:
    def stop(what: str, done: float, total: float | None) -> None:
        raise TimeoutError("out of budget")

    with pytest.raises(TimeoutError, match="out of budget"):
        send(server[0], progress=stop)


def test_batches_are_no_larger_than_a_slow_server_answers_in_seconds(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shokunin.prove.replay._rate", lambda count, seconds: 3.0)
    url, handler = server
    check_replay(send(url, [f"t{i}" for i in range(40)]))
    assert sorted(len(body["inputs"]) for path, body in handler.seen if path.endswith("/predict")) == [10, 15, 15]
