"""Entry: one exchange while it is in the making, from the arrival of a request to the end of its reply."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from shokunin.exchange import Exchange, Route

Price = Callable[[str, int, int], float | None]
"""US dollars for a model's prompt and completion tokens; None where the price is not known."""


MOST_TOKENS = 10**12
"""An upstream that says more of one reply is not believed."""

_SHARED = tuple(one.name for one in fields(Exchange) if one.name != "seconds")
"""What an exchange takes over from its entry as it stands."""


class Span(Protocol):
    """The trace of one request."""

    def headers(self) -> dict[str, str]:
        """The headers by which an upstream continues it."""

    def end(self, exchange: Exchange) -> None:
        """The request is over."""


@dataclass(slots=True)
class Entry:
    """What is known so far; the attributes are those of `Exchange`, and:

    Attributes:
        reason: of an escalated request, why, in a word.
        audits: how many of its answers were put to the upstream in the shadow.
        upstream_seconds: what the upstream took.
        span: of the request, where requests are traced.
        finished: it has been kept.
        started: when it was opened, by the clock that only counts.
    """

    id: str
    timestamp: float
    endpoint: str
    client_id: str = "local"
    workload_id: str = ""
    model: str = ""
    request: Mapping[str, Any] | None = None
    response: Mapping[str, Any] | None = None
    status: int = 200
    route: Route = "refused"
    specialist: str = ""
    upstream: str = ""
    value: str | None = None
    confidence: float | None = None
    first_byte_seconds: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    problem: str | None = None
    audit_rate: float | None = None
    audited: bool | None = None
    parent: str | None = None
    agrees: bool | None = None
    reason: str = "unsure"
    audits: int = 0
    upstream_seconds: float | None = None
    span: Span | None = None
    finished: bool = False
    started: float = field(default_factory=time.perf_counter)

    def first_byte(self) -> None:
        """The reply begins to leave."""
        if self.first_byte_seconds is None:
            self.first_byte_seconds = time.perf_counter() - self.started

    def usage(self, body: Mapping[str, Any] | None) -> None:
        """Take the token counts from a reply's `usage`, in the words of either API; what is no number is no count."""
        counts = body.get("usage") if body else None
        if isinstance(counts, Mapping):
            self.prompt_tokens = _count(counts, "prompt_tokens", "input_tokens")
            self.completion_tokens = _count(counts, "completion_tokens", "output_tokens")

    def exchange(self) -> Exchange:
        """The exchange as it is kept."""
        known = {name: getattr(self, name) for name in _SHARED}
        return Exchange(**known, seconds=time.perf_counter() - self.started)


def _count(counts: Mapping[str, Any], *names: str) -> int:
    given = next((counts[name] for name in names if name in counts), 0)
    return given if type(given) is int and 0 <= given <= MOST_TOKENS else 0
