"""Requests made up from our own OpenAPI description, fitting and not: the server never fails and keeps its word."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from serve_fakes import lengths, running

from shokunin.serve.app import create_app
from shokunin.serve.openai_wire import REFUSED

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def answerable(description: dict[str, Any]) -> dict[str, Any]:
    """The description, narrowed to what a specialist can honour, so that many requests get past the first checks."""
    chat = description["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    fields = chat["properties"]
    for name in (*REFUSED, "tool_choice", "modalities", "response_format", "stream_options", "top_logprobs", "stop"):
        del fields[name]
    fields["model"] = {"enum": ["lengths", "lengths@2"]}
    fields["messages"]["items"]["properties"] = {"role": {"enum": ["user"]}, "content": {"type": "string"}}
    fields["messages"]["items"]["required"] = ["role", "content"]
    fields["n"] = {"type": "integer", "minimum": 1, "maximum": 8}
    for path in ("/v1/specialists/{name}/predict", "/v1/models/{name}"):
        for operation in description["paths"][path].values():
            operation["parameters"][0]["schema"] = {"enum": ["lengths", "lengths@champion"]}
    return description


SCHEMA = schemathesis.openapi.from_dict(answerable(create_app(lengths()).openapi()))
OPERATIONS = [operation.ok() for operation in SCHEMA.get_all_operations()]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running(lengths()) as url:
        yield url


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: str(mode.value))
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: str(operation.label))
def test_made_up_requests(url: str, operation: Any, mode: GenerationMode) -> None:
    if mode is GenerationMode.NEGATIVE and not operation.body and not operation.path_parameters:
        pytest.skip("nothing in it that could be wrong")
    statuses: Counter[int] = Counter()

    @settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        reply = case.call(base_url=url)
        statuses[reply.status_code] += 1
        case.validate_response(reply, checks=CHECKS)
        if reply.status_code >= 400:
            assert sorted(reply.json()["error"]) == ["code", "message", "param", "type"]

    ask()
    if mode is GenerationMode.POSITIVE:
        assert statuses[200] > 0, statuses
    else:
        assert statuses[200] < sum(statuses.values()), statuses
