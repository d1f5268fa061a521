"""Entries: one is opened when a request comes, and kept before the last byte of its reply leaves."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from shokunin.serve.body import Peek
from shokunin.serve.callers import caller_of
from shokunin.serve.entry import Entry
from shokunin.serve.parts import Parts
from shokunin.serve.quota import Ticket
from shokunin.serve.refusal import Refusal

R = TypeVar("R", bound=Response | None)


@dataclass(slots=True)
class Asked:
    """A request on its way.

    Attributes:
        request: as it came.
        path: the address it was sent to, which is the same at every upstream.
        body: its body.
        peek: what was looked at in it.
        entry: what is being written down about it.
        headers: its headers.
    """

    request: Request
    path: str
    body: bytes
    peek: Peek
    entry: Entry
    headers: list[tuple[str, str]]

    @property
    def authorization(self) -> str | None:
        """The caller's own key for an upstream; a key of this server is nobody else's business, whatever the settings."""
        keyed = caller_of(self.request).key_id is not None
        return None if keyed else self.request.headers.get("authorization")


class Entries:
    """Opens, settles and keeps entries."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def open(self, request: Request, path: str) -> Entry:
        """A new entry for a request that has just come."""
        entry = Entry(request.state.request_id, time.time(), path, client_id=caller_of(request).name)
        if self._parts.trace is not None:
            entry.span = self._parts.trace(request.headers, entry.timestamp)
        return entry

    def admit(self, request: Request, entry: Entry, seen: Peek, body: bytes, tokens: int) -> Asked:
        """Take note of what is asked, if the caller may still ask.

        Raises:
            Refusal: 429, the caller has used up what its key allows; 400, the request asks for more than any may.
        """
        entry.model, entry.request = seen.model[:200], seen.raw
        entry.workload_id = seen.metadata.get("workload_id", "")[:100]
        self._parts.limits.check(messages=len(seen.messages), choices=seen.n, max_tokens=seen.max_tokens)
        request.state.ticket = self._parts.quota.admit(caller_of(request), tokens)
        headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in request.headers.raw]
        return Asked(request, entry.endpoint, body, seen, entry, headers)

    @contextmanager
    def writing(self, request: Request, path: str) -> Iterator[Entry]:
        """An entry that is kept as refused if what is done within fails."""
        entry = self.open(request, path)
        try:
            yield entry
        except Refusal as refusal:
            self._refused(entry, request, refusal.status, refusal.code)
            raise
        except BaseException:
            self._refused(entry, request, 500, "internal_error")
            raise

    def charge(self, entry: Entry, body: Mapping[str, Any] | None, model: str) -> None:
        """Add an upstream's token counts, and what they cost by the model's name here or there, if the reply says."""
        before = entry.prompt_tokens, entry.completion_tokens, entry.cost or 0.0
        entry.prompt_tokens = entry.completion_tokens = 0
        entry.usage(body)
        prompt, completion, entry.cost = entry.prompt_tokens, entry.completion_tokens, None
        if prompt or completion:
            said = str(body.get("model", "")) if body else ""
            costs = [self._parts.price(name, prompt, completion) for name in (model, said)]
            entry.cost = next((cost + before[2] for cost in costs if cost is not None), None)
        entry.prompt_tokens, entry.completion_tokens = before[0] + prompt, before[1] + completion

    def finish(self, entry: Entry, request: Request, response: R) -> R:
        """The reply is ready to leave: keep the exchange, settle what it used, say what is left."""
        if not entry.finished:
            entry.finished = True
            entry.first_byte()
            if entry.route == "local" and entry.cost is None:
                entry.cost = 0.0
            ticket = getattr(request.state, "ticket", None)
            if ticket is not None:
                _settle(entry, ticket)
            self.keep(entry)
        if response is not None:
            for name, value in self._parts.quota.headers(caller_of(request)).items():
                response.headers[name] = value
        return response

    def keep(self, entry: Entry) -> bool:
        """Keep an exchange that is over; False if that was not possible, or nothing is kept here."""
        exchange = entry.exchange()
        kept = self._parts.recorder is not None and self._parts.recorder.record(exchange)
        self._parts.observe(entry, exchange)
        return kept

    def _refused(self, entry: Entry, request: Request, status: int, code: str | None) -> None:
        entry.status = status
        entry.problem = entry.problem or code
        if not entry.upstream:
            entry.route = "refused"
        self.finish(entry, request, None)


def _settle(entry: Entry, ticket: Ticket) -> None:
    """Count what was used. An upstream's good reply that does not say, such as a stream that the client left, counts as
    what was set aside: else a client would use nothing by always leaving early."""
    tokens = entry.prompt_tokens + entry.completion_tokens
    charged = entry.route in ("passed", "escalated") and (entry.status < 400 or entry.status == 499)
    ticket.settle(None if charged and not tokens else tokens, entry.cost if charged else entry.cost or 0.0)
