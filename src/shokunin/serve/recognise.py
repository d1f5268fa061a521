"""Recognise: which task a request belongs to, told by how it is phrased and never by what its slots say.

Tasks are found by the roles and fixed messages of a request, then by how its first message with a slot begins and ends,
so that a thousand tasks cost about what one does.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from shokunin.template import Template, Text, text_of, texts_of
from shokunin.template.pattern import LONGEST

T = TypeVar("T")
_Place = tuple[tuple[str, ...], tuple[int, ...], int]
"""A template's roles, which of its messages are fixed, and the first that is not."""

AUTO = "auto"
"""The model name of a request that leaves it to the gateway which task it is."""
FINE_TUNED = "ft:"
"""How the name of a fine-tuned model begins: it does one task, so that asking for it says which."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """The task that a request belongs to, the fields that the application filled in, and the template it is phrased by."""

    name: str
    inputs: Mapping[str, str]
    template: Template


@dataclass(frozen=True, slots=True)
class Recognition:
    """What came of looking at a request.

    Attributes:
        found: the task, if it is clear which.
        candidates: the names of all tasks that it could be, or of whose requests it holds one and more, such as a picture or
            what was said afterwards; an egress policy has to heed the strictest of them.
        reason: why there is no clear task, or "".
    """

    found: Recognised | None
    candidates: tuple[str, ...] = ()
    reason: str = ""


class Recogniser:
    """Knows the templates of the tasks that are served.

    Attributes:
        unspecific: the tasks whose templates have too little fixed text to go by.
        unclear: groups of tasks of which one's requests always fit another's template too, so that they are nobody's.
    """

    def __init__(self, entries: Iterable[tuple[str, Template]]) -> None:
        groups: defaultdict[_Place, list[_Entry]] = defaultdict(list)
        unspecific: list[str] = []
        self._models: set[str] = set()
        for name, template in entries:
            fine_tuned = tuple(m for m in template.models if m.startswith(FINE_TUNED))
            if not template.is_specific:
                unspecific.append(name)
                if not fine_tuned:
                    continue
            models = {AUTO, *template.models} if template.is_specific else set(fine_tuned)
            self._models |= models
            groups[_place(template)].append(_Entry(name, template, frozenset(models)))
        self.unspecific = tuple(dict.fromkeys(unspecific))
        self._shelves: defaultdict[tuple[str, ...], list[_Shelf]] = defaultdict(list)
        for (roles, fixed, slotted), group in groups.items():
            self._shelves[roles].append(_Shelf(fixed, slotted, group))
        self.unclear = tuple(
            sorted({names for group in groups.values() for names in map(self._mistaken, group) if names})
        )

    def recognise(self, model: str, messages: Sequence[Mapping[str, Any]]) -> Recognised | None:
        """The task of a request that asks for `model`; None if it is none, or not clear which.

        Args:
            model: `auto` may be any task; another name only those whose application asks for it.
            messages: the request's messages, as they came.
        """
        return self.look(model, messages).found

    def look(self, model: str, messages: Sequence[Mapping[str, Any]]) -> Recognition:
        """The same, and what else it could have been."""
        if model not in self._models:
            return Recognition(None, reason="no task is asked for by this model's name")
        texts = texts_of(messages)
        found = [] if texts is None else list(self._fitting(model, texts))
        if not found:
            why = "the messages are more than text" if texts is None else "no task is phrased like this"
            return Recognition(None, self._within(model, messages), why)
        names = tuple(sorted({entry.name for entry, _ in found}))
        best, values = max(found, key=lambda pair: pair[0].template.fixed)
        if any(entry is not best and not _beats(best, entry) for entry, _ in found):
            return Recognition(None, names, f"it could be {' or '.join(map(repr, names))}")
        inputs = {name: values[name] for name in best.template.inputs}
        return Recognition(Recognised(best.name, inputs, best.template), names)

    def _fitting(self, model: str, texts: Sequence[Text]) -> Iterator[tuple[_Entry, dict[str, str]]]:
        """The entries that the messages fit, each with the values of its slots."""
        for entry in self._near(texts):
            if model in entry.models and (values := entry.template.match_texts(texts)) is not None:
                yield entry, values

    def _within(self, model: str, messages: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
        """The tasks whose requests the messages begin with, as far as they are text."""
        lengths = sorted({len(roles) for roles in self._shelves if len(roles) <= len(messages)})
        texts = [_text_among(m) for m in messages[: max(lengths, default=0)] if isinstance(m, Mapping)]
        return tuple(sorted({entry.name for n in lengths for entry, _ in self._fitting(model, tuple(texts[:n]))}))

    def _mistaken(self, entry: _Entry) -> tuple[str, ...]:
        """The tasks that a plain request of this one could be, if it is not clear which."""
        values = {slot: "x" for pattern in entry.template.patterns for slot in pattern.slots}
        look = self.look(min(entry.models), entry.template.render(values))
        return () if look.found is not None else look.candidates

    def _near(self, texts: Sequence[Text]) -> Iterator[_Entry]:
        for shelf in self._shelves.get(tuple(role for role, _ in texts), ()):
            yield from shelf.near(texts)


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    template: Template
    models: frozenset[str]


def _text_among(message: Mapping[str, Any]) -> Text:
    """A message's text, whatever else it holds; of one that is too long its beginning and end."""
    content = message.get("content")
    text = text_of([part for part in content if text_of([part])] if isinstance(content, list) else content) or ""
    if len(text) > LONGEST:
        text = text[: LONGEST // 2] + text[-LONGEST // 2 :]
    (one,) = texts_of([{"role": message.get("role"), "content": text}]) or (("", ""),)
    return one


def _place(template: Template) -> _Place:
    with_slots = [bool(pattern.slots) for pattern in template.patterns]
    return template.roles, tuple(i for i, slots in enumerate(with_slots) if not slots), with_slots.index(True)


def _beats(best: _Entry, other: _Entry) -> bool:
    """Whether a request that both fit is clearly the first one's.

    More fixed text decides only where it is the application's own, in system messages. What stands in a user message may
    have been put there by its writer to look like another task.
    """
    if best.name == other.name:
        return True
    ours, theirs = (_written_by_others(entry.template) for entry in (best, other))
    return best.template.fixed > other.template.fixed and ours == theirs


def _written_by_others(template: Template) -> list[tuple[str, ...]]:
    return [p.literals for role, p in zip(template.roles, template.patterns, strict=True) if role != "system"]


class _Shelf:
    """Templates with the same roles, whose fixed messages stand at the same places."""

    def __init__(self, fixed: tuple[int, ...], slotted: int, entries: Iterable[_Entry]) -> None:
        self._fixed = fixed
        self._slotted = slotted
        boxes: defaultdict[tuple[str, ...], list[_Entry]] = defaultdict(list)
        for entry in entries:
            boxes[tuple(entry.template.patterns[i].literals[0] for i in fixed)].append(entry)
        self._boxes = {texts: self._box(box) for texts, box in boxes.items()}

    def near(self, texts: Sequence[Text]) -> Iterator[_Entry]:
        """The entries whose fixed messages are there, and whose first message with a slot begins and ends so."""
        box = self._boxes.get(tuple(texts[i][1] for i in self._fixed))
        if box is None:
            return
        text = texts[self._slotted][1]
        for ends in box.starting(text):
            yield from (entry for entries in ends.starting(text[: -ends.longest - 1 : -1]) for entry in entries)

    def _box(self, entries: list[_Entry]) -> _Starts[_Starts[list[_Entry]]]:
        box: defaultdict[str, defaultdict[str, list[_Entry]]] = defaultdict(lambda: defaultdict(list))
        for entry in entries:
            literals = entry.template.patterns[self._slotted].literals
            box[literals[0]][literals[-1][::-1]].append(entry)
        return _Starts({start: _Starts(ends) for start, ends in box.items()})


class _Starts(Generic[T]):
    """Values under texts; finds those whose text is the beginning of another, in the time that looking up a word takes."""

    def __init__(self, values: Mapping[str, T]) -> None:
        self._words = sorted(values)
        self._values = [values[word] for word in self._words]
        self.longest = max(map(len, self._words))
        # What begins with a word follows it at once in the order, so a stack of open words gives each its beginning.
        self._parents: list[int] = []
        open_words: list[int] = []
        for i, word in enumerate(self._words):
            while open_words and not word.startswith(self._words[open_words[-1]]):
                open_words.pop()
            self._parents.append(open_words[-1] if open_words else -1)
            open_words.append(i)

    def starting(self, text: str) -> Iterator[T]:
        """The values under the beginnings of `text`, the longest first."""
        place = bisect_right(self._words, text) - 1
        while place >= 0:
            if text.startswith(self._words[place]):
                yield self._values[place]
            place = self._parents[place]
