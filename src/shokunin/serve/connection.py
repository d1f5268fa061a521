"""Connection: uvicorn's reader of HTTP, with a bound on the head of a request and our envelope for what is no HTTP."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shokunin.serve.refusal import Refusal

HEAD_BYTES = 64 << 10
"""A head that is longer, and not complete yet, is refused; uvicorn and httptools would collect it without end."""


class Connection(HttpToolsProtocol):
    """One client's connection."""

    _head: int | None = None
    """Bytes of an unfinished head; None while none is being read."""

    def data_received(self, data: bytes) -> None:
        """Read on, unless the head has grown too long."""
        super().data_received(data)
        if self._head is not None:
            self._head += len(data)
            if self._head > HEAD_BYTES:
                self._refuse(
                    Refusal(431, f"the head of the request is longer than {HEAD_BYTES} bytes", "head_too_large")
                )

    def on_message_begin(self) -> None:
        """A head begins."""
        self._head = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head ends."""
        self._head = None
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """What came is not HTTP."""
        self._refuse(Refusal(400, "this is not a request in HTTP/1.1", "invalid_http"))

    def _refuse(self, refusal: Refusal) -> None:
        body = refusal.body()
        reason = {400: "Bad Request", 431: "Request Header Fields Too Large"}[refusal.status]
        head = (
            f"HTTP/1.1 {refusal.status} {reason}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
