"""What the scores of a tagger are worth: how many held-back values it finds, and what decides between a value and none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from shokunin.fields.learn_scalar import judgement_of
from shokunin.fields.normalise import canonical, is_missing
from shokunin.fields.one_span import PARTS
from shokunin.fields.read_tokens import Numbers
from shokunin.fields.spelling import key
from shokunin.fields.style import learn_style
from shokunin.fields.tagged import TaggedField, never_found
from shokunin.forms import Field
from shokunin.train.tagger_rows import Limits, Reading


@dataclass(frozen=True)
class Judged:
    """What was said of one field in n documents that had no part in the learning.

    Attributes:
        odds: for each document the log-odds of each value it offers.
        right: for each document which of these are the value.
        missing: whether the document does not say the field.
    """

    odds: list[npt.NDArray[np.float64]]
    right: list[npt.NDArray[np.bool_]]
    missing: list[bool]

    def quality(self) -> tuple[int, float]:
        """How many documents are answered rightly, and the sum of the log-probabilities of the right values."""
        found, likely = 0, 0.0
        for odds, right, missing in zip(self.odds, self.right, self.missing, strict=True):
            best = int(odds.argmax()) if len(odds) and odds.max() > 0 else None
            found += missing if best is None else bool(right[best])
            if missing or right.any():
                all_together = float(logsumexp([0.0, *odds]))
                likely += (0.0 if missing else float(logsumexp(odds[right]))) - all_together
        return found, likely


def judge(
    fields: Sequence[TaggedField],
    readings: Sequence[Reading],
    numbers: Sequence[Numbers],
    expected: Sequence[dict[str, Any]],
) -> list[Judged]:
    """What the scores of documents say of each field, and what is right; `numbers` are n times (tokens, 3 a field)."""
    out = [Judged([], [], []) for _ in fields]
    for reading, scores, row in zip(readings, numbers, expected, strict=True):
        for place, (field, judged) in enumerate(zip(fields, out, strict=True)):
            value = row.get(field.field.name)
            mine = scores[:, PARTS * place : PARTS * (place + 1)]
            offered = field.offered(reading.page, reading.tokens, mine, reading.seen)
            judged.odds.append(offered.odds)
            judged.right.append(np.asarray([k == _key_of(field, value) for k in offered.keys], bool))
            judged.missing.append(is_missing(value))
    return out


def fields_before(
    fields: Sequence[Field],
    limits: Sequence[Limits],
    readings: Sequence[Reading],
    expected: Sequence[dict[str, Any]],
    order: Any,
) -> list[TaggedField]:
    """The fields with all that is known of them before anything is trained."""
    out = []
    for place, (field, limit) in enumerate(zip(fields, limits, strict=True)):
        missing = sum(is_missing(row.get(field.name)) for row in expected)
        odds = float(np.log((missing + 0.5) / (len(expected) - missing + 0.5)))
        model = never_found(field, order, odds)
        if limit.longest:
            written = []
            for reading, row in zip(readings, expected, strict=True):
                gold = reading.gold[place]
                if gold is not None and len(gold):
                    tokens = reading.tokens
                    text = reading.page.text[tokens.starts[gold.firsts[0]] : tokens.ends[gold.lasts[0]]]
                    written.append((text, row[field.name]))
            style = learn_style(field, written, order)
            model = replace(model, style=style, longest=limit.longest, most_lines=limit.most_lines)
        out.append(model)
    return out


def with_judgement(fields: Sequence[TaggedField], judged: Sequence[Judged], seed: int) -> list[TaggedField]:
    """The fields, now with what decides between the best value and none."""
    return [
        replace(f, judgement=judgement_of(j.odds, j.right, j.missing, seed)) if f.longest else f
        for f, j in zip(fields, judged, strict=True)
    ]


def _key_of(field: TaggedField, value: Any) -> str | None:
    if is_missing(value):
        return None
    return key(str(value)) if field.field.type == "text" else canonical(value, field.field.type, order=field.order)
