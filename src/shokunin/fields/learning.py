"""All fields' models from lessons: who is judged by whom, how dates are read, and one model a field."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shokunin.errors import LessonsError
from shokunin.fields.dates import Order, find_dates, usual_order
from shokunin.fields.learn_items import learn_list
from shokunin.fields.learn_scalar import FOLDS, Fitting, Rows, cuts_of, learn_scalar
from shokunin.fields.line_items import Model
from shokunin.fields.normalise import is_missing
from shokunin.fields.places import Places
from shokunin.fields.scalar import Seen
from shokunin.forms import FieldLessons
from shokunin.progress import Progress

FEWEST = 4


def learn(lessons: FieldLessons, fitting: Fitting, *, seed: int, progress: Progress) -> tuple[Model, ...]:
    """One model for each field.

    Raises:
        LessonsError: there are fewer than four documents or two groups, no field, or no value at all.
    """
    if not lessons.fields:
        raise LessonsError("there is no field to learn; name the fields with their types")
    if len(lessons) < FEWEST or len(np.unique(lessons.groups)) < 2:
        raise LessonsError(
            f"{len(lessons)} documents in {len(np.unique(lessons.groups))} groups are too few to learn where fields stand; "
            f"bring at least {FEWEST} that are not copies of each other"
        )
    if all(is_missing(row.get(f.name)) for row in lessons.expected for f in lessons.fields):
        names = ", ".join(repr(f.name) for f in lessons.fields)
        raise LessonsError(f"no document has a value for any of {names}; bring past answers to learn from")
    progress("reading the documents", 0, None)
    pages = [Places(document) for document in lessons.documents]
    folds = folds_of(lessons.groups, seed)
    order = order_of(lessons, pages)
    values = {f.name: [row.get(f.name) for row in lessons.expected] for f in lessons.fields}
    plain = [f for f in lessons.fields if f.type != "list"]
    cuts = cuts_of(plain, pages, [values[f.name] for f in plain])
    seen = [Seen() for _ in pages]
    models: list[Model] = []
    for done, field in enumerate(lessons.fields):
        progress(f"learning the field {field.name!r}", done, len(lessons.fields))
        if field.type == "list":
            models.append(learn_list(field, pages, values[field.name], folds, order, fitting, seed))
        else:
            models.append(learn_scalar(field, pages, values[field.name], folds, seen, cuts, order, fitting, seed))
    progress("learning the fields", len(lessons.fields), len(lessons.fields))
    return tuple(models)


def folds_of(groups: Rows, seed: int) -> Rows:
    """A fold for each row, shape (n,): groups stay whole, and the folds are about equally large."""
    names, where, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    drawn = np.random.default_rng(seed).permutation(len(names))
    fold_of = np.zeros(len(names), np.int64)
    held = np.zeros(min(FOLDS, len(names)), np.int64)
    for group in drawn[np.argsort(-sizes[drawn], kind="stable")]:
        fold_of[group] = held.argmin()
        held[held.argmin()] += sizes[group]
    return np.asarray(fold_of[where], np.int64)


def order_of(lessons: FieldLessons, pages: Sequence[Places]) -> Order:
    """Which number of a date is the day: what the answers say of the documents' dates, else what makes all of them dates."""
    votes: dict[Order, int] = {}
    for page, row in zip(pages, lessons.expected, strict=True):
        for field in lessons.fields:
            value = row.get(field.name)
            told = find_dates(str(value)) if field.type == "date" and value is not None else []
            sure = {day for date in told if not date.numeric for day in date.readings.values()}
            for date in page.dates if sure else ():
                if len(set(date.readings.values())) > 1:
                    for which, day in date.readings.items():
                        votes[which] = votes.get(which, 0) + (day in sure)
    if any(votes.values()):
        return max(sorted(votes), key=lambda order: votes[order])
    return usual_order(date for page in pages for date in page.dates) or "dmy"
