"""Examples to Dataset: set aside what cannot be used, group duplicates, split, look for leaks and wrong labels.

The rules, in the order in which they apply; every row that they take out is counted under a reason:

1. A row without text, without label, or with text that is no valid Unicode is set aside.
2. Of exact duplicates (same text up to case, width and white space) with one label, one is kept. With several labels,
   one row of the label that more than half of them have is kept, else none.
3. With a test file, every training row whose text is, or nearly is, that of a test row is taken out of training.
4. A label that is left with a single row cannot be both learnt and checked, so its row is set aside.
5. Without a test file, a fifth of the rows (at most 20,000) become the test, by whole groups of near duplicates.
6. A tenth of the rows (at least 300, at most 2,000) become the validation rows, if at least 1,500 rows and 20 of each label on
   average are left to learn from; with fewer, validation stays empty, and whoever learns has to validate out of fold.

Rows labelled "none of these" are not learnt; they go the same way, with the training side's in a part of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from shokunin.curate.clean import SHOWN, THRESHOLD, Duplicates, Leaks, find_leaks, group_duplicates
from shokunin.curate.columns import Columns
from shokunin.curate.intake import Intake, Rows, take_in
from shokunin.curate.label_errors import find_label_errors
from shokunin.curate.language import language_of
from shokunin.curate.minhash import sketch
from shokunin.curate.split import TEST, TRAIN, VALIDATION, split
from shokunin.curate.table import Table
from shokunin.curate.times import read_time
from shokunin.dataset import Dataset, Example, Part, SealedRows, digest_of
from shokunin.errors import DataError
from shokunin.progress import Progress, silent
from shokunin.task import Task

TEST_SHARE, TEST_MOST = 0.2, 20_000
VALIDATION_SHARE, VALIDATION_LEAST, VALIDATION_MOST = 0.1, 300, 2_000  # fewer than 300 rows hardly carry a promise
OUT_OF_FOLD_BELOW, OUT_OF_FOLD_PER_LABEL = 1_500, 20
SEARCHED_FOR_ERRORS = 50_000
LISTED = 50
EXCERPT = 200

AGAIN = "the same text and label again"
MINORITY = "the same text with another label, which most of them have"
UNDECIDED = "the same text with different labels, none of them in the majority"
LEAK_EXACT = "the same text as a test row"
LEAK_NEAR = "nearly the same text as a test row"
SINGLE = "the only row of its label"
NO_TIME = "no time that can be read"
UNSEEN = "a label that only the newest rows have"

OutOfFold = Callable[
    [Sequence[str], npt.NDArray[np.int64], npt.NDArray[np.int64]],
    npt.NDArray[np.float64],
]
"""(texts, labels 0 to k - 1, groups) to probabilities, shape (n, k), of models that saw neither row nor group."""


def build_dataset(
    task: Task,
    examples: Iterable[Example],
    *,
    test: Iterable[Example] | None = None,
    tables: Sequence[Table] = (),
    columns: Columns | None = None,
    rows_in: int | None = None,
    set_aside: Mapping[str, int] | None = None,
    keep_leaks: bool = False,
    mask: bool = False,
    seed: int = 0,
    out_of_fold: OutOfFold | None = None,
    progress: Progress = silent,
) -> Dataset:
    """A Dataset from examples; the module's docstring says by which rules.

    Args:
        task: what is asked; its `group` and `time` columns are read from `tables`.
        examples: the rows, as the task's kind gathered them.
        test: the rows of a given test file; those with text and label are kept as they are.
        tables: what the rows (first) and the test rows (second) are read from: for the rows that could not be read, and
            for the card. Read once more if the task names a group or time column.
        columns: how the columns were chosen, for the card.
        rows_in: number of rows that came in, if the caller knows it; it is compared with what was counted here.
        set_aside: rows set aside before, by reason, in addition to those of `tables`.
        keep_leaks: only count the training rows that repeat test rows, do not take them out; for comparison with
            published figures on a split that leaks.
        mask: replace personal data in all texts by its kind.
        seed: for the split.
        out_of_fold: gives the probabilities for the search for wrong labels; without it there is no search.
        progress: told how far it is.

    Raises:
        DataError: fewer than two labels have two rows or more, the test has no rows or has labels that training lacks,
            times cannot be read, or rows got lost on the way (which would be our mistake).
    """
    intake = take_in(examples, test, tables=tables, set_aside=set_aside or {}, mask=mask, progress=progress)
    if rows_in is not None and rows_in != intake.rows_in:
        raise _lost(rows_in, intake.rows_in)
    warnings: list[str] = []
    sketches = sketch(intake.texts, progress)
    conflicts = _drop_duplicates(intake, sketches.same)
    leaks = find_leaks(sketches, intake.is_test) if test is not None else None
    leak_facts = _drop_leaks(intake, leaks, keep=keep_leaks)
    times = _times(intake, task, tables)
    labels = _labels(intake, task, warnings)
    given = _keys(intake, task.group, tables)
    duplicates = group_duplicates(intake.texts, given_groups=given, sketches=sketches, progress=progress)
    del sketches  # 150 bytes a row that are not needed any more
    part, rule = _split(intake, task, labels, duplicates.groups, times, seed)
    labels = _drop_unseen(intake, task, labels, part, warnings)
    rows_of = {name: np.flatnonzero(intake.alive & (part == code)) for code, name in enumerate(PART_CODES)}
    _warn(intake, labels, rows_of, warnings)
    errors = _label_errors(intake, labels, duplicates.groups, rows_of, out_of_fold, seed)
    progress("writing the facts", 0, None)
    facts = {
        "rows": _row_facts(intake, rows_of),
        "split": {**rule, "seed": seed, "counts": {name: len(rows) for name, rows in rows_of.items()}},
        "classes": _class_facts(intake, labels, rows_of),
        "duplicates": _duplicate_facts(intake, duplicates, conflicts),
        "leaks": leak_facts,
        "personal_data": {kind: n for kind, n in intake.personal.most_common() if kind != "rows" and n},
        "personal_data_rows": {"with_any": intake.personal["rows"], "masked": mask},
        "languages": dict(Counter(language_of(intake.texts[i]) for i in np.flatnonzero(intake.alive)).most_common()),
        **errors,
        "files": [dict(table.about) for table in tables],
        "columns": _column_facts(task, columns),
        "warnings": warnings,
    }
    parts = {name: _examples(intake, rows, duplicates.groups) for name, rows in rows_of.items()}
    return Dataset(
        task=task,
        labels=labels,
        train=parts["train"],
        validation=parts["validation"],
        none=parts["none"],
        facts=facts,
        sealed=SealedRows(count=len(parts["test"]), _rows=parts["test"]),
        digest=digest_of(task, parts),
    )


PART_CODES: tuple[Part, ...] = ("train", "validation", "test", "none")
NONE = 3


def _drop_duplicates(intake: Intake, same: Rows) -> list[dict[str, Any]]:
    """Keep one of each set of exact duplicates; the sets with several labels, for the card."""
    rows = intake.learnable()
    rows = rows[np.bincount(same[rows])[same[rows]] > 1]
    rows = rows[np.argsort(same[rows], kind="stable")]
    conflicts: list[dict[str, Any]] = []
    dropped: dict[str, list[int]] = {AGAIN: [], MINORITY: [], UNDECIDED: []}
    for twins in np.split(rows, np.flatnonzero(np.diff(same[rows])) + 1) if len(rows) else []:
        counts = Counter(intake.label(i) for i in twins.tolist())
        if len(counts) == 1:
            dropped[AGAIN].extend(twins[1:].tolist())
            continue
        label, count = counts.most_common(1)[0]
        kept = label if 2 * count > len(twins) else None
        first = next((i for i in twins.tolist() if intake.label(i) == kept), None)
        for i in twins.tolist():
            if i != first:
                reason = UNDECIDED if kept is None else AGAIN if intake.label(i) == kept else MINORITY
                dropped[reason].append(i)
        conflicts.append({"text": _excerpt(intake, int(twins[0])), "labels": dict(counts), "kept": kept})
    for reason, numbers in dropped.items():
        intake.drop(np.asarray(numbers, dtype=np.int64), reason)
    return conflicts


def _drop_leaks(intake: Intake, leaks: Leaks | None, *, keep: bool) -> dict[str, Any]:
    """Take the training rows that repeat a test row out of training, and say which."""
    if leaks is None:
        return {"checked": True, "exact": 0, "near": 0, "action": "groups of duplicates were kept whole when splitting"}
    leaking = np.flatnonzero(intake.alive & ~intake.is_test & (leaks.of >= 0))
    exact = leaking[leaks.similarity[leaking] >= 1]
    near = leaking[leaks.similarity[leaking] < 1]
    # The test row is named by its origin only: its text stays sealed.
    examples = [
        {
            "train": intake.examples[i].origin,
            "text": _excerpt(intake, i),
            "test": intake.examples[leaks.of[i]].origin,
            "similarity": round(float(leaks.similarity[i]), 3),
            "same_label": intake.label(i) == intake.label(int(leaks.of[i])),
        }
        for i in [*exact[: SHOWN // 2].tolist(), *near[: SHOWN // 2].tolist()]
    ]
    if not keep:
        intake.drop(exact, LEAK_EXACT)
        intake.drop(near, LEAK_NEAR)
    action = "left in training, as asked" if keep else "taken out of training"
    return {"checked": True, "exact": len(exact), "near": len(near), "action": action, "examples": examples}


def _times(intake: Intake, task: Task, tables: Sequence[Table]) -> npt.NDArray[np.float64] | None:
    """The time of every row, if the task splits by time.

    Raises:
        DataError: most rows have no time that can be read.
    """
    values = _keys(intake, task.time, tables)
    if values is None:
        return None
    read = [None if value is None else read_time(value) for value in values]
    times = np.asarray([np.nan if t is None else t for t in read], dtype=np.float64)
    rows = intake.learnable()
    unread = rows[np.isnan(times[rows])]
    if len(rows) and 2 * len(unread) > len(rows):
        raise DataError(
            f"column {task.time!r} is no time that can be read in {len(unread)} of {len(rows)} rows (for instance "
            f"{values[int(unread[0])]!r}); write it as 2024-03-01 09:05, or split without `time`"
        )
    intake.drop(unread, NO_TIME)
    return times


def _keys(intake: Intake, column: str | None, tables: Sequence[Table]) -> list[str | None] | None:
    """The value of a column that is no input, for every row, by reading the tables once more."""
    if column is None:
        return None
    if not tables:
        raise DataError(f"the rows have no column {column!r} that the task names; pass the tables that they come from")
    if column not in tables[0].columns:
        raise DataError(f"{tables[0].about['name']!r} has no column {column!r}, which the task splits by")
    # A given test file need not have the column: its rows are not split.
    known = [
        {origin: row[column].strip() for origin, row in table.rows()} if column in table.columns else {}
        for table in tables[:2]
    ]
    side = intake.is_test.astype(int).tolist()
    return [known[i].get(example.origin) for i, example in zip(side, intake.examples, strict=True)]


def _labels(intake: Intake, task: Task, warnings: list[str]) -> tuple[str, ...]:
    """The labels to learn, sorted; labels with a single row are set aside.

    Raises:
        DataError: fewer than two are left, or the test file has others.
    """
    none = set(task.none_labels)
    rows = intake.learnable()
    counts = Counter(label for i in rows.tolist() if (label := intake.label(i)) not in none)
    single = sorted(label for label, count in counts.items() if count == 1)
    intake.drop(np.asarray([i for i in rows.tolist() if counts[intake.label(i)] == 1], dtype=np.int64), SINGLE)
    labels = tuple(sorted(label for label, count in counts.items() if count > 1))
    if single:
        warnings.append(
            f"{_names(single)}: only one usable row each, set aside; two or more are needed to learn a label"
        )
    if len(labels) < 2:
        raise _too_few(labels, single, task)
    test_labels = {intake.label(i) for i in np.flatnonzero(intake.is_test & intake.alive).tolist()} - none
    unknown = sorted(test_labels - set(labels))
    if unknown:
        why = " (some have a single training row, which is too few)" if set(unknown) & set(single) else ""
        raise DataError(
            f"the test file has labels that the training rows lack: {_names(unknown)}{why}; "
            f"training has {_names(list(labels))}. Check that both files use the same label column and spelling"
        )
    return labels


def _too_few(labels: Sequence[str], single: Sequence[str], task: Task) -> DataError:
    target = f"(column {task.target!r})"
    if len(labels) == 1 and not single:
        return DataError(
            f"all usable rows have the same label {labels[0]!r} {target}; expected two labels or more. "
            "Is this the label column? Say which one it is: --target COL"
        )
    if labels:
        return DataError(
            f"only the label {labels[0]!r} has two usable rows or more {target}; {_names(single)} have one each"
        )
    return DataError(
        f"no label has two usable rows or more {target}; {len(single)} have one each. "
        "Is this the label column? Say which one it is: --target COL"
    )


def _split(
    intake: Intake,
    task: Task,
    labels: tuple[str, ...],
    groups: Rows,
    times: npt.NDArray[np.float64] | None,
    seed: int,
) -> tuple[npt.NDArray[np.int8], dict[str, Any]]:
    """The part of every row as a place in PART_CODES, and the rule in words."""
    index = {label: i for i, label in enumerate(labels)}
    rows = intake.learnable()
    codes = np.asarray([index.get(intake.label(i), len(labels)) for i in rows.tolist()], dtype=np.int64)
    learnt = int((codes < len(labels)).sum())
    given_test = bool(intake.is_test.any())
    test_share = 0.0 if given_test else min(TEST_SHARE, TEST_MOST / len(rows))
    left = learnt * (1 - test_share)
    enough = left >= OUT_OF_FOLD_BELOW and left >= OUT_OF_FOLD_PER_LABEL * len(labels)
    wanted = min(VALIDATION_MOST, max(VALIDATION_LEAST, VALIDATION_SHARE * learnt))
    shares = (wanted / learnt if enough else 0.0, test_share)
    part = np.zeros(len(intake.examples), dtype=np.int8)
    part[rows] = split(codes, groups[rows], shares=shares, seed=seed, time=None if times is None else times[rows])
    none = rows[(codes == len(labels)) & (part[rows] != TEST)]
    part[none] = NONE
    part[intake.is_test] = TEST
    how = "stratified by label" if times is None else f"the newest rows by {task.time!r}"
    together = "near duplicates" + (f" and rows with the same {task.group!r}" if task.group else "")
    return part, {
        "test": "given as a file" if given_test else f"{test_share:.1%} of the rows, {how}",
        "validation": f"{shares[0]:.1%} of the rows, {how}" if enough else "none: too few rows, validated out of fold",
        "kept_together": together,
    }


def _drop_unseen(
    intake: Intake, task: Task, labels: tuple[str, ...], part: npt.NDArray[np.int8], warnings: list[str]
) -> tuple[str, ...]:
    """The labels with training rows; a split by time can leave one without, whose rows are then set aside, loudly."""
    none = set(task.none_labels)
    alive = np.flatnonzero(intake.alive)
    learnt = {intake.label(i) for i in alive[part[alive] == TRAIN].tolist()}
    late = [i for i in alive.tolist() if part[i] in (VALIDATION, TEST) and intake.label(i) not in learnt | none]
    if len(learnt) < 2:
        raise DataError("the rows before the newest ones have fewer than two labels; split without `time`, or add rows")
    if late:
        names = sorted({intake.label(i) for i in late})
        warnings.append(f"{_names(names)}: only among the newest rows, so set aside; train again when there are more")
        intake.drop(np.asarray(late, dtype=np.int64), UNSEEN)
    return tuple(label for label in labels if label in learnt)


def _warn(intake: Intake, labels: tuple[str, ...], rows_of: Mapping[Part, Rows], warnings: list[str]) -> None:
    tested = {intake.label(i) for i in rows_of["test"].tolist()}
    untested = [label for label in labels if label not in tested]
    if untested:
        warnings.append(
            f"{_names(untested)}: no test rows, so nothing will be known about how well they are told apart"
        )
    if len(rows_of["test"]) < 100:
        n = len(rows_of["test"])
        warnings.append(f"the test has only {n} rows, so every score will have a wide interval")
    reasons = intake.aside.total()
    if reasons > 0.2 * intake.rows_in:
        warnings.append(f"{reasons} of {intake.rows_in} rows were set aside; look at the reasons")


def _label_errors(
    intake: Intake,
    labels: tuple[str, ...],
    groups: Rows,
    rows_of: Mapping[Part, Rows],
    out_of_fold: OutOfFold | None,
    seed: int,
) -> dict[str, Any]:
    """Candidates for wrong labels among the rows that are not the test."""
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
    probabilities = out_of_fold([intake.texts[i] for i in rows.tolist()], codes, groups[rows])
    found = find_label_errors(codes, np.asarray(probabilities, dtype=np.float64), learnt)
    listed = [
        {
            "origin": intake.examples[rows[c.row]].origin,
            "text": _excerpt(intake, int(rows[c.row])),
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


def _row_facts(intake: Intake, rows_of: Mapping[Part, Rows]) -> dict[str, Any]:
    """Rows in and out.

    Raises:
        DataError: they do not add up.
    """
    used = sum(len(rows) for rows in rows_of.values())
    aside = {reason: count for reason, count in intake.aside.most_common() if count}
    if used + sum(aside.values()) != intake.rows_in:
        raise _lost(intake.rows_in, used + sum(aside.values()))
    return {"in": intake.rows_in, "used": used, "set_aside": aside, "set_aside_first": intake.origins}


def _lost(came: int, counted: int) -> DataError:
    return DataError(
        f"{came} rows came in but {counted} were counted; this is a mistake in the program, not in the rows"
    )


def _class_facts(intake: Intake, labels: tuple[str, ...], rows_of: Mapping[Part, Rows]) -> dict[str, int]:
    counts = Counter(intake.label(i) for rows in rows_of.values() for i in rows.tolist())
    return {label: counts[label] for label in (*labels, *sorted(set(counts) - set(labels)))}


def _duplicate_facts(intake: Intake, duplicates: Duplicates, conflicts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    living = duplicates.groups[np.flatnonzero(intake.alive)]
    sizes = np.unique(living, return_counts=True)[1]
    pairs = [
        {"a": _excerpt(intake, a), "b": _excerpt(intake, b), "similarity": round(s, 3)}
        for a, b, s in duplicates.pairs
        if not intake.is_test[a] and not intake.is_test[b]
    ]
    return {
        "exact": duplicates.exact,
        "near": duplicates.near,
        "threshold": THRESHOLD,
        "groups": len(sizes),
        "largest_group": int(sizes.max(initial=0)),
        "conflicting_labels": len(conflicts),
        "conflicts": list(conflicts[:SHOWN]),
        "pairs": pairs[: SHOWN // 2],
    }


def _column_facts(task: Task, columns: Columns | None) -> dict[str, Any]:
    return {
        "inputs": list(task.inputs),
        "target": task.target,
        "group": task.group,
        "time": task.time,
        "why": list(columns.why) if columns else [],
    }


def _examples(intake: Intake, rows: Rows, groups: Rows) -> tuple[Example, ...]:
    return tuple(replace(intake.examples[i], group=int(groups[i])) for i in rows.tolist())


def _excerpt(intake: Intake, row: int) -> str:
    text = intake.texts[row]
    return text if len(text) <= EXCERPT else text[: EXCERPT - 1] + "…"


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(repr(n if len(n) <= 60 else n[:59] + "…") for n in names[:10])
    return shown + (f" and {len(names) - 10} more" if len(names) > 10 else "")
