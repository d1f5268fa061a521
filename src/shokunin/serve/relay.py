"""Relay: a stream of an upstream on its way to the client, byte by byte, while a copy is put together for the record."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from shokunin.serve.model_client import ModelReply
from shokunin.serve.receiving import Watching
from shokunin.serve.upstream import UpstreamFailure

KEEP_ALIVE = 15.0
"""After so many silent seconds a comment is sent, so that nothing between here and the client hangs up."""
COMMENT = b": keep-alive\n\n"
_log = logging.getLogger("shokunin.serve")


class Copy(Protocol):
    """Puts the pieces of a stream together."""

    def feed(self, data: bytes) -> None:
        """Take the next piece."""

    def result(self) -> dict[str, Any] | None:
        """What the stream amounts to so far."""

    @property
    def complete(self) -> bool:
        """Whether the stream has said that it is over."""


Ended = Callable[[Mapping[str, Any] | None, str | None], None]
"""Told once, before the last byte leaves: the reply put together, and the word for what went wrong or None."""


class Relay(Response):
    """Sends an upstream's stream on. `ended` is called whatever happens."""

    def __init__(
        self, reply: ModelReply, copy: Copy, headers: Mapping[str, str], *, began: Callable[[], None], ended: Ended
    ) -> None:
        super().__init__(status_code=reply.status)
        self.raw_headers = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in reply.headers if n not in headers]
        self.raw_headers += [(n.encode("latin-1"), v.encode("latin-1")) for n, v in headers.items()]
        self._reply = reply
        self._copy = copy
        self._began = began
        self._ended = ended
        self._told = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it on until either side ends."""
        problem: str | None = "client_closed_request"  # unless something else is found to be the end
        pulse = _Pulse(send, able=not self._reply.content_encoding)
        try:
            with Watching(receive) as watching:
                try:
                    problem = await self._sent(send, pulse)
                except asyncio.CancelledError:
                    if not watching.gone:
                        raise
        finally:
            pulse.stop()
            self._tell(problem)
            await self._reply.aclose()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _sent(self, send: Send, pulse: _Pulse) -> str | None:
        """Send the pieces as they come; the word for what went wrong at the upstream, or None."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async for piece in self._reply.chunks():
                self._began()
                self._copy.feed(piece)
                if self._copy.complete:
                    self._tell(None)
                async with pulse.sending:  # a client that reads slowly holds this up; no comment may get in between
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                    pulse.beat(between=piece.endswith((b"\n\n", b"\r\n\r\n")))
        except UpstreamFailure as failure:
            _log.warning("a stream broke off: %s", failure)
            self._tell(failure.reason)
            await send({"type": "http.response.body", "body": failure.event(), "more_body": True})
            return failure.reason
        return None

    def _tell(self, problem: str | None) -> None:
        if not self._told:
            self._told = True
            self._ended(self._copy.result(), problem)


class _Pulse:
    """Sends a comment where a stream is silent between two events.

    Attributes:
        sending: held by whoever sends.
    """

    def __init__(self, send: Send, *, able: bool) -> None:
        """`able`: comments can be read in this stream, which is not so in a compressed one."""
        self.sending = asyncio.Lock()
        self._send = send
        self._able = able
        self._last = time.monotonic()
        self._between = True
        self._beating = asyncio.get_running_loop().create_task(self._beat())

    def beat(self, *, between: bool) -> None:
        """A piece was sent, and whether it ended an event."""
        self._last = time.monotonic()
        self._between = between

    def stop(self) -> None:
        """The stream is over."""
        self._beating.cancel()

    async def _beat(self) -> None:
        while True:
            silent = time.monotonic() - self._last
            if silent >= KEEP_ALIVE:
                self._last = time.monotonic()
                async with self.sending:
                    if self._between and self._able:
                        await self._send({"type": "http.response.body", "body": COMMENT, "more_body": True})
            await asyncio.sleep(KEEP_ALIVE - min(silent, KEEP_ALIVE) or KEEP_ALIVE)
