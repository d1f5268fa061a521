"""Recorded calls of large models: the shapes in which gateways, tracers and fine-tuning files keep them, read as one.

A shape is told by its keys, never by a file's name. To add one: a module with `read(value) -> Record | None`, and its line in
`SHAPES`, before the shapes that would take its objects for theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from shokunin.recorded import (
    fine_tuning,
    gateway_line,
    helicone,
    langfuse,
    langsmith,
    litellm,
    openpipe,
    otel,
)
from shokunin.recorded.bodies import said
from shokunin.recorded.call import Call
from shokunin.recorded.record import MEDIA, NO_MESSAGES, SURROGATE, UNKNOWN, Messages, Record
from shokunin.recorded.values import count, moment, number, word
from shokunin.template import Text
from shokunin.template.found import Conversation

Shape = Callable[[Mapping[str, Any]], Record | None]

SHAPES: dict[str, Shape] = {
    "LiteLLM": litellm.read,
    "Helicone": helicone.read,
    "gateway records (`request`, `response`)": gateway_line.read,
    "fine-tuning files (`messages`, or `prompt` and `completion`)": fine_tuning.read,
    "Langfuse": langfuse.read,
    "LangSmith": langsmith.read,
    "OpenTelemetry": otel.read,
    "OpenPipe (`input`, `output`)": openpipe.read,
}
"""What the shapes are called, and what reads them, in the order in which they are tried."""

_TRACES = frozenset(
    (
        *("resourceSpans", "resource_spans", "scopeSpans", "scope_spans", "instrumentationLibrarySpans", "spans"),
        "observations",
    )
)
LISTS = _TRACES | {"data", "records", "rows", "items", "requests", "generations", "logs", "runs"}
"""Keys under which an object holds a list of records."""

_ROLES = {"developer": "system", "human": "user", "ai": "assistant", "model": "assistant"}


def call_of(value: Mapping[str, Any], origin: str) -> Call | str:
    """The call that a JSON object records, or why it records none: a phrase of `record`, without anything of the object.

    Args:
        value: the object.
        origin: where it stands, `file:line`; the call's id if the object names none.
    """
    found = record_of(value)
    if found is None:
        return UNKNOWN
    if found.fault:
        return found.fault
    texts = _texts(found.messages)
    if isinstance(texts, str):
        return texts
    if found.reply is not None and not _is_text(found.reply):
        return SURROGATE
    return Call(
        id=word(found.id) or origin,
        messages=texts,
        reply=found.reply,
        model=word(found.model),
        timestamp=moment(found.timestamp),
        client=word(found.client),
        workload=word(found.workload),
        prompt_tokens=count(found.prompt_tokens),
        completion_tokens=count(found.completion_tokens),
        seconds=number(found.seconds),
        cost=number(found.cost),
        local=found.local,
    )


def records_in(value: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The objects that an object holds in a list, as pages of an API and OpenTelemetry's traces do; else itself.

    Lists are looked for under the names in `LISTS`, at any depth.
    """
    if LISTS.isdisjoint(value) or (_TRACES.isdisjoint(value) and record_of(value) is not None):
        yield value
        return
    waiting = [value]
    while waiting:
        one = waiting.pop()
        inner = [part for name in LISTS & one.keys() if isinstance(one[name], list) for part in one[name]]
        found = [part for part in inner if isinstance(part, dict)]
        if found:
            waiting.extend(reversed(found))
        else:
            yield one


def record_of(value: Mapping[str, Any]) -> Record | None:
    """What the first shape that knows the object finds in it; None if none does."""
    for read in SHAPES.values():
        found = read(value)
        if found is not None:
            return found
    return None


def conversation_of(record: Record) -> Conversation:
    """The request and the reply of a record, for templates: messages that are only text have it as one text."""
    return Conversation([_plain(message) for message in record.messages], record.reply, word(record.model))


def _plain(message: Mapping[str, Any]) -> Mapping[str, Any]:
    role, text = message.get("role"), said(message.get("content"))
    if text is None or not isinstance(role, str) or message.get("tool_calls"):
        return message
    return {"role": _ROLES.get(role, role), "content": text}


def _texts(messages: Messages) -> tuple[Text, ...] | str:
    """The messages as (role, text), or why there are none; a message that only calls a tool has no text."""
    texts = []
    for message in messages:
        role = message.get("role")
        text = said(message.get("content"))
        if text is None:
            if message.get("content") is not None:
                return MEDIA
            text = ""
        if not isinstance(role, str) or not role:
            return NO_MESSAGES
        if not _is_text(text):
            return SURROGATE
        texts.append((_ROLES.get(role, role), text))
    return tuple(texts) or NO_MESSAGES


def _is_text(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
