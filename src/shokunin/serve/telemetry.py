"""Telemetry: one OpenTelemetry span a request, sent to the collector that the owner's environment names, or nowhere.

Nothing is sent unless `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set. A span says who
answered, how fast and at what cost; it never holds a message, an answer or a key. Spans wait in a bounded queue and
leave in a thread of their own: a collector that is slow, broken or gone costs spans, never an answer.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shokunin.errors import MissingExtraError, UsageError
from shokunin.exchange import Exchange
from shokunin.serve.metrics import OURS, operation_of, reply_error_of
from shokunin.version import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
TRACE_HEADERS = ("traceparent", "tracestate")
LONGEST = 100
"""Characters of a name that a client sent."""


def open_telemetry() -> Telemetry | None:
    """What sends the spans, or None when the environment names no collector (or says `OTEL_SDK_DISABLED=true`).

    Raises:
        MissingExtraError: a collector is named and the extra `telemetry` is not installed.
        UsageError: the environment asks for a protocol other than `http/protobuf`, or its address is no http address.
    """
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or not _first(ENDPOINTS):
        return None
    if not _first(ENDPOINTS).startswith(("http://", "https://")):
        raise UsageError(
            f"{' or '.join(ENDPOINTS)} is not an address of a collector such as 'http://127.0.0.1:4318'; set it so, "
            "or unset it"
        )
    protocol = _first(PROTOCOLS) or "http/protobuf"
    if protocol != "http/protobuf":
        raise UsageError(
            f"spans are sent by 'http/protobuf', not by {protocol!r}: set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf "
            "and the collector's address for HTTP, usually port 4318"
        )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise MissingExtraError("opentelemetry-exporter-otlp-proto-http", "telemetry") from error
    ours = {SERVICE_NAME: OURS, SERVICE_VERSION: __version__}
    if os.environ.get("OTEL_SERVICE_NAME"):
        del ours[SERVICE_NAME]
    provider = TracerProvider(resource=Resource.create(ours), shutdown_on_exit=False)
    try:
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    except ValueError as error:  # the queue's settings, OTEL_BSP_…
        provider.shutdown()
        raise UsageError(
            f"a setting in the environment is wrong, look at those that begin with OTEL_: {error}"
        ) from error
    return Telemetry(provider)


class Telemetry:
    """Makes spans of requests."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("shokunin.serve", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, headers: Mapping[str, str], started: float) -> RequestSpan:
        """The span of a request that has just come; it continues the trace in the client's headers.

        Args:
            headers: the request's headers, names in lower case; only `traceparent` and `tracestate` are looked at.
            started: when it came, seconds since 1970.
        """
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind

        sent = {name: headers[name] for name in TRACE_HEADERS if name in headers}
        parent = self._propagator.extract(sent, context=Context())
        span = self._tracer.start_span(
            "request", context=parent, kind=SpanKind.SERVER, start_time=_nanoseconds(started), record_exception=False
        )
        return RequestSpan(span, self._propagator)

    def close(self, seconds: float = 5.0) -> bool:
        """Send what waits and stop; False if the collector did not take it within `seconds`, and it is lost."""
        # The exporter retries for longer than a server may take to stop; what is left then ends with the process.
        thread = threading.Thread(target=self._provider.shutdown, name="telemetry shutdown", daemon=True)
        thread.start()
        thread.join(seconds)
        return not thread.is_alive()


class RequestSpan:
    """The span of one request, from its arrival to the end of its reply."""

    def __init__(self, span: Span, propagator: Any) -> None:
        self._span = span
        self._propagator = propagator

    def headers(self) -> dict[str, str]:
        """The trace headers for a call to an upstream, so that what it reports hangs below this span."""
        from opentelemetry.trace import set_span_in_context

        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, context=set_span_in_context(self._span))
        return carrier

    def end(self, exchange: Exchange) -> None:
        """Say what became of the request and hand the span over."""
        span = self._span
        if span.is_recording():
            from opentelemetry.trace import StatusCode

            operation = operation_of(exchange.endpoint)
            span.update_name(f"{operation} {exchange.model[:LONGEST]}".strip())
            span.set_attributes(_attributes(exchange, operation))
            if reply_error_of(exchange):
                span.set_status(StatusCode.ERROR)
        span.end(end_time=_nanoseconds(exchange.timestamp + exchange.seconds))


def _attributes(exchange: Exchange, operation: str) -> dict[str, str | float | int]:
    """What a span says: names and figures, never what was asked or answered."""
    upstream = exchange.upstream if exchange.route in ("passed", "escalated", "audit") else ""
    named: dict[str, str | float | int | None] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": upstream or OURS,
        "gen_ai.request.model": exchange.model[:LONGEST],
        "gen_ai.usage.input_tokens": exchange.prompt_tokens or None,
        "gen_ai.usage.output_tokens": exchange.completion_tokens or None,
        "gen_ai.response.time_to_first_chunk": exchange.first_byte_seconds,
        "http.response.status_code": exchange.status,
        "error.type": reply_error_of(exchange),
        "shokunin.request.id": exchange.id,
        "shokunin.route": exchange.route,
        "shokunin.task": exchange.workload_id[:LONGEST],
        "shokunin.client": exchange.client_id,
        "shokunin.specialist": exchange.specialist,
        "shokunin.upstream": exchange.upstream,
        "shokunin.confidence": exchange.confidence,
        "shokunin.cost_usd": exchange.cost,
    }
    return {name: value for name, value in named.items() if value is not None and value != ""}


def _nanoseconds(seconds: float) -> int:
    """As a span counts time; microseconds are what a float of today's date can tell apart."""
    return round(seconds * 1e6) * 1000


def _first(names: tuple[str, ...]) -> str:
    """The first of these variables that is set."""
    return next((value for name in names if (value := os.environ.get(name, "").strip())), "")
