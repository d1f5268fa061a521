"""Examples to Dataset: set aside what cannot be used, group duplicates, split, look for leaks and wrong labels.

The rules, in the order in which they apply; every row that they take out is counted under a reason:

1. A row without text, without label, or with text that is no valid Unicode is set aside.
2. Of exact duplicates (same text up to case, width and white space) with one label, one is kept. With several labels,
   one row of the label that more than half of them have is kept, else none.
3. With a test file, every training row whose text is, or nearly is, that of a test row is taken out of training.
4. A label that is left with a single row cannot be both learnt and checked, so its row is set aside.
5. Without a test file, a fifth of the rows (at most 20,000) become the test, by whole groups of near duplicates.
6. A tenth of the rows (at least 300, at most 2,000) become the validation rows, if at least 1,500 rows and 20 of each
   label on average are left to learn from; with fewer, validation stays empty, and whoever learns has to validate out
   of fold.

Where answers are no labels but texts or fields, rule 4 does not apply, and a fifth of what is left (at least 30 rows, at most
1,000) always become the validation rows: fitting such a model once for every fold would take too long.

Rows labelled "none of these" are not learnt; they go the same way, with the training side's in a part of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from shokunin.curate import facts, rules
from shokunin.curate.clean import find_leaks, group_duplicates
from shokunin.curate.columns import Columns
from shokunin.curate.facts import OutOfFold
from shokunin.curate.intake import Intake, Rows, take_in
from shokunin.curate.language import language_of
from shokunin.curate.minhash import sketch
from shokunin.curate.table import Table
from shokunin.dataset import Dataset, Example, SealedRows, digest_of
from shokunin.progress import Progress, silent
from shokunin.task import Task


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
    labels: bool = True,
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
        mask: replace personal data in all texts by its kind, in answers that are no labels too.
        seed: for the split.
        out_of_fold: gives the probabilities for the search for wrong labels; without it there is no search.
        labels: whether the answers are labels, each of which is to be learnt; rules 4 and 6 are for them.
        progress: told how far it is.

    Raises:
        DataError: fewer than two labels have two rows or more, no rows are left for the test, it has labels that training
            lacks, times cannot be read, or rows got lost on the way (which would be our mistake).
    """
    intake = take_in(
        examples,
        test,
        names=task.inputs,
        tables=tables,
        set_aside=set_aside or {},
        mask=mask,
        answers=not labels,
        progress=progress,
    )
    if rows_in is not None and rows_in != intake.rows_in:
        raise facts.lost(rows_in, intake.rows_in)
    if labels:
        rules.check_test_labels(intake, task)
    warnings: list[str] = []
    sketches = sketch(intake.texts, progress)
    conflicts = rules.drop_duplicates(intake, sketches.same, labels=labels)
    leaks = find_leaks(sketches, intake.is_test) if test is not None else None
    leak_facts = rules.drop_leaks(intake, leaks, keep=keep_leaks)
    times = rules.times_of(intake, task, tables)
    names = rules.labels_of(intake, task, warnings) if labels else ()
    given = rules.values_of(intake, task.group, tables)
    rules.warn_of_shared_groups(intake, task, given, warnings)
    duplicates = group_duplicates(intake.texts, given_groups=given, sketches=sketches, progress=progress)
    del sketches  # 100 bytes a row that are not needed any more
    if labels:
        part, rule = rules.split_rows(intake, task, names, duplicates.groups, times, seed)
        names = rules.drop_unseen(intake, task, names, part, warnings)
    else:
        part, rule = rules.split_answers(intake, task, duplicates.groups, times, seed)
    rows_of = {name: np.flatnonzero(intake.alive & (part == code)) for code, name in enumerate(rules.PARTS)}
    rules.check_parts(intake, task, rows_of, labels=labels)
    facts.warn(intake, names, rows_of, warnings)
    errors = facts.label_error_facts(intake, duplicates.groups, rows_of, out_of_fold, seed)
    progress("writing the facts", 0, None)
    about = {
        "rows": facts.row_facts(intake, rows_of),
        "split": {**rule, "seed": seed, "counts": {name: len(rows) for name, rows in rows_of.items()}},
        "classes": facts.class_facts(intake, names, rows_of) if labels else {},
        "duplicates": facts.duplicate_facts(intake, duplicates, conflicts, rows_of["test"]),
        "leaks": leak_facts,
        "personal_data": {kind: n for kind, n in intake.personal.most_common() if kind != "rows" and n},
        "personal_data_rows": {"with_any": intake.personal["rows"], "masked": mask},
        "languages": dict(Counter(language_of(intake.texts[i]) for i in np.flatnonzero(intake.alive)).most_common()),
        **errors,
        "files": [dict(table.about) for table in tables],
        "columns": facts.column_facts(task, columns),
        "warnings": warnings,
    }
    parts = {name: _examples(intake, rows, duplicates.groups) for name, rows in rows_of.items()}
    return Dataset(
        task=task,
        labels=names,
        train=parts["train"],
        validation=parts["validation"],
        none=parts["none"],
        facts=about,
        sealed=SealedRows(count=len(parts["test"]), _rows=parts["test"]),
        digest=digest_of(task, parts),
    )


def _examples(intake: Intake, rows: Rows, groups: Rows) -> tuple[Example, ...]:
    made = []
    for i, group in zip(rows.tolist(), groups[rows].tolist(), strict=True):
        e = intake.examples[i]
        made.append(Example(e.inputs, e.expected, e.origin, group, e.labelled_by))
    return tuple(made)
