"""Rows to dataset: from what the user names (a file, rows, a dataset's folder) to curated rows in the project."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from shokunin.curate.build import build_dataset
from shokunin.curate.card import card_html, card_markdown
from shokunin.curate.columns import Columns, guess_columns
from shokunin.curate.documents.content import SUFFIXES
from shokunin.curate.read import read_rows
from shokunin.curate.table import Table
from shokunin.dataset import OWNER, Dataset, Example, read_dataset, write_dataset
from shokunin.discover.answers import CLASSIFY
from shokunin.errors import ArtefactError, DataError, ProjectError, UsageError
from shokunin.files import folder_in_making, publish_folder, write_text
from shokunin.forms import TextLessons
from shokunin.pipeline.choosing import (
    SAMPLE,
    answer_columns,
    as_field,
    columns_for,
    kind_of_rows,
    settled,
    settled_again,
)
from shokunin.pipeline.kinds import check_kind
from shokunin.pipeline.rungs import folds_of, out_of_fold
from shokunin.progress import Progress, silent
from shokunin.project import Project
from shokunin.series.columns import looks_like_readings
from shokunin.specialist import Specialist
from shokunin.task import NONE, Task, read_task
from shokunin.tasks import kind
from shokunin.template import Template
from shokunin.train import learner

Data = str | Path | Sequence[Mapping[str, Any]] | Dataset
LOOKS = 3
LABEL = "label"
"""The column of the answers in recorded conversations."""
ANSWERS, ANSWER = 10_000, 20_000
"""So many answers, and so many characters of each, are looked at to tell what kind of work they are."""
DISTILLED = ("labelled_by", "agreement", "origin")
"""The columns, beside inputs and answer, of rows that `distill` has written; one of them alone may be anybody's."""
Gather = Callable[[Task, Iterable[tuple[str, Mapping[str, Any]]]], Iterable[Example]]
MARGIN_SHARPNESS = 4.0
"""Margins of a linear support vector machine times this make usable probabilities; only their order matters here."""


def curate(
    data: Data,
    *,
    project: Project,
    task: Task | None = None,
    name: str | None = None,
    test: str | Path | Sequence[Mapping[str, Any]] | None = None,
    inputs: Sequence[str] | None = None,
    target: str | None = None,
    mask: bool = False,
    keep_leaks: bool = False,
    seed: int = 0,
    wishes: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> tuple[Dataset, Path]:
    """The curated dataset and its folder in the project, written there unless the very same one is there already.

    Args as for `train`; `wishes` are fields of the task that replace what it says, where they are not None; those that
    only say what is good enough fit a finished dataset too, as they do not touch its split.

    Raises:
        UsageError: a finished dataset is given with options that would have made another one of the rows.
    """
    asked = {key: value for key, value in (wishes or {}).items() if value is not None}
    ready = finished(data)
    if ready is not None:
        given = {
            "--name": name, "--test": test, "--input": inputs, "--target": target, "--mask": mask,
            "--keep-leaks": keep_leaks, "--option": asked.get("options"), "a task": task,
            "--kind": asked.get("kind") not in (None, ready.task.kind),
        }  # fmt: skip
        if useless := [option for option, value in given.items() if value]:
            raise UsageError(
                f"a finished dataset is used as it is, so {', '.join(useless)} cannot be heeded; "
                "give the rows themselves, or run `shokunin curate ROWS` again with these options"
            )
        place = _keep(ready, project)
        found = read_dataset(place)
        asked.pop("options", None)
        return replace(found, task=replace(found.task, **asked)), place
    if isinstance(data, (str, Path)) and (Path(data) / "task.toml").is_file():
        task = task or read_task(Path(data) / "task.toml")
        data = _only_file(Path(data) / "rows")
    assert not isinstance(data, Dataset)
    table = _phrased_table(data, task, inputs, target, progress)
    told = "kind" in asked or (task is not None and task.kind != CLASSIFY)
    if not told and (target or (task.target if task is not None else LABEL)) == LABEL and is_recorded(table.about):
        check_kind(_answers(table), str(table.about["name"]))
    sample = _sample(table)
    told_options = asked.pop("options", None) or {}
    work = asked.pop("kind", None) or (task.kind if task is not None else kind_of_rows(table, sample, target))
    target = as_field(work, target, sample)
    columns = _columns(table, sample, work, task, inputs, target)
    if task is None:
        task = Task(
            name=name or name_of(data), kind=work, inputs=columns.inputs, target=columns.target, group=columns.group
        )
    if work != task.kind:
        asked = {"kind": work, "metric": "", **asked}
    options = {**task.options, **told_options}
    task = replace(task, name=name or task.name, inputs=columns.inputs, target=columns.target, options=options, **asked)
    given_options = task.options
    task = settled(task, table, sample, target, project.root)
    if not task.templates and table.templates:
        first, *others = _with_none(table, task)
        task = replace(task, template=first, wordings=tuple(others))
    tests = None if test is None else _table(test, "test rows", table.templates, progress=progress)
    if tests is not None and not kind(task.kind).LABELS:
        _check_columns(task, tests, "test rows", answers=True)
    build = partial(
        _build,
        table,
        tests,
        columns,
        mask=mask,
        keep_leaks=keep_leaks,
        seed=seed,
        scratch=project.work,
        progress=progress,
    )
    dataset = build(task)
    if tests is None and not kind(task.kind).LABELS:
        dataset = _read_off_training(build, dataset, given_options)
    place = _keep(dataset, project)
    return read_dataset(place), place


def _read_off_training(build: Callable[[Task], Dataset], dataset: Dataset, told: Mapping[str, Any]) -> Dataset:
    """The dataset whose task knows nothing of the sealed rows but which fields they are asked for.

    What nobody said had to be read off all rows before they could be gathered and split. Now it is read off the training side;
    where that says otherwise the rows are gathered again, and it is looked again, as other rows may have been set aside.
    """
    for _ in range(LOOKS):
        task = settled_again(dataset.task, told, dataset)
        if task.options == dataset.task.options:
            return dataset
        dataset = build(task)
    return dataset


def finished(data: Data) -> Dataset | None:
    """The curated dataset that `data` is, or is the folder of."""
    if isinstance(data, (str, Path)):
        return read_dataset(Path(data)) if (Path(data) / "dataset.json").is_file() else None
    return data if isinstance(data, Dataset) else None


def is_recorded(about: Mapping[str, Any]) -> bool:
    """Whether a table's facts say that it holds recorded conversations, whose answers are in the column `LABEL`."""
    return about.get("format") in ("openai_chat", "traffic")


def dataset_folder(place: Project, specialist: Specialist) -> Path:
    """Where the dataset that a specialist was trained on is.

    Raises:
        ProjectError: it is not in this project.
    """
    digest = specialist.manifest["dataset"]["digest"]
    folder = place.datasets(specialist.name) / str(digest)[:16]
    if not (folder / "dataset.json").is_file():
        raise ProjectError(
            f"the dataset of {specialist.id!r} is not at {str(folder)!r}; give rows: shokunin prove {specialist.name} ROWS.csv"
        )
    return folder


def examples_of(
    data: str | Path | Sequence[Mapping[str, Any]], task: Task, *, needs_target: bool, progress: Progress = silent
) -> tuple[list[Example], Table]:
    """The rows of a file as examples of an existing task; `progress` is told of documents that are read.

    Raises:
        DataError: the file lacks one of the task's columns.
    """
    table = _table(data, "rows", task.templates, progress=progress)
    _check_columns(task, table, "rows", answers=needs_target)
    return list(kind(task.kind).gather(task, table.rows())), table


def _check_columns(task: Task, table: Table, what: str, *, answers: bool) -> None:
    needed = (*task.inputs, *(answer_columns(task, table.columns) if answers else ()))
    missing = [c for c in needed if c not in table.columns]
    if missing:
        names, there = (", ".join(map(repr, c)) for c in (needed, table.columns))
        raise DataError(
            f"the {what} have no column {missing[0]!r}; task {task.name!r} needs {names}; the {what} have {there}"
        )


def _phrased_table(
    data: str | Path | Sequence[Mapping[str, Any]],
    task: Task | None,
    inputs: Sequence[str] | None,
    target: str | None,
    progress: Progress,
) -> Table:
    """The rows; recorded conversations by the task's wordings, or else by those that they show, if they fit the wishes."""
    if task is not None and task.templates:
        return _table(data, "rows", task.templates, progress=progress)
    table = _table(data, "rows", find_template=True, progress=progress)
    wanted = inputs or (task.inputs if task is not None else None)
    answer = target or (task.target if task is not None else LABEL)
    if table.templates and (answer != LABEL or (wanted and sorted(wanted) != sorted(table.templates[0].inputs))):
        return _table(data, "rows", progress=progress)
    return table


def _table(
    data: str | Path | Sequence[Mapping[str, Any]],
    what: str,
    templates: Sequence[Template] = (),
    *,
    find_template: bool = False,
    progress: Progress = silent,
) -> Table:
    if isinstance(data, (str, Path)):
        return read_rows(Path(data), templates, find_template=find_template, progress=progress)
    if not data:
        raise DataError(f"there are no {what}; pass at least two labels with a few rows each")
    columns = tuple(dict.fromkeys(str(key) for row in data for key in row))
    return Table.of_rows(columns, data)


def _keep(dataset: Dataset, project: Project) -> Path:
    """The dataset's folder in the project, where proofs find it; a copy counts on from the openings it has had."""
    if not re.fullmatch("[0-9a-f]{64}", dataset.digest):
        raise ArtefactError(f"{dataset.digest!r} is no digest of a dataset; run `shokunin curate` on the rows again")
    place = project.datasets(dataset.task.name) / dataset.digest[:16]
    if not (place / "dataset.json").is_file():
        with folder_in_making(place.parent) as made:
            write_dataset(dataset, made)
            write_text(made / "card.md", card_markdown(dataset))
            write_text(made / "card.html", card_html(dataset))
            rows = dataset.sealed.file()
            if rows is not None and (log := rows.with_name("openings.jsonl")).is_file():
                shutil.copyfile(log, made / log.name)
            publish_folder(made, place)
    return place


def _columns(
    table: Table,
    sample: Sequence[Mapping[str, str]],
    work: str,
    task: Task | None,
    inputs: Sequence[str] | None,
    target: str | None,
) -> Columns:
    """The columns that this work reads; what is no list of rows is sent where it belongs."""
    if kind(work).FORMS[0] == "series_window":
        raise UsageError(
            "a table of readings is no list of rows to curate: `shokunin train` reads it, splits it by time or by unit, and "
            "tells what it found"
        )
    try:
        return _read_columns(table, sample, work, task, inputs, target)
    except DataError as error:
        if not looks_like_readings(table.columns, sample):
            raise
        raise DataError(
            f"{error}. If these are readings of machines, say when they failed (--failures FILE), or that nobody knows "
            "(--kind anticipate_failures --option target=normal)"
        ) from error


def _read_columns(
    table: Table,
    sample: Sequence[Mapping[str, str]],
    work: str,
    task: Task | None,
    inputs: Sequence[str] | None,
    target: str | None,
) -> Columns:
    if table.templates:
        return _columns_of_template(table, task, inputs, target)
    if task is None:
        return columns_for(work, table, sample, None, inputs=inputs, target=target, group=None, guess_group=True)
    return columns_for(
        work,
        table,
        sample,
        task,
        inputs=inputs or task.inputs,
        target=target or task.target,
        group=task.group,
        guess_group=False,
    )


_UNSPECIFIC = ", which has too little fixed text to recognise requests by"


def _columns_of_template(table: Table, task: Task | None, inputs: Sequence[str] | None, target: str | None) -> Columns:
    slots = inputs or (task.inputs if task is not None else table.templates[0].inputs)
    answer = target or (task.target if task is not None else LABEL)
    group = None if task is None else task.group
    guessed = guess_columns(
        table.columns, _sample(table), inputs=slots, target=answer, group=group, guess_group=task is None
    )
    names = ", ".join(repr(slot) for slot in slots)
    shapes = " or ".join(dict.fromkeys(repr(t.reply) for t in table.templates))
    known = "; ".join(f"{t.fingerprint}{'' if t.is_specific else _UNSPECIFIC}" for t in table.templates)
    why = (
        f"label: the answer in the replies, which are of the shape {shapes}",
        f"text: {names}, what varies in the messages ({'template' if len(table.templates) == 1 else 'templates'} {known})",
        *guessed.why[2:],
    )
    return replace(guessed, why=why)


def _with_none(table: Table, task: Task) -> tuple[Template, ...]:
    """The wordings, with the application's own word for "none of these" if it has one that is not ours."""
    said = Counter(row[LABEL] for row in _sample(table) if row[LABEL] in task.none_labels)
    if not said or NONE in said or NONE not in task.none_labels:
        return table.templates
    own = said.most_common(1)[0][0]
    return tuple(replace(t, spellings={**t.spellings, NONE: t.write(own)}) for t in table.templates)


def _build(
    table: Table,
    test: Table | None,
    columns: Columns,
    task: Task,
    *,
    mask: bool,
    keep_leaks: bool,
    seed: int,
    scratch: Path,
    progress: Progress,
) -> Dataset:
    gather, labels = kind(task.kind).gather, kind(task.kind).LABELS

    def cheap_out_of_fold(
        texts: Sequence[str], labels: npt.NDArray[np.int64], groups: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """Probabilities for the search for wrong labels, from the cheapest learner that reads."""
        module = learner("text_linear")
        lessons = TextLessons(tuple(texts), labels, tuple(map(str, range(int(labels.max()) + 1))), groups)
        progress("looking for wrong labels", 0, None)
        folds = folds_of(lessons, seed)
        raw = out_of_fold(
            module, lessons, folds, module.Options(), scratch, seed=seed, progress=progress, workers=os.cpu_count() or 1
        )
        return np.asarray(softmax((raw * MARGIN_SHARPNESS).astype(np.float64), axis=1))

    return build_dataset(
        task,
        _told_apart(gather, task, table),
        test=None if test is None else gather(task, test.rows()),
        tables=[table] if test is None else [table, test],
        columns=columns,
        mask=mask,
        keep_leaks=keep_leaks,
        seed=seed,
        out_of_fold=cheap_out_of_fold if labels else None,
        labels=labels,
        progress=progress,
    )


def _told_apart(gather: Gather, task: Task, table: Table) -> Iterable[Example]:
    """The examples of a table; of one that `distill` has written each says who has labelled it."""
    if not set(DISTILLED) <= set(table.columns):
        return gather(task, table.rows())
    by = {origin: row[DISTILLED[0]] or OWNER for origin, row in table.rows()}
    return (replace(e, labelled_by=by[e.origin]) for e in gather(task, table.rows()))


def _sample(table: Table) -> list[dict[str, str]]:
    return table.sample(SAMPLE)


def _answers(table: Table) -> list[str]:
    """The first answers in recorded conversations."""
    found = [row[LABEL][:ANSWER] for _, row in islice(table.rows(), ANSWERS) if row[LABEL]]
    table.broken, table.given = [], 0
    return found


def _only_file(folder: Path) -> Path:
    files = sorted(p for p in folder.glob("*") if p.is_file() and not p.name.startswith("."))
    if len(files) != 1 and any(p.suffix.lower() in SUFFIXES for p in files):
        return folder
    if len(files) != 1:
        raise DataError(
            f"{str(folder)!r} should hold one file of rows, or documents; it holds {len(files)}; name the file instead"
        )
    return files[0]


def name_of(data: str | Path | Sequence[Mapping[str, Any]]) -> str:
    """A task's name from a file's: `Inquiries 2024.csv` is `inquiries-2024`; `train.csv` is named after its folder.

    Letters that a name cannot have leave a short hash, so that 請求.csv and 返品.csv do not become one specialist.
    """
    if not isinstance(data, (str, Path)):
        return "task"
    path = Path(data).resolve()
    stem = path.parent.name if path.stem.lower() in ("train", "data", "rows", "dataset") else path.stem
    # Composed or not is the file system's choice (macOS takes letters apart); accents are dropped.
    plain = "".join(c for c in unicodedata.normalize("NFKD", stem.lower()) if not unicodedata.combining(c))
    name = re.sub(r"[^a-z0-9_]+", "-", plain).strip("-")[:60].rstrip("-")
    if any(c.isalnum() and not c.isascii() for c in plain):
        digest = hashlib.sha256(unicodedata.normalize("NFKD", stem.lower()).encode("utf-8", "replace")).hexdigest()
        name = f"{name or 'task'}-{digest[:6]}"
    return name or "task"
