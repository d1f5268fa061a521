"""Which slots of a template are inputs of the task: those that the answer depends on, not a date, a name or examples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from shokunin.discover.answers import CLASSIFY, ESTIMATE, EXTRACT, Answers, leaves
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
TRIED = 8
"""Slots of a sort that are tried."""
POINTED = 0.1
"""Of the values that stand in the slot with most of them, another must have so many."""


def telling_slots(template: Template, calls: Sequence[Call], answers: Answers) -> Template:
    """The template with the slots that tell nothing marked as no inputs.

    For labels that is tried: slots are added, the most telling first, as long as a quick learner answers better with them.
    Numbers are estimated from all slots that vary. For other work a slot of nothing but numbers and dates, or of a few
    values that come again and again, is left aside.
    """
    if len(template.inputs) < 2:
        return template
    rows = [(values, call.reply) for call in calls if (values := template.match_texts(call.messages)) is not None]
    if len(rows) < 10:
        return template
    columns = {name: [values[name] for values, _ in rows] for name in template.inputs}
    varying = {name: column for name, column in columns.items() if len(set(column)) > 1}
    told = {name: column for name, column in varying.items() if not _says_nothing(column)}
    kept = list(varying if answers.kind == ESTIMATE else told) or _fullest(columns)
    if answers.kind == EXTRACT and len(kept) > 1:
        kept = _pointed_at({n: columns[n] for n in kept}, [r or "" for _, r in rows], answers)
    if answers.kind == CLASSIFY and len(varying) > 1:
        read = answers.reader()
        labels = [None if r is None else read(r) for _, r in rows]
        quiet = {name: column for name, column in varying.items() if name not in told}
        kept = _chosen(columns, _fullest(told, TRIED), _fullest(quiet, TRIED), labels) or kept
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


def _fullest(columns: Mapping[str, list[str]], most: int = 1) -> list[str]:
    """The names of the columns with the most different values, in their order."""
    ordered = sorted(columns, key=lambda name: (-len(set(columns[name])), -sum(map(len, columns[name]))))
    return [name for name in columns if name in ordered[:most]]


def _chosen(
    columns: Mapping[str, list[str]], told: Sequence[str], quiet: Sequence[str], labels: Sequence[str | None]
) -> list[str]:
    """The slots that the label depends on; none where nothing can be told.

    Args:
        columns: the values of all slots.
        told: the slots that hold texts.
        quiet: those that hold numbers, dates and names; they are tried if all together they tell more.
        labels: of the calls.
    """
    there = np.array([label is not None for label in labels])
    y = np.array(labels, dtype=object)[there]
    if len(y) < 30 or len(set(y)) < 2:
        return []
    texts = {name: np.array(column, dtype=object)[there] for name, column in columns.items()}
    best, score = _added([], 0.0, told, texts, y)
    if quiet and (not best or _score([*best, *quiet], texts, y) >= score + WORTH):
        best, score = _added(best, score, quiet, texts, y)
    return best


def _added(
    best: list[str], score: float, names: Sequence[str], texts: dict[str, np.ndarray], y: np.ndarray
) -> tuple[list[str], float]:
    """The slots so far and those of the names that are worth adding, with the share of labels that is told by them."""
    while left := [name for name in names if name not in best]:
        tries = {name: _score([*best, name], texts, y) for name in left}
        # Of equally telling ones the last: what is asked about comes after what it is asked for.
        name = max(reversed(left), key=lambda n: tries[n])
        if best and tries[name] < score + WORTH:
            break
        best, score = [*best, name], tries[name]
    return best, score


def _score(names: Sequence[str], texts: dict[str, np.ndarray], y: np.ndarray) -> float:
    # With its name before it a number of rooms is another word than as many children.
    x = features_of([" | ".join(f"{name}={texts[name][i]}"[:1000] for name in names) for i in range(len(y))])
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
