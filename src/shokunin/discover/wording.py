"""Wording: one way in which an application phrases a request, with what was seen of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from shokunin.discover.answers import CLASSIFY, Answers, answers_of
from shokunin.discover.features import FEATURES, features_of
from shokunin.discover.slots import telling_slots
from shokunin.template.segments import Segmented
from shokunin.recorded.call import Call
from shokunin.template import Template
from shokunin.template.found import Conversation, template_of
from shokunin.template.reply import shape_of

FIXED = 0.9
"""Share of a wording's prompts that must have a segment for it to be fixed text."""
LOOKED_AT = 600
"""Calls of one wording that are compared with those of another."""
LONGEST_INPUT = 2000
"""Characters of an input that are compared."""


@dataclass
class Wording:
    """One leaf of the tree, or several that are one.

    Attributes:
        calls: a sample of the calls.
        prompts: their segments.
        answers: what the replies are.
        template: the messages as fixed text and slots; None where they have no fixed frame.
        fixed: the segments that all prompts have, by block.
    """

    calls: list[Call]
    prompts: list[Segmented]
    answers: Answers = field(init=False)
    template: Template | None = field(init=False)
    fixed: tuple[frozenset[str], frozenset[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.fixed = (
            _usual([p.system for p in self.prompts]),
            _usual([p.user for p in self.prompts]),
        )
        self.template = template_of([conversation(c) for c in self.calls[:LOOKED_AT]])
        self.answers = answers_of([c.reply for c in self.calls if c.reply], self.said)
        if self.template is not None:
            self.template = telling_slots(self.template, self.calls[:LOOKED_AT], self.answers)

    @property
    def said(self) -> str:
        """The fixed text of the prompts."""
        if self.template is not None:
            return "\n".join(literal for pattern in self.template.patterns for literal in pattern.literals)
        return "\n".join(sorted(self.fixed[0] | self.fixed[1]))

    @property
    def is_specific(self) -> bool:
        """Whether the fixed text says what to do, as opposed to who to be."""
        return self.template is not None and self.template.is_specific

    @cached_property
    def inputs(self) -> list[str]:
        """What is asked about in the calls that are looked at, as one text each."""
        values = [inputs_of(call, self.template) for call in self.calls[:LOOKED_AT]]
        names = list(dict.fromkeys(name for one in values for name in one))
        # Beside a schema or a document, the question is what comes in the most different forms.
        fullest = max(reversed(names), key=lambda name: len({one.get(name) for one in values}))
        return [one.get(fullest, "")[:LONGEST_INPUT] for one in values]

    @cached_property
    def features(self) -> Any:
        """The inputs as counts of hashed character n-grams, shape (n, FEATURES)."""
        return features_of(self.inputs)

    @cached_property
    def reply_features(self) -> Any:
        """The replies likewise."""
        return features_of([(call.reply or "")[:LONGEST_INPUT] for call in self.calls[:LOOKED_AT]])

    def forms(self, by: Answers) -> npt.NDArray[np.object_]:
        """What the looked-at calls were answered, as `by` reads it; None where it cannot."""
        read, shape = by.reader(), shape_of(self.answers.reply)
        replies = (None if c.reply is None else shape.read(c.reply) or c.reply for c in self.calls[:LOOKED_AT])
        return np.array([None if reply is None else read(reply) for reply in replies], dtype=object)


def input_of(call: Call, template: Template | None) -> str:
    """What varies in a call: the slots of its template, else its last message."""
    values = inputs_of(call, template)
    if len(values) == 1:
        return next(iter(values.values()))[:LONGEST_INPUT]
    return "\n".join(f"{name}: {value[:LONGEST_INPUT]}" for name, value in values.items())


def inputs_of(call: Call, template: Template | None) -> dict[str, str]:
    """The input fields of a call: the slots of its template, else its last message as `text`."""
    found = None if template is None else template.match_texts(call.messages)
    if template is None or found is None:
        return {"text": call.messages[-1][1]}
    return {name: found[name] for name in template.inputs}


def spelled(template: Template, answers: Answers, calls: Sequence[Call]) -> Template:
    """The template with the shape of the replies, and the label's reply wherever the shape does not give it.

    Args:
        template: the messages.
        answers: of the whole task.
        calls: of this wording.
    """
    if answers.kind != CLASSIFY:
        return template
    own = answers_of([c.reply for c in calls if c.reply], "\n".join(answers.labels))
    reply = own.reply if own.kind == CLASSIFY else answers.reply
    shape, read = shape_of(reply), answers.reader()
    said: dict[str, Counter[str]] = {}
    for call in calls:
        label = None if call.reply is None else read(call.reply)
        if label is not None and call.reply is not None:
            said.setdefault(label, Counter())[call.reply.strip()] += 1
    spellings = {}
    for label, ways in said.items():
        usual, count = ways.most_common(1)[0]
        if usual != shape.write(label) and 2 * count > ways.total() > 1:
            spellings[label] = usual
    return Template(template.messages, template.models, reply, spellings)


def conversation(call: Call) -> Conversation:
    """The call's messages as clients send them, without its reply."""
    messages: list[Mapping[str, Any]] = [{"role": role, "content": text} for role, text in call.messages]
    return Conversation(messages, None, call.model)


def _usual(rows: Sequence[tuple[str, ...]]) -> frozenset[str]:
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update(set(row))
    return frozenset(segment for segment, n in counts.items() if n >= FIXED * len(rows))
