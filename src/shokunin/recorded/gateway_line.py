"""Lines of a gateway's record: `timestamp, workload_id, client_id, request, response`, then what ours adds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shokunin.recorded.bodies import is_model_asked, messages_of, reply_of
from shokunin.recorded.chunks import unstreamed
from shokunin.recorded.record import ERROR, NO_MODEL_CALL, NOT_ASKED, NOT_KEPT, Record
from shokunin.recorded.values import parsed, table

OURS = ("local", "fallback")
"""Routes of answers that a specialist gave."""
_OMITTED = "shokunin_omitted"


def read(value: Mapping[str, Any]) -> Record | None:
    """The Record of an object that has a request, or its `messages`, and a response side by side; None if it has not."""
    if "response" not in value or not ("request" in value or "messages" in value):
        return None
    request, response, route = value.get("request", value), value["response"], value.get("route")
    if isinstance(request, str):
        request, response = parsed(request), parsed(response)
    if not isinstance(request, dict) and request is not None:
        return None
    response = unstreamed(response)
    body, given = table(request), table(response)
    usage = given.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    messages, fault = messages_of(request)
    reply, trouble = reply_of(response)
    status = value.get("status")
    if route in ("audit", "feedback"):
        fault = NOT_ASKED
    elif not is_model_asked(value.get("endpoint")):
        fault = NO_MODEL_CALL
    elif isinstance(status, int) and status >= 400:
        fault = ERROR
    elif _OMITTED in body or _OMITTED in given or (request is None and response is None):
        fault = NOT_KEPT
    elif trouble == ERROR:
        fault = ERROR
    metadata = table(body.get("metadata"))
    return Record(
        messages=messages,
        reply=reply,
        fault=fault or trouble,
        id=given.get("id") or value.get("id"),
        model=body.get("model") or value.get("model") or given.get("model"),
        timestamp=value.get("timestamp"),
        client=value.get("client_id") or body.get("user"),
        workload=value.get("workload_id") or metadata.get("workload_id"),
        prompt_tokens=tokens(value.get("prompt_tokens"), usage, "prompt_tokens", "input_tokens"),
        completion_tokens=tokens(value.get("completion_tokens"), usage, "completion_tokens", "output_tokens"),
        seconds=value.get("seconds"),
        cost=value.get("cost"),
        local=route in OURS,
    )


def tokens(told: Any, usage: Mapping[str, Any], *names: str) -> Any:
    """A count of tokens as the record has it, else as the response has it; 0 says that it was not counted."""
    for name in names:
        if told:
            break
        told = usage.get(name)
    return told or None
