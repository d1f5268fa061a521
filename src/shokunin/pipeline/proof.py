"""Predictor and sealed rows to report: the stage `prove`, fed with what it needs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from shokunin.cost import price_of
from shokunin.curate import redact
from shokunin.curate.clean import find_leaks, group_duplicates
from shokunin.curate.intake import text_of
from shokunin.curate.minhash import sketch
from shokunin.dataset import Dataset, Example, read_dataset
from shokunin.errors import DataError, ProjectError
from shokunin.files import read_json
from shokunin.pipeline.answering import codec_of
from shokunin.pipeline.comparing import Against, answers_of, model_asked
from shokunin.pipeline.costing import cost_section
from shokunin.pipeline.preferring import judge_of, preferred
from shokunin.pipeline.rows import LABEL, dataset_folder, examples_of, is_recorded
from shokunin.pipeline.teachers import ServerTeacher
from shokunin.progress import Progress, silent
from shokunin.project import Project
from shokunin.prove.against import compare_against
from shokunin.prove.evaluate import baseline_scores, evaluate, threshold, verdict
from shokunin.prove.measure import machine, measure
from shokunin.prove.wording import speaker
from shokunin.report import Report, Rung
from shokunin.specialist import Specialist
from shokunin.task import Task
from shokunin.tasks import Codec

SHOWN_FACTS = ("rows", "split", "leaks", "duplicates", "personal_data", "files")


@dataclass(frozen=True)
class Ground:
    """What a report rests on: the rows, and what is known about where they come from.

    Attributes:
        rows: the rows that are scored.
        trivial: the trivial baseline's answer.
        about: what the report says about the rows.
        openings: how often the sealed rows were opened; 0 for given rows.
        recorded: the given rows as they were read, by origin.
        orders: the origins of all given rows, and of those with an answer, in their order.
        reasons: sentences for the report about where the rows come from.
    """

    rows: Sequence[Example]
    trivial: str
    about: dict[str, Any]
    openings: int
    recorded: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    orders: tuple[tuple[str, ...], ...] = ()
    reasons: tuple[str, ...] = ()


def prove_specialist(
    specialist: Specialist,
    data: str | Path | Sequence[Mapping[str, Any]] | None,
    place: Project,
    *,
    against: Against | None,
    judge: str | None = None,
    progress: Progress,
) -> Report:
    """The report on given rows, or on the sealed rows of the dataset that the specialist was trained beside.

    Of given rows those that (nearly) repeat a row of the training side are left out, where the dataset is in the project.
    """
    # What is wrong with the judge is said before anything is asked.
    who = None if judge is None else judge_of(judge, specialist, place, against=against)
    published = read_json(specialist.folder / "report.json") if (specialist.folder / "report.json").exists() else {}
    if data is None:
        dataset = read_dataset(dataset_folder(place, specialist))
        ground = sealed_ground(dataset, codec_of(specialist), why="prove")
    else:
        ground = _given_ground(specialist, data, published, place, progress)
    rungs = [Rung(**{**r, "score": None}) for r in published.get("ladder", []) if r["chosen"]]
    return make_report(
        specialist, ground, rungs=rungs, why="", against=against, judge=who, place=place, progress=progress
    )


def sealed_ground(dataset: Dataset, codec: Codec, *, why: str) -> Ground:
    """Open the sealed rows of a dataset."""
    rows = dataset.sealed.open(why)
    files = dataset.facts.get("files") or [{}]
    recorded = _recorded(files[-1], dataset.task)  # the file of the test, if it came in one of its own
    about = {
        "digest": dataset.digest, "train": len(dataset.train), "validation": len(dataset.validation), "test": len(rows),
        "labels": len(dataset.labels), "facts": {k: _counts(dataset.facts.get(k)) for k in SHOWN_FACTS},
        **recorded,
    }  # fmt: skip
    return Ground(rows, codec.trivial(dataset.train), about, dataset.sealed.openings(), reasons=_about_recorded(about))


def _recorded(about: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """Whose recorded answers the rows are scored by, where they come from conversations."""
    if task.target != LABEL or not is_recorded(about):
        return {}
    return {"recorded": {"models": list(dict.fromkeys(model for t in task.templates for model in t.models))}}


def _about_recorded(about: Mapping[str, Any]) -> tuple[str, ...]:
    if "recorded" not in about:
        return ()
    return (
        f"“Right” means here: as {speaker(about['recorded']['models'])} answered when the conversations were recorded, "
        "mistakes included.",
    )


def _counts(fact: Any) -> Any:
    """A fact without its examples: the report must not carry rows of the training side."""
    if isinstance(fact, dict):
        return {k: _counts(v) for k, v in fact.items() if not isinstance(v, list)}
    return fact


def make_report(
    specialist: Specialist,
    ground: Ground,
    *,
    rungs: Sequence[Rung],
    why: str,
    place: Project,
    against: Against | None = None,
    judge: ServerTeacher | None = None,
    progress: Progress = silent,
) -> Report:
    """Ask every row, score, compare and measure; `judge` says of written answers which one is better."""
    assert specialist.predictor is not None
    codec = codec_of(specialist)
    task = replace(specialist.task, none_labels=codec.none_labels)  # its own spelling is one of them
    evaluation = evaluate(
        specialist.predictor, ground.rows, judge=codec, none_labels=task.none_labels,
        temperature=codec.calibration.temperature, progress=progress,
    )  # fmt: skip
    baseline = baseline_scores(ground.trivial, evaluation, judge=codec)
    comparison, cases, asked = None, evaluation.cases, model_asked(against, place)
    if against is not None:
        name, answers, live = answers_of(
            against, specialist, ground.rows, orders=ground.orders or [[e.origin for e in ground.rows]],
            columns=ground.recorded, place=place, progress=progress,
        )  # fmt: skip
        comparison, cases = compare_against(cases, answers, name=name, task=task, judge=codec, live=live)
        if not live or (asked is not None and price_of(asked, place.prices) is None):
            comparison["cost"] = None  # not 0: nobody knows
        if judge is not None:
            comparison["judge"] = preferred(
                cases, judge, specialist, place, rival=name, itself=judge.name == asked, progress=progress
            )
    outcome, reasons = verdict(evaluation, baseline, task)
    progress("measuring speed on this machine", 0, 1)
    speed = measure(specialist.predictor, [e.inputs for e in ground.rows])
    kept = threshold(codec.calibration, evaluation)
    cost = cost_section(
        specialist, place, asked=asked, texts=[e.inputs for e in ground.rows], ladder=rungs,
        local_share=kept.get("coverage_here") or 0.0, latency_ms=speed.latency_ms["p50"],
    )  # fmt: skip
    return Report(
        specialist=specialist.name,
        version=specialist.version,
        kind=task.kind,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        verdict=outcome,
        reasons=[*reasons, *ground.reasons],
        rows=len(ground.rows),
        metric=task.metric,
        scores=evaluation.scores,
        baseline=baseline,
        ladder=list(rungs),
        why_chosen=why,
        threshold=kept,
        calibration=evaluation.calibration,
        risk_coverage=evaluation.risk_coverage,
        worst_pairs=evaluation.worst_pairs,
        scope=evaluation.scope,
        latency_ms=speed.latency_ms,
        throughput=speed.throughput,
        size_bytes=specialist.weights.size_bytes(),
        peak_memory_bytes=speed.peak_memory_bytes,
        dataset=ground.about,
        openings=ground.openings,
        machine=machine(),
        against=comparison,
        cost=cost,
        cases=cases,
    )


def _given_ground(
    specialist: Specialist,
    data: str | Path | Sequence[Mapping[str, Any]],
    published: Mapping[str, Any],
    place: Project,
    progress: Progress,
) -> Ground:
    examples, table = examples_of(data, specialist.task, needs_target=True, progress=progress)
    answered = [e for e in examples if e.expected is not None and e.problem is None]
    unusable = [e for e in examples if e.problem is not None]
    if not answered:
        why = f" that can be used; of the first {unusable[0].problem}" if unusable else ""
        raise DataError(f"no row has an answer in column {specialist.task.target!r}{why}; nothing can be scored")
    recorded = {origin: {k: str(v) for k, v in row.items()} for origin, row in table.rows()}
    dataset = _dataset_at_hand(place, specialist)
    unseen = answered if dataset is None else _without_seen(answered, dataset, progress)
    if not unseen:
        raise DataError(
            f"all {len(answered):,} rows with an answer repeat rows that {specialist.id!r} was trained on, so they prove "
            f"nothing; give other rows, or none: `shokunin prove {specialist.name}` takes the sealed ones"
        )
    rows = _grouped(unseen, specialist.task, recorded, progress)
    known = {*specialist.labels, *codec_of(specialist).none_labels}
    strange = sorted({e.expected or "" for e in rows} - known) if specialist.labels else []
    about = {
        "source": str(data) if isinstance(data, (str, Path)) else "rows",
        "digest": specialist.manifest["dataset"]["digest"],
        "test": len(rows),
        "rows_in": len(examples) + len(table.broken),
        "without_answer": len(examples) - len(answered) - len(unusable),
        "seen_in_training": None if dataset is None else len(answered) - len(rows),
        "broken": len(table.broken),
        "labels_never_learnt": strange[:20],
        **_recorded(table.about, specialist.task),
    }
    # The baseline answers what it answered when it was trained, as far as that is recorded; else what is commonest here.
    trivial = (published.get("baseline") or {}).get("label") or codec_of(specialist).trivial(rows)
    orders = tuple(tuple(e.origin for e in part) for part in (examples, answered))
    reasons = (*_about_unusable(unusable), *_about_seen(about), *_about_recorded(about))
    return Ground(rows, trivial, about, 0, recorded, orders, reasons)


def _dataset_at_hand(place: Project, specialist: Specialist) -> Dataset | None:
    try:
        folder = dataset_folder(place, specialist)
    except ProjectError:
        return None
    return read_dataset(folder)


def _without_seen(rows: list[Example], dataset: Dataset, progress: Progress) -> list[Example]:
    """The rows whose text does not (nearly) repeat one of the training side, masked as that was masked."""
    masked = bool((dataset.facts.get("personal_data_rows") or {}).get("masked"))
    learnt = [text_of(e, dataset.task.inputs) for e in (*dataset.train, *dataset.validation, *dataset.none)]
    told = [text_of(e, dataset.task.inputs) for e in rows]
    given = [redact.mask(text) for text in told] if masked else told
    sketches = sketch([*learnt, *given], progress)
    leaks = find_leaks(sketches, np.arange(len(learnt) + len(given)) < len(learnt))
    return [e for e, of in zip(rows, leaks.of[len(learnt) :].tolist(), strict=True) if of < 0]


def _grouped(
    rows: list[Example], task: Task, recorded: Mapping[str, Mapping[str, str]], progress: Progress
) -> list[Example]:
    """The rows with groups: (nearly) the same text, or the same value of the task's group column, is one piece of proof."""
    column = task.group
    values = None if column is None else [recorded.get(e.origin, {}).get(column) for e in rows]
    groups = group_duplicates([text_of(e, task.inputs) for e in rows], given_groups=values, progress=progress).groups
    return [replace(e, group=group) for e, group in zip(rows, groups.tolist(), strict=True)]


def _about_unusable(rows: Sequence[Example]) -> tuple[str, ...]:
    if not rows:
        return ()
    told = f"{len(rows):,} given {'row has' if len(rows) == 1 else 'rows have'} an answer that cannot be used"
    return (f"{told} and had no part in the proof; of the first {rows[0].problem}.",)


def _about_seen(about: Mapping[str, Any]) -> tuple[str, ...]:
    seen = about["seen_in_training"]
    if seen is None:
        return (
            "Whether it had seen these rows is not known: the dataset it was trained on is not in this project, so they "
            "could not be compared.",
        )
    repeats = "row repeats one" if seen == 1 else "rows repeat ones"
    return (
        (f"{seen:,} given {repeats} that it was trained on, exactly or nearly, and had no part in the proof.",)
        if seen
        else ()
    )
