"""Receiving: a request's body, and the moment when its sender goes away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from shokunin.serve.refusal import Refusal

JSON = "application/json"
T = TypeVar("T")


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
    doing: asyncio.Future[T] = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        waiting: set[asyncio.Future[Any]] = {doing, gone}
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return doing.result()
        if gone.done():
            raise _gone()
        raise TimeoutError
    finally:
        gone.cancel()
        doing.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _gone() -> Refusal:
    return Refusal(499, "the client has gone", "client_closed_request")


def object_in(body: bytes) -> dict[str, Any] | None:
    """A body of JSON that is an object; None: it is something else."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
