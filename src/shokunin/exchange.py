"""Exchange: one request and what became of it, as the server's record keeps it; and what a recorder must do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Route = Literal["local", "escalated", "passed", "fallback", "refused", "audit", "feedback"]
"""Who answered: `local`, a specialist; `escalated`, the upstream, since the specialist was not sure enough; `passed`, the
upstream, since no task was recognised or the request named its model; `fallback`, an unsure specialist, since the
upstream could not be asked; `refused`, nobody; `audit`, the upstream, asked in the shadow about an answer that was
given already; `feedback`, a person, who says what the answer should have been."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and its reply.

    Attributes:
        id: the request's id, unique in the record; the `x-request-id` that the client saw.
        timestamp: when the request came, seconds since 1970.
        workload_id: the task it was recognised as, else what the client said in `metadata.workload_id`, else "".
        client_id: the name of the key it came with; `local` without keys.
        endpoint: the address asked, for instance `/v1/chat/completions`.
        model: the model asked for.
        request: the body as it came; None where bodies are not kept or it could not be read.
        response: the body as it went, streams rebuilt; None likewise.
        status: the HTTP status of the reply.
        route: who answered.
        specialist: `name@version` of the specialist that was asked, or "".
        upstream: the name of the upstream that was asked, or "".
        value: the specialist's answer, given or not, or None.
        confidence: the specialist's confidence in it, or None.
        seconds: from the request's arrival to the end of the reply.
        first_byte_seconds: to the first byte of the reply, or None.
        prompt_tokens: tokens read, as the upstream counted them; an estimate for local answers.
        completion_tokens: tokens written, likewise.
        cost: what the upstream charged, US dollars; None where the model's price is not known.
        problem: why there is no good reply, a word such as `upstream_timeout`, or None.
        audit_rate: for a local answer the probability with which it was to be audited, else None.
        audited: for a local answer with an `audit_rate`, whether the upstream is asked in the shadow, else None.
        parent: of an audit or a correction, the id of the exchange it is about, else None.
        agrees: of an audit, whether the upstream said the same; None where it could not be told. Of a correction, whether
            the answer was right.
    """

    id: str
    timestamp: float
    workload_id: str = ""
    client_id: str = "local"
    endpoint: str = "/v1/chat/completions"
    model: str = ""
    request: Mapping[str, Any] | None = None
    response: Mapping[str, Any] | None = None
    status: int = 200
    route: Route = "passed"
    specialist: str = ""
    upstream: str = ""
    value: str | None = None
    confidence: float | None = None
    seconds: float = 0.0
    first_byte_seconds: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    problem: str | None = None
    audit_rate: float | None = None
    audited: bool | None = None
    parent: str | None = None
    agrees: bool | None = None


class Recorder(Protocol):
    """Keeps exchanges. `record` is called before the last byte of a reply leaves, so it must be quick."""

    def record(self, exchange: Exchange) -> bool:
        """Keep it, so that it survives a kill of this process; False, never an exception, if that was not possible."""

    @property
    def problem(self) -> str | None:
        """Why exchanges are being lost at the moment, or None."""

    @property
    def recorded(self) -> int:
        """Exchanges kept so far."""

    @property
    def dropped(self) -> int:
        """Exchanges lost so far."""

    @property
    def waiting(self) -> int:
        """Exchanges that are safe, and not in the database yet."""

    def close(self) -> None:
        """Write everything down and stop."""
