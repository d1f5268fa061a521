"""The rules of curation: which rows are taken out, and on which side of the split the others stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shokunin.curate.clean import SHOWN, Leaks
from shokunin.curate.intake import Intake, Rows
from shokunin.curate.split import TEST, TRAIN, VALIDATION, split
from shokunin.curate.table import Table, quoted
from shokunin.curate.times import read_time
from shokunin.dataset import OWNER, Part
from shokunin.errors import DataError
from shokunin.task import Task

TEST_SHARE, TEST_MOST = 0.2, 20_000
VALIDATION_SHARE, VALIDATION_LEAST, VALIDATION_MOST = 0.1, 300, 2_000  # fewer than 300 hardly carry a promise
ANSWERS_SHARE, ANSWERS_LEAST, ANSWERS_MOST = 0.2, 30, 1_000
OUT_OF_FOLD_BELOW, OUT_OF_FOLD_PER_LABEL = 1_500, 20

AGAIN = "the same text and label again"
MINORITY = "the same text with another label, which most of them have"
ANSWERED_AGAIN = "the same text and answer again"
ANSWERED_OTHERWISE = "the same text with another answer, which comes more often or first"
UNDECIDED = "the same text with different labels, none of them in the majority"
LEAK_EXACT = "the same text as a test row"
LEAK_NEAR = "nearly the same text as a test row"
SINGLE = "the only row of its label"
NO_TIME = "no time that can be read"
UNSEEN = "a label that only the newest rows have"
TAUGHT_NEAR = "labelled by a model, and nearly the same text as a row that models are judged by"

PARTS: tuple[Part, ...] = ("train", "validation", "test", "none")
"""What the codes of a split mean; the first three are those of `split`."""
NONE = 3


@dataclass(frozen=True)
class Conflict:
    """Exact duplicates with different labels.

    Attributes:
        row: the row that is kept, or else one of them.
        labels: how many of them have each label.
        kept: the label that is kept, or None.
    """

    row: int
    labels: dict[str, int]
    kept: str | None


def drop_duplicates(intake: Intake, same: Rows, *, labels: bool = True) -> list[Conflict]:
    """Keep one of each set of exact duplicates; the sets with several labels, for the card.

    Where answers are no labels, several of them may be good: the commonest is kept, of equals the first.
    """
    rows = intake.learnable()
    rows = rows[np.bincount(same[rows])[same[rows]] > 1]
    rows = rows[np.argsort(same[rows], kind="stable")]
    conflicts: list[Conflict] = []
    again, otherwise = (AGAIN, MINORITY) if labels else (ANSWERED_AGAIN, ANSWERED_OTHERWISE)
    dropped: dict[str, list[int]] = {again: [], otherwise: [], UNDECIDED: []}
    for twins in np.split(rows, np.flatnonzero(np.diff(same[rows])) + 1) if len(rows) else []:
        counts = Counter(intake.label(i) for i in twins.tolist())
        if len(counts) == 1:
            dropped[again].extend(twins[1:].tolist())
            continue
        label, count = counts.most_common(1)[0]
        kept = label if 2 * count > len(twins) or not labels else None
        first = next((i for i in twins.tolist() if intake.label(i) == kept), None)
        for i in twins.tolist():
            if i != first:
                reason = UNDECIDED if kept is None else again if intake.label(i) == kept else otherwise
                dropped[reason].append(i)
        conflicts.append(Conflict(int(twins[0]) if first is None else first, dict(counts), kept))
    for reason, numbers in dropped.items():
        intake.drop(np.asarray(numbers, dtype=np.int64), reason)
    return conflicts


def drop_leaks(intake: Intake, leaks: Leaks | None, *, keep: bool) -> dict[str, Any]:
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
            "text": intake.excerpt(i),
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


def values_of(intake: Intake, column: str | None, tables: Sequence[Table]) -> list[str | None] | None:
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


def times_of(intake: Intake, task: Task, tables: Sequence[Table]) -> npt.NDArray[np.float64] | None:
    """The time of every row, if the task splits by time.

    Raises:
        DataError: most rows have no time that can be read.
    """
    values = values_of(intake, task.time, tables)
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


def warn_of_shared_groups(intake: Intake, task: Task, values: Sequence[str | None] | None, warnings: list[str]) -> None:
    """Say so when a given test file has rows of groups that training has too."""
    if values is None:
        return
    tested = {values[i] for i in np.flatnonzero(intake.is_test).tolist()} - {None, ""}
    shared = sum(values[i] in tested for i in intake.learnable().tolist())
    if shared:
        warnings.append(
            f"{shared} training rows have a {task.group!r} that the test file has too; the scores may be too good"
        )


def check_test_labels(intake: Intake, task: Task) -> None:
    """A given test file must not have labels of its own.

    Raises:
        DataError: it has; they are named.
    """
    known = {intake.label(i) for i in np.flatnonzero(~intake.is_test).tolist()}
    unknown = sorted(_tested(intake, task) - known)
    if unknown:
        raise DataError(
            f"the test file has labels that the training rows lack: {quoted(unknown)}; training has "
            f"{quoted(sorted(known))}. Check that both files use the same label column and spelling"
        )


def labels_of(intake: Intake, task: Task, warnings: list[str]) -> tuple[str, ...]:
    """The labels to learn, sorted; labels with a single row are set aside.

    Raises:
        DataError: fewer than two are left, or one that the test file has is not.
    """
    none = set(task.none_labels)
    rows = intake.learnable()
    counts = Counter(label for i in rows.tolist() if (label := intake.label(i)) not in none)
    single = sorted(label for label, count in counts.items() if count == 1)
    labels = tuple(sorted(label for label, count in counts.items() if count > 1))
    if len(labels) < 2:
        raise _too_few(intake, labels, single, task)
    lacking = sorted(_tested(intake, task) - set(labels))
    if lacking:
        raise DataError(
            f"the test file has the labels {quoted(lacking)}, of which fewer than two training rows are usable"
            f"{_taken_out(intake)}; add rows of them to training, or take them out of the test"
        )
    intake.drop(np.asarray([i for i in rows.tolist() if counts[intake.label(i)] == 1], dtype=np.int64), SINGLE)
    if single:
        warnings.append(f"{quoted(single)}: one usable row each, set aside; two or more are needed to learn a label")
    return labels


def _tested(intake: Intake, task: Task) -> set[str]:
    return {intake.label(i) for i in np.flatnonzero(intake.is_test).tolist()} - set(task.none_labels)


def _too_few(intake: Intake, labels: Sequence[str], single: Sequence[str], task: Task) -> DataError:
    column = f"(column {task.target!r}){_taken_out(intake)}"
    if len(labels) == 1 and not single:
        message = f"all usable rows have the same label {labels[0]!r} {column}; expected two labels or more. "
    elif labels:
        message = f"only the label {labels[0]!r} has two usable rows or more {column}; one each: {quoted(single)}. "
    else:
        message = f"no label has two usable rows or more {column}; {len(single)} labels have one. "
    return DataError(message + "Add rows; or is this not the label column? Say which one it is: --target COL")


def _taken_out(intake: Intake) -> str:
    if not intake.aside:
        return ""
    return "; set aside before: " + ", ".join(f"{n} × {reason}" for reason, n in intake.aside.most_common(5))


def split_rows(
    intake: Intake,
    task: Task,
    labels: tuple[str, ...],
    groups: Rows,
    times: npt.NDArray[np.float64] | None,
    seed: int,
) -> tuple[npt.NDArray[np.int8], dict[str, Any]]:
    """The part of every row as a place in PARTS, and the rule in words."""
    index = {label: i for i, label in enumerate(labels)}
    rows = _of_owner(intake)
    codes = np.asarray([index.get(intake.label(i), len(labels)) for i in rows.tolist()], dtype=np.int64)
    learnt = int((codes < len(labels)).sum())
    given_test = bool(intake.is_test.any())
    test_share = 0.0 if given_test else min(TEST_SHARE, TEST_MOST / max(1, len(rows)))
    left = learnt * (1 - test_share)
    enough = left >= OUT_OF_FOLD_BELOW and left >= OUT_OF_FOLD_PER_LABEL * len(labels)
    wanted = min(VALIDATION_MOST, max(VALIDATION_LEAST, VALIDATION_SHARE * learnt))
    shares = (wanted / max(1, learnt) if enough else 0.0, test_share)
    part = np.zeros(len(intake.examples), dtype=np.int8)
    part[rows] = split(codes, groups[rows], shares=shares, seed=seed, time=None if times is None else times[rows])
    none = rows[(codes == len(labels)) & (part[rows] != TEST)]
    part[none] = NONE
    part[intake.is_test] = TEST
    for i in _place_taught(intake, groups, part).tolist():
        part[i] = NONE if intake.label(i) in task.none_labels else TRAIN
    how = "stratified by label" if times is None else f"the newest rows by {task.time!r}"
    together = "near duplicates" + (f" and rows with the same {task.group!r}" if task.group else "")
    return part, {
        "test": "given as a file" if given_test else f"{test_share:.1%} of the rows, {how}",
        "validation": f"{shares[0]:.1%} of the rows, {how}" if enough else "none: too few rows, validated out of fold",
        "kept_together": together,
    }


def split_answers(
    intake: Intake, task: Task, groups: Rows, times: npt.NDArray[np.float64] | None, seed: int
) -> tuple[npt.NDArray[np.int8], dict[str, Any]]:
    """The part of every row where answers are no labels: validation rows are always set apart."""
    rows = _of_owner(intake)
    given_test = bool(intake.is_test.any())
    test_share = 0.0 if given_test else min(TEST_SHARE, TEST_MOST / max(1, len(rows)))
    left = len(rows) * (1 - test_share)
    wanted = min(ANSWERS_MOST, max(ANSWERS_LEAST, ANSWERS_SHARE * left), left / 3)
    shares = (wanted / max(1, len(rows)), test_share)
    part = np.zeros(len(intake.examples), dtype=np.int8)
    codes = np.zeros(len(rows), dtype=np.int64)
    part[rows] = split(codes, groups[rows], shares=shares, seed=seed, time=None if times is None else times[rows])
    part[intake.is_test] = TEST
    _place_taught(intake, groups, part)
    how = "at random" if times is None else f"the newest rows by {task.time!r}"
    together = "near duplicates" + (f" and rows with the same {task.group!r}" if task.group else "")
    return part, {
        "test": "given as a file" if given_test else f"{test_share:.1%} of the rows, {how}",
        "validation": f"{shares[0]:.1%} of the rows, {how}",
        "kept_together": together,
    }


def _of_owner(intake: Intake) -> Rows:
    """The learnable rows whose answers are the owner's."""
    rows = intake.learnable()
    return np.asarray([i for i in rows.tolist() if intake.examples[i].labelled_by == OWNER], dtype=np.int64)


def _place_taught(intake: Intake, groups: Rows, part: npt.NDArray[np.int8]) -> Rows:
    """Rows that a model has labelled are learnt and judge nothing; those too near to a row that judges are set aside.

    Returns:
        The rows that are left of them.
    """
    taught = np.setdiff1d(intake.learnable(), _of_owner(intake))
    judging = intake.alive & ((part == TEST) | (part == VALIDATION))
    near = np.isin(groups[taught], groups[judging])
    intake.drop(taught[near], TAUGHT_NEAR)
    return taught[~near]


def drop_unseen(
    intake: Intake, task: Task, labels: tuple[str, ...], part: npt.NDArray[np.int8], warnings: list[str]
) -> tuple[str, ...]:
    """The labels with training rows; a split by time can leave one without, whose rows are then set aside, loudly."""
    none = set(task.none_labels)
    alive = np.flatnonzero(intake.alive)
    learnt = {intake.label(i) for i in alive[part[alive] == TRAIN].tolist()}
    late = [i for i in alive.tolist() if part[i] in (VALIDATION, TEST) and intake.label(i) not in learnt | none]
    if len(learnt) < 2:
        if task.time is None:
            together = f" with the same {task.group!r}" if task.group else " that are near duplicates"
            raise DataError(
                f"the training rows have fewer than two labels, because rows{together} stay on one side; add rows"
            )
        raise DataError("the rows before the newest ones have fewer than two labels; split without `time`, or add rows")
    if late:
        names = sorted({intake.label(i) for i in late})
        where = "among the newest rows" if task.time else "in groups that are kept out of training"
        warnings.append(f"{quoted(names)}: only {where}, so set aside; train again when there are more")
        intake.drop(np.asarray(late, dtype=np.int64), UNSEEN)
    return tuple(label for label in labels if label in learnt)


def check_parts(intake: Intake, task: Task, rows_of: Mapping[Part, Rows], *, labels: bool = True) -> None:
    """There must be something to test on, and something to choose by.

    Raises:
        DataError: no test row has a label to be told apart; or, where answers are no labels, no validation row is left.
    """
    none = set(task.none_labels) if labels else set()
    tested = any(intake.label(i) not in none for i in rows_of["test"].tolist())
    if tested and (labels or len(rows_of["validation"])):
        return
    learnt = len(rows_of["train"]) + len(rows_of["validation"])
    why = f" (rows with the same {task.group!r} stay on one side of the split)" if task.group else ""
    raise DataError(f"no rows are left for a test beside {learnt} to learn from{why}; add rows or give --test FILE")
