"""Template: how an application phrases one task: fixed words, slots for what varies, and the shape of the reply."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice
from typing import Any

from shokunin.errors import TaskError
from shokunin.template.pattern import LONGEST, Pattern, parse
from shokunin.template.reply import ANSWER, ReplyShape, shape_of

ROLES = ("system", "user", "assistant")
MOST_MESSAGES = 100
SPECIFIC = 16
"""Letters and digits of fixed text; with fewer, requests that have nothing to do with the task would match too."""
_ANYONES = re.compile(
    r"(?i)\s*you are an? (very |extremely )?(helpful|friendly|useful)( ai)? (assistant|chatbot)[.!]?\s*"
)
_KEYS = ("messages", "models", "reply", "spellings")

Text = tuple[str, str]
"""A message as (role, text)."""


@dataclass(frozen=True, slots=True)
class TemplateMessage:
    """One message: its role (`system`, `user` or `assistant`) and its text as a pattern with slots."""

    role: str
    pattern: str


@dataclass(frozen=True)
class Template:
    """How an application phrases one task.

    Attributes:
        messages: the messages of every request. Slots whose name begins with `_` vary but are no input of the task.
        models: the names of the models that the application asks for.
        reply: the pattern of the replies, with the slot `{{answer}}`.
        spellings: for an answer whose reply is not the pattern applied to it, the reply.
    """

    messages: tuple[TemplateMessage, ...]
    models: tuple[str, ...] = ()
    reply: str = "{{answer}}"
    spellings: Mapping[str, str] = field(default_factory=dict, hash=False)
    patterns: tuple[Pattern, ...] = field(init=False, repr=False, compare=False)
    shape: ReplyShape = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 < len(self.messages) <= MOST_MESSAGES:
            raise TaskError(f"a template has 1 to {MOST_MESSAGES} messages, not {len(self.messages)}")
        for message in self.messages:
            if message.role not in ROLES:
                raise TaskError(f"unknown role {message.role!r} in the template; expected one of {', '.join(ROLES)}")
        object.__setattr__(self, "patterns", tuple(parse(m.pattern) for m in self.messages))
        object.__setattr__(self, "shape", shape_of(self.reply))
        if not self.inputs:
            raise TaskError("the template has no slot for the input; write {{text}} where the text stands")

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the input slots, in their order."""
        names = dict.fromkeys(slot for pattern in self.patterns for slot in pattern.slots)
        return tuple(name for name in names if not name.startswith("_"))

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles of the messages."""
        return tuple(m.role for m in self.messages)

    @property
    def fixed(self) -> int:
        """How many characters are fixed, in all messages together."""
        return sum(pattern.fixed for pattern in self.patterns)

    @property
    def is_specific(self) -> bool:
        """Whether the fixed text tells this task from any other talk with a model."""
        own = (x for p in self.patterns for x in p.literals if not _ANYONES.fullmatch(x))
        letters = (1 for literal in own for character in literal if character.isalnum())
        return sum(islice(letters, SPECIFIC)) == SPECIFIC

    @property
    def is_json(self) -> bool:
        """Whether the replies are JSON, as an application needs that asks for it in `response_format`."""
        return self.shape.is_json

    @property
    def fingerprint(self) -> str:
        """The name of the wording: 16 hexadecimal digits of the SHA-256 over roles and patterns."""
        wording = json.dumps([[m.role, m.pattern] for m in self.messages], separators=(",", ":"))
        return hashlib.sha256(wording.encode()).hexdigest()[:16]

    def match(self, messages: Sequence[Mapping[str, Any]]) -> dict[str, str] | None:
        """The values of the slots in a request's messages, or None where it is phrased otherwise."""
        texts = texts_of(messages) if len(messages) == len(self.messages) else None
        return None if texts is None else self.match_texts(texts)

    def match_texts(self, texts: Sequence[Text]) -> dict[str, str] | None:
        """The same for messages that are (role, text) already."""
        if len(texts) != len(self.messages):
            return None
        values: dict[str, str] = {}
        for message, pattern, (role, text) in zip(self.messages, self.patterns, texts, strict=True):
            found = pattern.match(text) if role == message.role else None
            if found is None or any(values.setdefault(name, value) != value for name, value in found.items()):
                return None
        return values

    def inputs_in(self, messages: Sequence[Mapping[str, Any]]) -> dict[str, str] | None:
        """The input fields in a request's messages, or None where it is phrased otherwise."""
        values = self.match(messages)
        return None if values is None else {name: values[name] for name in self.inputs}

    def render(self, inputs: Mapping[str, str]) -> list[dict[str, str]]:
        """The messages of a request with these inputs.

        Raises:
            TaskError: a slot has no value.
        """
        return [{"role": m.role, "content": p.fill(inputs)} for m, p in zip(self.messages, self.patterns, strict=True)]

    def write(self, answer: str) -> str:
        """The reply that says `answer`, as the application got it before."""
        return self.spellings.get(answer) or self.shape.write(answer)

    def read(self, reply: str) -> str | None:
        """The answer in a reply, or None; code fences, white space and case do not matter."""
        plain = reply.strip()
        for answer, spelling in self.spellings.items():
            if plain == spelling.strip():
                return answer
        return self.shape.read(reply)

    def to_dict(self) -> dict[str, Any]:
        """The plain values, ready for JSON; what is as usual is left out."""
        value: dict[str, Any] = {"messages": [{"role": m.role, "pattern": m.pattern} for m in self.messages]}
        if self.models:
            value["models"] = list(self.models)
        if self.reply != "{{answer}}":
            value["reply"] = self.reply
        if self.spellings:
            value["spellings"] = dict(self.spellings)
        return value


def fitting(
    templates: Sequence[Template], messages: Sequence[Mapping[str, Any]]
) -> tuple[Template, dict[str, str]] | None:
    """The wording that a request has, and the input fields in it; of several that fit the one that says most."""
    texts = texts_of(messages) if templates else None
    if texts is None:
        return None
    fits = ((template, found) for template in templates if (found := template.match_texts(texts)) is not None)
    best = max(fits, key=lambda pair: (pair[0].is_specific, pair[0].fixed), default=None)
    return None if best is None else (best[0], {name: best[1][name] for name in best[0].inputs})


def template_from_dict(value: Any, where: str = "template") -> Template:
    """A Template from plain values, as in `task.toml` or a manifest.

    Raises:
        TaskError: a key is unknown (with a suggestion), is missing, or has a value that does not fit.
    """
    _known(value, _KEYS, where)
    messages, models = value.get("messages"), value.get("models", [])
    if not isinstance(messages, list | tuple):
        raise TaskError(f"{where} has no list of `messages`; give every message a `role` and a `pattern`")
    for message in messages:
        _known(message, ("role", "pattern"), f"a message of {where}")
        if not all(isinstance(message.get(key), str) for key in ("role", "pattern")):
            raise TaskError(f"a message of {where} has a `role` and a `pattern`, both texts, not {message!r}")
    if not isinstance(models, list | tuple) or not all(isinstance(m, str) and m for m in models):
        raise TaskError(f"'models' in {where} is a list of the names of models, not {models!r}")
    reply, spellings = value.get("reply", "{{answer}}"), value.get("spellings", {})
    if not isinstance(reply, str):
        raise TaskError(f"'reply' in {where} is a text with the slot {{{{{ANSWER}}}}}, not {reply!r}")
    if not isinstance(spellings, dict) or not all(isinstance(s, str) and s for s in spellings.values()):
        raise TaskError(f"'spellings' in {where} maps answers to the text of their replies, not {spellings!r}")
    told = tuple(TemplateMessage(_role(m["role"]), m["pattern"]) for m in messages)
    return Template(told, tuple(models), reply, dict(spellings))


def texts_of(messages: Sequence[Mapping[str, Any]]) -> tuple[Text, ...] | None:
    """The messages as (role, text), `developer` as `system`; None if one is more than text."""
    texts = []
    for message in messages:
        text = text_of(message.get("content")) if isinstance(message, Mapping) else None
        if text is None or message.get("tool_calls") or len(text) > LONGEST:
            return None
        texts.append((_role(str(message.get("role"))), text))
    return tuple(texts)


def text_of(content: Any) -> str | None:
    """A message's content as one text, its parts on lines of their own; None if it is not text, or not only text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    texts = [
        p.get("text") if p.get("type") in ("text", "input_text") else None for p in content if isinstance(p, Mapping)
    ]
    if len(texts) != len(content) or not texts or not all(isinstance(t, str) for t in texts):
        return None
    return "\n".join(t for t in texts if t is not None)


def _role(role: str) -> str:
    return "system" if role == "developer" else role


def _known(value: Any, known: tuple[str, ...], where: str) -> None:
    if not isinstance(value, dict):
        raise TaskError(f"{where} is a table with the keys {', '.join(known)}, not {value!r}")
    for key in value:
        if key not in known:
            near = get_close_matches(str(key), known, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise TaskError(f"unknown key {key!r} in {where}; known keys: {', '.join(known)}{hint}")
