"""Call: one recorded request to a model and its reply, whatever tool wrote the record."""

from __future__ import annotations

from dataclasses import dataclass

from shokunin.template import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One recorded request and its reply; what the record does not say is None or "".

    Attributes:
        id: the id of the response, else where the record stands: `file:line`.
        messages: the request's messages as (role, text), `developer` as `system`; at least one.
        reply: the text of the answer; None where the model called a tool instead.
        model: the model that was asked.
        timestamp: when the request came, seconds since 1970.
        client: who asked.
        workload: the name that the application gave this work.
        prompt_tokens: tokens read, as the provider counted them.
        completion_tokens: tokens written, likewise.
        seconds: how long the answer took.
        cost: what it cost, US dollars.
        local: whether a specialist of ours gave the answer, so that it was not paid for and teaches nothing.
    """

    id: str
    messages: tuple[Text, ...]
    reply: str | None
    model: str = ""
    timestamp: float | None = None
    client: str = ""
    workload: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    seconds: float | None = None
    cost: float | None = None
    local: bool = False
