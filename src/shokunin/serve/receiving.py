"""Receiving: a request's body, and the moment when its sender goes away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from shokunin.serve.refusal import Refusal

JSON = "application/json"
T = TypeVar("T")
LOOK_AFTER = 0.05
"""Seconds until it is looked whether the client is still there."""


async def read_body(request: Request, seconds: float) -> bytes:
    """The body, which must be announced as JSON: a page of another site cannot send that unasked.

    Raises:
        Refusal: 415, it is something else or compressed; 408, it did not come in time; 499, the client has gone.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        raise Refusal(
            415,
            f"send the body as JSON, with the header 'Content-Type: {JSON}'",
            "unsupported_media_type",
            connection="close",
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal(415, "send the body uncompressed", "unsupported_media_type", connection="close")
    try:
        async with asyncio.timeout(seconds):
            return await request.body()
    except TimeoutError as error:
        raise Refusal(
            408, f"the body did not arrive within {seconds:g} seconds", "timeout", connection="close"
        ) from error
    except ClientDisconnect as error:
        raise _gone() from error


async def unless_gone(request: Request, work: Awaitable[T], seconds: float | None = None) -> T:
    """What the work comes to; it is cancelled when the client goes or it takes too long.

    Raises:
        Refusal: 499, the client has gone.
        TimeoutError: it takes longer than `seconds`.
    """
    with Watching(request.receive) as watching:
        try:
            async with asyncio.timeout(seconds):
                return await work
        except asyncio.CancelledError:
            if watching.gone:
                raise _gone() from None
            raise


class Watching:
    """Cancels the task that is in the `with` block once its client has gone.

    It begins to look a moment after the start: most work is done by then, and looking costs as much as passing a request
    on. Whoever catches the CancelledError asks `gone` whether it came from here; that question also takes it back.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._looking: asyncio.Task[None] | None = None
        self._cancelled = False

    def __enter__(self) -> Watching:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._timer = asyncio.get_running_loop().call_later(LOOK_AFTER, self._begin)
        return self

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()
        if self._looking is not None:
            self._looking.cancel()

    @property
    def gone(self) -> bool:
        """Whether the client has gone, and nobody else wants the task to end."""
        if self._cancelled:
            self._cancelled = False
            return self._task.uncancel() == 0
        return False

    def _begin(self) -> None:
        self._looking = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._cancelled = True
        self._task.cancel()


def _gone() -> Refusal:
    return Refusal(499, "the client has gone", "client_closed_request")


def object_in(body: bytes) -> dict[str, Any] | None:
    """A body of JSON that is an object; None: it is something else."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
