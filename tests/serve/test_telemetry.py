"""Spans, against a real collector on loopback: what they say, what they never say, and what a broken collector costs."""

from __future__ import annotations

import builtins
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from shokunin.errors import MissingExtraError, UsageError
from shokunin.exchange import Exchange
from shokunin.serve.telemetry import Telemetry, open_telemetry

EXCHANGE = Exchange(
    id="4f00000001", timestamp=1_764_000_000.25, workload_id="inquiries", client_id="shop", model="auto",
    route="escalated", request={"messages": [{"role": "user", "content": "SECRET QUESTION"}], "user": "SECRET"},
    response={"choices": "SECRET REPLY"}, value="SECRET VALUE", specialist="inquiries@3", upstream="openai",
    confidence=0.41, seconds=0.75, first_byte_seconds=0.5, prompt_tokens=30, completion_tokens=3, cost=0.002,
)  # fmt: skip
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector:
    """An OTLP collector over HTTP that remembers what it got."""

    def __init__(self, status: int = 200, hold: threading.Event | None = None) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.bodies = b""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if hold is not None:
                    hold.wait(20)
                assert self.path == "/v1/traces"
                collector.bodies += body
                collector.requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *words: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    @property
    def spans(self) -> list[Any]:
        return [s for r in self.requests for rs in r.resource_spans for ss in rs.scope_spans for s in ss.spans]


@contextmanager
def collecting(monkeypatch: pytest.MonkeyPatch, **options: Any) -> Iterator[tuple[Collector, Telemetry]]:
    collector = Collector(**options)
    thread = threading.Thread(target=collector.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    one = open_telemetry()
    assert one is not None
    try:
        yield collector, one
    finally:
        one.close()
        collector.server.shutdown()
        collector.server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith("OTEL_")]:
        monkeypatch.delenv(name)


def attributes(span: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


def test_without_a_collector_there_is_no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_telemetry() is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", " ")
    assert open_telemetry() is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert open_telemetry() is None


def test_a_request_is_one_span_that_continues_the_trace_of_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting(monkeypatch) as (collector, one):
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1", "authorization": "SECRET"}
        request = one.begin(headers, EXCHANGE.timestamp)
        passed_on = request.headers()
        request.end(EXCHANGE)
        assert one.close()
        (span,) = collector.spans
    assert span.name == "chat auto"
    assert span.trace_id.hex() == TRACE
    assert span.parent_span_id.hex() == PARENT
    assert passed_on == {"traceparent": f"00-{TRACE}-{span.span_id.hex()}-01", "tracestate": "vendor=1"}
    assert span.start_time_unix_nano == 1_764_000_000_250_000_000
    assert span.end_time_unix_nano == 1_764_000_001_000_000_000
    assert attributes(span) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "auto",
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.response.time_to_first_chunk": 0.5,
        "http.response.status_code": 200,
        "shokunin.request.id": "4f00000001",
        "shokunin.route": "escalated",
        "shokunin.task": "inquiries",
        "shokunin.client": "shop",
        "shokunin.specialist": "inquiries@3",
        "shokunin.upstream": "openai",
        "shokunin.confidence": 0.41,
        "shokunin.cost_usd": 0.002,
    }
    assert b"SECRET" not in collector.bodies


def test_the_service_is_named_and_the_owner_may_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    for own in (None, "gateway-north"):
        if own:
            monkeypatch.setenv("OTEL_SERVICE_NAME", own)
        with collecting(monkeypatch) as (collector, one):
            one.begin({}, 1.0).end(EXCHANGE)
            one.close()
            resource = collector.requests[0].resource_spans[0].resource
        names.append(attributes(resource)["service.name"])
    assert names == ["shokunin", "gateway-north"]


def test_a_failure_is_an_error_with_its_word(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting(monkeypatch) as (collector, one):
        one.begin({}, 1.0).end(replace(EXCHANGE, route="refused", status=404, problem="model_not_found"))
        one.begin({}, 1.0).end(EXCHANGE)
        one.close()
        failed, good = collector.spans
    assert failed.status.code == 2
    assert attributes(failed)["error.type"] == "model_not_found"
    assert attributes(failed)["gen_ai.provider.name"] == "shokunin"
    assert good.status.code == 0
    assert len({failed.trace_id, good.trace_id}) == 2


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": "nonsense"},
        {"traceparent": f"00-{'0' * 32}-{PARENT}-01"},
        {"traceparent": "\x00\r\n", "tracestate": "x" * 5000},
        {"tracestate": "vendor=1"},
    ],
)
def test_a_trace_header_that_is_none_begins_a_trace_of_its_own(
    headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting(monkeypatch) as (collector, one):
        one.begin(headers, 1.0).end(EXCHANGE)
        one.close()
        (span,) = collector.spans
    assert span.parent_span_id == b""
    assert span.trace_id.hex() not in (TRACE, "0" * 32)


def test_a_client_that_does_not_sample_is_not_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting(monkeypatch) as (collector, one):
        request = one.begin({"traceparent": f"00-{TRACE}-{PARENT}-00"}, 1.0)
        assert request.headers()["traceparent"].startswith(f"00-{TRACE}-")
        request.end(EXCHANGE)
        one.close()
        assert collector.spans == []


def test_a_fallback_is_no_error_of_the_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting(monkeypatch) as (collector, one):
        one.begin({}, 1.0).end(replace(EXCHANGE, route="fallback", problem="upstream_timeout"))
        one.close()
        (span,) = collector.spans
    assert span.status.code == 0
    assert "error.type" not in attributes(span)
    assert attributes(span)["gen_ai.provider.name"] == "shokunin"


def test_long_names_of_clients_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting(monkeypatch) as (collector, one):
        one.begin({}, 1.0).end(replace(EXCHANGE, model="m" * 10_000, workload_id="w" * 10_000))
        one.close()
        (span,) = collector.spans
    assert max(len(str(v)) for v in (span.name, *attributes(span).values())) == 105


def test_spans_leave_in_the_background_and_none_is_lost_at_a_quiet_end(monkeypatch: pytest.MonkeyPatch) -> None:
    hold = threading.Event()
    with collecting(monkeypatch, hold=hold) as (collector, one):
        for _ in range(1500):  # more than two batches, while the collector does not answer
            one.begin({}, 1.0).end(EXCHANGE)
        hold.set()
        assert one.close()
        assert len(collector.spans) == 1500


def test_a_collector_that_hangs_holds_up_neither_requests_nor_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hold = threading.Event()
    caplog.set_level(logging.CRITICAL)
    with collecting(monkeypatch, hold=hold) as (_, one):
        for _ in range(5000):  # more than the queue holds
            one.begin({}, 1.0).end(EXCHANGE)
        begun = time.monotonic()
        assert not one.close(seconds=0.2)
        assert time.monotonic() - begun < 5  # the exporter alone would try for longer
        hold.set()


@pytest.mark.parametrize("status", [400, 503])
def test_a_collector_that_refuses_harms_nobody(
    status: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    with collecting(monkeypatch, status=status) as (collector, one):
        one.begin({}, 1.0).end(EXCHANGE)
        one.close(seconds=1.0)
        assert collector.requests


def test_a_collector_that_is_not_there_harms_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    with collecting(monkeypatch) as (collector, _):
        url = collector.url
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url + "/v1/traces")
    one = open_telemetry()
    assert one is not None
    one.begin({}, 1.0).end(EXCHANGE)
    one.close(seconds=0.2)


def test_a_named_collector_without_the_library_is_an_error_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    real = builtins.__import__

    def gone(name: str, *arguments: Any, **more: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ModuleNotFoundError(name, name=name)
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", gone)
    with pytest.raises(MissingExtraError, match=r"shokunin\[telemetry\]"):
        open_telemetry()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "not by 'grpc'"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "not by 'http/json'"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4317", "not an address of a collector"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-3", "begin with OTEL_"),
    ],
)
def test_settings_that_cannot_be_met_are_errors_at_the_start(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=said):
        open_telemetry()


def test_the_environment_is_the_only_thing_that_turns_it_on() -> None:
    """A process that serves without the variables loads nothing of OpenTelemetry."""
    code = (
        "import json, os, sys\n"
        "for n in [n for n in os.environ if n.startswith('OTEL_')]: del os.environ[n]\n"
        "from shokunin.serve.telemetry import open_telemetry\n"
        "assert open_telemetry() is None\n"
        "print(json.dumps([m for m in sys.modules if m.startswith('opentelemetry')]))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(out) == []
