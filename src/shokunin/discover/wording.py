"""Wording: one way in which an application phrases a request, with what was seen of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from shokunin import metrics
from shokunin.discover.answers import CLASSIFY, Answers, answers_of
from shokunin.discover.features import Centre, Learner, centre_of, features_of, learn_and_answer
from shokunin.discover.slots import telling_slots
from shokunin.discover.tree import FEWEST, IDENTITY
from shokunin.recorded.call import Call
from shokunin.template import SPECIFIC, Template
from shokunin.template.found import Conversation, share_of, template_of
from shokunin.template.reply import shape_of
from shokunin.template.segments import SYSTEM, Segmented

FIXED = 0.9
"""Share of a wording's prompts that must have a segment for it to be fixed text."""
FITS, KEPT = 0.95, 0.7
"""Of the calls of either of two wordings their common template must fit so many, with so much of the fixed text left."""
UNFIT = 0.05
"""If a template does not fit so many of the calls, these are looked at by themselves."""
LOOKED_AT = 400
"""Calls of one wording that are compared with those of another."""
_PERSONA = re.compile(
    r"(?i)(you are|you're|your name is|be |always be|stay |"
    r"(please )?(answer|respond|reply|write|speak) (\w+ )?(in|with) an? .{0,40}(tone|style|way|manner)|"
    r"(please )?(answer|respond|reply) (politely|briefly|concisely|truthfully|honestly)|あなたは)"
)
LONGEST_INPUT = 2000
"""Characters of an input that are compared."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """A quick learner.

    Attributes:
        learner: gives answers to features, as it learnt from all calls.
        accuracy: how many answers to half of the calls are right after learning from the other half, 0 to 1.
        surely: the lower end of its 95 % interval.
        commonest: of that half the share that has the commonest answer.
    """

    learner: Learner
    accuracy: float
    surely: float
    commonest: float


@dataclass
class Wording:
    """One leaf of the tree, or several that are one.

    Attributes:
        calls: a sample of the calls.
        prompts: their segments.
        answers: what the replies are.
        template: the messages as fixed text and slots; None where they have no fixed frame.
        fixed: the segments that all prompts have, of the system messages and of the last one.
        rarity: the weights of features in inputs and in replies, over all wordings; set when all are known.
    """

    calls: list[Call]
    prompts: list[Segmented]
    answers: Answers = field(init=False)
    template: Template | None = field(init=False)
    fixed: tuple[frozenset[str], frozenset[str]] = field(init=False)
    rarity: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = None

    def __post_init__(self) -> None:
        self.fixed = (
            _usual([p.system for p in self.prompts]),
            _usual([p.user for p in self.prompts]),
        )
        self.template = template_of([conversation(c) for c in self.looked_at], versions=False)
        self.answers = answers_of([c.reply for c in self.calls if c.reply], self.said)
        if self.template is not None:
            self.template = telling_slots(self.template, self.looked_at, self.answers)

    @property
    def looked_at(self) -> list[Call]:
        """An even part of the calls."""
        step = max(1, len(self.calls) // LOOKED_AT)
        return self.calls[::step][:LOOKED_AT]

    @property
    def said(self) -> str:
        """The fixed text of the prompts."""
        if self.template is not None:
            return "\n".join(literal for pattern in self.template.patterns for literal in pattern.literals)
        return "\n".join(sorted(self.fixed[0] | self.fixed[1]))

    def covers(self, other: Wording) -> bool:
        """Whether its template fits nearly all calls of the other, too."""
        return self.template is not None and share_of(self.template, list(map(conversation, other.looked_at))) >= FITS

    def versions(self) -> list[Wording]:
        """This wording, and those that its calls have whom its template does not fit."""
        if self.template is None:
            return [self]
        fits = [self.template.match_texts(call.messages) is not None for call in self.calls]
        if fits.count(False) < max(FEWEST, UNFIT * len(fits)) or not any(fits):
            return [self]
        others = [i for i, fit in enumerate(fits) if not fit]
        rest = Wording([self.calls[i] for i in others], [self.prompts[i] for i in others])
        rest.rarity = self.rarity
        return [self, *(rest.versions() if rest.template is not None else [])]

    @property
    def opening(self) -> tuple[str, ...]:
        """The first segments of the system prompt."""
        return self.prompts[0].system[: IDENTITY + 1]

    @property
    def instructs(self) -> bool:
        """Whether the fixed text says what to do, as opposed to who to be and in which tone."""
        told = " ".join(s for block in self.fixed for s in block if s != SYSTEM and not _PERSONA.match(s))
        return self.template is not None and sum(c.isalnum() for c in told) >= SPECIFIC

    @cached_property
    def asked(self) -> str:
        """The name of the input that is asked about: beside a schema or a document, what comes in the most different forms."""
        values = [inputs_of(call, self.template) for call in self.looked_at]
        names = list(dict.fromkeys(name for one in values for name in one))
        return max(reversed(names), key=lambda name: len({one.get(name) for one in values}))

    def inputs_in(self, calls: Sequence[Call]) -> list[str]:
        """What is asked about in calls, as this wording reads them."""
        return [inputs_of(call, self.template).get(self.asked, "")[:LONGEST_INPUT] for call in calls]

    @cached_property
    def inputs(self) -> list[str]:
        """What is asked about in the calls that are looked at, as one text each."""
        return self.inputs_in(self.looked_at)

    @cached_property
    def features(self) -> Any:
        """The inputs as counts of hashed character n-grams, shape (n, FEATURES)."""
        return features_of(self.inputs)

    @cached_property
    def reply_features(self) -> Any:
        """The replies likewise."""
        return features_of([(call.reply or "")[:LONGEST_INPUT] for call in self.looked_at])

    @cached_property
    def centre(self) -> Centre:
        """The middle of the inputs."""
        assert self.rarity is not None
        return centre_of(self.features, self.rarity[0])

    @cached_property
    def reply_centre(self) -> Centre:
        """The middle of the replies."""
        assert self.rarity is not None
        return centre_of(self.reply_features, self.rarity[1])

    @cached_property
    def learnt(self) -> Learnt:
        """What a quick learner makes of the calls; of labels."""
        forms = self.forms(self.answers)
        there = np.array([form is not None for form in forms])
        x, y = self.features[there], forms[there]
        half = len(y) // 2
        right = learn_and_answer(x[:half], y[:half], x[half:]) == y[half:]
        told = metrics.wilson(int(right.sum()), len(right))
        commonest, _ = Counter(y).most_common(1)[0]
        return Learnt(Learner(x, y), told.value, told.low, float((y[half:] == commonest).mean()))

    def forms(self, by: Answers) -> npt.NDArray[np.object_]:
        """What the looked-at calls were answered, as `by` reads it; None where it cannot."""
        read, shape = by.reader(), shape_of(self.answers.reply)
        replies = (None if c.reply is None else shape.read(c.reply) or c.reply for c in self.looked_at)
        return np.array([None if reply is None else read(reply) for reply in replies], dtype=object)


def joined(first: Wording, second: Wording) -> Wording | None:
    """The two as one, if one template fits the calls of both as well as their own do; else None.

    Versions that differ in a name or a date only are one wording whose template has a slot there.
    """
    if first.template is None or second.template is None or first.template.roles != second.template.roles:
        return None
    if {first.answers.kind, second.answers.kind} == {CLASSIFY} and first.answers.reply != second.answers.reply:
        return None  # `refund` and `{"intent": "refund"}` are one label
    both = Wording(first.calls + second.calls, first.prompts + second.prompts)
    if both.template is None or both.template.inputs != first.template.inputs or not both.template.is_specific:
        return None
    fits = [share_of(both.template, [conversation(c) for c in one.looked_at]) for one in (first, second)]
    if min(fits) < FITS or both.template.fixed < KEPT * min(first.template.fixed, second.template.fixed):
        return None
    both.rarity = first.rarity
    return both


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
