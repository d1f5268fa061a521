"""Several readers of one document: which of them is asked for which field, and whose value is given.

What each says is put on one scale first (Platt scaling). Where several were asked, the values compete: if readers err
independently, the log-odds of a value are the sum of those of the readers that give it, less what the other values together have
(naive Bayes).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shokunin.fields.normalise import is_missing
from shokunin.fields.spelling import key
from shokunin.forms import Found, FoundFields

MOST = 30.0
"""Log-odds are held within this on both sides."""


@dataclass(frozen=True)
class Scale:
    """How a reader's log-odds for one field become those of its value being right: over the temperature, plus the offset."""

    temperature: float
    offset: float

    def odds(self, found: Found) -> float:
        """The log-odds that the value is right."""
        return max(-MOST, min(MOST, found.score / self.temperature + self.offset))


@dataclass(frozen=True)
class Plan:
    """Who is asked.

    Attributes:
        fields: for each field the numbers of the readers that have a say, the smallest reader first.
        scales: for each reader the scale of every field that it has a say in.
        keep: a field whose value is right with this probability is not asked of the next reader.
    """

    fields: Mapping[str, tuple[int, ...]]
    scales: tuple[Mapping[str, Scale], ...]
    keep: float


def read_by(plan: Plan, ask: Callable[[int], FoundFields]) -> tuple[FoundFields, tuple[int, ...]]:
    """What is found in one document, and the readers that were asked: each at most once, and none without need.

    Args:
        plan: who is asked.
        ask: what the reader of that number finds in the document.
    """
    told: dict[str, list[tuple[Found, float]]] = {name: [] for name in plan.fields}
    enough = math.log(plan.keep / (1 - plan.keep))
    asked = []
    for reader in range(len(plan.scales)):
        open_fields = [
            name
            for name, readers in plan.fields.items()
            if reader in readers and (not told[name] or likeliest(told[name]).score < enough)
        ]
        if open_fields:
            found = ask(reader)
            asked.append(reader)
            for name in open_fields:
                told[name].append((found[name], plan.scales[reader][name].odds(found[name])))
    return {name: likeliest(said) for name, said in told.items()}, tuple(asked)


def likeliest(told: Sequence[tuple[Found, float]]) -> Found:
    """The likeliest of several values (or nulls) for one field, with the log-odds that it is right.

    Args:
        told: what each reader gives, and the log-odds of it by itself.
    """
    together: dict[str | None, float] = {}
    for found, odds in told:
        together[_meant(found.value)] = together.get(_meant(found.value), 0.0) + odds
    best = max(together, key=lambda value: together[value])
    rest = [0.0, *(odds for value, odds in together.items() if value != best)]
    score = together[best] - math.log(sum(math.exp(odds - max(rest)) for odds in rest)) - max(rest)
    # Of readers that agree the surest one says where the value stands.
    surest = max((pair for pair in told if _meant(pair[0].value) == best), key=lambda pair: pair[1])[0]
    return replace(surest, score=max(-MOST, min(MOST, score)))


def _meant(value: Any) -> str | None:
    """What two spellings of a value have in common; None: there is none."""
    if is_missing(value):
        return None
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else key(str(value)) or str(value)
