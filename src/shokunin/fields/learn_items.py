"""Learning a list: on which rows past items began, and each of their parts in the rows that belong to one item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from shokunin.fields.dates import Order
from shokunin.fields.learn_scalar import Cuts, Fitting, Rows, cuts_of, fit_signs, learn_scalar
from shokunin.fields.line_items import ListModel, regions
from shokunin.fields.normalise import find_spans, is_missing
from shokunin.fields.places import Places
from shokunin.fields.scalar import Seen
from shokunin.fields.signs import Signs, row_signs, vocabulary_of
from shokunin.forms import Field


def learn_list(
    field: Field, pages: Sequence[Places], values: Sequence[Any], folds: Rows, order: Order, fitting: Fitting, seed: int
) -> ListModel:
    """A list's model from n documents and the rows of each; arguments as for `learn_scalar`."""
    begun = [_beginnings(field, page, value, order) for page, value in zip(pages, values, strict=True)]
    lengths = [length for document in begun for _, length, _ in document]
    if not lengths:
        return ListModel(field, 1, ())
    longest = int(np.quantile(lengths, 0.98, method="higher"))
    signs: list[Signs] = [row_signs(page) for page in pages]
    targets = []
    for page, document in zip(pages, begun, strict=True):
        target = np.zeros((1, len(page.rows)), np.float32)
        target[0, [row for row, _, _ in document]] = 1
        targets.append(target)
    linear = fit_signs(signs, targets, vocabulary_of(signs, fitting.max_features), fitting, seed)
    small, rows, fold = [], [], []
    for page, document, number in zip(pages, begun, folds.tolist(), strict=True):
        places = regions(page, [row for row, _, _ in document], longest)
        for (_, region), (_, _, item) in zip(places, document, strict=True):
            small.append(Places(region))
            rows.append(item)
            fold.append(number)
    if len(set(fold)) < 2:
        fold = [i % 2 for i in range(len(fold))]
    of_part = [[row.get(part.name) for row in rows] for part in field.parts]
    cuts: Cuts = cuts_of(field.parts, small, of_part)
    looked = [Seen() for _ in small]
    parts = tuple(
        learn_scalar(part, small, mine, np.asarray(fold, np.int64), looked, cuts, order, fitting, seed)
        for part, mine in zip(field.parts, of_part, strict=True)
    )
    return ListModel(field, longest, parts, linear)


def _beginnings(field: Field, page: Places, value: Any, order: Order) -> list[tuple[int, int, Mapping[str, Any]]]:
    """For each item that the page shows: the visual row it begins on, over how many it goes, and the item.

    Items are looked for from the top down; where one could begin on several rows, it is the first behind the item before with
    most of its parts on it and the rows right below.
    """
    items = [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
    out: list[tuple[int, int, Mapping[str, Any]]] = []
    free = 0
    for item in items:
        on_row: dict[int, set[str]] = {}
        for part in field.parts:
            wanted = item.get(part.name)
            for start, _ in [] if is_missing(wanted) else find_spans(page.text, wanted, part.type, order=order):
                on_row.setdefault(page.row_of[page.line_at(start)], set()).add(part.name)
        near = {row: set().union(*(on_row.get(row + n, set()) for n in range(3))) for row in on_row if row >= free}
        if not near:
            continue
        most = max(map(len, near.values()))
        row = min(row for row, names in near.items() if len(names) == most)
        there: set[str] = set()
        length = 1
        for n in range(3):
            if on_row.get(row + n, set()) - there:
                there |= on_row[row + n]
                length = n + 1
        out.append((row, length, item))
        free = row + 1
    return out
