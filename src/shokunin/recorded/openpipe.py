"""OpenPipe's exports, `input` and `output` beside each other, and its request logs, `reqPayload` and `respPayload`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shokunin.recorded.chunks import unstreamed
from shokunin.recorded.loose import answered, asked
from shokunin.recorded.record import ERROR, Record
from shokunin.recorded.values import lasted, parsed, table


def read(value: Mapping[str, Any]) -> Record | None:
    """The Record of an object with such a pair, whose input is more than a text; None if it has none."""
    if "reqPayload" in value:
        given, taken = parsed(value["reqPayload"]), unstreamed(parsed(value.get("respPayload")))
    elif "input" in value and "output" in value:
        given, taken = parsed(value["input"]), parsed(value["output"])
    else:
        return None
    if not isinstance(given, (dict, list)):
        return None
    messages, fault = asked(given)
    reply, trouble = answered(taken)
    status = value.get("statusCode")
    if value.get("errorMessage") or (isinstance(status, int) and status >= 400) or table(taken).get("error"):
        fault = ERROR
    body, response, tags = table(given), table(taken), table(parsed(value.get("tags")))
    if fault and fault != ERROR and not value.keys() & {"tags", "reqPayload", "respPayload"}:
        return None  # a table with columns of these names
    usage = table(response.get("usage"))
    return Record(
        messages=messages,
        reply=reply,
        fault=fault or trouble,
        id=response.get("id") or value.get("id"),
        model=body.get("model") or value.get("model") or response.get("model"),
        timestamp=value.get("requestedAt") or value.get("timestamp") or response.get("created"),
        client=body.get("user"),
        workload=tags.get("workload_id") or tags.get("prompt_id"),
        prompt_tokens=usage.get("prompt_tokens"),
        completion_tokens=usage.get("completion_tokens"),
        seconds=lasted(value.get("requestedAt"), value.get("receivedAt")),
    )
