"""Plain route: an address whose function takes the request and gives the response, described like any other.

The framework's own route reads bodies, solves dependencies and opens two exit stacks around every request. None of that is
used where a function reads its body itself, and it is a tenth of what passing a request on costs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class PlainRoute(APIRoute):
    """A route of FastAPI in its table and in `/openapi.json`, without FastAPI around the call."""

    def __init__(self, path: str, endpoint: Callable[[Request], Awaitable[Response]], **about: Any) -> None:
        super().__init__(path, endpoint, **about)

        async def plain(scope: Scope, receive: Receive, send: Send) -> None:
            response = await endpoint(Request(scope, receive, send))
            await response(scope, receive, send)

        self.app = plain
