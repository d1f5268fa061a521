"""Conversations to rows: recorded requests and replies, in fine-tuning files and in traffic, by the template behind them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shokunin.template import Template, fitting, text_of
from shokunin.template.found import SAMPLE, Conversation, template_of

CHAT = ("label", "system")
"""The columns that a file of conversations has beside its inputs."""
BODIES = ("messages", "request", "response", "model")
VERSIONS, VERSION = 3, 0.25
"""Wordings of one file of examples that are told apart, and the share of the rest that each must have."""
ENOUGH = 0.8
"""Share of a file's examples whose wordings must be known for the rest to be set aside as strays."""
OTHERWISE = "phrased otherwise than the task's template"
ANOTHER_SHAPE = "a reply in another shape than the task's template"
OURS = "answered by a specialist: learning from one's own answers teaches nothing"


def is_conversation(value: Mapping[str, Any]) -> bool:
    """Whether an object is a line of a fine-tuning file, or an exchange of recorded traffic."""
    return _messages(value.get("messages")) or is_exchange(value)


def is_exchange(value: Mapping[str, Any]) -> bool:
    """Whether an object is an exchange of recorded traffic: a request with messages and its response."""
    request = value.get("request")
    return isinstance(request, dict) and _messages(request.get("messages")) and "response" in value


def conversation_of(value: Mapping[str, Any]) -> Conversation:
    """The request and the reply in an object that is one.

    In a fine-tuning file the reply is the last assistant message after the last user message; one with `weight` 0 does
    not count.
    """
    if is_exchange(value):
        request = value["request"]
        return Conversation(request["messages"], _reply_in(value["response"]), str(request.get("model") or ""))
    messages, reply, end = value["messages"], None, 0
    for place, message in enumerate(messages):
        if message.get("role") == "user":
            reply = None
        if message.get("role") == "assistant" and message.get("weight", 1) != 0:
            reply, end = text_of(message.get("content")) or None, place
    if reply is None:
        end = max((i for i, m in enumerate(messages) if m.get("role") != "assistant"), default=-1) + 1
    return Conversation(messages[:end], reply, str(value.get("model") or ""))


def wordings_of(conversations: Iterable[Conversation], *, traffic: bool) -> tuple[Template, ...]:
    """The templates behind a file's conversations, the most used first; none where they do not explain most of it.

    A file of examples is about one task, which may be worded in a few ways with the same inputs. Traffic is about many, of
    which only the commonest is taken.
    """
    draw = random.Random(0)
    left: list[Conversation] = []
    for number, one in enumerate(conversations):
        if len(left) < SAMPLE:
            left.append(one)
        elif (place := draw.randint(0, number)) < SAMPLE:
            left[place] = one
    count = len(left)
    found: list[Template] = []
    while left and len(found) < (1 if traffic else VERSIONS):
        template = template_of(left) if traffic else template_of(left, least=VERSION)
        if template is None or (found and template.inputs != found[0].inputs):
            break
        found.append(template)
        left = [c for c in left if template.match(c.messages) is None]
    return tuple(found) if found and (traffic or len(left) <= (1 - ENOUGH) * count) else ()


def row_of(value: Mapping[str, Any], templates: Sequence[Template]) -> dict[str, Any] | str:
    """The columns of an object that is a conversation, or why it gives no row.

    By the templates: their inputs, `label` as the answer in the reply, `system`. Without any: the last user message is
    `text`, the whole reply is `label`.
    """
    if value.get("route") in ("local", "fallback"):
        return OURS
    one = conversation_of(value)
    system = "\n".join(_texts(one, "system") + _texts(one, "developer"))
    if not templates:
        inputs, label = {"text": next(iter(_texts(one, "user")[::-1]), "")}, one.reply or ""
    else:
        fits = fitting(templates, one.messages)
        if fits is None:
            return OTHERWISE
        template, inputs = fits
        read = "" if one.reply is None else template.read(one.reply)
        if read is None:
            return ANOTHER_SHAPE
        label = read
    columns = {*inputs, *CHAT, *BODIES}
    return {**inputs, "label": label, "system": system, **{k: v for k, v in value.items() if k not in columns}}


def _texts(one: Conversation, role: str) -> list[str]:
    return [text_of(m.get("content")) or "" for m in one.messages if m.get("role") == role]


def _messages(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(m, dict) for m in value)


def _reply_in(response: Any) -> str | None:
    try:
        return text_of(response["choices"][0]["message"]["content"]) or None
    except (LookupError, TypeError):
        return None
