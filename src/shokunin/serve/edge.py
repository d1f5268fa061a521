"""Edge: what every request passes before a route sees it: a name, the gate, a limit on its body, one way to fail."""

from __future__ import annotations

import ipaddress
import logging
import re
import secrets
from collections.abc import Callable
from functools import lru_cache
from itertools import count

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shokunin.serve.limits import Limits
from shokunin.serve.refusal import Refusal, internal_error

OPEN = frozenset({"/health"})
"""Paths that pass without asking the gate; everything else is refused unless the gate lets it in."""

Gate = Callable[[HTTPConnection], None]
"""Lets a request in by returning; raises Refusal (401, 403) otherwise."""

_LOCAL = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?", re.IGNORECASE)
_log = logging.getLogger("shokunin.serve")


def loopback_only(request: HTTPConnection) -> None:
    """The gate of a server without keys: this machine only, asked for by a local name, and not by another site's page.

    The Host check keeps out a web page whose name was pointed at this machine (DNS rebinding), the Origin check any
    other page.

    Raises:
        Refusal: 403.
    """
    client = request.client
    if client is not None and not _is_loopback(client.host):
        raise Refusal(403, "this server answers its own machine only", "permission_denied")
    if not _LOCAL.fullmatch(request.headers.get("host", "")):
        raise Refusal(
            403, "ask for this server as localhost or 127.0.0.1; other names are refused", "permission_denied"
        )
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers["host"]:
        raise Refusal(403, "pages of other sites may not use this server", "permission_denied")


class Edge:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, *, limits: Limits, gate: Gate) -> None:
        self._app = app
        self._limits = limits
        self._gate = gate
        self._prefix = secrets.token_hex(8)  # one draw a process; a draw a request is measurable
        self._numbers = count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        request_id = f"{self._prefix}{next(self._numbers):010x}"
        scope.setdefault("state", {})["request_id"] = request_id
        started = False

        async def tell(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode()), *_ALWAYS]
            await send(message)

        try:
            if scope["path"] not in OPEN:
                self._gate(HTTPConnection(scope))
            await self._app(scope, self._measured(scope, receive), tell)
        except Refusal as refusal:
            await send_refusal(refusal, tell)
        except Exception:
            _log.exception("request %s failed", request_id)
            if started:
                raise
            await send_refusal(internal_error(request_id), tell)
        return None

    def _measured(self, scope: Scope, receive: Receive) -> Receive:
        """`receive`, which refuses to read a body beyond the limit; a stated length that is too large is believed."""
        limit, size = self._limits.body_bytes, 0
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value[:20]) > limit:
                raise _too_large(limit)

        async def measured() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > limit:
                raise _too_large(limit)
            return message

        return measured


_ALWAYS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


async def send_refusal(refusal: Refusal, send: Send) -> None:
    """Answer with the error envelope."""
    body = refusal.body()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.encode(), value.encode()) for name, value in refusal.headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _too_large(limit: int) -> Refusal:
    return Refusal(
        413, f"the body is larger than {limit} bytes; send less at a time", "request_too_large", connection="close"
    )


@lru_cache(maxsize=256)
def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or (mapped is not None and mapped.is_loopback)
