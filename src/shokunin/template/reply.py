"""The shape of a reply: `Category: {{answer}}` or `{"intent": "{{answer}}"}`, written exactly and read with tolerance."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from shokunin.errors import TaskError
from shokunin.template.pattern import Pattern, parse

ANSWER = "answer"
LONGEST_REPLY = 100_000
"""Characters; a longer reply is no label in a frame."""
_MARK = "\ue000answer\ue001"  # stands in for the answer while the pattern is read as JSON
_FENCED = re.compile(r"\A```[\w-]*[ \t]*\n(.*?)\n?```\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ReplyShape:
    """A reply pattern, taken apart once.

    Attributes:
        pattern: the pattern with its one slot.
        path: where the answer stands in the JSON, keys and indices from the outside in; None where it is no JSON.
        frame: the pattern of the JSON text at that place; None where the answer is a bare number, word or null.
        fenced: whether the JSON stands in a code fence.
    """

    pattern: Pattern
    path: tuple[str | int, ...] | None
    frame: Pattern | None
    fenced: bool

    @property
    def is_json(self) -> bool:
        """Whether every reply is a JSON object or list and nothing around it."""
        return self.path is not None and not self.fenced

    def write(self, answer: str) -> str:
        """The reply that says `answer`."""
        if self.path is None:
            return self.pattern.fill({ANSWER: answer})
        quoted = json.dumps(answer, ensure_ascii=False)
        if self.frame is None:
            return self.pattern.fill({ANSWER: answer if _is_scalar(answer) else quoted})
        return self.pattern.fill({ANSWER: quoted[1:-1]})

    def read(self, reply: str) -> str | None:
        """The answer in a reply; code fences, white space, case and further JSON keys do not matter. None: not found."""
        if len(reply) > LONGEST_REPLY:
            return None
        plain = unfenced(reply)
        found = _framed(self.pattern, plain) if self.path is None else self._read_json(plain)
        return found.strip() or None if found is not None else None

    def _read_json(self, plain: str) -> str | None:
        value = _json_in(plain)
        assert self.path is not None
        for step in self.path:
            try:
                value = value[step]
            except (LookupError, TypeError):
                return None
        if isinstance(value, str):
            return value if self.frame is None else _framed(self.frame, value)
        return None if value is None or isinstance(value, dict | list) else json.dumps(value)


def shape_of(text: str) -> ReplyShape:
    """The shape that a pattern gives a reply.

    Raises:
        TaskError: it does not have just one slot, `{{answer}}`.
    """
    pattern = parse(text)
    if pattern.slots != (ANSWER,):
        raise TaskError(
            f"the reply pattern {text[:80]!r} has the slots {pattern.slots!r}; expected just one, {{{{{ANSWER}}}}}"
        )
    marked = pattern.fill({ANSWER: _MARK})
    plain = unfenced(marked)
    for candidate in (plain, plain.replace(_MARK, f'"{_MARK}"')):
        value = _loaded(candidate)
        found = _find(value) if isinstance(value, dict | list) else None
        if found is not None:
            path, leaf = found
            before, _, after = leaf.partition(_MARK)
            frame = Pattern((before, after), (ANSWER,)) if candidate is plain else None
            return ReplyShape(pattern, path, frame, fenced=plain != marked.strip())
    return ReplyShape(pattern, None, None, fenced=False)


def unfenced(text: str) -> str:
    """A text without white space around it, and without the code fence that it stands in, if it does."""
    found = _FENCED.match(text.strip())
    return found[1].strip() if found else text.strip()


def _framed(pattern: Pattern, text: str) -> str | None:
    """What stands in the pattern's one slot; else the same with white space and case left aside."""
    exact = pattern.match(text)
    if exact is not None:
        return exact[pattern.slots[0]]
    before, after = (_loosely(literal) for literal in pattern.literals)
    start = re.match(before, text, re.IGNORECASE)
    if start is None:
        return None
    rest = text[start.end() :]
    end = re.search(after + r"\Z", rest, re.IGNORECASE) if after else None
    return rest[: end.start()] if end else rest


def _loosely(literal: str) -> str:
    return r"\s+".join(map(re.escape, literal.split()))


def _json_in(text: str) -> Any:
    """The JSON that a text is, or that stands between its first and last bracket; None where there is none."""
    value = _loaded(text)
    if value is None:
        start = min((at for at in (text.find("{"), text.find("[")) if at >= 0), default=-1)
        end = max(text.rfind("}"), text.rfind("]"))
        value = _loaded(text[start : end + 1]) if 0 <= start < end else None
    return value


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _find(value: Any, path: tuple[str | int, ...] = ()) -> tuple[tuple[str | int, ...], str] | None:
    """The path to the one text with the mark, and the text."""
    if isinstance(value, str):
        return (path, value) if _MARK in value else None
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return next((found for key, one in items if (found := _find(one, (*path, key)))), None)


def _is_scalar(text: str) -> bool:
    value = _loaded(text)
    return text == "null" or (value is not None and not isinstance(value, str | dict | list))
