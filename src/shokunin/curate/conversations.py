"""Conversations to rows: recorded requests and replies, in fine-tuning files and in traffic, by the template behind them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shokunin.recorded import conversation_of, record_of
from shokunin.recorded.record import NO_MODEL_CALL, Record
from shokunin.template import Template, fitting, text_of
from shokunin.template.found import SAMPLE, Conversation, template_of

CHAT = ("label", "system")
"""The columns that a file of conversations has beside its inputs."""
BODIES = ("messages", "request", "response", "model", "proxy_server_request")
CONTENTS = (
    *("input", "output", "inputs", "outputs", "prompt", "completion", "attributes", "events"),
    *("reqPayload", "respPayload", "request_body", "response_body", "requestBody", "responseBody"),
)
"""Where the shapes that have neither messages nor a request keep what was said."""
VERSIONS, VERSION = 3, 0.25
"""Wordings of one file of examples that are told apart, and the share of the rest that each must have."""
ENOUGH = 0.8
"""Share of a file's examples whose wordings must be known for the rest to be set aside as strays."""
OTHERWISE = "phrased otherwise than the task's template"
ANOTHER_SHAPE = "a reply in another shape than the task's template"
OURS = "answered by a specialist: learning from one's own answers teaches nothing"


def recorded(value: Mapping[str, Any]) -> Record | None:
    """What an object records of a conversation; None if it is a row of a table, as a prompt and its completion are."""
    if isinstance(value.get("prompt"), str) and "messages" not in value:
        return None
    return record_of(value)


def columns_of(value: Mapping[str, Any]) -> list[str]:
    """The keys of a recorded conversation that are columns: those that hold nothing of what was said."""
    bodies = BODIES if "messages" in value or "request" in value else (*BODIES, *CONTENTS)
    return [key for key in value if key not in bodies]


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


def row_of(value: Mapping[str, Any], record: Record, templates: Sequence[Template]) -> dict[str, Any] | str:
    """The columns of an object that records a conversation, or why it gives no row.

    By the templates: their inputs, `label` as the answer in the reply, `system`. Without any: the last user message is
    `text`, the whole reply is `label`.
    """
    if record.local:
        return OURS
    if not record.messages or record.fault == NO_MODEL_CALL:
        return record.fault
    one = conversation_of(record)
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
    taken = {*inputs, *CHAT}
    rest = {key: value[key] for key in columns_of(value) if key not in taken}
    return {**inputs, "label": label, "system": "\n".join(_texts(one, "system")), **rest}


def _texts(one: Conversation, role: str) -> list[str]:
    return [text_of(m.get("content")) or "" for m in one.messages if m.get("role") == role]
