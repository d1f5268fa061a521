"""The gateway under hostile eyes: what leaves, what counts, and whose it is, where requests are not as one would like them."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import replace
from typing import Any

import httpx
import pytest
from gateway_fakes import BIG, MODEL, House, asks, gateway
from serve_fakes import SHAPED, lengths, until

from shokunin.serve.auditing import Audit, Audits
from shokunin.serve.callers import Allowance, Caller, Scopes
from shokunin.serve.entry import Entry
from shokunin.serve.routing import TaskPolicy
from shokunin.serve.scripted_upstream import Act, Seen
from shokunin.serve.watching import Watches

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
RESPONSES = "/v1/responses"


def post(house: House, body: Any, path: str = CHAT, **more: Any) -> httpx.Response:
    return httpx.post(house.url + path, json=body, timeout=10, **more)


def named(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "lengths", "messages": [{"role": "user", "content": text}], **more}


def by_key(**limits: Any) -> Any:
    return lambda request: Caller("shop", "k1", limits=Allowance(**limits))


# --- what leaves


def test_masked_means_fields_headers_and_addresses_too() -> None:
    with gateway("hello", policy=TaskPolicy(BIG, "masked")) as house:
        more: dict[str, Any] = {"documents": [{"secret": "a secret"}], "prompt_cache_key": "jane", "tools": []}
        headers = {"x-who": "a secret", "x-app": "till"}
        assert post(house, asks("odd", **more), CHAT + "?who=a%20secret&v=1", headers=headers).status_code == 200
        (seen,) = house.upstream.requests
        assert b"secret" not in seen.body
        assert seen.json["documents"] == [{"[masked]": "a [masked]"}]
        assert "prompt_cache_key" not in seen.json and "tools" in seen.json
        assert "x-who" not in seen.headers and seen.headers["x-app"] == "till"


def test_a_masked_audit_has_no_such_headers_either() -> None:
    with gateway(policy=TaskPolicy(BIG, "masked"), audit_share=0.5) as house:
        post(house, asks("four secret"), headers={"x-who": "a secret"})
        until(lambda: house.upstream.requests)
        assert "x-who" not in house.upstream.requests[0].headers
        assert b"secret" not in house.upstream.requests[0].body


def test_an_address_of_the_sender_stays_here() -> None:
    with gateway("hello") as house:
        post(house, {"model": "gpt-5", "messages": []}, headers={"from": "jane@example.org"})
        assert "from" not in house.upstream.requests[0].headers


PICTURE = {"type": "image_url", "image_url": {"url": "data:,"}}
TEXT = {"type": "text", "text": "Text: odd"}
LATER = {"role": "user", "content": "Sure?"}
WITHIN: list[tuple[str, dict[str, Any]]] = [
    (RESPONSES, {"instructions": SHAPED, "input": "Text: odd", "a_new_field": 1}),
    (RESPONSES, {"instructions": SHAPED, "input": "Text: odd", "service_tier": "unheard-of"}),
    (CHAT, {"messages": [asks("")["messages"][0], {"role": "user", "content": [PICTURE, TEXT]}]}),
    (CHAT, {"messages": [*asks("odd")["messages"], {"role": "assistant", "content": "odd"}, LATER]}),
    (CHAT, {"messages": asks("odd" * 334_000)["messages"]}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body"), WITHIN)
def test_a_request_with_one_of_a_task_within_does_not_leave_where_that_must_not(path: str, body: Any) -> None:
    with gateway("hello", policy=TaskPolicy(BIG, "never")) as house:
        assert post(house, {"model": MODEL, **body}, path).status_code in (400, 403)
        assert not house.upstream.requests
    with gateway("hello", policy=TaskPolicy(BIG)) as house:
        reply = post(house, {"model": MODEL, **body}, path)
        assert reply.status_code == 200 and house.upstream.requests, "elsewhere it goes on to the upstream"


# --- the promise


def test_each_answer_of_a_request_has_an_audit_of_its_own() -> None:
    with gateway(audit_share=0.5) as house:
        reply = post(house, {"model": "lengths", "prompt": ["four", "sixsix"]}, COMPLETIONS)
        until(lambda: len(house.kept.of("audit")) == 2)
        assert len({audit.id for audit in house.kept.exchanges}) == 3
        assert {audit.parent for audit in house.kept.of("audit")} == {reply.headers["x-request-id"]}
        status = house.watches["lengths@2"].status
        assert (status.given, status.audited, status.pending) == (2, 2, 0)


@pytest.mark.parametrize(
    "body",
    [
        named("four", response_format={"type": "json_object"}),
        asks("four", response_format={"type": "json_object"}, stop=["}"]),
    ],
)
def test_an_answer_that_is_not_of_the_format_asked_for_does_not_count_as_given(body: Any) -> None:
    with gateway(audit_share=0.5) as house:
        reply = post(house, body)
        assert reply.headers.get("x-shokunin-route") != "local"
        assert not house.kept.of("audit") and not any(w.status.given for w in house.watches.values())


def test_an_audit_brings_the_callers_key_where_the_upstream_takes_it() -> None:
    with gateway(audit_share=0.5) as house:
        client = house.parts.upstreams["big"]
        client.settings = replace(client.settings, forward_client_key=True)
        post(house, asks("four"), headers={"authorization": "Bearer mine"})
        until(lambda: house.upstream.requests)
        assert house.upstream.requests[0].headers["authorization"] == "Bearer mine"


def test_an_upstream_that_hangs_holds_up_no_other_ones_audits() -> None:
    class Hangs:
        async def send(self, *about: Any, **more: Any) -> Any:
            await asyncio.sleep(3600)

    class Fails:
        async def send(self, *about: Any, **more: Any) -> Any:
            raise RuntimeError("an end that is not tried again")

    async def run() -> list[str | None]:
        told: list[str | None] = []

        def audit(client: Any) -> Audit:
            entry = Entry("a", 0.0, CHAT)
            return Audit(client, CHAT, b"{}", [], None, entry, lambda reply: True, lambda _, e: told.append(e.problem))

        audits, hangs, fails = Audits(at_a_time=2, waiting=2), Hangs(), Fails()
        for _ in range(5):
            audits.submit(audit(hangs))
        audits.submit(audit(fails))
        await asyncio.sleep(0.05)
        before = list(told)
        await audits.close(0.0)
        assert sorted(map(str, told)) == ["audit_queue_full", "internal_error", *["server_stopped"] * 4], "one each"
        return before

    assert asyncio.run(run()) == ["audit_queue_full", "internal_error"]


def test_audits_and_streams_under_way_at_the_stop_are_in_the_record() -> None:
    def script(seen: Seen) -> Act:
        return (
            Act(events=[b'data: {"choices": []}\n\n'] * 100, pause=0.05) if seen.json.get("stream") else Act(hang=True)
        )

    with gateway(script, audit_share=0.5) as house:
        post(house, asks("four"))
        with httpx.stream("POST", house.url + CHAT, json={"model": "gpt-5", "messages": [], "stream": True}) as reply:
            next(reply.iter_raw())
    (stream,), (audit,) = house.kept.of("passed"), house.kept.of("audit")
    assert stream.problem == "client_closed_request"
    assert audit.problem in ("upstream_timeout", "server_stopped") and audit.agrees is None
    assert house.watches["lengths@2"].status.pending == 0


def test_a_specialist_that_takes_the_id_of_another_has_a_promise_of_its_own() -> None:
    made: list[Any] = []

    def make(one: Any) -> Any:
        made.append(one)
        return object()

    watches = Watches(make)
    (first,) = (replace(one, about={"digest": "a"}) for key, one in lengths().items() if key == "lengths@2")
    second = replace(first, about={"digest": "b"})
    before = watches.of(first)
    assert watches.of(replace(first, aliases=())) is before
    assert watches.of(second) is not before
    assert watches.of(first) is before, "who still holds the old one goes on with it"
    assert len(made) == 2


def test_who_leaves_while_the_upstream_is_asked_has_asked_it() -> None:
    with gateway(lambda seen: Act(hang=True)) as house:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(house.url + CHAT, json=named("odd"), timeout=0.3)
        until(lambda: house.kept.exchanges)
        (kept,) = house.kept.exchanges
        assert (kept.route, kept.status, kept.upstream) == ("escalated", 499, "big")


# --- models, limits, replies


@pytest.mark.parametrize("name", ["Model", "MODEL"])
def test_a_model_that_some_upstreams_would_read_instead_is_refused(name: str) -> None:
    with gateway("hello") as house:
        reply = post(house, {"model": "gpt-5", name: "dearer", "messages": []})
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, "model")
        assert not house.upstream.requests


def test_a_wrong_name_is_no_way_to_learn_others() -> None:
    def gate(request: Any) -> Caller:
        return Caller("till", "k1", Scopes(frozenset({"answer"}), ("inquiries",)))

    with gateway(gate=gate, default=None) as house:
        for model in ("length", "lengths@9"):
            reply = post(house, {"model": model, "messages": []})
            assert reply.status_code == 404 and "'lengths" not in reply.text.replace(f"'{model}'", "")


def test_corrections_count_as_requests() -> None:
    with gateway(gate=by_key(requests_per_minute=2)) as house:
        told = {"id": "x", "answer": "odd"}
        assert [post(house, told, "/v1/feedback").status_code for _ in range(3)] == [200, 200, 429]


def test_choices_that_are_made_and_thrown_away_are_set_aside_too() -> None:
    with gateway("hello", gate=by_key(tokens_per_minute=1000)) as house:
        body = {"model": "gpt-5", "prompt": "hi", "max_tokens": 100}
        assert post(house, {**body, "best_of": 20}, COMPLETIONS).status_code == 429
        assert post(house, {**body, "prompt": ["hi"] * 20}, COMPLETIONS).status_code == 429
        assert post(house, body, COMPLETIONS).status_code == 200


def test_limits_are_told_once_in_streams_too() -> None:
    def script(seen: Seen) -> Act:
        return Act("hello", headers=[("x-ratelimit-limit-requests", "10000"), ("x-vendor", "1")])

    with gateway(script, gate=by_key(requests_per_minute=5)) as house:
        for stream in (True, False):
            reply = post(house, {"model": "gpt-5", "messages": [], "stream": stream})
            assert reply.headers.get_list("x-ratelimit-limit-requests") == ["5"]
            assert reply.headers["x-vendor"] == "1"


def test_a_reply_that_comes_encoded_all_the_same_is_kept_and_paid() -> None:
    body = {"choices": [{"message": {"content": "hi"}}], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}
    event = b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": "hi"}}]}).encode() + b"\n\n"

    def script(seen: Seen) -> Act:
        headers = [("content-encoding", "gzip")]
        if seen.json.get("stream"):
            return Act(events=[gzip.compress(event + b"data: [DONE]\n\n")], headers=headers)
        return Act(body=gzip.compress(json.dumps(body).encode()), headers=headers)

    with gateway(script) as house:
        assert post(house, {"model": MODEL, "messages": []}).json() == body
        assert house.kept.exchanges[0].response == body
        assert house.kept.exchanges[0].cost == pytest.approx(1e-5)
        assert "hi" in post(house, {"model": MODEL, "messages": [], "stream": True}).text
        assert house.kept.exchanges[1].response is not None


@pytest.mark.parametrize("stream", [True, False])
def test_a_count_that_no_reply_can_have_is_no_count(stream: bool) -> None:
    usage = b'{"choices": [], "usage": {"prompt_tokens": 1%b, "completion_tokens": 3}}' % (b"0" * 400)
    acts = Act(events=[b"data: " + usage + b"\n\n", b"data: [DONE]\n\n"]) if stream else Act(body=usage)
    with gateway(lambda seen: acts) as house:
        reply = post(house, {"model": MODEL, "messages": [], "stream": stream})
        assert reply.status_code == 200
        assert reply.content == (b"data: " + usage + b"\n\ndata: [DONE]\n\n" if stream else usage)
        (kept,) = house.kept.exchanges
        assert (kept.prompt_tokens, kept.completion_tokens) == (0, 3)


def test_of_a_very_large_reply_the_record_has_size_and_cost() -> None:
    body = {"data": ["x" * (5 << 20)], "usage": {"prompt_tokens": 7, "total_tokens": 7}}
    whole = json.dumps(body).encode()
    with gateway(lambda seen: Act(body=whole)) as house:
        reply = post(house, {"model": MODEL, "input": "hi"}, "/v1/embeddings")
        assert reply.content == whole
        (kept,) = house.kept.exchanges
        assert kept.response == {"shokunin_omitted": "too_large", "bytes": len(whole)}
        assert (kept.prompt_tokens, kept.cost) == (7, pytest.approx(7e-6))


@pytest.mark.parametrize("status", [101, 999])
def test_a_status_that_is_none_is_not_passed_on(status: int) -> None:
    with gateway(lambda seen: Act(raw=b"HTTP/1.1 %d X\r\ncontent-length: 2\r\n\r\n{}" % status)) as house:
        reply = post(house, {"model": "gpt-5", "messages": []})
        assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_not_http")
        until(lambda: house.parts.upstreams["big"].in_flight == 0)
