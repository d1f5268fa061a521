"""Relay: a stream of an upstream on its way to the client, byte by byte, while a copy is put together for the record."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from shokunin.serve.upstream import UpstreamFailure, UpstreamReply

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
        self, reply: UpstreamReply, copy: Copy, headers: Mapping[str, str], *, began: Callable[[], None], ended: Ended
    ) -> None:
        super().__init__(status_code=reply.status)
        self.raw_headers = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in reply.headers]
        self.raw_headers += [(n.encode("latin-1"), v.encode("latin-1")) for n, v in headers.items()]
        self._reply = reply
        self._copy = copy
        self._began = began
        self._ended = ended
        self._told = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it on until either side ends."""
        gone = asyncio.ensure_future(_disconnected(receive))
        pieces = self._reply.chunks()
        problem: str | None = "client_closed_request"  # unless something else is found to be the end
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for piece in self._pieces(pieces, gone):
                self._began()
                self._copy.feed(piece)
                if self._copy.complete:
                    self._tell(None)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            if not gone.done():
                problem = None
        except UpstreamFailure as failure:
            problem = failure.reason
            _log.warning("a stream broke off: %s", failure)
            self._tell(problem)
            await send({"type": "http.response.body", "body": failure.event(), "more_body": True})
        finally:
            gone.cancel()
            self._tell(problem)
            await self._reply.aclose()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pieces(self, pieces: AsyncIterator[bytes], gone: asyncio.Future[None]) -> AsyncIterator[bytes]:
        """The pieces, and a comment where the stream is silent between two events; ends when the client has gone."""
        between = True
        while True:
            coming = asyncio.ensure_future(anext(pieces, None))
            try:
                while not coming.done() and not gone.done():
                    await asyncio.wait((coming, gone), timeout=KEEP_ALIVE, return_when=asyncio.FIRST_COMPLETED)
                    if between and not coming.done() and not gone.done():
                        yield COMMENT
                if not coming.done():
                    return
                piece = coming.result()
            finally:
                if not coming.done():
                    coming.cancel()
                    await asyncio.wait((coming,))
            if piece is None:
                return
            between = piece.endswith((b"\n\n", b"\r\n\r\n"))
            yield piece

    def _tell(self, problem: str | None) -> None:
        if not self._told:
            self._told = True
            self._ended(self._copy.result(), problem)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
