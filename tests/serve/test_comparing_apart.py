"""Whether written answers say the same is found out in threads of its own: the server answers others meanwhile."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from gateway_fakes import BIG, MODEL, Kept
from serve_fakes import LABELS, PlainCodec, lengths, running_app, until

from shokunin.serve.app import create_app
from shokunin.serve.auditing import Audits
from shokunin.serve.parts import Parts
from shokunin.serve.routing import Routes, TaskPolicy
from shokunin.serve.scripted_upstream import ScriptedUpstream, by_model
from shokunin.serve.shelf import Shelf
from shokunin.serve.upstream import UpstreamClient, UpstreamSettings
from shokunin.serve.watching import Watches
from shokunin.watch.promise import PromiseWatch


class SlowCodec(PlainCodec):
    """Compares when it may."""

    def __init__(self) -> None:
        self.may, self.begun = threading.Event(), threading.Event()
        self.threads: set[str] = set()

    def correct(self, expected: str, value: str | None) -> bool:
        self.threads.add(threading.current_thread().name)
        self.begun.set()
        assert self.may.wait(20)
        if expected == "broken":
            raise ValueError("a database went away")
        return expected == value

    def read_reply(self, reply: str, wording: Any = None) -> str | None:
        self.threads.add(threading.current_thread().name)
        return reply


@contextmanager
def house(reply: str, threshold: float, audit_share: float) -> Iterator[tuple[str, SlowCodec, dict[str, Any], Kept]]:
    codec, watches, kept = SlowCodec(), {}, Kept()

    def make(one: Any) -> Any:
        watches[one.id] = PromiseWatch(
            max_error=0.2, confidence=0.9, threshold=threshold, audit_share=audit_share, rng=random.Random(1)
        )
        return watches[one.id]

    served = {key: replace(one, kind="generate_text", codec=codec) for key, one in lengths().items()}
    with ScriptedUpstream(by_model(reply)) as upstream:
        parts = Parts(
            Shelf(served),
            upstreams={"big": UpstreamClient(UpstreamSettings(name="big", base_url=upstream.base_url))},
            routes=Routes({"big": (MODEL, ())}),
            policy_of=lambda task: TaskPolicy(BIG),
            watches=Watches(make),
            recorder=kept,
            audits=Audits(pauses=()),
        )
        with running_app(create_app(parts)) as url:
            yield url, codec, watches, kept


def ask(url: str, text: str = "hello!") -> httpx.Response:
    body = {"model": "lengths", "messages": [{"role": "user", "content": text}]}
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=20)


def test_an_audit_that_takes_long_holds_up_nobody() -> None:
    with house(LABELS[0], threshold=0.0, audit_share=1.0) as (url, codec, watches, kept):
        assert ask(url).json()["choices"][0]["message"]["content"] == "even"
        assert codec.begun.wait(20)
        assert httpx.get(f"{url}/health", timeout=5).status_code == 200
        assert ask(url).status_code == 200
        assert not kept.of("audit")
        codec.may.set()
        until(lambda: len(kept.of("audit")) == 2)
        assert [audit.agrees for audit in kept.of("audit")] == [True, True]
    assert all(name.startswith("shokunin-comparing") for name in codec.threads)
    assert next(iter(watches.values())).status.audited == 2


@pytest.mark.parametrize(("reply", "learnt"), [("even", [True]), ("odd", [False]), ("broken", [])])
def test_an_escalated_answer_is_compared_after_the_reply(reply: str, learnt: list[bool]) -> None:
    with house(reply, threshold=0.99, audit_share=1.0) as (url, codec, watches, _):
        heard: list[bool | None] = []
        ask(url)  # the watch is made
        watch = next(iter(watches.values()))
        watch.compared = lambda confidence, agrees: heard.append(agrees)
        reply_of = ask(url)
        assert reply_of.headers["x-shokunin-route"] == "escalated"
        assert reply_of.json()["choices"][0]["message"]["content"] == reply  # before it is known whether it is the same
        assert heard == []
        codec.may.set()
        until(lambda: len(heard) >= len(learnt))
    assert heard[-len(learnt) :] == learnt or not learnt
    assert all(name.startswith("shokunin-comparing") for name in codec.threads)
