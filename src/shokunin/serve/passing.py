"""Passing on: a request goes to an upstream and its reply comes back, byte by byte, errors and streams too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from starlette.responses import Response

from shokunin.exchange import Route
from shokunin.serve.callers import caller_of
from shokunin.serve.entries import Asked, Entries
from shokunin.serve.model_client import ModelReply
from shokunin.serve.outgoing import Mask, clean_headers, clean_query, outgoing
from shokunin.serve.parts import Parts
from shokunin.serve.quota import EXPECTED_TOKENS
from shokunin.serve.rebuild import StreamRebuilder, whole_body
from shokunin.serve.receiving import unless_gone
from shokunin.serve.refusal import Refusal
from shokunin.serve.relay import Relay
from shokunin.serve.routing import Target
from shokunin.serve.upstream import UpstreamFailure
from shokunin.template.tokens import BYTES_PER_TOKEN

REPLY_BYTES = 64 << 20
"""A reply that is no stream is read whole before it is passed on, so that its end is known; this is the most."""
KEPT_BYTES = 4 << 20
"""Of a larger reply, such as a thousand embeddings, the record has the size."""
AT_ONCE = 64 << 10
"""A body of up to so many bytes is masked in the event loop, a larger one in a thread."""
Heard = Callable[[Mapping[str, Any]], None]
"""Told what an upstream's good reply amounts to."""


class Passing:
    """Sends requests to upstreams."""

    def __init__(self, parts: Parts, entries: Entries) -> None:
        self._parts = parts
        self._entries = entries

    async def send(
        self,
        asked: Asked,
        target: Target,
        path: str,
        body: bytes,
        headers: Sequence[tuple[str, str]],
        *,
        mask: Mask | None = None,
    ) -> ModelReply:
        """The head of the upstream's reply; given up when the client goes. `body` has been masked already.

        Raises:
            UpstreamFailure: there is none.
            Refusal: 499, the client has gone; 429, its key's money does not suffice; 403, nobody knows if it does.
        """
        most = (EXPECTED_TOKENS if asked.peek.max_tokens is None else asked.peek.max_tokens) * asked.peek.replies
        cost = self._parts.price(target.model, len(body) // BYTES_PER_TOKEN, most)
        try:
            asked.request.state.ticket.reserve(cost=cost)
        except Refusal:
            asked.entry.upstream = ""  # it is not asked
            raise
        client = self._parts.upstreams[target.upstream]
        query = asked.request.scope["query_string"].decode("latin-1") if path == asked.path else ""
        query, headers = clean_query(query, mask), clean_headers(headers, mask)
        if asked.entry.span is not None:
            traced = asked.entry.span.headers()
            headers = [(n, v) for n, v in headers if n.lower() not in traced] + list(traced.items())
        address = f"{path}?{query}" if query else path
        sending = client.send(address, body, headers, client_authorization=asked.authorization)
        start = time.perf_counter()
        try:
            return await unless_gone(asked.request, sending)
        finally:
            asked.entry.upstream_seconds = time.perf_counter() - start

    async def pass_on(
        self,
        asked: Asked,
        target: Target,
        route: Route,
        *,
        headers: Mapping[str, str],
        mask: Mask | None = None,
        heard: Heard = lambda body: None,
        good: Callable[[int], bool] = lambda status: True,
    ) -> Response:
        """The upstream's reply, on its way to the client.

        Args:
            asked: the request.
            target: who is asked for which model.
            route: for the record.
            headers: of ours, to go with the reply.
            mask: takes personal data out of what leaves.
            heard: told of a reply that is complete and good.
            good: whether a reply of this status is passed on.

        Raises:
            UpstreamFailure: there is no reply.
            Refusal: 499; or 502 `upstream_refused`, its status is not good.
        """
        entry = asked.entry
        entry.route, entry.upstream = route, target.upstream
        going = partial(outgoing, asked.body, asked.peek.raw, model=target.model, mask=mask)
        # Masking a megabyte takes a tenth of a second and more, in which others would wait.
        body = await asyncio.to_thread(going) if mask and len(asked.body) > AT_ONCE else going()
        reply = await self.send(asked, target, asked.path, body, asked.headers, mask=mask)
        if not good(reply.status):
            await reply.aclose()
            raise refused(reply.status)
        entry.status = reply.status
        if reply.is_stream:
            return self._relayed(asked, target, reply, headers, heard)
        content = await unless_gone(asked.request, reply.read(REPLY_BYTES))
        body_of = whole_body(content, encoding=reply.content_encoding, limit=REPLY_BYTES)
        self._replied(asked, target, body_of, heard)
        if len(content) > KEPT_BYTES:  # to write it down only for the record to leave it out would hold up all others
            entry.response = {"shokunin_omitted": "too_large", "bytes": len(content)}
        response = Response(content, reply.status)
        response.raw_headers = [
            *_raw(reply.headers),
            (b"content-length", str(len(content)).encode()),
            *_raw(headers.items()),
        ]
        return self._entries.finish(entry, asked.request, response)

    def _relayed(
        self, asked: Asked, target: Target, reply: ModelReply, headers: Mapping[str, str], heard: Heard
    ) -> Response:
        entry = asked.entry
        copy = StreamRebuilder(encoding=reply.content_encoding)

        def ended(body: Mapping[str, Any] | None, problem: str | None) -> None:
            if problem is None and copy.problem == "error_event":
                problem = "upstream_error_event"
            elif problem is None and not copy.finished:
                problem = "upstream_incomplete"
            entry.problem = problem
            if problem == "client_closed_request":
                entry.status = 499
            self._replied(asked, target, body, heard if problem is None else lambda body: None)
            self._entries.finish(entry, asked.request, None)

        headers = {**headers, **self._parts.quota.headers(caller_of(asked.request))}
        return Relay(reply, copy, headers, began=entry.first_byte, ended=ended)

    def _replied(self, asked: Asked, target: Target, body: Mapping[str, Any] | None, heard: Heard) -> None:
        entry = asked.entry
        entry.response = body
        self._entries.charge(entry, body, target.model)
        if entry.status >= 400 and entry.problem is None:
            entry.problem = "upstream_refused"
        if entry.status == 200 and body is not None:
            heard(body)


def refused(status: int) -> Refusal:
    """The upstream has answered with an error."""
    return Refusal(502, f"the upstream answered with the error {status}", "upstream_refused")


def refusal_of(failure: UpstreamFailure | Refusal) -> Refusal:
    """Either as an answer to the client."""
    return failure.refusal() if isinstance(failure, UpstreamFailure) else failure


def _raw(headers: Any) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
