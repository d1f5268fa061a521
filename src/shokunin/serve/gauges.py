"""Gauges: the server's state as Prometheus reads it, made when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from shokunin.serve.state import BREAKER_WORDS, PROMISE_WORDS, ServerState
from shokunin.version import __version__


def gauges(now: ServerState) -> Iterator[Metric]:
    """Every figure that is true now, and the counts that others keep."""
    yield from _server(now)
    yield from _capture(now)
    yield from _promises(now)


def _server(now: ServerState) -> Iterator[Metric]:
    build = GaugeMetricFamily("shokunin_build_info", "The release that runs.", labels=["version"])
    build.add_metric([__version__], 1)
    yield build
    yield GaugeMetricFamily("shokunin_ready", "Whether the server takes requests.", float(now.ready))
    yield GaugeMetricFamily("shokunin_in_flight", "Requests that are not answered yet.", now.in_flight)
    queue = GaugeMetricFamily("shokunin_queue_depth", "Rows that wait for a specialist.", labels=["specialist"])
    for name, depth in now.queues.items():
        queue.add_metric([name], depth)
    yield queue
    breaker = GaugeMetricFamily(
        "shokunin_upstream_breaker_state", "1 for the state of the circuit breaker.", labels=["upstream", "state"]
    )
    for upstream in now.upstreams:
        for word in BREAKER_WORDS:
            breaker.add_metric([upstream.name, word], float(upstream.breaker == word))
    yield breaker


def _capture(now: ServerState) -> Iterator[Metric]:
    if not now.capture.on:
        return
    kept = now.capture
    yield CounterMetricFamily("shokunin_traffic_recorded_total", "Exchanges that were kept.", kept.recorded)
    yield CounterMetricFamily("shokunin_traffic_dropped_total", "Exchanges that could not be kept.", kept.dropped)
    yield GaugeMetricFamily("shokunin_traffic_waiting", "Exchanges kept, not in the database yet.", kept.waiting)
    yield GaugeMetricFamily(
        "shokunin_traffic_problem", "1 while exchanges are being lost.", float(kept.problem is not None)
    )


def _promises(now: ServerState) -> Iterator[Metric]:
    state = GaugeMetricFamily(
        "shokunin_promise_state", "1 for the state of a task's promise.", labels=["task", "state"]
    )
    figures = {
        "bound": "Share of local answers that may have differed from the upstream's, by the evidence so far.",
        "limit": "Share of local answers that may differ, as promised.",
        "threshold": "Confidence from which a local answer is given.",
        "at_risk": "1 if the watch had to act.",
        "audit_rate": "Share of local answers that is audited at the moment.",
    }
    families = {
        name: GaugeMetricFamily(f"shokunin_promise_{name}", about, labels=["task"]) for name, about in figures.items()
    }
    for promise in now.promises:
        for word in PROMISE_WORDS:
            state.add_metric([promise.task, word], float(promise.state == word))
        for name, family in families.items():
            value = getattr(promise, name)
            if value is not None:
                family.add_metric([promise.task], float(value))
    yield state
    yield from families.values()
