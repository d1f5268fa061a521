"""Connection: uvicorn's reader of HTTP, with bounds on what a client may send, and may leave unread, before it is heard."""

from __future__ import annotations

import asyncio
from collections import deque

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from shokunin.serve.refusal import Refusal, overloaded

HEAD_BYTES = 64 << 10
"""A head that is longer, and not complete yet, is refused; uvicorn and httptools would collect it without end."""

HEAD_SECONDS = 30.0
"""Time for a new connection's first head, or any head that has begun; uvicorn would wait without end."""

STALLED_SECONDS = 60.0
"""A client that leaves a full buffer unread for this long is cut off, and what it did not read is let go."""

CONNECTIONS = 4096
"""More are refused, each with a word why."""

_REASONS = {
    400: "Bad Request",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


class Connection(HttpToolsProtocol):
    """One client's connection."""

    _head: int | None = None
    """Bytes of an unfinished head; None while none is being read."""
    _ended = False
    """Whether a request ended in the piece that is being read, so that only the rest of it belongs to the next head."""
    _cycles: deque[RequestResponseCycle]
    """The requests that are not answered yet; more than one where a client does not wait for answers."""
    _awaited: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody has come."""
        super().connection_made(transport)
        self._cycles = deque()
        if len(self.connections) > CONNECTIONS:
            self._refuse(overloaded("too many connections are open; ask again in a moment"))
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Somebody has gone."""
        self._head_is_here()
        self._is_read()
        super().connection_lost(exc)
        for cycle in self._cycles:  # uvicorn tells the last request of a pipeline only
            cycle.disconnected = True
            cycle.message_event.set()
        self._cycles.clear()

    def data_received(self, data: bytes) -> None:
        """Read on, unless the head has grown too long or took too long."""
        self._ended = False
        super().data_received(data)
        if self._head is None:
            self._head_is_here()
            return
        self._head += 0 if self._ended else len(data)
        if self._head > HEAD_BYTES:
            self._refuse(Refusal(431, f"the head of the request is longer than {HEAD_BYTES} bytes", "head_too_large"))
        elif self._awaited is None:
            self._await_head()

    def on_message_begin(self) -> None:
        """A head begins."""
        self._head = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head ends."""
        self._head = None
        super().on_headers_complete()
        while self._cycles and self._cycles[0].response_complete:
            self._cycles.popleft()
        if self.cycle is not None and self.cycle not in self._cycles:
            self._cycles.append(self.cycle)

    def on_message_complete(self) -> None:
        """A request ends."""
        self._ended = True
        super().on_message_complete()

    def pause_writing(self) -> None:
        """The client does not read as fast as we write."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(STALLED_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """It has caught up."""
        self._is_read()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """What came is not HTTP."""
        self._refuse(Refusal(400, "this is not a request in HTTP/1.1", "invalid_http"))

    @property
    def _busy(self) -> bool:
        """Whether an earlier request of this connection is being answered."""
        return any(not cycle.response_complete for cycle in self._cycles)

    def _await_head(self) -> None:
        self._awaited = self.loop.call_later(HEAD_SECONDS, self._late)

    def _late(self) -> None:
        """Time is up, unless nothing was read meanwhile because an earlier answer is not finished."""
        if self._busy:
            self._await_head()
        else:
            message = f"the head of the request did not arrive within {HEAD_SECONDS:g} seconds"
            self._refuse(Refusal(408, message, "timeout"))

    def _head_is_here(self) -> None:
        if self._awaited is not None:
            self._awaited.cancel()
            self._awaited = None

    def _is_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _refuse(self, refusal: Refusal) -> None:
        body = refusal.body()
        more = "".join(f"{name}: {value}\r\n" for name, value in refusal.headers.items())
        head = (
            f"HTTP/1.1 {refusal.status} {_REASONS[refusal.status]}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n{more}connection: close\r\n\r\n"
        )
        self._head_is_here()
        if self._busy:
            self.transport.abort()  # in the middle of an answer a refusal would be read as a part of it
            return
        self.transport.write(head.encode() + body)
        self.transport.close()
