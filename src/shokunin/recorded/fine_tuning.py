"""Lines of files for fine-tuning: a conversation with its last answer, or a prompt and its completion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shokunin.recorded.bodies import CALLED, Reply, is_messages, of_message, reply_of
from shokunin.recorded.record import NO_MESSAGES, NO_REPLY, Messages, Record


def read(value: Mapping[str, Any]) -> Record | None:
    """The Record of an object with `messages`, or with `prompt` and `completion`; None if it has neither."""
    messages = value.get("messages")
    if messages is not None:
        return _of_messages(messages, value) if is_messages(messages) else None
    prompt, completion = value.get("prompt"), value.get("completion")
    if prompt is None or completion is None:
        return None
    asked = [{"role": "user", "content": prompt}] if isinstance(prompt, str) and prompt else prompt
    if not is_messages(asked) or not asked:
        return None
    reply, fault = reply_of(completion)
    return Record(messages=asked, reply=reply, fault=fault, model=value.get("model"), is_example=True)


def _of_messages(messages: Messages, value: Mapping[str, Any]) -> Record:
    """The reply is the last assistant message after the last user message; one with `weight` 0 does not count."""
    found: Reply = (None, NO_REPLY)
    end = 0
    for place, message in enumerate(messages):
        role = message.get("role")
        if role == "user":
            found = (None, NO_REPLY)
        elif role == "assistant" and message.get("weight", 1) != 0:
            found, end = of_message(message), place
    if found[0] is None and found != CALLED:
        end = max((i for i, m in enumerate(messages) if m.get("role") != "assistant"), default=-1) + 1
    asked = messages[:end]
    fault = found[1] if asked else NO_MESSAGES
    return Record(messages=asked, reply=found[0], fault=fault, model=value.get("model"), is_example=True)
