"""Which slots of a template are inputs of the task: those that the answer depends on, not a date, a name or examples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from shokunin.discover.answers import CLASSIFY, EXTRACT, Answers, leaves
from shokunin.discover.features import features_of, learn_and_answer
from shokunin.recorded.call import Call
from shokunin.template import Template, TemplateMessage
from shokunin.template.pattern import Pattern
from shokunin.template.segments import canonical

MOSTLY = 0.9
FEW_VALUES = 0.05
"""A slot with fewer different values than this share of the calls says who or when, not what."""
WORTH = 0.03
"""A further slot is an input if answers are so much better with it."""
PARTS = 3
POINTED = 0.1
"""Of the values that stand in the slot with most of them, another must have so many."""


def telling_slots(template: Template, calls: Sequence[Call], answers: Answers) -> Template:
    """The template with the slots that tell nothing marked as no inputs.

    For labels that is tried: slots are added, the most telling first, as long as a quick learner answers better with them.
    For other work a slot of nothing but numbers and dates, or of a few values that come again and again, is left aside.
    """
    if len(template.inputs) < 2:
        return template
    rows = [(values, call.reply) for call in calls if (values := template.match_texts(call.messages)) is not None]
    if len(rows) < 10:
        return template
    columns = {name: [values[name] for values, _ in rows] for name in template.inputs}
    kept = [name for name, column in columns.items() if not _says_nothing(column)] or [_fullest(columns)]
    if answers.kind == EXTRACT and len(kept) > 1:
        kept = _pointed_at({n: columns[n] for n in kept}, [r or "" for _, r in rows], answers)
    if answers.kind == CLASSIFY and len(kept) > 1:
        read = answers.reader()
        kept = _chosen({n: columns[n] for n in kept}, [None if r is None else read(r) for _, r in rows]) or kept
    return _with_inputs(template, kept)


def _says_nothing(column: Sequence[str]) -> bool:
    plain = sum(canonical(value).strip() in ("#", "") for value in column)
    return plain >= MOSTLY * len(column) or len(set(column)) <= max(1, FEW_VALUES * len(column))


def _pointed_at(columns: dict[str, list[str]], replies: Sequence[str], answers: Answers) -> list[str]:
    """The slots that values of the replies stand in, nearly as often as in the slot that has most of them."""
    read = answers.reader()
    values = [[v for _, v in leaves(json.loads(said)) if len(v) >= 3] if (said := read(r)) else [] for r in replies]
    found = {
        name: sum(value in text for text, row in zip(column, values, strict=True) for value in row)
        for name, column in columns.items()
    }
    most = max(found.values())
    return [name for name, count in found.items() if count >= POINTED * most] if most else list(columns)


def _fullest(columns: dict[str, list[str]]) -> str:
    return max(columns, key=lambda name: (len(set(columns[name])), sum(map(len, columns[name]))))


def _chosen(columns: dict[str, list[str]], labels: Sequence[str | None]) -> list[str]:
    """The slots that the label depends on, in their order; none where nothing can be told."""
    there = np.array([label is not None for label in labels])
    y = np.array(labels, dtype=object)[there]
    if len(y) < 30 or len(set(y)) < 2:
        return []
    texts = {name: np.array(column, dtype=object)[there] for name, column in columns.items()}
    best: list[str] = []
    score = 0.0
    while len(best) < len(texts):
        tries = {name: _score([*best, name], texts, y) for name in texts if name not in best}
        # Of equally telling ones the last: what is asked about comes after what it is asked for.
        name = max(reversed(list(tries)), key=lambda n: tries[n])
        if best and tries[name] < score + WORTH:
            break
        best, score = [*best, name], tries[name]
    return [name for name in columns if name in best]


def _score(names: Sequence[str], texts: dict[str, np.ndarray], y: np.ndarray) -> float:
    x = features_of([" | ".join(str(texts[name][i])[:1000] for name in names) for i in range(len(y))])
    part = np.arange(len(y)) % PARTS
    right = [learn_and_answer(x[part != p], y[part != p], x[part == p]) == y[part == p] for p in range(PARTS)]
    return float(np.concatenate(right).mean())


def _with_inputs(template: Template, kept: Sequence[str]) -> Template:
    """The same template, the names of other slots beginning with `_`; a single input is `text`."""
    taken = {slot for pattern in template.patterns for slot in pattern.slots if slot.startswith("_")}
    names: dict[str, str] = {}
    for name in template.inputs:
        if name in kept:
            names[name] = "text" if len(kept) == 1 else name
        else:
            names[name] = next(n for i in range(1, 1000) if (n := f"_{name}" + (f"_{i}" if i > 1 else "")) not in taken)
            taken.add(names[name])
    return renamed(template, names)


def renamed(template: Template, names: Mapping[str, str]) -> Template:
    """The template with other names for some of its slots."""
    messages = tuple(
        TemplateMessage(m.role, str(Pattern(p.literals, tuple(names.get(slot, slot) for slot in p.slots))))
        for m, p in zip(template.messages, template.patterns, strict=True)
    )
    return replace(template, messages=messages)
