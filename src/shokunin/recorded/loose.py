"""Inputs and outputs as tracers keep them: bodies, lists of messages, texts, JSON in a text, objects of LangChain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from shokunin.recorded.bodies import Reply, Request, is_messages, messages_of, reply_of
from shokunin.recorded.record import NO_MESSAGES, NO_REPLY, UNREADABLE
from shokunin.recorded.values import parsed, table, word

_CLASSES = {
    "SystemMessage": "system",
    "HumanMessage": "user",
    "AIMessage": "assistant",
    "AIMessageChunk": "assistant",
    "ToolMessage": "tool",
    "FunctionMessage": "tool",
}
_TYPES = ("system", "human", "ai", "tool", "function", "user", "assistant", "developer", "model")
_TEXTS = ("completion", "text", "generated_text", "answer")


def asked(value: Any) -> Request:
    """The messages in what a tracer kept as a call's input; a text alone is the message of a user."""
    value = parsed(value)
    if isinstance(value, str) and value:
        return [{"role": "user", "content": value}], ""
    if isinstance(value, list):
        found = _messages(value)
        return (found, "") if found else ((), NO_MESSAGES)
    if not isinstance(value, dict):
        return (), NO_MESSAGES
    for name in ("messages", "input", "prompt", "prompts"):
        inner = parsed(value.get(name))
        if isinstance(inner, list) and (found := _messages(inner)):
            return messages_of({**value, "messages": found})
    return messages_of(value)


def answered(value: Any) -> Reply:
    """The answer in what a tracer kept as a call's output.

    Tracers parse a reply that is JSON and keep the object: what is no form of a response is written as JSON again.
    """
    whole = parsed(value)
    if isinstance(whole, dict):
        whole = _unwrapped(whole)
    elif isinstance(whole, list):
        whole = _messages(whole) or whole
    if isinstance(whole, str):
        return reply_of(whole)
    reply, fault = reply_of(whole)
    if fault != UNREADABLE:
        return reply, fault
    if isinstance(value, str):
        return value, ""
    try:
        return (json.dumps(whole, ensure_ascii=False), "") if whole else (None, NO_REPLY)
    except RecursionError:
        return reply, fault


def message_of(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message as chat clients send it, made of one with `parts`, of LangChain's, or of one with `type` for its role."""
    kwargs, name = value.get("kwargs"), value.get("id")
    if isinstance(kwargs, dict) and isinstance(name, list) and name:
        role = _CLASSES.get(word(name[-1]), kwargs.get("role"))
        extra = table(kwargs.get("additional_kwargs"))
        return {**extra, **kwargs, "role": role}
    kind, data = value.get("type"), value.get("data")
    if isinstance(data, dict) and kind in _TYPES:
        return {**data, "role": kind}
    if "parts" in value and "content" not in value:
        return {**value, "content": value["parts"]}
    if "role" not in value and kind in _TYPES:
        return {**value, "role": kind}
    return value


def _messages(values: list[Any]) -> list[Mapping[str, Any]]:
    """A list of messages, or the first in a list of such lists; nothing where it is neither."""
    if values and isinstance(values[0], list):
        values = values[0]
    if len(values) == 1 and isinstance(values[0], str) and values[0]:
        return [{"role": "user", "content": values[0]}]
    found = [message_of(one) for one in values] if is_messages(values) else []
    return found if all(one.get("role") for one in found) else []


def _unwrapped(output: Mapping[str, Any]) -> Any:
    """What stands in an output under one of the usual names."""
    generations = output.get("generations")
    while isinstance(generations, list) and generations:
        generations = generations[0]
    if isinstance(generations, dict):
        message = generations.get("message")
        return message_of(message) if isinstance(message, dict) else generations.get("text")
    inner = output.get("output")
    if isinstance(inner, dict) and "choices" not in output:
        return message_of(inner)
    if isinstance(inner, list) and (found := _messages(inner)):
        return found
    messages = output.get("messages")
    if isinstance(messages, list) and (found := _messages(messages)):
        return found[-1]
    if len(output) == 1 and (name := next(iter(output))) in _TEXTS and isinstance(output[name], str):
        return output[name]
    return message_of(output)
