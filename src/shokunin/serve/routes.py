"""The routes beside the three that write text: typed predictions, embeddings, corrections, and what there is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from shokunin.answer import Answer, Inputs
from shokunin.errors import ShokuninError
from shokunin.exchange import Exchange
from shokunin.fields.inputs import TEXT
from shokunin.serve.body import parse, peek
from shokunin.serve.callers import caller_of
from shokunin.serve.documents import TOKENS
from shokunin.serve.embedding import encoder_card
from shokunin.serve.embeddings_wire import check_dimensions, embeddings, parse_embeddings
from shokunin.serve.gateway import Gateway
from shokunin.serve.limits import check_nesting
from shokunin.serve.openai_reply import model_card
from shokunin.serve.parts import Parts
from shokunin.serve.receiving import JSON, object_in, read_body, unless_gone
from shokunin.serve.refusal import Refusal, overloaded
from shokunin.serve.served import Served, find
from shokunin.serve.state import promise_of
from shokunin.serve.typed_wire import (
    DocumentRow,
    Row,
    parse_predict,
    predictions,
    read_document_row,
    read_row,
    recorded,
)
from shokunin.template.tokens import BYTES_PER_TOKEN
from shokunin.version import __version__

EMBEDDINGS = "/v1/embeddings"


class FeedbackRequest(BaseModel):
    """The body of `POST /v1/feedback`: which exchange, and what the answer should have been."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: Annotated[str, Field(min_length=1, max_length=200)]
    answer: Annotated[str, Field(min_length=1, max_length=10_000)]
    comment: Annotated[str, Field(max_length=10_000)] | None = None


async def predict(gateway: Gateway, parts: Parts, request: Request, name: str) -> Response:
    """Answer one input or many; a row that cannot be answered says why in its place. Nothing leaves the house."""
    with gateway.entries.writing(request, "/v1/specialists/{name}/predict") as entry:
        entry.model = name[:200]
        one = find(parts.shelf.names, name)
        caller_of(request).require_model(name, one.name)
        body = await _body(request, parts)
        asked = parse_predict(body, rows=parts.limits.rows)
        documents = [row for row in asked if isinstance(row, DocumentRow)]
        tokens = (len(body) - sum(4 * len(row.data) // 3 for row in documents)) // BYTES_PER_TOKEN
        request.state.ticket = parts.quota.admit(caller_of(request), max(0, tokens) + TOKENS * len(documents))
        entry.workload_id, entry.specialist, entry.route = one.name, one.id, "local"
        read = [await _read(parts, request, one, row) for row in asked]
        entry.request = object_in(body)
        if documents:
            entry.request = {"inputs": [recorded(row, inputs) for row, (inputs, _) in zip(asked, read, strict=True)]}
            tokens += sum(len(inputs.get(TEXT, "")) for inputs, _ in read) // BYTES_PER_TOKEN
        rows = [inputs for inputs, problem in read if problem is None]
        answers = iter(await gateway.ask(request, one, rows))
        merged = [
            next(answers) if problem is None else Answer(None, 0.0, one.id, problem=problem, sure=False)
            for _, problem in read
        ]
        whole = predictions(one, merged)
        entry.response, entry.prompt_tokens = object_in(whole), max(0, tokens)
        headers = {"x-shokunin-specialist": one.id, "x-shokunin-route": "local"}
        return gateway.entries.finish(entry, request, Response(whole, media_type=JSON, headers=headers))


async def _read(parts: Parts, request: Request, one: Served, row: Row) -> tuple[Inputs, str | None]:
    """The input fields of a row, and why they cannot be answered or None.

    Raises:
        Refusal: 400, documents are not read here; 499; 503, too many are waiting, it takes too long, or cannot be kept.
    """
    if not isinstance(row, DocumentRow):
        return await read_row(one, row, chars=parts.limits.text_chars)
    seconds = parts.limits.seconds
    try:
        found = await unless_gone(request, parts.documents.read(row.data, row.param), seconds)
    except TimeoutError as error:
        raise overloaded(f"the document was not read within {seconds:g} seconds; send fewer or shorter ones") from error
    if isinstance(found, str):
        return {}, found
    return await read_document_row(one, found, chars=parts.limits.text_chars)


async def embed(gateway: Gateway, parts: Parts, request: Request) -> Response:
    """Texts to vectors, by an encoder of this house or an upstream's."""
    with gateway.entries.writing(request, EMBEDDINGS) as entry:
        body = await _body(request, parts)
        seen = peek(body)
        asked = gateway.entries.admit(request, entry, seen, body, len(body) // BYTES_PER_TOKEN)
        if seen.model not in parts.embeddings.embedders and parts.routes.find(seen.model) is not None:
            return await gateway.pass_on(asked)
        embedder = parts.embeddings.find(seen.model)
        caller_of(request).require_model(seen.model)
        wanted = parse_embeddings(body, inputs=parts.limits.rows, chars=parts.limits.text_chars)
        check_dimensions(wanted, embedder)
        vectors, tokens = await unless_gone(request, parts.embeddings.run(embedder, wanted.texts))
        entry.route, entry.prompt_tokens = "local", tokens
        reply = Response(embeddings(wanted, vectors, tokens), media_type=JSON, headers={"x-shokunin-route": "local"})
        return gateway.entries.finish(entry, request, reply)


def resume(parts: Parts, name: str) -> Response:
    """Begin a new term of a specialist's promise, whose last one ended with handing back.

    Raises:
        Refusal: 404, there is no such specialist; 409, there is nothing to resume.
    """
    one = find(parts.shelf.names, name)
    watch = parts.watches.of(one)
    if watch is None or watch.status.state != "handed_back":
        raise Refusal(409, f"{one.id} has not handed back its work, so there is nothing to resume", "nothing_to_resume")
    watch.resume()
    parts.watches.after(one.id, keep=True)
    told = {"object": "shokunin.promise", "specialist": one.id, **asdict(promise_of(one.name, one.id, watch.status))}
    return Response(json.dumps(told, allow_nan=False), media_type=JSON)


async def feedback(gateway: Gateway, parts: Parts, request: Request) -> Response:
    """Keep a correction beside the exchange that it is about.

    Raises:
        Refusal: 501, 503, it cannot be kept.
    """
    told = parse(FeedbackRequest, await _body(request, parts))
    parts.quota.admit(caller_of(request)).release()
    if parts.recorder is None:
        raise Refusal(501, "this server keeps no record, so there is nothing to correct", "no_record")
    entry = gateway.entries.open(request, "/v1/feedback")
    entry.route, entry.parent, entry.value, entry.finished = "feedback", told.id, told.answer, True
    entry.request = told.model_dump()
    about = None if parts.lookup is None else await asyncio.to_thread(_found, parts.lookup, told.id)
    if about is not None:
        entry.workload_id, entry.specialist, entry.model = about.workload_id, about.specialist, about.model
        entry.agrees = None if about.value is None else about.value == told.answer
    if not gateway.entries.keep(entry):
        raise Refusal(503, "the correction could not be kept; send it again later", "not_kept", retry_after="10")
    return Response(json.dumps({"object": "shokunin.feedback", "id": told.id, "kept": True}), media_type=JSON)


def _found(lookup: Callable[[str], Exchange | None], name: str) -> Exchange | None:
    """The exchange of that id, as far as the record can be read now; a correction is kept either way."""
    try:
        return lookup(name)
    except ShokuninError:
        return None


def models(parts: Parts, request: Request) -> dict[str, Any]:
    """The names served here that the caller may ask for."""
    scopes = caller_of(request).scopes
    names = parts.shelf.names
    plain = sorted({one.name for one in names.values()} | {one.id for one in names.values()})
    cards = [model_card(name, names[name]) for name in plain]
    encoders = sorted(parts.embeddings.embedders.items())
    cards += [encoder_card(name, one) for name, one in encoders if name == one.name]  # the others are found too
    cards += [_passed_card(model, name) for model, name in parts.routes.named()]
    return {"object": "list", "data": [card for card in cards if scopes.allows(card["id"])]}


def model(parts: Parts, request: Request, name: str) -> dict[str, Any]:
    """One name served here, aliases too."""
    if not name:
        raise Refusal(404, "there is nothing at this address; GET /v1/models lists the models", "not_found")
    caller_of(request).require_model(name)
    if name in parts.embeddings.embedders:
        return encoder_card(name, parts.embeddings.embedders[name])
    for model_name, upstream in parts.routes.named():
        if name == model_name and name not in parts.shelf.names:
            return _passed_card(name, upstream)
    return model_card(name, find(parts.shelf.names, name))


def _passed_card(name: str, upstream: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": upstream, "root": name, "parent": None}


async def _body(request: Request, parts: Parts) -> bytes:
    body = await read_body(request, parts.limits.body_seconds)
    check_nesting(body, parts.limits.nesting)
    return body


def front() -> Response:
    """Where to go from here, for programs."""
    places = {"models": "/v1/models", "openapi": "/openapi.json", "health": "/health", "metrics": "/metrics"}
    return Response(json.dumps({"name": "shokunin", "version": __version__, **places}), media_type=JSON)
