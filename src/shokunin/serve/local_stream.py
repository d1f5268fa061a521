"""Local stream: a reply that a model in this process is writing, as the relay and the gateway take replies of upstreams."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from shokunin.serve.refusal import Refusal
from shokunin.serve.upstream import UpstreamFailure


@dataclass(eq=False)
class LocalReply:
    """A reply under way: nothing is computed before its body is asked for, and nothing more after `aclose`."""

    status: int
    is_stream: bool = False
    headers: list[tuple[str, str]] = field(default_factory=list)
    content_encoding: str = ""
    upstream_request_id: str = ""
    pieces: Iterator[bytes] = field(default_factory=lambda: iter(()))
    pool: ThreadPoolExecutor | None = None
    ended: Callable[[], None] = lambda: None
    given_up: threading.Event = field(default_factory=threading.Event)
    _reading: threading.Lock = field(default_factory=threading.Lock)
    _ahead: bytes | None = None

    def __post_init__(self) -> None:
        kind = "text/event-stream" if self.is_stream else "application/json"
        self.headers = [("content-type", kind), *self.headers]

    @staticmethod
    def of_refusal(refusal: Refusal) -> LocalReply:
        """An error as a reply."""
        made = LocalReply(refusal.status, headers=list(refusal.headers.items()))
        made.pieces = iter((refusal.body(),))
        return made

    async def begin(self) -> None:
        """Wait for the first piece; what fails before it is raised here."""
        self._ahead = await asyncio.get_running_loop().run_in_executor(self.pool, self._next)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as it is written.

        Raises:
            UpstreamFailure: the engine failed.
        """
        loop = asyncio.get_running_loop()
        given = self._ahead is not None
        try:
            if self._ahead is not None:
                yield self._ahead
            while (piece := await loop.run_in_executor(self.pool, self._next)) is not None:
                given = True
                yield piece
        except BrokenOffError as error:
            raise UpstreamFailure("upstream_reset", "local model", before_reply=not given) from error
        finally:
            await self.aclose()

    async def read(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            UpstreamFailure: the engine failed, or it is larger than `limit` bytes.
        """
        body = b"".join([piece async for piece in self.chunks()])
        if len(body) > limit:
            raise UpstreamFailure("upstream_too_large", "local model")
        return body

    async def aclose(self) -> None:
        """Let go of it; what is being decoded for it stops."""
        if not self.given_up.is_set():
            self.given_up.set()
            self.ended()
            if self.pool is not None:
                await asyncio.get_running_loop().run_in_executor(self.pool, self._stop)

    def _next(self) -> bytes | None:
        with self._reading:
            return next(self.pieces, None)

    def _stop(self) -> None:
        with self._reading:  # a generator cannot be closed while it runs
            close = getattr(self.pieces, "close", None)
            if close is not None:
                close()


class BrokenOffError(Exception):
    """The engine failed on a request that was fine."""
