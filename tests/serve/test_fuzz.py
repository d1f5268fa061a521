"""Requests made up from our own OpenAPI description, fitting and not: the server never fails and keeps its word."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from embedding_fakes import Letters
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from serve_fakes import lengths, running_app

from shokunin.exchange import Exchange
from shokunin.serve import completions_wire, openai_wire, responses_wire
from shokunin.serve.app import create_app
from shokunin.serve.embedding import Embeddings
from shokunin.serve.metrics import Metrics
from shokunin.serve.parts import Parts
from shokunin.serve.shelf import Shelf

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


MODELS = {"enum": ["lengths", "lengths@2"]}
TEXT = {"type": "string", "pattern": "^[a-z]{1,8}$"}
MESSAGES = {
    "type": "array",
    "minItems": 1,
    "maxItems": 4,
    "items": {
        "type": "object",
        "required": ["role", "content"],
        "properties": {"role": {"enum": ["user"]}, "content": {"type": "string"}},
    },
}
CHOICES = {"type": "integer", "minimum": 1, "maximum": 8}
"""What a specialist can honour is narrower than what it can read, where one field depends on another."""
NARROWER: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        **dict.fromkeys((*openai_wire.REFUSED, "tool_choice", "function_call", "modalities", "response_format")),
        **dict.fromkeys(("stream_options", "top_logprobs", "stop")),
        "model": MODELS,
        "messages": MESSAGES,
        "n": CHOICES,
    },
    "/v1/completions": {
        **dict.fromkeys((*completions_wire.REFUSED, "stream_options", "stop", "best_of", "echo")),
        "model": MODELS,
        "prompt": {"anyOf": [TEXT, {"type": "array", "minItems": 1, "maxItems": 4, "items": TEXT}]},
        "n": CHOICES,
    },
    "/v1/responses": {
        **dict.fromkeys((*responses_wire.REFUSED, "stream_options", "tool_choice", "text")),
        "model": MODELS,
        "input": {"anyOf": [TEXT, MESSAGES]},
    },
    "/v1/embeddings": {
        "model": {"enum": ["letters"]},
        "input": {"anyOf": [TEXT, {"type": "array", "minItems": 1, "maxItems": 4, "items": TEXT}]},
        "dimensions": {"enum": [2, None]},
    },
}


def answerable(description: dict[str, Any]) -> dict[str, Any]:
    """The description, narrowed to what a specialist can honour, so that many requests get past the first checks."""
    for path, narrower in NARROWER.items():
        body = description["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        for name, schema in narrower.items():
            assert name in body["properties"]
            if schema is None:
                del body["properties"][name]
            else:
                body["properties"][name] = schema
    names = {"enum": ["lengths", "lengths@champion"]}
    for path in description["paths"]:
        if "{name}" in path:
            for operation in description["paths"][path].values():
                operation["parameters"][0]["schema"] = names
    return description


class Keeping:
    """A recorder that keeps everything in a list."""

    problem = None
    dropped = waiting = 0

    def __init__(self) -> None:
        self.kept: list[Exchange] = []

    @property
    def recorded(self) -> int:
        return len(self.kept)

    def record(self, exchange: Exchange) -> bool:
        self.kept.append(exchange)
        return True

    def close(self) -> None:
        pass


def app() -> FastAPI:
    """Every route, each with what it needs."""
    return create_app(
        Parts(
            Shelf(lengths()),
            embeddings=Embeddings({"letters": Letters()}),
            recorder=Keeping(),
            metrics=Metrics(),
        )
    )


USUAL = {"/v1/specialists/{name}/resume": 409}
"""What a good request gets here that cannot get 200: nothing has been handed back."""
SCHEMA = schemathesis.openapi.from_dict(answerable(app().openapi()))
OPERATIONS = [operation.ok() for operation in SCHEMA.get_all_operations()]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running_app(app()) as url:
        yield url


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: str(mode.value))
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: str(operation.label))
def test_made_up_requests(url: str, operation: Any, mode: GenerationMode) -> None:
    if mode is GenerationMode.NEGATIVE and not operation.body and not operation.path_parameters:
        pytest.skip("nothing in it that could be wrong")
    statuses: Counter[int] = Counter()

    @settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        reply = case.call(base_url=url)
        statuses[reply.status_code] += 1
        case.validate_response(reply, checks=CHECKS)
        if reply.status_code >= 400:
            assert sorted(reply.json()["error"]) == ["code", "message", "param", "type"]

    ask()
    if mode is GenerationMode.POSITIVE:
        assert statuses[USUAL.get(operation.path, 200)] > 0, statuses
    else:
        assert statuses[200] < sum(statuses.values()), statuses
