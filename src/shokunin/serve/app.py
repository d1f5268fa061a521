"""The application: predictors and codecs behind an OpenAI-compatible surface; it knows no folder and no task kind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from shokunin.answer import Answer, Inputs
from shokunin.errors import TaskError
from shokunin.serve.batching import Batcher
from shokunin.serve.edge import Edge, Gate, loopback_only
from shokunin.serve.limits import Limits
from shokunin.serve.openai_reply import completion, cut, model_card, route_headers, stream
from shokunin.serve.openai_wire import ChatRequest, parse_chat
from shokunin.serve.refusal import Refusal, overloaded
from shokunin.serve.served import Served, find, names_of
from shokunin.serve.typed_wire import PredictRequest, parse_predict, predictions, read_row
from shokunin.version import __version__

JSON = "application/json"
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


def create_app(served: Mapping[str, Served], *, limits: Limits | None = None, gate: Gate = loopback_only) -> FastAPI:
    """A server of the specialists in `served`, which maps each id `name@version` to what answers under it.

    While the application runs, `app.state.ready` is what `/ready` says; set it to False to send a balancer elsewhere.

    Raises:
        UsageError: nothing is served, or two specialists would have one name.
    """
    room = _Room(served, limits or Limits())
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
    app.state.batchers = room.batchers
    app.add_middleware(Edge, limits=room.limits, gate=gate)
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(HTTPException, _no_such_route)
    app.add_api_route("/v1/chat/completions", room.chat, methods=["POST"], openapi_extra=_body(ChatRequest))
    app.add_api_route(
        "/v1/specialists/{name}/predict", room.predict, methods=["POST"], openapi_extra=_body(PredictRequest)
    )
    app.add_api_route("/v1/models", room.models, methods=["GET"])
    app.add_api_route("/v1/models/{name}", room.model, methods=["GET"])
    app.add_api_route("/", room.front, methods=["GET"])
    app.add_api_route("/health", _health, methods=["GET"])
    app.add_api_route("/ready", _ready, methods=["GET"])
    app.add_api_route("/version", _version, methods=["GET"])
    return app


class _Room:
    """What the routes share: the names, the queues, the limits."""

    def __init__(self, served: Mapping[str, Served], limits: Limits) -> None:
        self.names = names_of(served)
        self.limits = limits
        self.batchers: dict[str, Batcher] = {}
        self._served = served

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Start a thread for each specialist; at the end let each finish what it has."""
        for key, one in self._served.items():
            self.batchers[key] = Batcher(one.predictor, key, batch=self.limits.batch, waiting=self.limits.waiting)
        app.state.ready = True
        try:
            yield
        finally:
            app.state.ready = False
            await asyncio.gather(*(asyncio.to_thread(batcher.close) for batcher in self.batchers.values()))

    async def chat(self, request: Request) -> Response:
        """Answer a chat request with the label, as a completion or as a stream."""
        asked = parse_chat(await _read(request, self.limits), choices=self.limits.choices)
        one = find(self.names, asked.model)
        if asked.characters() > self.limits.text_chars:
            raise Refusal(
                400,
                f"the messages are longer than {self.limits.text_chars} characters",
                "context_length_exceeded",
                "messages",
            )
        try:
            inputs = one.codec.read_chat(asked.chat())
        except TaskError as error:
            raise Refusal(400, str(error), "invalid_value", "messages") from error
        problem = one.codec.problem(inputs)
        if problem is not None:
            raise Refusal(400, problem, "unanswerable_input", "messages")
        answer = (await self._ask(request, one, [inputs]))[0]
        if answer.value is None:
            raise Refusal(500, answer.problem or "the specialist gave no answer", "no_answer")
        text = cut(one.codec.write_chat(answer), asked.stops)
        write = stream if asked.stream else completion
        body = write(asked, one, answer, text, request_id=request.state.request_id, created=int(time.time()))
        media = "text/event-stream" if asked.stream else JSON
        return Response(body, media_type=media, headers=route_headers(one, answer))

    async def predict(self, request: Request, name: str) -> Response:
        """Answer one input or many; a row that cannot be answered says why in its place."""
        one = find(self.names, name)
        asked = parse_predict(await _read(request, self.limits), rows=self.limits.rows)
        read = [read_row(one, row, chars=self.limits.text_chars) for row in asked]
        answers = iter(await self._ask(request, one, [inputs for inputs, problem in read if problem is None]))
        merged = [
            next(answers) if problem is None else Answer(None, 0.0, one.id, problem=problem, sure=False)
            for _, problem in read
        ]
        return Response(predictions(one, merged), media_type=JSON, headers={"x-shokunin-specialist": one.id})

    async def models(self) -> dict[str, Any]:
        """The names served here."""
        plain = sorted({one.name for one in self.names.values()} | {one.id for one in self.names.values()})
        return {"object": "list", "data": [model_card(name, self.names[name]) for name in plain]}

    async def model(self, name: str) -> dict[str, Any]:
        """One name served here, aliases too."""
        return model_card(name, find(self.names, name))

    async def front(self) -> dict[str, Any]:
        """Where to go from here."""
        return {
            "name": "shokunin",
            "version": __version__,
            "models": "/v1/models",
            "openapi": "/openapi.json",
            "health": "/health",
        }

    async def _ask(self, request: Request, one: Served, rows: Sequence[Inputs]) -> list[Answer]:
        """The answers, unless they take too long or nobody waits for them any more."""
        answers = self.batchers[one.id].submit(rows)
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait((answers, gone), timeout=self.limits.seconds, return_when=asyncio.FIRST_COMPLETED)
            if answers.done():
                return answers.result()
            if gone.done():
                raise Refusal(499, "the client has gone", "client_closed_request")
            raise overloaded(f"no answer within {self.limits.seconds:g} seconds; ask again in a moment")
        finally:
            gone.cancel()
            answers.cancel()


async def _read(request: Request, limits: Limits) -> bytes:
    """The body, which must be announced as JSON: a page of another site cannot send that unasked."""
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
        async with asyncio.timeout(limits.body_seconds):
            return await request.body()
    except TimeoutError as error:
        raise Refusal(
            408, f"the body did not arrive within {limits.body_seconds:g} seconds", "timeout", connection="close"
        ) from error
    except ClientDisconnect as error:
        raise Refusal(499, "the client has gone", "client_closed_request") from error


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


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


def _body(model: type[PredictRequest] | type[ChatRequest]) -> dict[str, Any]:
    """The OpenAPI description of a body that the route parses itself."""
    return {"requestBody": {"required": True, "content": {JSON: {"schema": _inlined(model.model_json_schema())}}}}


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
