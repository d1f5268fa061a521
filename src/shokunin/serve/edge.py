"""Edge: what every request passes before a route sees it: a name, the gate, limits on what it holds, one way to fail."""

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

from shokunin.serve.callers import LOCAL, NOBODY, PERMISSIONS, Caller, RouteTable, require
from shokunin.serve.limits import Limits
from shokunin.serve.refusal import Refusal, internal_error, overloaded

OPEN = frozenset(path for (_, path), needed in PERMISSIONS.items() if needed == "open")
"""Paths that pass without asking the gate; everything else is refused unless the gate lets it in."""

Gate = Callable[[HTTPConnection], Caller]
"""Lets a request in by saying whose it is; raises Refusal (401, 403) otherwise."""

_LOCAL = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?", re.IGNORECASE)
_log = logging.getLogger("shokunin.serve")


def loopback_only(request: HTTPConnection) -> Caller:
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
    return LOCAL


class Edge:
    """ASGI middleware around the whole application; puts the `Caller` into `request.state.caller`.

    Attributes:
        in_flight: requests that are being answered.
        held_bytes: the size of their bodies, as far as they have arrived.
        refused: told the code of what is turned away here.
    """

    def __init__(
        self, app: ASGIApp, *, limits: Limits, gate: Gate, made: Callable[[Edge], None] = lambda edge: None
    ) -> None:
        """Go around `app`; `made` is told of this edge, which the framework makes when it sees fit."""
        self.refused: Callable[[str], None] = lambda code: None
        made(self)
        self._app = app
        self._limits = limits
        self._gate = gate
        self._routes = RouteTable()
        self.in_flight = 0
        self.held_bytes = 0
        self._prefix = secrets.token_hex(8)  # one draw a process; a draw a request is measurable
        self._numbers = count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        request_id = f"{self._prefix}{next(self._numbers):010x}"
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        started = False

        async def tell(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode()), *_ALWAYS]
            await send(message)

        try:
            caller = state["caller"] = self._admit(scope)
            if caller is NOBODY:  # a probe is answered however busy the server is
                return await self._app(scope, receive, tell)
            await self._within_limits(scope, receive, tell)
        except Refusal as refusal:
            self.refused(refusal.code or str(refusal.status))
            await send_refusal(refusal, tell)
        except Exception:
            _log.exception("request %s failed", request_id)
            if started:
                raise
            await send_refusal(internal_error(request_id), tell)
        return None

    def _admit(self, scope: Scope) -> Caller:
        """Who asks, if that one may ask for this address; strangers do not learn which addresses there are."""
        request = HTTPConnection(scope)
        try:
            needed = self._routes.requirement(scope["method"], scope["path"])
        except Refusal:
            self._gate(request)
            raise
        if needed == "open":
            return NOBODY
        caller = self._gate(request)
        require(caller, needed)
        return caller

    async def _within_limits(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, unless too many others are being answered; the body counts as long as the request lasts."""
        if self.in_flight >= self._limits.in_flight:
            raise overloaded(f"{self.in_flight} requests are being answered; ask again in a moment")
        limit, size = self._limits.body_bytes, 0
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value[:20]) > limit:
                raise _too_large(limit)

        async def measured() -> Message:
            nonlocal size
            message = await receive()
            more = len(message.get("body", b""))
            size += more
            self.held_bytes += more
            if size > limit:
                raise _too_large(limit)
            if more and self.held_bytes > self._limits.held_bytes:
                raise overloaded("the bodies of the requests under way fill the memory set aside for them")
            return message

        self.in_flight += 1
        try:
            await self._app(scope, measured, send)
        finally:
            self.in_flight -= 1
            self.held_bytes -= size


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
