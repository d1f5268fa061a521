"""The large model's predictor against a scripted server on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin.answer import Inputs
from shokunin.engines.openai_api import Usage, upstream
from shokunin.errors import UsageError
from shokunin.template.labels import find_label

LABELS = ("refund", "parcel_status", "parcel")


class Script:
    """What the server says next, and what it was asked."""

    def __init__(self) -> None:
        self.replies: list[tuple[int, Any, dict[str, str]]] = []
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.base_url = ""
        self.lock = threading.Lock()

    def say(self, content: str | None, *, tokens: tuple[int, int] = (11, 2)) -> None:
        usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
        self.fail(200, {"choices": [{"message": {"role": "assistant", "content": content}}], "usage": usage})

    def fail(self, status: int, body: Any, **headers: str) -> None:
        self.replies.append((status, body, headers))

    def take(self, body: dict[str, Any], key: str | None) -> tuple[int, Any, dict[str, str]]:
        with self.lock:
            self.requests.append(body)
            self.keys.append(key)
            if self.replies:
                return self.replies.pop(0)
        text = body["messages"][-1]["content"]
        return 200, {"choices": [{"message": {"content": text}}]}, {}


@pytest.fixture
def server() -> Iterator[Script]:
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            assert self.path == "/v1/chat/completions"
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, answer, headers = script.take(body, self.headers.get("authorization"))
            raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {"content-length": str(len(raw)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    script.base_url = f"http://127.0.0.1:{http.server_port}/v1"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield script
    http.shutdown()
    thread.join()
    http.server_close()


def large(script: Script, **options: Any) -> Any:
    waits: list[float] = []
    model = upstream(script.base_url, "gpt", None, LABELS, sleep=waits.append, **options)
    model.waits = waits
    return model


def test_a_row_becomes_one_plain_question(server: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "sk-123")
    server.say("refund")
    model = upstream(server.base_url + "/", "gpt", "THE_KEY", LABELS, usd_per_million=(1.0, 10.0))
    [answer] = model.predict([{"text": "I want my money back"}])
    assert (answer.value, answer.problem, answer.answered_by) == ("refund", None, "gpt")
    assert answer.cost == pytest.approx((11 * 1.0 + 2 * 10.0) / 1e6)
    assert answer.seconds > 0
    assert model.usages == [Usage(11, 2)]
    [request] = server.requests
    assert request["temperature"] == 0
    assert request["model"] == "gpt"
    system, user = request["messages"]
    assert all(f"- {label}\n" in system["content"] for label in LABELS)
    assert user == {"role": "user", "content": "I want my money back"}
    assert server.keys == ["Bearer sk-123"]
    model.close()


def test_it_can_be_asked_and_read_in_the_application_s_way(server: Script) -> None:
    def ask(inputs: Inputs) -> list[dict[str, str]]:
        return [{"role": "user", "content": f"Mail:\n{inputs['text']}"}]

    model = upstream(
        server.base_url, "gpt", None, LABELS, ask=ask, read=lambda reply: reply.removeprefix("Mail:\n") or None
    )
    good, bad = model.predict([{"text": "x"}, {"text": ""}])
    assert [r["messages"][0]["content"] for r in sorted(server.requests, key=str)] == ["Mail:\n", "Mail:\nx"]
    assert (good.value, bad.value, bad.problem) == ("x", None, "the reply is not one of the labels: 'Mail:\\n'")
    model.close()


def test_without_a_key_none_is_sent(server: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-123")
    server.say("refund")
    model = upstream(server.base_url, "gpt", None, LABELS)
    model.predict([{"text": "x"}])
    assert server.keys == [None]
    model.close()


@pytest.mark.parametrize("value", [None, "", " "])
def test_a_key_that_is_named_but_not_set_is_an_error(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is None:
        monkeypatch.delenv("THE_KEY", raising=False)
    else:
        monkeypatch.setenv("THE_KEY", value)
    with pytest.raises(UsageError, match="'THE_KEY' is not set"):
        upstream("http://127.0.0.1:9/v1", "gpt", "THE_KEY", LABELS)


def test_several_fields_are_named(server: Script) -> None:
    server.say("refund")
    model = large(server)
    model.predict([{"subject": "money", "body": "back"}])
    assert server.requests[0]["messages"][1]["content"] == "subject: money\nbody: back"
    model.close()


def test_answers_keep_the_order_of_the_rows(server: Script) -> None:
    model = large(server, concurrency=8)
    texts = [LABELS[i % 3] for i in range(60)]
    assert [a.value for a in model.predict([{"text": t} for t in texts])] == texts
    assert len(model.usages) == 60
    model.close()


def test_an_overloaded_server_is_asked_again_no_sooner_than_it_says(server: Script) -> None:
    server.fail(429, {"error": {"message": "slow down"}}, Retry_After="3")
    server.fail(503, b"<html>busy</html>")
    server.say("refund")
    model = large(server)
    assert model.predict([{"text": "x"}])[0].value == "refund"
    assert model.waits == [3.0, 1.0]
    model.close()


def test_retries_are_bounded(server: Script) -> None:
    for _ in range(9):
        server.fail(500, {"error": {"message": "broken"}})
    model = large(server, retries=2)
    [answer] = model.predict([{"text": "x"}])
    assert (answer.value, answer.confidence, answer.sure) == (None, 0.0, False)
    assert answer.problem == "the server said 500: broken"
    assert len(server.requests) == 3
    model.close()


def test_a_server_that_asks_for_an_hour_is_not_waited_for(server: Script) -> None:
    server.fail(429, {"error": {"message": "quota"}}, Retry_After="3600")
    model = large(server)
    assert model.predict([{"text": "x"}])[0].problem == "the server said 429: quota"
    assert model.waits == []
    model.close()


@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_refusal_is_final(server: Script, status: int) -> None:
    server.fail(status, {"error": {"message": "no"}})
    model = large(server)
    assert model.predict([{"text": "x"}])[0].problem == f"the server said {status}: no"
    assert len(server.requests) == 1
    model.close()


def test_settings_that_a_model_refuses_are_changed_for_good(server: Script) -> None:
    server.fail(400, {"error": {"message": "'max_tokens' is not supported; use 'max_completion_tokens' instead"}})
    server.fail(400, {"error": {"message": "'temperature' does not support 0"}})
    server.say("refund")
    server.say("parcel")
    model = large(server)
    assert [model.predict([{"text": "x"}])[0].value for _ in range(2)] == ["refund", "parcel"]
    assert len(server.requests) == 4
    assert not {"temperature", "max_tokens"} & server.requests[-1].keys()
    assert server.requests[-1]["max_completion_tokens"] > 0
    model.close()


@pytest.mark.parametrize("body", [b"not json", [], {"choices": []}, {"choices": [{"message": None}]}, {"choices": "x"}])
def test_a_reply_that_is_no_completion_is_a_problem(server: Script, body: Any) -> None:
    server.fail(200, body)
    model = large(server)
    assert model.predict([{"text": "x"}])[0].problem == "the reply is not a chat completion"
    model.close()


@pytest.mark.parametrize("content", [None, "", "  \n"])
def test_an_empty_reply_is_a_problem(server: Script, content: str | None) -> None:
    server.say(content)
    model = large(server)
    assert model.predict([{"text": "x"}])[0].problem == "the reply is empty"
    model.close()


def test_a_reply_that_is_no_label_is_a_problem_that_cost_something(server: Script) -> None:
    server.say("I would say it depends", tokens=(1000, 0))
    model = large(server, usd_per_million=(1.0, 1.0))
    [answer] = model.predict([{"text": "x"}])
    assert answer.value is None
    assert answer.problem == "the reply is not one of the labels: 'I would say it depends'"
    assert answer.cost == pytest.approx(0.001)
    model.close()


def test_one_bad_row_does_not_spoil_the_batch(server: Script) -> None:
    model = large(server, concurrency=1)
    server.say("refund")
    server.fail(400, {"error": {"message": "too long"}})
    server.say("parcel")
    answers = model.predict([{"text": "a"}, {"text": "b"}, {"text": "c"}])
    assert [a.value for a in answers] == ["refund", None, "parcel"]
    model.close()


def test_nobody_there_is_a_problem_of_every_row() -> None:
    waits: list[float] = []
    model = upstream("http://127.0.0.1:9/v1", "gpt", None, LABELS, sleep=waits.append, retries=1)
    answers = model.predict([{"text": "a"}, {"text": "b"}])
    assert all(
        a.problem is not None and a.problem.startswith("no answer from http://127.0.0.1:9/v1/: ") for a in answers
    )
    assert len(waits) == 2
    model.close()


def test_nonsense_is_refused_before_any_request() -> None:
    with pytest.raises(UsageError, match="'ftp://x' is not an address"):
        upstream("ftp://x", "gpt", None, LABELS)
    with pytest.raises(UsageError, match="'gpt' cannot be asked without labels"):
        upstream("http://127.0.0.1:9/v1", "gpt")


@pytest.mark.parametrize(
    ("reply", "label"),
    [
        ("refund", "refund"),
        ("  Refund.\n", "refund"),
        ('"parcel_status"', "parcel_status"),
        ("parcel status", "parcel_status"),
        ("- parcel", "parcel"),
        ("The label is: parcel_status", "parcel_status"),
        ("I think this is **refund** because of the money.", "refund"),
        ("It mentions a parcel.\n\nrefund", "refund"),
        ("refund or parcel", None),
        ("parcels", None),
        ("refunded", None),
        ("", None),
    ],
)
def test_a_reply_means_a_label_only_if_it_names_just_one(reply: str, label: str | None) -> None:
    assert find_label(reply, LABELS) == label


def test_labels_that_differ_in_case_alone_are_told_apart_when_spelled_exactly() -> None:
    assert [find_label(reply, ("Open", "open")) for reply in ("Open", "open")] == ["Open", "open"]


@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=5, unique=True), st.text(max_size=40))
def test_any_reply_gives_a_label_or_nothing(labels: list[str], reply: str) -> None:
    assert find_label(reply, labels) in {*labels, None}
