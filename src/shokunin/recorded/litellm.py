"""LiteLLM's standard logging payload and the rows of its spend log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shokunin.recorded.bodies import reply_of
from shokunin.recorded.chunks import unstreamed
from shokunin.recorded.loose import asked
from shokunin.recorded.record import ERROR, NO_MODEL_CALL, NOT_KEPT, Messages, Record
from shokunin.recorded.values import first, lasted, paid, parsed, table

_CALLS = ("completion", "responses", "anthropic_messages", "generate_content")
_REDACTED = "redacted-by-litellm"


def read(value: Mapping[str, Any]) -> Record | None:
    """The Record of a payload or a row; None if the object is none."""
    kind = value.get("call_type")
    if not isinstance(kind, str) or not ("messages" in value or "response" in value or "spend" in value):
        return None
    if kind and not any(call in kind for call in _CALLS):
        return Record(fault=NO_MODEL_CALL)
    # Rows of the spend log have the whole request under another name.
    given = first(parsed(value.get("messages")), parsed(value.get("proxy_server_request")))
    taken = unstreamed(parsed(value.get("response")))
    messages, fault = asked(given)
    reply, trouble = reply_of(taken)
    if value.get("status") == "failure" or value.get("error_str") or value.get("exception"):
        fault = ERROR
    elif not taken or not given or reply == _REDACTED or _redacted(messages):
        fault = NOT_KEPT
    metadata, response = table(parsed(value.get("metadata"))), table(taken)
    told = table(parsed(metadata.get("requester_metadata")))
    cached = value.get("cache_hit") in (True, "True", "true")
    cost = first(value.get("response_cost"), value.get("spend"))
    return Record(
        messages=messages,
        reply=reply,
        fault=fault or trouble,
        id=first(response.get("id"), value.get("request_id"), value.get("id"), value.get("litellm_call_id")),
        model=first(value.get("model"), table(given).get("model"), value.get("model_group")),
        timestamp=value.get("startTime"),
        client=first(value.get("end_user"), metadata.get("user_api_key_alias"), value.get("user")),
        workload=told.get("workload_id"),
        prompt_tokens=value.get("prompt_tokens"),
        completion_tokens=value.get("completion_tokens"),
        seconds=lasted(value.get("startTime"), value.get("endTime")),
        cost=cost if cached else paid(cost),
    )


def _redacted(messages: Messages) -> bool:
    return any(message.get("content") == _REDACTED for message in messages)
