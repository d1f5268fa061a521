"""The application: what answers, behind an OpenAI-compatible surface; it knows no folder and no task kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from shokunin.serve import routes
from shokunin.serve.edge import Edge, Gate, loopback_only
from shokunin.serve.embeddings_wire import EmbeddingsRequest
from shokunin.serve.endpoints import ENDPOINTS, Endpoint
from shokunin.serve.gateway import Gateway
from shokunin.serve.limits import Limits
from shokunin.serve.page import page_headers, render_page, wants_page
from shokunin.serve.parts import Parts
from shokunin.serve.plain_route import PlainRoute
from shokunin.serve.receiving import JSON
from shokunin.serve.refusal import Refusal, overloaded
from shokunin.serve.served import Served, names_of
from shokunin.serve.shelf import Shelf
from shokunin.serve.status import page_facts, server_state
from shokunin.serve.tally import Tally
from shokunin.serve.typed_wire import PredictRequest
from shokunin.version import __version__

_ERROR = {
    "type": "object",
    "required": ["message", "type", "param", "code"],
    "properties": {
        "message": {"type": "string"},
        "type": {"type": "string"},
        "param": {"type": ["string", "null"]},
        "code": {"type": ["string", "null"]},
    },
}
ENVELOPE: dict[str, Any] = {
    "description": "The OpenAI error envelope",
    "content": {JSON: {"schema": {"type": "object", "required": ["error"], "properties": {"error": _ERROR}}}},
}
AUDIT_SECONDS = 5.0
"""Time that audits under way have to finish when the server stops."""
Around = Callable[[], AbstractAsyncContextManager[None]]


def create_app(
    served: Mapping[str, Served] | Parts,
    *,
    limits: Limits | None = None,
    gate: Gate = loopback_only,
    around: Sequence[Around] = (),
    tally: Tally | None = None,
    name: str = "shokunin",
) -> FastAPI:
    """A server of the specialists in `served`, which maps each id `name@version` to what answers under it.

    While the application runs, `app.state.ready` is what `/ready` says; set it to False to send a balancer elsewhere.

    Args:
        served: the specialists, or everything that the server is made of.
        limits: how much one request may ask for, unless `served` says.
        gate: who may ask.
        around: what goes on while the server runs, first to last; it ends after the last audit, last to first.
        tally: what the page for people shows of the last day; None: there is no page.
        name: what the page calls this server.

    Raises:
        UsageError: nothing is served, or two specialists would have one name.
    """
    if isinstance(served, Parts):
        parts = served
    else:
        names_of(served)  # nothing to serve is an error here; a shelf of a gateway may be empty
        parts = Parts(Shelf(served, limits=limits), limits=limits or Limits())
    room = _Room(parts, around, tally, name)
    app = FastAPI(
        title="Shokunin",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        responses={"4XX": ENVELOPE, "5XX": ENVELOPE},
        redirect_slashes=False,
        lifespan=room.lifespan,
    )
    app.state.ready = False
    app.state.parts = parts
    app.add_middleware(Edge, limits=parts.limits, gate=gate, made=room.entered)
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(HTTPException, _no_such_route)
    for endpoint in ENDPOINTS:
        app.router.add_api_route(
            endpoint.path,
            room.text(endpoint),
            methods=["POST"],
            openapi_extra=_body(endpoint.model),
            responses=_gives("text/event-stream"),
            route_class_override=PlainRoute,
        )
    typed = "/v1/specialists/{name}/predict"
    app.add_api_route(typed, room.predict, methods=["POST"], openapi_extra=_body(PredictRequest))
    app.add_api_route("/v1/specialists/{name}/resume", room.resume, methods=["POST"])
    app.add_api_route(routes.EMBEDDINGS, room.embed, methods=["POST"], openapi_extra=_body(EmbeddingsRequest))
    app.add_api_route("/v1/feedback", room.feedback, methods=["POST"], openapi_extra=_body(routes.FeedbackRequest))
    app.add_api_route("/v1/models", room.models, methods=["GET"])
    app.add_api_route("/v1/models/{name:path}", room.model, methods=["GET"])
    app.add_api_route("/", room.front, methods=["GET"], responses=_gives("text/html"))
    prometheus = _gives("text/plain", "application/openmetrics-text")
    app.add_api_route("/metrics", room.metrics, methods=["GET"], responses=prometheus)
    app.add_api_route("/health", _health, methods=["GET"])
    app.add_api_route("/ready", _ready, methods=["GET"])
    app.add_api_route("/version", _version, methods=["GET"])
    return app


class _Room:
    """The routes, and what they share."""

    def __init__(self, parts: Parts, around: Sequence[Around], tally: Tally | None, name: str) -> None:
        self._parts = parts
        self._gateway = Gateway(parts)
        self._around = around
        self._tally = tally
        self._name = name

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Begin; at the end let everything finish what it has, and lose nothing."""
        parts = self._parts
        async with AsyncExitStack() as stack:
            for one in self._around:
                await stack.enter_async_context(one())
            app.state.ready = True
            try:
                yield
            finally:
                app.state.ready = False
                await parts.audits.close(AUDIT_SECONDS)
                await asyncio.gather(*(client.close() for client in parts.upstreams.values()))
                await self._gateway.close(AUDIT_SECONDS)
                await asyncio.to_thread(parts.shelf.close)
                await asyncio.to_thread(parts.embeddings.close)
                await asyncio.to_thread(parts.documents.close)
        if parts.recorder is not None:
            await asyncio.to_thread(parts.recorder.close)

    def entered(self, edge: Edge) -> None:
        """The middleware is there: what it counts is shown."""
        self._parts.in_flight = lambda: edge.in_flight
        if self._parts.metrics is not None:
            edge.refused = self._parts.metrics.refused

    def text(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        """The route of an endpoint that a specialist can answer."""

        async def answer(request: Request) -> Response:
            return await self._gateway.answer(endpoint, request)

        answer.__name__ = endpoint.path.removeprefix("/v1/").replace("/", "_")
        answer.__doc__ = "Answer by a specialist, or by an upstream."
        return answer

    async def predict(self, request: Request, name: str) -> Response:
        """Answer one input or many; a row that cannot be answered says why in its place."""
        return await routes.predict(self._gateway, self._parts, request, name)

    async def resume(self, request: Request, name: str) -> Response:
        """Let a specialist answer again after it has handed back."""
        return routes.resume(self._parts, name)

    async def embed(self, request: Request) -> Response:
        """Texts to vectors."""
        return await routes.embed(self._gateway, self._parts, request)

    async def feedback(self, request: Request) -> Response:
        """Say what an answer should have been."""
        return await routes.feedback(self._gateway, self._parts, request)

    async def models(self, request: Request) -> dict[str, Any]:
        """The names served here."""
        return routes.models(self._parts, request)

    async def model(self, request: Request, name: str) -> dict[str, Any]:
        """One name served here, aliases too."""
        return routes.model(self._parts, request, name)

    async def front(self, request: Request) -> Response:
        """A page for people; where to go from here for programs."""
        if self._tally is not None and wants_page(request.headers.get("accept", "")):
            ready, base_url = request.app.state.ready, f"{request.url.scheme}://{request.url.netloc}/v1"
            facts = page_facts(self._parts, self._tally, name=self._name, base_url=base_url, ready=ready)
            page = await asyncio.to_thread(render_page, facts)
            return Response(page, media_type="text/html", headers=page_headers())
        return routes.front()

    async def metrics(self, request: Request) -> Response:
        """The figures, for Prometheus."""
        if self._parts.metrics is None:
            raise Refusal(404, "this server counts nothing", "not_found")
        state = server_state(self._parts, ready=request.app.state.ready)
        accept = request.headers.get("accept", "")
        body, media = await asyncio.to_thread(self._parts.metrics.render, state, accept)
        return Response(body, headers={"content-type": media})


async def _health() -> dict[str, str]:
    """The process is alive."""
    return {"status": "ok"}


async def _ready(request: Request) -> dict[str, str]:
    """The server takes requests."""
    if not request.app.state.ready:
        raise overloaded("the server is not taking requests")
    return {"status": "ready"}


async def _version() -> dict[str, str]:
    """Which release this is."""
    return {"name": "shokunin", "version": __version__}


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return Response(error.body(), error.status, dict(error.headers), media_type=JSON)


async def _no_such_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        refusal = Refusal(405, f"{request.method} is not for this address", "method_not_allowed")
    elif error.status_code == 404:
        refusal = Refusal(404, "there is nothing at this address; GET / tells where to go", "not_found")
    else:
        refusal = Refusal(error.status_code, "the request cannot be answered", "bad_request")
    return Response(refusal.body(), refusal.status, {**(error.headers or {}), **refusal.headers}, media_type=JSON)


def _body(model: type[BaseModel]) -> dict[str, Any]:
    """The OpenAPI description of a body that the route parses itself."""
    return {"requestBody": {"required": True, "content": {JSON: {"schema": _inlined(model.model_json_schema())}}}}


def _gives(*media: str) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI description of what a route may answer beside JSON."""
    return {200: {"content": {one: {} for one in media}}}


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema with its definitions put in place (none of ours refers to itself)."""
    definitions = schema.pop("$defs", {})

    def replace(value: Any) -> Any:
        if isinstance(value, dict):
            if "$ref" in value:
                return replace(definitions[value["$ref"].rpartition("/")[2]])
            return {k: replace(v) for k, v in value.items()}
        return [replace(v) for v in value] if isinstance(value, list) else value

    return replace(schema)  # type: ignore[no-any-return]
