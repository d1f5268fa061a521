"""Lists in documents: which rows are items, and what each part of an item is.

A simple method with simple limits. A linear layer says of each visual row whether an item begins on it; what stands between two
beginnings (at most as many rows as past items had) is a small document of its own, in which each part is found as a field is
found in a document. Items that share a row, that lie beside each other in columns, or whose order in the answer is not that of
the page are not found right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shokunin.fields.places import Places
from shokunin.fields.scalar import LEAST, OpenScalar, ScalarModel, Seen
from shokunin.fields.signs import LinearSigns, row_signs
from shokunin.forms import Document, Field, Found, Line

SURE = 12.0


@dataclass(frozen=True)
class ListModel:
    """A field of rows; without `signs` nothing was learned, and it is never found.

    Attributes:
        field: of type `list`.
        longest: an item has at most so many visual rows.
        parts: the model of each part.
        signs: one head: an item begins on the row.
    """

    field: Field
    longest: int
    parts: tuple[ScalarModel, ...]
    signs: LinearSigns | None = None

    def open(self) -> OpenList:
        """Ready to answer."""
        return OpenList(self)


Model = ScalarModel | ListModel
"""What was learned of a field."""


class OpenList:
    """A `ListModel` with its trees in memory."""

    def __init__(self, model: ListModel) -> None:
        self.model = model
        self._parts: list[OpenScalar] = [part.open() for part in model.parts]

    def find(self, page: Places, seen: Seen | None = None) -> Found:
        """The items in a document, in order; the log-odds are those of all parts being right together."""
        model = self.model
        if model.signs is None or not page.lines:
            return Found(None, LEAST if model.signs is None else SURE)
        logits = model.signs.logits(row_signs(page))[0]
        begins = np.flatnonzero(logits > 0).tolist()
        surely = -sum(_softplus(-abs(float(score))) for score in logits)
        if not begins:
            return Found(None, _odds(surely))
        items, places = [], regions(page, begins, model.longest)
        for _, region in places:
            small, looked = Places(region), Seen()
            found = {part.model.field.name: part.find(small, looked) for part in self._parts}
            items.append({name: f.value for name, f in found.items()})
            surely -= sum(_softplus(-f.score) for f in found.values())
        first, last = places[0][0][0], places[-1][0][-1]
        span = (page.starts[first], page.starts[last] + len(page.lines[last]))
        return Found(items, _odds(surely), span if span[0] < span[1] else None)


def regions(page: Places, begins: Sequence[int], longest: int) -> list[tuple[list[int], Document]]:
    """For each beginning the lines up to the next one, at most `longest` rows, as numbers and as a document."""
    out = []
    for row, following in zip(begins, [*begins[1:], len(page.rows)], strict=True):
        lines = [line for r in page.rows[row : min(following, row + longest)] for line in r]
        boxes = page.boxes[lines].tolist()
        document = Document(
            tuple(
                Line(page.lines[n], tuple(box) if page.has_boxes else None) for n, box in zip(lines, boxes, strict=True)
            )
        )
        out.append((sorted(lines), document))
    return out


def _softplus(x: float) -> float:
    """log(1 + e^x), so that -_softplus(-s) is the logarithm of the probability with log-odds s."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _odds(log_probability: float) -> float:
    """Log-odds from the logarithm of a probability, within what a float can hold."""
    bounded = min(log_probability, -math.exp(-SURE))
    return bounded - math.log(-math.expm1(bounded))
