"""A request through a real server is seen where it should be: metrics, page, log line and span, all with one id."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import httpx
import pytest
from serve_fakes import lengths, running_app, until
from test_telemetry import PARENT, TRACE, Collector, attributes, collecting

from shokunin.serve.app import create_app
from shokunin.serve.logs import setup_logging
from shokunin.serve.metrics import Metrics
from shokunin.serve.parts import Parts
from shokunin.serve.routing import Routes
from shokunin.serve.scripted_upstream import ScriptedUpstream, by_model
from shokunin.serve.shelf import Shelf
from shokunin.serve.tally import Tally
from shokunin.serve.upstream import UpstreamClient, UpstreamSettings

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@dataclass
class Observed:
    """A running server, and everything that watches it."""

    client: httpx.Client
    upstream: ScriptedUpstream
    collector: Collector
    log: io.StringIO

    def ask(self, model: str, **headers: str) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": "SECRET QUESTION"}]}
        return self.client.post("/v1/chat/completions", json=body, headers=headers)


@contextmanager
def observed(monkeypatch: pytest.MonkeyPatch, *, page: bool = True) -> Iterator[Observed]:
    with ExitStack() as stack:
        upstream = stack.enter_context(ScriptedUpstream(by_model("SECRET REPLY")))
        collector, telemetry = stack.enter_context(collecting(monkeypatch))
        log = io.StringIO()
        logs = setup_logging("json", stream=log)
        stack.callback(logs.close)
        tally = Tally()
        parts = Parts(
            Shelf(lengths()),
            upstreams={"large": UpstreamClient(UpstreamSettings(name="large", base_url=upstream.base_url))},
            routes=Routes({"large": ("large", ("error-*",))}, "large"),
            metrics=Metrics(models=["lengths", "large"], tasks=["lengths"], upstreams=["large"]),
            observers=(tally.observe, logs.observe),
            trace=telemetry.begin,
        )
        app = create_app(parts, tally=tally if page else None, name="<i>my shop</i>")
        url = stack.enter_context(running_app(app))
        client = stack.enter_context(httpx.Client(base_url=url, trust_env=False))
        yield Observed(client, upstream, collector, log)
        telemetry.close()
        logs.close()


def test_one_request_is_one_count_one_line_and_one_span(monkeypatch: pytest.MonkeyPatch) -> None:
    with observed(monkeypatch) as one:
        reply = one.ask("lengths", traceparent=f"00-{TRACE}-{PARENT}-01")
        assert reply.status_code == 200
        metrics = one.client.get("/metrics")
    lines = [json.loads(line) for line in one.log.getvalue().splitlines()]
    (line,) = [line for line in lines if line["event"] == "exchange"]
    (span,) = one.collector.spans
    request_id = reply.headers["x-request-id"]
    assert (line["id"], line["route"], line["workload_id"]) == (request_id, "local", "lengths")
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert attributes(span)["shokunin.request.id"] == request_id
    assert 'shokunin_requests_total{route="local",status="200",task="lengths"} 1.0' in metrics.text
    seen = (one.log.getvalue() + metrics.text).encode() + one.collector.bodies
    assert b"SECRET" not in seen


def test_what_goes_upstream_hangs_below_the_span(monkeypatch: pytest.MonkeyPatch) -> None:
    with observed(monkeypatch) as one:
        assert one.ask("large", traceparent=f"00-{TRACE}-{PARENT}-01").status_code == 200
        metrics = one.client.get("/metrics").text
    (span,) = one.collector.spans
    assert one.upstream.requests[-1].headers["traceparent"] == f"00-{TRACE}-{span.span_id.hex()}-01"
    assert attributes(span)["gen_ai.provider.name"] == "large"
    assert 'shokunin_requests_total{route="passed",status="200",task=""} 1.0' in metrics
    assert 'gen_ai_client_operation_duration_seconds_count{error_type="",' in metrics


def test_what_fails_is_counted_with_its_word(monkeypatch: pytest.MonkeyPatch) -> None:
    with observed(monkeypatch) as one:
        assert one.ask("error-500").status_code == 500
        assert one.client.post("/v1/chat/completions", json={"model": "lengths", "messages": 1}).status_code == 400
        metrics = one.client.get("/metrics").text
    assert len(one.collector.spans) == 2
    assert [span.status.code for span in one.collector.spans] == [2, 2]
    assert 'shokunin_requests_total{route="passed",status="500",task=""} 1.0' in metrics
    assert "shokunin_refused_total{code=" in metrics


def test_people_get_a_page_and_programs_json(monkeypatch: pytest.MonkeyPatch) -> None:
    with observed(monkeypatch) as one:
        one.ask("lengths")
        page = one.client.get("/", headers=BROWSER)
        plain = one.client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert page.headers["vary"] == "accept"
    assert "All is well." in page.text
    assert "&lt;i&gt;my shop&lt;/i&gt;" in page.text
    assert "SECRET" not in page.text
    assert plain.json()["name"] == "shokunin"


def test_a_server_without_a_tally_gives_everyone_json(monkeypatch: pytest.MonkeyPatch) -> None:
    with observed(monkeypatch, page=False) as one:
        assert one.client.get("/", headers=BROWSER).json()["name"] == "shokunin"


def test_prometheus_gets_what_it_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with observed(monkeypatch) as one:
        text = one.client.get("/metrics")
        open_metrics = one.client.get("/metrics", headers={"accept": "application/openmetrics-text;version=1.0.0"})
    assert text.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "shokunin_ready 1.0" in text.text
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert open_metrics.text.endswith("# EOF\n")


def test_requests_under_way_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    with observed(monkeypatch) as one, ExitStack() as stack:
        base = str(one.client.base_url)
        body = {"model": "large", "messages": [{"role": "user", "content": "x"}], "stream": True}
        one.upstream.script = by_model("a b c d", delay=0.0, pause=5.0)
        stack.enter_context(httpx.stream("POST", f"{base}/v1/chat/completions", json=body, trust_env=False))
        until(lambda: "shokunin_in_flight 2.0" in one.client.get("/metrics").text)  # the stream, and the one that looks
