"""How well fields were found: right, wrong and missed for every document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shokunin.fields.dates import Order
from shokunin.fields.normalise import is_missing, same
from shokunin.forms import Field

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FieldScores:
    """Counts by document.

    Attributes:
        counts: by field, shape (n, 3): true positives, false positives, false negatives. A wrong value is a false positive and
            a false negative; a value where there is none a false positive. For a list its rows are counted.
        exact: shape (n,), whether all fields of the document are right.
    """

    counts: Mapping[str, Counts]
    exact: npt.NDArray[np.bool_]

    def f1(self, name: str) -> float:
        """The field's F1 over all documents; 1 where there is nothing to find and nothing was."""
        return f1(self.counts[name].sum(axis=0))

    @property
    def mean_f1(self) -> float:
        """The mean of the fields' F1."""
        return float(np.mean([self.f1(name) for name in self.counts]))


def field_scores(
    fields: Sequence[Field],
    expected: Sequence[Mapping[str, Any]],
    given: Sequence[Mapping[str, Any]],
    *,
    order: Order = "dmy",
) -> FieldScores:
    """Compare n answers with what was expected of them; a field that an answer lacks counts as not found."""
    n = len(expected)
    if len(given) != n:
        raise ValueError(f"{len(given)} answers to {n} documents")
    counts = {f.name: np.zeros((n, 3), np.int64) for f in fields}
    exact = np.ones(n, bool)
    for i, (wanted, got) in enumerate(zip(expected, given, strict=True)):
        for field in fields:
            a, b = wanted.get(field.name), got.get(field.name)
            counts[field.name][i] = _rows(field, a, b, order) if field.type == "list" else _one(field, a, b, order)
            exact[i] &= same(field, a, b, order=order)
    return FieldScores(counts, exact)


def f1(counts: Counts) -> float:
    """F1 of (true positives, false positives, false negatives)."""
    right, wrong, missed = (int(c) for c in counts)
    return 2 * right / (2 * right + wrong + missed) if right + wrong + missed else 1.0


def _one(field: Field, wanted: Any, got: Any, order: Order) -> tuple[int, int, int]:
    none_wanted, none_got = is_missing(wanted), is_missing(got)
    if not none_wanted and not none_got and same(field, wanted, got, order=order):
        return 1, 0, 0
    return 0, int(not none_got), int(not none_wanted)


def _rows(field: Field, wanted: Any, got: Any, order: Order) -> tuple[int, int, int]:
    """Rows found, made up and missed; a row counts once, and only if all its parts are right."""
    left = list(wanted) if isinstance(wanted, list) else []
    given = list(got) if isinstance(got, list) else []
    right = 0
    for row in given:
        match = next((i for i, other in enumerate(left) if same(field, [other], [row], order=order)), None)
        if match is not None:
            del left[match]
            right += 1
    return right, len(given) - right, len(left)
