"""Money and tokens of a key behind a real gateway: asked before an upstream is, and counted by what its reply says."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from gateway_fakes import MODEL, House, asks, gateway
from serve_fakes import until

from shokunin.serve.callers import Allowance
from shokunin.serve.gate import KeyGate
from shokunin.serve.keys import KeyFile
from shokunin.serve.routing import Target, TaskPolicy

CHAT = "/v1/chat/completions"
UNKNOWN = {"model": MODEL, "messages": [{"role": "user", "content": "something else"}]}


@contextmanager
def house(tmp_path: Path, script: Any = None, **limits: Any) -> Iterator[tuple[House, httpx.Client]]:
    """A gateway, and a client whose key has these limits; policy and threshold go to the gateway."""
    others = {name: limits.pop(name) for name in ("policy", "threshold") if name in limits}
    file = KeyFile(tmp_path / "keys.json")
    _, token = file.create("shop", limits=Allowance(**limits))
    with (
        gateway(script, gate=KeyGate(file), **others) as made,
        httpx.Client(base_url=made.url, headers={"authorization": f"Bearer {token}"}, timeout=20) as client,
    ):
        yield made, client


def spent(made: House) -> float:
    ledger = made.parts.quota.ledger
    return ledger.day("shop", ledger._clock())[2]


def test_what_an_upstream_charges_is_counted_and_then_it_is_not_asked(tmp_path: Path) -> None:
    # 16 tokens may be written and the prompt has a few dozen bytes; a token costs a millionth of a dollar.
    with house(tmp_path, usd_per_day=100e-6) as (made, client):
        replies = [client.post(CHAT, json={**UNKNOWN, "max_tokens": 16}) for _ in range(40)]
        good = [r for r in replies if r.status_code == 200]
        cost = sum(1e-6 * r.json()["usage"]["total_tokens"] for r in good)
        assert 1 < len(good) < 40
        assert spent(made) == pytest.approx(cost)
        assert cost <= 100e-6
        assert len(made.upstream.requests) == len(good), "who has no money left does not reach the upstream"
        last = replies[-1]
        assert (last.status_code, last.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        assert last.headers["x-should-retry"] == "false"
        assert int(last.headers["retry-after"]) > 0
        assert made.kept.exchanges[-1].route == "refused"


def test_the_official_client_does_not_try_again_for_hours(tmp_path: Path) -> None:
    with house(tmp_path, usd_per_month=1e-9) as (made, client):
        key = client.headers["authorization"].removeprefix("Bearer ")
        with (
            openai.OpenAI(base_url=f"{made.url}/v1", api_key=key, max_retries=3) as official,
            pytest.raises(openai.RateLimitError) as caught,
        ):
            official.chat.completions.create(**UNKNOWN)  # type: ignore[call-overload]
        assert "this request alone" in caught.value.message
        assert len(made.kept.exchanges) == 1


def test_answers_of_the_house_go_on_when_the_money_is_spent(tmp_path: Path) -> None:
    with house(tmp_path, usd_per_day=1e-9) as (made, client):
        reply = client.post(CHAT, json=asks("a long text that the specialist is sure about"))
        assert (reply.status_code, reply.headers["x-shokunin-route"]) == (200, "local")
        assert spent(made) == 0


@pytest.mark.parametrize("anyway", [True, False])
def test_an_unsure_answer_when_the_money_is_spent_is_as_the_policy_says(tmp_path: Path, anyway: bool) -> None:
    policy = TaskPolicy(Target("big", MODEL), answer_anyway=anyway)
    with house(tmp_path, usd_per_day=1e-9, policy=policy) as (made, client):
        reply = client.post(CHAT, json=asks("abc"))
        if anyway:
            assert (reply.status_code, reply.headers["x-shokunin-route"]) == (200, "fallback")
        else:
            assert (reply.status_code, reply.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        assert not made.upstream.requests


def test_a_stream_that_does_not_say_what_it_used_counts_as_what_was_set_aside(tmp_path: Path) -> None:
    with house(tmp_path, usd_per_day=1.0) as (made, client):
        for leave_early in (True, False):
            before = spent(made)
            with client.stream("POST", CHAT, json={**UNKNOWN, "stream": True, "max_tokens": 50}) as reply:
                assert reply.status_code == 200
                if not leave_early:
                    reply.read()
            until(lambda: spent(made) > before)  # noqa: B023
            assert spent(made) - before >= 50e-6
        before = spent(made)
        asked = {**UNKNOWN, "stream": True, "max_tokens": 50, "stream_options": {"include_usage": True}}
        client.post(CHAT, json=asked)
        until(lambda: spent(made) > before)
        assert spent(made) - before < 50e-6


@pytest.mark.parametrize("model", ["error-429", "error-500", "html", "reset"])
def test_what_an_upstream_refuses_costs_nothing(tmp_path: Path, model: str) -> None:
    with house(tmp_path, tokens_per_day=1_000_000) as (made, client):
        assert client.post(CHAT, json={**UNKNOWN, "model": model}).status_code >= (200 if model == "html" else 400)
        ledger = made.parts.quota.ledger
        requests, tokens, cost = ledger.day("shop", ledger._clock())
        assert (requests, cost) == (1, 0)
        assert tokens == 0 or model == "html", "a page of good status does not say what it used"
        assert made.parts.quota._reserved == {}


def test_a_model_without_a_price_is_not_asked_for_limited_money(tmp_path: Path) -> None:
    with house(tmp_path, usd_per_day=1.0) as (made, client):
        reply = client.post(CHAT, json={**UNKNOWN, "model": "gpt-unheard-of"})
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "price_unknown")
        assert not made.upstream.requests


def test_a_key_of_this_house_is_never_sent_to_an_upstream(tmp_path: Path) -> None:
    with house(tmp_path) as (made, client):
        token = client.headers["authorization"].removeprefix("Bearer ")
        assert client.post(CHAT, json=UNKNOWN).status_code == 200
        assert client.post(CHAT, json=asks("abc")).status_code == 200
        assert len(made.upstream.requests) == 2
        assert token not in repr([(seen.path, seen.headers, seen.body) for seen in made.upstream.requests])
