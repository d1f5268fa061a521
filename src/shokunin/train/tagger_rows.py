"""Documents as windows of tokens with the spans of their values: what a token tagger learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from shokunin.encoders.tokens import Spelling
from shokunin.fields.dates import Order
from shokunin.fields.normalise import canonical, find_spans, is_missing
from shokunin.fields.one_span import Spans, spans_of, text_spans
from shokunin.fields.places import Places
from shokunin.fields.read_tokens import Tokenised, Window, tokenise
from shokunin.fields.tagged import Mentions, mentioned
from shokunin.forms import Document, Field

LONGEST_TEXT, MOST_LINES = 256, 12
"""A text value of more tokens or lines is not learned."""
NOWHERE = spans_of([])


@dataclass(frozen=True)
class Reading:
    """One document.

    Attributes:
        page: where its lines stand.
        tokens: it as tokens.
        gold: for each field the spans of its value; none where the document does not say the field; None where it is not known
            where the value stands, since the document spells it otherwise.
        seen: what was found in it by type.
    """

    page: Places
    tokens: Tokenised
    gold: tuple[Spans | None, ...]
    seen: Mentions = field(default_factory=dict)


@dataclass(frozen=True)
class Limits:
    """How long values of a text field are: at most so many tokens on so many lines; 0 where no document shows one."""

    longest: int
    most_lines: int


@dataclass(frozen=True)
class Wanted:
    """What one field wants of one window: the spans that it may have there, and which of them are right (none: no value)."""

    spans: Spans
    right: np.ndarray[Any, np.dtype[np.bool_]]


def read(
    documents: Sequence[Document],
    expected: Sequence[dict[str, Any]],
    fields: Sequence[Field],
    spelling: Spelling,
    order: Order,
) -> list[Reading]:
    """Each document with the spans of its values."""
    pages = [Places(document) for document in documents]
    out = []
    for page, tokens, row in zip(pages, tokenise(pages, spelling), expected, strict=True):
        seen: Mentions = {}
        gold = tuple(_gold(page, tokens, f, row.get(f.name), order, seen) for f in fields)
        out.append(Reading(page, tokens, gold, seen))
    return out


def limits_of(field: Field, number: int, readings: Sequence[Reading]) -> Limits:
    """How long nearly all known values of the field are, and a quarter more tokens; `number` is its place in `gold`."""
    known = [(r, g) for r in readings if (g := r.gold[number]) is not None and len(g)]
    if not known:
        return Limits(0, 0)
    if field.type != "text":
        return Limits(1, 1)
    lengths = [int(g.lasts[0] - g.firsts[0]) + 1 for _, g in known]
    lines = [int(r.tokens.lines[g.lasts[0]] - r.tokens.lines[g.firsts[0]]) + 1 for r, g in known]
    longest, most = (int(np.quantile(values, 0.995, method="higher")) for values in (lengths, lines))
    return Limits(min(LONGEST_TEXT, longest + longest // 4 + 1), min(MOST_LINES, most))


def wanted(
    reading: Reading, fields: Sequence[Field], limits: Sequence[Limits], order: Order, at: Window
) -> list[Wanted | None]:
    """What each field wants of a window; None where nothing can be learned of it there.

    A value that the window cuts stands whole in the next one, and here it is neither there nor not there.
    """
    start, stop = at
    inside = _part(reading.tokens, start, stop)
    return [
        _wanted(reading, f, g, limit, order, at, inside) if limit.longest else None
        for f, g, limit in zip(fields, reading.gold, limits, strict=True)
    ]


def _wanted(
    reading: Reading, field: Field, gold: Spans | None, limit: Limits, order: Order, at: Window, inside: Tokenised
) -> Wanted | None:
    if gold is None:
        return None
    start, stop = at
    here = gold.within(start, stop)
    if not len(here) and bool(((gold.firsts < stop) & (gold.lasts >= start)).any()):
        return None
    if field.type == "text":
        spans = text_spans(inside, limit.longest, limit.most_lines)
    else:
        spans = mentioned(reading.page, reading.tokens, field, order, reading.seen)[1].within(start, stop)
    right = spans.among(here)
    return None if len(here) and not right.any() else Wanted(spans, right)


def _part(tokens: Tokenised, start: int, stop: int) -> Tokenised:
    return Tokenised(
        tokens.ids[start:stop],
        tokens.starts[start:stop],
        tokens.ends[start:stop],
        tokens.lines[start:stop],
        tokens.begins[start:stop],
        tokens.closes[start:stop],
    )


def _gold(page: Places, tokens: Tokenised, field: Field, value: Any, order: Order, seen: Mentions) -> Spans | None:
    if is_missing(value):
        return NOWHERE
    if field.type == "text":
        found = find_spans(page.text, value, "text")
        pairs = [pair for a, b in found if (pair := tokens.covering(a, b)) is not None]
        spans = spans_of([(i, j) for i, j in pairs if tokens.begins[i] and tokens.closes[j]])
    else:
        named, places, kept = mentioned(page, tokens, field, order, seen)
        right = canonical(value, field.type, order=order)
        spans = places.take(np.asarray([named[i].value == right for i in kept], bool))
    return spans if len(spans) else None
