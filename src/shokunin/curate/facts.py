"""The facts that a dataset carries, for its card and for the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from shokunin.curate.clean import SHOWN, THRESHOLD, Duplicates
from shokunin.curate.columns import Columns
from shokunin.curate.intake import Intake, Rows
from shokunin.curate.label_errors import find_label_errors
from shokunin.curate.rules import Conflict
from shokunin.curate.table import quoted
from shokunin.dataset import Part
from shokunin.errors import DataError, UsageError
from shokunin.task import Task

SEARCHED_FOR_ERRORS = 50_000
LISTED = 50
FEW_TEST_ROWS = 100
MANY_ASIDE = 0.2

OutOfFold = Callable[
    [Sequence[str], npt.NDArray[np.int64], npt.NDArray[np.int64]],
    npt.NDArray[np.float64],
]
"""(texts, labels 0 to k - 1, groups) to probabilities, shape (n, k), of models that saw neither row nor group."""


def row_facts(intake: Intake, rows_of: Mapping[Part, Rows]) -> dict[str, Any]:
    """Rows in and out.

    Raises:
        DataError: they do not add up.
    """
    used = sum(len(rows) for rows in rows_of.values())
    aside = {reason: count for reason, count in intake.aside.most_common() if count}
    if used + sum(aside.values()) != intake.rows_in:
        raise lost(intake.rows_in, used + sum(aside.values()))
    return {"in": intake.rows_in, "used": used, "set_aside": aside, "set_aside_first": intake.origins}


def lost(came: int, counted: int) -> DataError:
    """The error for rows that do not add up."""
    return DataError(
        f"{came} rows came in but {counted} were counted; this is a mistake in the program, not in the rows"
    )


def class_facts(intake: Intake, labels: tuple[str, ...], rows_of: Mapping[Part, Rows]) -> dict[str, int]:
    """Rows of every label, over all parts; "none of these" last."""
    counts = Counter(intake.label(i) for rows in rows_of.values() for i in rows.tolist())
    return {label: counts[label] for label in (*labels, *sorted(set(counts) - set(labels)))}


def duplicate_facts(
    intake: Intake, duplicates: Duplicates, conflicts: Sequence[Conflict], sealed: Rows
) -> dict[str, Any]:
    """How many rows repeat others, and examples; no sealed text is among them."""
    hidden = set(sealed.tolist())
    sizes = np.unique(duplicates.groups[np.flatnonzero(intake.alive)], return_counts=True)[1]
    return {
        "exact": duplicates.exact,
        "near": duplicates.near,
        "threshold": THRESHOLD,
        "groups": len(sizes),
        "largest_group": int(sizes.max(initial=0)),
        "conflicting_labels": len(conflicts),
        "conflicts": [
            {"text": intake.excerpt(c.row), "labels": c.labels, "kept": c.kept}
            for c in conflicts
            if c.row not in hidden
        ][:SHOWN],
        "pairs": [
            {"a": intake.excerpt(a), "b": intake.excerpt(b), "similarity": round(similarity, 3)}
            for a, b, similarity in duplicates.pairs
            if not hidden & {a, b}
        ][: SHOWN // 2],
    }


def label_error_facts(
    intake: Intake,
    groups: Rows,
    rows_of: Mapping[Part, Rows],
    out_of_fold: OutOfFold | None,
    seed: int,
) -> dict[str, Any]:
    """Candidates for wrong labels among the rows that are not the test; or why they were not searched for."""
    if out_of_fold is None:
        return {"label_errors": [], "label_error_search": {"searched": 0}}
    rows = np.sort(np.concatenate([rows_of["train"], rows_of["validation"]]))
    learnt = sorted({intake.label(i) for i in rows.tolist()})
    index = {label: i for i, label in enumerate(learnt)}
    codes = np.asarray([index[intake.label(i)] for i in rows.tolist()], dtype=np.int64)
    if len(rows) > SEARCHED_FOR_ERRORS:
        # An even draw, and all rows of small labels.
        small = np.bincount(codes)[codes] <= LISTED
        drawn = np.random.default_rng(seed).random(len(rows)) < SEARCHED_FOR_ERRORS / len(rows)
        rows, codes = rows[small | drawn], codes[small | drawn]
    try:
        probabilities = out_of_fold([intake.texts[i] for i in rows.tolist()], codes, groups[rows])
    except (UsageError, ValueError) as error:  # the search is an extra; rows that cannot be searched can still be used
        return {"label_errors": [], "label_error_search": {"searched": 0, "skipped": str(error)}}
    found = find_label_errors(codes, np.asarray(probabilities, dtype=np.float64), learnt)
    listed = [
        {
            "origin": intake.examples[rows[c.row]].origin,
            "text": intake.excerpt(int(rows[c.row])),
            "given": c.given,
            "suggested": c.suggested,
            "probability_of_given": round(c.score, 4),
        }
        for c in found.candidates[:LISTED]
    ]
    search = {
        "searched": len(rows),
        "found": len(found.candidates),
        "estimated_share": round(found.estimated_share, 4),
    }
    return {"label_errors": listed, "label_error_search": search}


def column_facts(task: Task, columns: Columns | None) -> dict[str, Any]:
    """What the columns were taken for, and why."""
    return {
        "inputs": list(task.inputs),
        "target": task.target,
        "group": task.group,
        "time": task.time,
        "why": list(columns.why) if columns else [],
    }


def warn(intake: Intake, labels: tuple[str, ...], rows_of: Mapping[Part, Rows], warnings: list[str]) -> None:
    """Say what makes the scores less certain than the user may think."""
    tested = {intake.label(i) for i in rows_of["test"].tolist()}
    untested = [label for label in labels if label not in tested]
    if untested:
        warnings.append(
            f"{quoted(untested)}: no test rows, so nothing will be known about how well they are told apart"
        )
    if len(rows_of["test"]) < FEW_TEST_ROWS:
        n = len(rows_of["test"])
        warnings.append(f"the test has only {n} rows, so every score will have a wide interval")
    reasons = intake.aside.total()
    if reasons > MANY_ASIDE * intake.rows_in:
        warnings.append(f"{reasons} of {intake.rows_in} rows were set aside; look at the reasons")
