"""One field read off the scores of tokens: which values a document offers, how likely each is, and whether it is there at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from shokunin.fields.candidates import Mention, mentions
from shokunin.fields.dates import Order
from shokunin.fields.one_span import Spans, mention_spans, score, text_spans
from shokunin.fields.places import Places
from shokunin.fields.read_tokens import Numbers, Tokenised
from shokunin.fields.scalar import LEAST, Judgement, decide, judgement_from
from shokunin.fields.spelling import key
from shokunin.fields.style import Style, write
from shokunin.forms import Field, Found

KEPT_SPANS = 64
"""The likeliest spans of a text field that are looked at as values."""
Mentions = dict[str, list[Mention]]
"""What was found in one document, by type, for the fields that look for the same."""


@dataclass(frozen=True)
class TaggedField:
    """What is known of a field beside the scores of tokens.

    Attributes:
        field: of one value; a list is never found.
        order: which number of a date is the day.
        style: how values are written.
        judgement: when the best value is right, and when there is none.
        longest: a text value has at most so many tokens; 0: no past document showed where the field stands.
        most_lines: and so many lines.
    """

    field: Field
    order: Order
    style: Style
    judgement: Judgement
    longest: int
    most_lines: int

    def find(self, page: Places, tokens: Tokenised, numbers: Numbers, seen: Mentions) -> Found:
        """The field's value; `numbers` are its scores, shape (n, 3)."""
        if self.longest == 0:
            return Found(None, self.judgement.nothing)
        offered = self.offered(page, tokens, numbers, seen)
        best, odds = decide(self.judgement, offered.odds)
        if best is None:
            return Found(None, odds)
        start, end = offered.places[best]
        return Found(write(self.style, self.field, page.text[start:end], self.order), odds, (start, end))

    def offered(self, page: Places, tokens: Tokenised, numbers: Numbers, seen: Mentions) -> Offered:
        """The values that the document may have, each once."""
        if self.field.type == "text":
            spans = text_spans(tokens, self.longest, self.most_lines)
            scores = score(numbers, spans)
            if len(scores) > KEPT_SPANS:
                likely = np.sort(np.argpartition(-scores, KEPT_SPANS)[:KEPT_SPANS])
                spans, scores = spans.take(likely), scores[likely]
            ends = zip(spans.firsts.tolist(), spans.lasts.tolist(), strict=True)
            places = [(int(tokens.starts[i]), int(tokens.ends[j])) for i, j in ends]
            keys = [key(page.text[a:b]) for a, b in places]
        else:
            found, spans, kept = mentioned(page, tokens, self.field, self.order, seen)
            scores = score(numbers, spans)
            places = [(found[i].start, found[i].end) for i in kept]
            keys = [found[i].value for i in kept]
        return _each_once(keys, places, scores)


@dataclass(frozen=True)
class Offered:
    """n different values.

    Attributes:
        keys: so spelled that equal keys are the same value.
        places: where each stands likeliest, (start, end) in the document's text.
        odds: shape (n,); its log-odds against "no value", all the places where it stands together.
    """

    keys: tuple[str, ...]
    places: tuple[tuple[int, int], ...]
    odds: npt.NDArray[np.float64]


def mentioned(
    page: Places, tokens: Tokenised, field: Field, order: Order, seen: Mentions
) -> tuple[list[Mention], Spans, list[int]]:
    """The mentions of a field's type, their spans, and the mention that each span belongs to."""
    if field.type not in seen:
        seen[field.type] = mentions(page, field.type, order)
    return (seen[field.type], *mention_spans(tokens, seen[field.type]))


def tagged_to_dict(model: TaggedField) -> dict[str, Any]:
    """What JSON keeps of a field."""
    return {
        "name": model.field.name,
        "type": model.field.type,
        "order": model.order,
        "style": asdict(model.style),
        "judgement": asdict(model.judgement),
        "longest": model.longest,
        "most_lines": model.most_lines,
    }


def tagged_from_dict(kept: dict[str, Any]) -> TaggedField:
    """The inverse; raises KeyError, TypeError, ValueError or IndexError where it is none."""
    return TaggedField(
        Field(kept["name"], kept["type"]),
        kept["order"],
        Style(**kept["style"]),
        judgement_from(**kept["judgement"]),
        int(kept["longest"]),
        int(kept["most_lines"]),
    )


def never_found(field: Field, order: Order, odds: float = LEAST) -> TaggedField:
    """A field that is never answered; `odds` are the log-odds that a document does not say it."""
    return TaggedField(field, order, Style(), Judgement((0, 0, LEAST), (0, 0, odds), odds), 0, 0)


def _each_once(keys: Sequence[str], places: Sequence[tuple[int, int]], scores: npt.NDArray[np.float64]) -> Offered:
    rows: dict[str, list[int]] = {}
    for i, value in enumerate(keys):
        if value:
            rows.setdefault(value, []).append(i)
    odds = np.asarray([logsumexp(scores[mine]) for mine in rows.values()], np.float64)
    best = [mine[int(scores[mine].argmax())] for mine in rows.values()]
    return Offered(tuple(rows), tuple(places[i] for i in best), odds)
