"""The whole story: rows → dataset → specialist → report → served answers. Only this package and the command line compose."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from shokunin import registry
from shokunin.answer import Answer, Inputs
from shokunin.dataset import Dataset
from shokunin.errors import UsageError
from shokunin.files import exclusive, read_json, write_text
from shokunin.pipeline import rows as row_stage
from shokunin.pipeline.answering import open_specialist
from shokunin.pipeline.bases import families
from shokunin.pipeline.calibrating import calibration_of
from shokunin.pipeline.deriving import compress
from shokunin.pipeline.fleet_judging import prove_fleet
from shokunin.pipeline.fleet_rows import KIND as FLEET
from shokunin.pipeline.fleet_rows import is_fleet
from shokunin.pipeline.fleet_training import train_fleet
from shokunin.pipeline.ladder import climb
from shokunin.pipeline.learner_options import LearnerOptions
from shokunin.pipeline.learner_options import learner_options as settled_options
from shokunin.pipeline.normal_training import target_asked, train_normal
from shokunin.pipeline.predicting import is_rows_file, predict_file
from shokunin.pipeline.proof import prove_specialist
from shokunin.pipeline.publish import publish, read_report
from shokunin.pipeline.rows import Data
from shokunin.pipeline.unheeded import refuse_unheeded
from shokunin.progress import Progress, silent
from shokunin.project import open_project
from shokunin.prove.calibrate import shaping_rows
from shokunin.report import Report
from shokunin.specialist import Specialist
from shokunin.task import Task
from shokunin.tasks import kind as kind_of

__all__ = [
    "compress",
    "curate",
    "curated",
    "held_back",
    "is_rows_file",
    "keep_report",
    "load",
    "predict",
    "predict_file",
    "prove",
    "read_report",
    "train",
]


def train(
    data: Data,
    *,
    task: Task | None = None,
    name: str | None = None,
    test: str | Path | Sequence[Mapping[str, Any]] | None = None,
    validation: str | Path | Sequence[Mapping[str, Any]] | None = None,
    kind: str | None = None,
    inputs: Sequence[str] | None = None,
    target: str | None = None,
    base: str | Sequence[str] | None = None,
    budget: float | None = None,
    learners: Sequence[str] | None = None,
    metric: str | None = None,
    target_score: float | None = None,
    max_error: float | None = None,
    mask: bool = False,
    keep_leaks: bool = False,
    options: Mapping[str, Any] | None = None,
    learner_options: LearnerOptions | None = None,
    seed: int = 0,
    project: str | Path | None = None,
    replayed: bool = True,
    progress: Progress = silent,
) -> Specialist:
    """Train a specialist from past work, prove it and publish it.

    Args:
        data: a file of rows, rows as dictionaries, a curated dataset or its folder, or a task's folder. A curated
            dataset is kept in the project, and taken as it is: of the options about the task it allows only `metric`,
            `target_score` and `max_error`.
        task: what is asked; by default guessed from the columns.
        name: the specialist's name; by default the file's.
        test: rows to seal as the test; by default a part of `data`.
        validation: another name for `test`, as OpenAI's fine-tuning calls the file that is held back.
        kind: which sort of work it is; by default the task's, or what the answers look like.
        inputs: the columns to read; by default guessed.
        target: the column with the answer; by default guessed.
        base: base model for the learners that use one, an encoder or a language model (`hf:org/name[@rev]`, `org/name`, a
            folder, a GGUF file, `pkg:NAME`), or several.
        budget: minutes to spend on training; by default the project's `budget_minutes`.
        learners: try only these.
        metric: what the verdict is about: one of the kind's metrics.
        target_score: the verdict is pass only if the metric's lower end reaches this.
        max_error: of the answers given without the large model, at most this share may be wrong.
        mask: mask personal data before training.
        keep_leaks: only count the training rows that repeat test rows, to compare with figures published on such a split.
        options: what only this kind of work has to be told, beside what the task says: `{"window": 30}`.
        learner_options: options of learners that are not to have their defaults: `{"causal_lora": {"r": 8, "merge": False}}`;
            they go before `[learners.NAME]` in the `task.toml` of a task's folder.
        seed: for the split and the fits.
        project: the project's folder; by default the current one.
        replayed: send the sealed rows through a real server process before publishing.
        progress: told how far it is.

    Returns:
        The published specialist, ready to answer. Its verdict is in `report.json`; only a pass makes it the champion.

    Raises:
        UsageError: the rows, columns or options cannot be used, or recorded answers are no labels; nothing was written.
        ReplayError: the served model answers differently from the tested one; nothing was published.
    """
    if test is not None and validation is not None:
        raise UsageError("`--test` and `--validation` both name the rows that are sealed as the test; give one of them")
    place = open_project(None if project is None else Path(project))
    wishes: dict[str, Any] = {
        "kind": kind, "metric": metric, "target_score": target_score, "max_error": max_error, "options": options,
    }  # fmt: skip
    minutes = place.limits.budget_minutes if budget is None else budget
    told = settled_options(data, learner_options, learners)
    if not isinstance(data, Dataset) and is_fleet(task, kind, data, options or {}):
        if told:
            raise UsageError(
                "what learns from readings of machines is told by --option; leave out --learner-option, and [learners] in "
                "task.toml"
            )
        asked_for = target_asked(data, task, name, wishes)
        unheeded = {
            "--test": test, "--validation": validation, "--input": inputs, "--target": target, "--base": base,
            "--learner": learners, "--max-error": max_error, "--mask": mask, "--keep-leaks": keep_leaks,
        }  # fmt: skip
        refuse_unheeded(unheeded, options or {}, asked_for)
        trained = train_normal if asked_for == "normal" else train_fleet
        return trained(
            data, project=place, task=task, name=name, wishes=wishes, budget_seconds=60 * minutes, seed=seed,
            replayed=replayed, progress=progress,
        )  # fmt: skip
    bases = [base] if isinstance(base, str) else base or []
    known_bases = families(bases)
    families([given["base"] for given in told.values() if "base" in given])
    dataset, _ = row_stage.curate(
        data, project=place, task=task, name=name, test=validation if test is None else test, inputs=inputs, target=target,
        mask=mask, keep_leaks=keep_leaks, seed=seed, progress=progress,
        wishes=wishes,
    )  # fmt: skip
    work = place.work / dataset.digest[:16]
    # Two trainings of the same rows would tread on each other's scratch folder.
    with exclusive(work.with_suffix(".lock"), seconds=1):
        side_files = work / "side_files"
        side_files.mkdir(parents=True, exist_ok=True)
        the_kind = kind_of(dataset.task.kind)
        the_kind.prepare(dataset.task, dataset.train, side_files)
        codec = the_kind.codec(dataset.task, side_files)
        ladder = climb(
            dataset, codec, work, bases=known_bases,
            budget_seconds=60 * minutes, seed=seed, learners=learners,
            shaping=lambda n: shaping_rows(n, seed), progress=progress, learner_options=told,
        )  # fmt: skip
        candidates = len(ladder.climbs)
        calibration = calibration_of(ladder, dataset, candidates=candidates, exact=not ladder.out_of_fold, seed=seed)
        step = {
            "step": "train",
            "learner": ladder.chosen.name,
            "seed": seed,
            "seconds": round(ladder.chosen.train_seconds, 3),
            "candidates": candidates,
            **({"learner_options": told} if told else {}),
        }
        specialist = publish(dataset, ladder, calibration, place, replayed=replayed, progress=progress, steps=[step])
        shutil.rmtree(work, ignore_errors=True)
    return open_specialist(specialist)


def curate(
    data: Data,
    *,
    task: Task | None = None,
    name: str | None = None,
    test: str | Path | Sequence[Mapping[str, Any]] | None = None,
    kind: str | None = None,
    inputs: Sequence[str] | None = None,
    target: str | None = None,
    metric: str | None = None,
    target_score: float | None = None,
    max_error: float | None = None,
    mask: bool = False,
    keep_leaks: bool = False,
    seed: int = 0,
    project: str | Path | None = None,
    progress: Progress = silent,
) -> tuple[Dataset, Path]:
    """Rows to a dataset in the project, and its folder. Arguments and errors as for `train`."""
    place = open_project(None if project is None else Path(project))
    wishes = {"metric": metric, "target_score": target_score, "max_error": max_error}
    given = [f"--{key.replace('_', '-')}" for key, wish in wishes.items() if wish is not None] + ["--seed"] * bool(seed)
    if given and row_stage.finished(data) is not None:
        raise UsageError(f"a finished dataset is not changed; give {', '.join(given)} to `train`")
    return row_stage.curate(
        data,
        project=place,
        task=task,
        name=name,
        test=test,
        inputs=inputs,
        target=target,
        mask=mask,
        keep_leaks=keep_leaks,
        seed=seed,
        wishes={"kind": kind, **wishes},
        progress=progress,
    )


def curated(specialist: Specialist, *, project: str | Path | None = None) -> tuple[dict[str, Any], Path]:
    """What was found in the rows that a specialist was trained on (the facts of their card), and their folder.

    Raises:
        ProjectError: its dataset is not in this project.
    """
    place = open_project(None if project is None else Path(project))
    folder = row_stage.dataset_folder(place, specialist)
    return dict(read_json(folder / "dataset.json")["facts"]), folder


def held_back(specialist: Specialist, *, project: str | Path | None = None) -> str | None:
    """Why a specialist that passed was not made the champion by itself, or None."""
    place = open_project(None if project is None else Path(project))
    return registry.differs(place.specialists, specialist)


def load(reference: str | Path, *, project: str | Path | None = None, threads: int | None = None) -> Specialist:
    """A published specialist, verified and ready to answer.

    Args:
        reference: `inquiries` (the champion, else the newest), `inquiries@champion`, `inquiries@3`, or a specialist's folder.
        project: the project's folder; by default the current one.
        threads: threads for the model; by default one for each core.

    Raises:
        ProjectError: there is no such specialist.
        ArtefactError: its folder is incomplete, changed or unsafe, or it no longer answers as it did.
    """
    place = open_project(None if project is None else Path(project))
    return open_specialist(registry.read(place.specialists, reference), threads=threads or place.limits.threads)


@overload
def predict(  # type: ignore[overload-overlap]  # a str is a sequence of str, but here it is one text
    specialist: Specialist | str | Path, inputs: str | Inputs, *, project: str | Path | None = None
) -> Answer: ...
@overload
def predict(
    specialist: Specialist | str | Path, inputs: Sequence[str | Inputs], *, project: str | Path | None = None
) -> list[Answer]: ...
def predict(
    specialist: Specialist | str | Path,
    inputs: str | Inputs | Sequence[str | Inputs],
    *,
    project: str | Path | None = None,
) -> Answer | list[Answer]:
    """Answer one text, one row of input fields, or a sequence of either. Loads the specialist if it is only named.

    Raises:
        ProjectError: there is no such specialist.
        ArtefactError: its folder is incomplete, changed or unsafe.
    """
    return _opened(specialist, project).predict(inputs)


def prove(
    specialist: Specialist | str | Path,
    data: str | Path | Sequence[Mapping[str, Any]] | None = None,
    *,
    against: str | Sequence[str | None] | None = None,
    judge: str | None = None,
    failures: str | Path | None = None,
    horizon: int | None = None,
    project: str | Path | None = None,
    progress: Progress = silent,
) -> Report:
    """The report of a specialist on rows it has not seen.

    Args:
        specialist: a specialist, or what `load` takes.
        data: rows with answers, or new readings of machines: a file, or rows as dictionaries; by default the sealed rows of the
            dataset it was trained beside.
        against: the large model: recorded answers in the rows' order, `column:NAME`, a file, a specialist, or `URL#MODEL`.
        judge: of written answers, a model that says which is better, the specialist's or the other's: `UPSTREAM#MODEL` or
            `URL#MODEL`.
        failures: of readings of machines: the file with the units and times of failures.
        horizon: of machines without recorded failures: steps before one in which an alarm counts for it; by default half the
            time that the budget allows between two alarms.
        project: the project's folder; by default the current one.
        progress: told how far it is.

    Raises:
        DataError: the rows lack a column, or the recorded answers do not fit them.
        ProjectError: the specialist or its dataset is not there.
    """
    place, opened = open_project(None if project is None else Path(project)), _opened(specialist, project)
    if opened.task.kind == FLEET:
        if against is not None or judge is not None:
            raise UsageError("--against and --judge ask language models, which are never shown readings of machines")
        return prove_fleet(opened, data, failures, place, horizon=horizon, progress=progress)
    if failures is not None or horizon is not None:
        what = "--horizon" if failures is None else "--failures"
        raise UsageError(f"{what} is for readings of machines; {opened.id!r} is of the kind {opened.task.kind!r}")
    return prove_specialist(opened, data, place, against=against, judge=judge, progress=progress)


def keep_report(report: Report, page: str, *, place: Path | None, project: str | Path | None) -> Path:
    """Write the page where it was asked for, or into the project's `reports`."""
    reports = open_project(None if project is None else Path(project)).reports
    place = place or reports / f"{report.specialist}-{report.version}-{report.created.replace(':', '')}.html"
    write_text(place, page)
    return place


def _opened(specialist: Specialist | str | Path, project: str | Path | None) -> Specialist:
    if isinstance(specialist, Specialist):
        return specialist if specialist.predictor is not None else load(specialist.folder, project=project)
    return load(specialist, project=project)
