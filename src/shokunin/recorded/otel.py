"""OpenTelemetry's spans by the semantic conventions for generative AI, new and old, as OTLP writes them or one a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shokunin.recorded.bodies import Reply, is_messages, reply_of
from shokunin.recorded.loose import message_of
from shokunin.recorded.record import ERROR, NO_MODEL_CALL, NOT_KEPT, Messages, Record
from shokunin.recorded.values import first, lasted, parsed, table, word

_SPAN = ("spanId", "span_id", "startTimeUnixNano", "start_time_unix_nano", "context", "trace_id", "traceId")
_CALLS = ("chat", "text_completion", "generate_content")
_ROLES = ("system", "user", "assistant", "tool")
_FAILED = (2, "2", "ERROR", "STATUS_CODE_ERROR", "Error")
_DETAILS = "gen_ai.client.inference.operation.details"
_DEEPEST = 20
"""Levels of an attribute's value that are read."""
_MOST_MESSAGES = 10_000


def read(value: Mapping[str, Any]) -> Record | None:
    """The Record of a span; None if the object is none."""
    if "attributes" not in value or not any(name in value for name in _SPAN):
        return None
    known = _attributes(value["attributes"])
    events = _events(value.get("events"))
    for name, told in events:
        if name == _DETAILS:
            known = {**told, **known}
    operation = known.get("gen_ai.operation.name", known.get("llm.request.type", "chat"))
    if operation not in _CALLS or not any(name.startswith("gen_ai.") for name in known):
        return Record(fault=NO_MODEL_CALL)
    messages, outputs = _asked(known, events), _answered(known, events)
    reply: Reply = reply_of(outputs)
    fault = ""
    status = table(value.get("status"))
    if status.get("code", status.get("status_code")) in _FAILED or "error.type" in known:
        fault = ERROR
    elif not messages and not outputs:
        fault = NOT_KEPT
    start = first(value.get("startTimeUnixNano"), value.get("start_time_unix_nano"), value.get("start_time"))
    end = first(value.get("endTimeUnixNano"), value.get("end_time_unix_nano"), value.get("end_time"))
    span = first(value.get("spanId"), value.get("span_id"), table(value.get("context")).get("span_id"))
    return Record(
        messages=messages,
        reply=reply[0],
        fault=fault or reply[1],
        id=first(known.get("gen_ai.response.id"), span),
        model=first(known.get("gen_ai.request.model"), known.get("gen_ai.response.model")),
        timestamp=start,
        client=first(known.get("user.id"), known.get("enduser.id")),
        workload=known.get("gen_ai.agent.name"),
        prompt_tokens=first(known.get("gen_ai.usage.input_tokens"), known.get("gen_ai.usage.prompt_tokens")),
        completion_tokens=first(known.get("gen_ai.usage.output_tokens"), known.get("gen_ai.usage.completion_tokens")),
        seconds=lasted(start, end),
        cost=known.get("gen_ai.usage.cost"),
    )


def _asked(known: Mapping[str, Any], events: Sequence[tuple[str, Mapping[str, Any]]]) -> Messages:
    messages = _structured(known.get("gen_ai.input.messages")) or _structured(known.get("gen_ai.prompt"))
    instructions = parsed(known.get("gen_ai.system_instructions"))
    messages = messages or _numbered(known, "gen_ai.prompt")
    if not messages:
        told = {f"gen_ai.{role}.message": role for role in _ROLES}
        messages = [{"role": told[name], **_event(event)} for name, event in events if name in told]
    if messages and instructions and isinstance(instructions, (str, list)):
        return [{"role": "system", "content": instructions}, *messages]
    return messages


def _answered(known: Mapping[str, Any], events: Sequence[tuple[str, Mapping[str, Any]]]) -> Any:
    """The first answer, as a body of which the reply can be read; None if it was not kept."""
    messages = _structured(known.get("gen_ai.output.messages")) or _structured(known.get("gen_ai.completion"))
    messages = messages or _numbered(known, "gen_ai.completion")
    if messages:
        return messages[0]
    choices = [_event(event) for name, event in events if name == "gen_ai.choice"]
    if not choices:
        return None
    message = parsed(choices[0].get("message"))
    return message_of(message) if isinstance(message, dict) else choices[0]


def _structured(value: Any) -> Messages:
    """Messages as the conventions have them, `role` and `parts`, in JSON or as an attribute of many values."""
    found = parsed(value)
    return [message_of(one) for one in found] if is_messages(found) else []


def _numbered(known: Mapping[str, Any], prefix: str) -> Messages:
    """Messages whose parts are attributes of their own: `gen_ai.prompt.0.content`."""
    found: list[Mapping[str, Any]] = []
    while len(found) < _MOST_MESSAGES:
        place = f"{prefix}.{len(found)}."
        role, content = known.get(place + "role"), known.get(place + "content")
        calls = (
            [value for name, value in known.items() if name.startswith(place + "tool_calls.")] if not content else []
        )
        if role is None and content is None and not calls:
            break
        parts = parsed(content)
        # A reply that is JSON is a text; only lists of parts were written as JSON by whoever recorded them.
        content = parts if is_messages(parts) and all("type" in part for part in parts) else content
        found.append({"role": role or "assistant", "content": content, "tool_calls": calls})
    return found


def _event(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an event says of a message: in attributes of its own, or as JSON in one."""
    inner = parsed(event.get("gen_ai.event.content"))
    told = inner if isinstance(inner, dict) else event
    calls = parsed(told.get("tool_calls"))
    return {**told, "tool_calls": calls} if calls else told


def _events(value: Any) -> list[tuple[str, Mapping[str, Any]]]:
    if not is_messages(value):
        return []
    return [(word(event.get("name")), _attributes(event.get("attributes"))) for event in value]


def _attributes(value: Any) -> Mapping[str, Any]:
    """Attributes as a table, be they one already or OTLP's list of keys and typed values."""
    if isinstance(value, dict):
        return value
    if not is_messages(value):
        return {}
    return {word(one.get("key")): _value(one.get("value"), _DEEPEST) for one in value}


def _value(value: Any, levels: int) -> Any:
    """A typed value of OTLP as a plain one."""
    if not isinstance(value, dict) or not levels:
        return value
    for name, inner in value.items():
        if name in ("arrayValue", "array_value"):
            values = table(inner).get("values")
            return [_value(one, levels - 1) for one in values] if isinstance(values, list) else []
        if name in ("kvlistValue", "kvlist_value"):
            pairs = table(inner).get("values")
            if not is_messages(pairs):
                return {}
            return {word(one.get("key")): _value(one.get("value"), levels - 1) for one in pairs}
        if name.endswith(("Value", "_value")):
            return inner
    return value
