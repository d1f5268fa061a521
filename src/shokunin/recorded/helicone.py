"""Helicone's exports: the bodies of request and response, flat or within what is known of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shokunin.recorded.bodies import is_model_asked, messages_of, reply_of
from shokunin.recorded.chunks import unstreamed
from shokunin.recorded.record import ERROR, NO_MODEL_CALL, NOT_KEPT, Record
from shokunin.recorded.values import first, milliseconds, number, paid, parsed, table, under

_PROMPT = "Helicone-Prompt-Id"


def read(value: Mapping[str, Any]) -> Record | None:
    """The Record of an exported request; None if the object is none."""
    flat = _flat(value)
    if flat is None:
        return None
    request, response = parsed(flat.get("request_body")), unstreamed(parsed(flat.get("response_body")))
    messages, fault = messages_of(request)
    reply, trouble = reply_of(response)
    status = number(under(flat, "response_status", "status"))
    if not is_model_asked(under(flat, "request_path", "path")):
        fault = NO_MODEL_CALL
    elif (status is not None and status >= 400) or table(response).get("error"):
        fault = ERROR
    elif not request or not response:
        fault = NOT_KEPT
    body, given = table(request), table(response)
    usage, properties = table(given.get("usage")), table(parsed(under(flat, "request_properties", "properties")))
    return Record(
        messages=messages,
        reply=reply,
        fault=fault or trouble,
        id=first(given.get("id"), flat.get("request_id"), flat.get("id"), flat.get("response_id")),
        model=first(body.get("model"), under(flat, "request_model", "model", "response_model"), given.get("model")),
        timestamp=under(flat, "request_created_at", "created_at", "createdAt"),
        client=under(flat, "request_user_id", "user_id", "user"),
        workload=first(under(flat, "prompt_id", "prompt_name"), properties.get(_PROMPT)),
        prompt_tokens=first(flat.get("prompt_tokens"), usage.get("prompt_tokens"), usage.get("input_tokens")),
        completion_tokens=first(
            flat.get("completion_tokens"), usage.get("completion_tokens"), usage.get("output_tokens")
        ),
        seconds=milliseconds(under(flat, "delay_ms", "latency_ms", "latency")),
        cost=paid(under(flat, "cost", "costUSD", "costUsd", "cost_usd")),
    )


def _flat(value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The fields beside each other, whichever form the export has."""
    if "request_body" in value:
        return value
    if "requestBody" in value:
        return {**value, "request_body": value["requestBody"], "response_body": value.get("responseBody")}
    request, response = value.get("request"), value.get("response")
    if not isinstance(request, dict) or not isinstance(response, dict) or "body" not in request:
        return None
    known = {**value, **request, **response, "request_body": request["body"], "response_body": response.get("body")}
    return {
        **known,
        "request_id": request.get("id"),
        "created_at": first(request.get("created_at"), value.get("created_at")),
    }
