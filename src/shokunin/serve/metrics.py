"""Metrics: what Prometheus reads, under the GenAI names of OpenTelemetry and ours; the number of series is bounded."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Container, Iterator
from http import HTTPStatus
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from shokunin.exchange import Exchange
from shokunin.serve.gauges import gauges
from shokunin.serve.state import ServerState

OTHER = "other"
"""The label of a model, task or word that is not in the known set: what clients send never makes a series."""
OURS = "shokunin"
"""The provider's name where a specialist, or nobody, answered."""
WORDS = 64
"""Distinct error types, reasons and codes that get a series of their own."""
SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
FIRST_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
TOKENS = tuple(4**k for k in range(14))
CONFIDENCE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.999)
_OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/responses": "chat",
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
}
_STATUS = frozenset(int(status) for status in HTTPStatus)
_COMPARED = {True: "agrees", False: "differs", None: "lost"}
_JUDGED = {True: "right", False: "wrong", None: "untold"}
_OPENMETRICS = "application/openmetrics-text; version=1.0.0"  # the client's own words would come back in our header
_WORD = re.compile(r"[a-z0-9_]{1,48}")
_GEN_AI = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")


def operation_of(endpoint: str) -> str:
    """OpenTelemetry's name for what an address does; `predict` for the typed endpoint, which it has no name for."""
    if endpoint in _OPERATIONS:
        return _OPERATIONS[endpoint]
    return "predict" if endpoint.startswith("/v1/specialists/") and endpoint.endswith("/predict") else OTHER


def error_type_of(exchange: Exchange) -> str:
    """Why there is no good reply: the problem's word, else the HTTP status; "" where there is one."""
    return exchange.problem or (str(exchange.status) if exchange.status >= 400 else "")


def reply_error_of(exchange: Exchange) -> str:
    """The same, but "" where a specialist answered in place of the upstream that failed."""
    good = exchange.route in ("local", "fallback") and exchange.status < 400
    return "" if good else error_type_of(exchange)


class Metrics:
    """Counts finished exchanges; what is true now, and no count, is handed in when the metrics are read.

    Args:
        models: names that get their own series as `gen_ai_request_model`.
        tasks: names that get their own series as `task`.
        upstreams: the configured upstreams.
        served: names that count as known models and tasks too, asked for each exchange: what is served may change.
        saving: of a local answer, what the upstream would have charged, US dollars; None where that is not known.
    """

    def __init__(
        self,
        *,
        models: Collection[str] = (),
        tasks: Collection[str] = (),
        upstreams: Collection[str] = (),
        served: Callable[[], Container[str]] = lambda: (),
        saving: Callable[[Exchange], float | None] = lambda exchange: None,
    ) -> None:
        registry = CollectorRegistry(auto_describe=False)

        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(name, about, labels, registry=registry)

        def histogram(name: str, about: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(name, about, labels, registry=registry, buckets=buckets)

        self._requests = counter(
            "shokunin_requests_total", "Requests of clients, by who answered.", "route", "task", "status"
        )
        self._seconds = histogram(
            "gen_ai_server_request_duration_seconds",
            "From a request's arrival to the end of its reply.",
            SECONDS,
            *_GEN_AI,
            "error_type",
        )
        self._first = histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "From a request's arrival to the first byte of a good reply.",
            FIRST_SECONDS,
            *_GEN_AI,
        )
        self._client_seconds = histogram(
            "gen_ai_client_operation_duration_seconds",
            "What an upstream took, audits included.",
            SECONDS,
            *_GEN_AI,
            "error_type",
        )
        self._tokens = histogram(
            "gen_ai_client_token_usage",
            "Tokens of a call to an upstream, audits included.",
            TOKENS,
            *_GEN_AI,
            "gen_ai_token_type",
        )
        self._confidence = histogram(
            "shokunin_confidence", "Confidence of a specialist's answer, given or not.", CONFIDENCE, "task"
        )
        self._escalations = counter(
            "shokunin_escalations_total", "Requests of a task that the upstream answered, by reason.", "task", "reason"
        )
        self._audits = counter(
            "shokunin_audits_total",
            "Local answers that the upstream was asked about: it agrees, differs, or gave no answer (lost).",
            "task",
            "outcome",
        )
        self._feedback = counter(
            "shokunin_feedback_total",
            "Corrections by people: the answer was right, wrong, or it is not known (untold).",
            "task",
            "outcome",
        )
        self._spent = counter("shokunin_spent_usd_total", "What upstreams charged, audits included.", "upstream")
        self._unpriced = counter(
            "shokunin_unpriced_total", "Calls to an upstream whose price is not known.", "upstream"
        )
        self._saved = counter("shokunin_saved_usd_total", "What local answers would have cost upstream.", "task")
        self._refused = counter("shokunin_refused_total", "Requests that were turned away, by error code.", "code")
        ProcessCollector(registry=registry)
        self._registry = registry
        self._saving = saving
        self._words: set[str] = set()
        self._children: dict[tuple[str, ...], _Children] = {}
        self._models, self._tasks, self._upstreams = frozenset(models), frozenset(tasks), frozenset(upstreams)
        self._served = served

    def observe(self, exchange: Exchange, *, reason: str = "", upstream_seconds: float | None = None) -> None:
        """Count one finished exchange; call it once for each.

        Args:
            exchange: what happened.
            reason: of an escalated one, why: a word such as `unsure` or `handed_back`; "" if it is not said.
            upstream_seconds: what the upstream took; by default the exchange's whole time.
        """
        one = self._children_of(exchange, reason)
        if exchange.route == "audit":
            self._audits.labels(one.task, _COMPARED[exchange.agrees]).inc()
        elif exchange.route == "feedback":
            self._feedback.labels(one.task, _JUDGED[exchange.agrees]).inc()
        elif one.reply is not None:
            self._count_reply(exchange, one.reply)
        if one.upstream is not None:
            one.upstream.add(exchange, upstream_seconds)

    def refused(self, code: str) -> None:
        """Count a request that was turned away before there was an exchange, by the code of its refusal."""
        self._refused.labels(self._word(code)).inc()

    def render(self, state: ServerState, accept: str = "") -> tuple[bytes, str]:
        """Everything in the format that the `Accept` header asks for (Prometheus text or OpenMetrics), and its type.

        May be called in any thread; with a hundred tasks it takes long enough that the event loop should not do it.
        """
        encode, content_type = choose_encoder(_OPENMETRICS if "application/openmetrics-text" in accept else "")
        return encode(_Everything(self._registry, state)), content_type

    def _count_reply(self, exchange: Exchange, one: _Reply) -> None:
        """Count a reply to a client."""
        one.requests.inc()
        one.seconds.observe(exchange.seconds)
        if exchange.first_byte_seconds is not None and one.first is not None:
            one.first.observe(exchange.first_byte_seconds)
        if exchange.confidence is not None and one.confidence is not None:
            one.confidence.observe(exchange.confidence)
        if one.cause is not None:
            one.cause.inc()
        if one.saved is not None:
            saved = self._saving(exchange)
            if saved is not None and 0 < saved < math.inf:
                one.saved.inc(saved)

    def _children_of(self, exchange: Exchange, reason: str) -> _Children:
        served, model, task = self._served(), exchange.model, exchange.workload_id
        if model not in self._models and model not in served:
            model = OTHER
        if task and task not in self._tasks and task not in served:
            task = OTHER
        upstream = exchange.upstream if exchange.upstream in self._upstreams else OTHER if exchange.upstream else ""
        status = str(exchange.status if exchange.status in _STATUS else exchange.status // 100 * 100)
        error, ours = self._word(error_type_of(exchange)), self._word(reply_error_of(exchange))
        operation = operation_of(exchange.endpoint)
        reason = self._word(reason or "unsaid") if exchange.route == "escalated" else ""
        key = (operation, model, task, upstream, status, error, ours, exchange.route, reason)
        found = self._children.get(key)
        if found is None:
            found = self._children[key] = self._new_children(*key)
        return found

    def _new_children(
        self,
        operation: str,
        model: str,
        task: str,
        upstream: str,
        status: str,
        error: str,
        ours: str,
        route: str,
        reason: str,
    ) -> _Children:
        """The series of one sort of exchange; only those that it counts in, so that no series stays at zero."""
        asked = (operation, upstream, model)
        provider = asked if upstream and route in ("passed", "escalated") else (operation, OURS, model)
        return _Children(
            task=task,
            reply=None
            if route in ("audit", "feedback")
            else self._new_reply(provider, task, status, ours, route, reason),
            upstream=self._new_upstream(asked, error, answered=not error and route != "fallback") if upstream else None,
        )

    def _new_reply(
        self, provider: tuple[str, ...], task: str, status: str, error: str, route: str, reason: str
    ) -> _Reply:
        refused = self._refused.labels(error or OTHER) if route == "refused" else None
        return _Reply(
            requests=self._requests.labels(route, task, status),
            seconds=self._seconds.labels(*provider, error),
            first=None if error else self._first.labels(*provider),
            confidence=self._confidence.labels(task) if task else None,
            saved=self._saved.labels(task) if route == "local" else None,
            cause=self._escalations.labels(task, reason) if route == "escalated" else refused,
        )

    def _new_upstream(self, asked: tuple[str, ...], error: str, *, answered: bool) -> _Upstream:
        upstream = asked[1]
        return _Upstream(
            seconds=self._client_seconds.labels(*asked, error),
            tokens_in=self._tokens.labels(*asked, "input") if answered else None,
            tokens_out=self._tokens.labels(*asked, "output") if answered else None,
            spent=self._spent.labels(upstream),
            unpriced=self._unpriced.labels(upstream),
        )

    def _word(self, word: str) -> str:
        """A word as a label; `other` once there are too many of them, or if it is no word."""
        if not word or word in self._words:
            return word
        if len(self._words) < WORDS and _WORD.fullmatch(word):
            self._words.add(word)
            return word
        return OTHER


class _Upstream(NamedTuple):
    """The series of calls to one upstream; without those of tokens where it gave no good reply."""

    seconds: Histogram
    tokens_in: Histogram | None
    tokens_out: Histogram | None
    spent: Counter
    unpriced: Counter

    def add(self, exchange: Exchange, seconds: float | None) -> None:
        """Count one call. What an upstream says of itself is not trusted: nothing may bring a sum down or spoil it."""
        self.seconds.observe(exchange.seconds if seconds is None else seconds)
        if self.tokens_in is None or self.tokens_out is None:
            return
        if exchange.prompt_tokens > 0:
            self.tokens_in.observe(exchange.prompt_tokens)
        if exchange.completion_tokens > 0:
            self.tokens_out.observe(exchange.completion_tokens)
        if exchange.cost is None:
            self.unpriced.inc()
        elif 0 < exchange.cost < math.inf:
            self.spent.inc(exchange.cost)


class _Reply(NamedTuple):
    """The series of replies to clients; `cause` counts why a request was passed on, or turned away."""

    requests: Counter
    seconds: Histogram
    first: Histogram | None
    confidence: Histogram | None
    saved: Counter | None
    cause: Counter | None


class _Children(NamedTuple):
    """The series that one sort of exchange counts in, looked up once."""

    task: str
    reply: _Reply | None
    upstream: _Upstream | None


class _Everything(Collector):
    """The counts, and the state as gauges: made anew each time, so that what is gone leaves no series behind."""

    def __init__(self, counts: Collector, state: ServerState) -> None:
        self._counts = counts
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        yield from self._counts.collect()
        yield from gauges(self._state)
