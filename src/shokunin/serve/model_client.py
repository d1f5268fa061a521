"""What answers like an OpenAI-compatible server: one elsewhere (`upstream`), or a model in this process (`local_model`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from shokunin.serve.breaker import Breaker


class ModelReply(Protocol):
    """The head of a reply, and its body as it comes. Whoever has it reads it to the end or calls `aclose`."""

    status: int
    headers: list[tuple[str, str]]
    is_stream: bool
    content_encoding: str
    upstream_request_id: str

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body in the pieces in which it comes."""

    async def read(self, limit: int) -> bytes:
        """The whole body, of at most `limit` bytes."""

    async def aclose(self) -> None:
        """Let go of it, and stop the work on it."""


class ModelClient(Protocol):
    """Asks one model; lives in one event loop."""

    @property
    def breaker(self) -> Breaker:
        """Whether it is asked at all at the moment."""

    async def send(
        self,
        path: str,
        body: bytes,
        headers: Sequence[tuple[str, str]],
        *,
        client_authorization: str | None = None,
        seconds: float | None = None,
        method: str = "POST",
    ) -> ModelReply:
        """Pass a request on; returns once the head of the reply is there."""

    async def close(self) -> None:
        """Let go of what it holds."""
