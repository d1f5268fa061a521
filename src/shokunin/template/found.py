"""From recorded conversations to the template behind them: what stays is fixed text, what varies is a slot.

A few conversations that are phrased otherwise do not matter; the wording of most is what is found. Fixed text ends where
a word ends, and a few characters that all texts happen to share are not taken for a frame.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shokunin.errors import TaskError
from shokunin.template import Template, TemplateMessage, Text, texts_of
from shokunin.template.pattern import LONGEST
from shokunin.template.reply_found import reply_of, spellings_of
from shokunin.template.shared import FRAME, Piece, Slot, pattern_of

SAMPLE = 2000
FEWEST = 5
"""Conversations; in fewer one cannot tell what varies."""
MOST = 0.5
"""A wording that a smaller share has is not the wording of the conversations."""
SAME = 0.9
"""Share of the last messages that are one text: a larger one is fixed text with a few outliers."""
VERSION = 0.2
"""Share of the prompts that are one text: a smaller one is not a version of the prompt, but one of many fillings."""
_COLUMNS = ("answer", "label", "system", "id", "timestamp", "model")
"""What rows call the rest of a record."""
_NAME = re.compile(r"([^\W\d][\w-]{0,30}(?: [\w-]{1,20})?)\W{0,3}[:：=>]\W*\Z")


@dataclass(frozen=True, slots=True)
class Conversation:
    """A recorded request and its reply.

    Attributes:
        messages: the request's messages, as clients send them.
        reply: the text of the answer, or None where there is none.
        model: the model asked for, or "".
    """

    messages: Sequence[Mapping[str, Any]]
    reply: str | None = None
    model: str = ""


def template_of(
    conversations: Sequence[Conversation], labels: Sequence[str] = (), *, least: float = MOST, versions: bool = True
) -> Template | None:
    """The template that most of the conversations share, the commonest if `least` is lower; None if there is none.

    Args:
        conversations: at least `FEWEST`; of more than `SAMPLE` an even share is looked at.
        labels: the answers, if they are known; replies that are labels are then taken as they are.
        least: the share of the conversations that must have the wording.
        versions: of a prompt that comes in several versions take the commonest; else what all of them share.
    """
    step = max(1, len(conversations) // SAMPLE)
    looked_at = [
        (texts, c) for c in conversations[::step] if len(texts := texts_of(c.messages) or ()) and _short(texts)
    ]
    group = _alike(looked_at, VERSION if versions else SAME)
    if len(group) < FEWEST or len(group) < least * len(conversations[::step]):
        return None
    columns = [[texts[i][1] for texts, _ in group] for i in range(len(group[0][0]))]
    roles = [role for role, _ in group[0][0]]
    # What the users write may begin alike by chance, what the application writes does not.
    pieces = [pattern_of(column, FRAME if role == "user" else 1) for role, column in zip(roles, columns, strict=True)]
    messages = _named(roles, pieces)
    reply = reply_of([c.reply for _, c in group if c.reply], labels)
    if messages is None or reply is None:
        return None
    models = Counter(c.model for _, c in group if c.model)
    try:
        plain = Template(messages, tuple(name for name, _ in models.most_common()), reply)
    except TaskError:  # nothing varies but what is no input
        return None
    if share_of(plain, conversations[::step]) < least:
        return None
    spellings = spellings_of(plain.shape, [c.reply for _, c in group if c.reply])
    return Template(plain.messages, plain.models, plain.reply, spellings)


def share_of(template: Template, conversations: Sequence[Conversation]) -> float:
    """Which share of the conversations is phrased by the template and, where there is a reply, answered in its shape."""
    fit = sum(
        template.match(c.messages) is not None and (c.reply is None or template.read(c.reply) is not None)
        for c in conversations
    )
    return fit / len(conversations) if conversations else 0.0


def _short(texts: Sequence[Text]) -> bool:
    return sum(len(text) for _, text in texts) <= LONGEST


def _alike(
    looked_at: list[tuple[tuple[Text, ...], Conversation]], version: float
) -> list[tuple[tuple[Text, ...], Conversation]]:
    """The largest group with the same roles and, message by message, the same text where one text is usual."""
    if not looked_at:
        return []
    roles = Counter(tuple(role for role, _ in texts) for texts, _ in looked_at).most_common(1)[0][0]
    group = [(texts, c) for texts, c in looked_at if tuple(role for role, _ in texts) == roles]
    for place in range(len(roles)):
        counts = Counter(texts[place][1] for texts, _ in group)
        text, count = counts.most_common(1)[0]
        # A prompt comes in a few versions; a text that is asked about may come often, too.
        if count >= (SAME if place == len(roles) - 1 else version) * len(group):
            group = [(texts, c) for texts, c in group if texts[place][1] == text]
    return group


def _named(roles: Sequence[str], messages: Sequence[Sequence[Piece]]) -> tuple[TemplateMessage, ...] | None:
    """The messages with their slots named: inputs are those of the last user messages, or else all of them."""
    last = max((i for i, role in enumerate(roles) if role == "assistant"), default=-1)
    asked = [
        i
        for i, role in enumerate(roles)
        if i > last and role == "user" and any(isinstance(p, Slot) for p in messages[i])
    ]
    taken = set(_COLUMNS)
    made = []
    for i, (role, pieces) in enumerate(zip(roles, messages, strict=True)):
        passive = bool(asked) and i not in asked
        slots = sum(isinstance(p, Slot) for p in pieces)
        written, before = "", ""
        for piece in pieces:
            if isinstance(piece, Slot):
                name = _slot_name(before, role if passive else "text", alone=slots == 1 and len(asked) < 2)
                name = next(n for n in _numbered("_" + name if passive else name) if n not in taken)
                taken.add(name)
                written += "{{" + name + "}}"
            else:
                written, before = written + piece.written, piece.text
        made.append(TemplateMessage(role, written))
    return tuple(made) if len(taken) > len(_COLUMNS) else None


def _slot_name(before: str, otherwise: str, *, alone: bool) -> str:
    """`subject` after `Subject: `; the only slot is called by what it is."""
    found = None if alone else _NAME.search(before.rstrip("\"'`<[( \n"))
    return re.sub(r"\W+", "_", found[1].lower()) if found else otherwise


def _numbered(name: str) -> list[str]:
    return [name, *(f"{name}_{i}" for i in range(2, 1000))]
