"""Predictor and sealed rows to report: the stage `prove`, fed with what it needs."""

from __future__ import annotations

import csv
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shokunin import registry
from shokunin.answer import Answer
from shokunin.dataset import Dataset, Example, read_dataset
from shokunin.engines.openai_api import upstream
from shokunin.errors import DataError, ProjectError
from shokunin.files import read_json
from shokunin.pipeline.answering import codec_of, open_specialist
from shokunin.pipeline.rows import dataset_folder, examples_of
from shokunin.progress import Progress, silent
from shokunin.project import Project
from shokunin.prove.against import compare_against, live_answers, recorded_answers
from shokunin.prove.evaluate import baseline_scores, evaluate, threshold, verdict
from shokunin.prove.measure import machine, measure
from shokunin.report import Report, Rung
from shokunin.specialist import Specialist

SHOWN_FACTS = ("rows", "split", "leaks", "duplicates", "personal_data", "files")
Against = str | Sequence[str | None] | None


@dataclass(frozen=True)
class Ground:
    """What a report rests on: the rows, and what is known about where they come from."""

    rows: Sequence[Example]
    majority: str
    about: dict[str, Any]
    openings: int
    recorded: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def prove_specialist(
    specialist: Specialist,
    data: str | Path | Sequence[Mapping[str, Any]] | None,
    place: Project,
    *,
    against: Against,
    progress: Progress,
) -> Report:
    """The report on given rows, or on the sealed rows of the dataset that the specialist was trained beside."""
    published = read_json(specialist.folder / "report.json") if (specialist.folder / "report.json").exists() else {}
    if data is None:
        dataset = read_dataset(dataset_folder(place, specialist))
        ground = sealed_ground(dataset, why="prove")
    else:
        ground = _given_ground(specialist, data, published)
    rungs = [Rung(**{**r, "score": None}) for r in published.get("ladder", []) if r["chosen"]]
    return make_report(specialist, ground, rungs=rungs, why="", against=against, place=place, progress=progress)


def sealed_ground(dataset: Dataset, *, why: str) -> Ground:
    """Open the sealed rows of a dataset."""
    rows = dataset.sealed.open(why)
    majority = Counter(e.expected or "" for e in dataset.train).most_common(1)[0][0]
    about = {
        "digest": dataset.digest, "train": len(dataset.train), "validation": len(dataset.validation), "test": len(rows),
        "labels": len(dataset.labels), "facts": {k: _counts(dataset.facts.get(k)) for k in SHOWN_FACTS},
    }  # fmt: skip
    return Ground(rows, majority, about, dataset.sealed.openings())


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
    against: Against = None,
    progress: Progress = silent,
) -> Report:
    """Ask every row, score, compare and measure."""
    assert specialist.predictor is not None
    task, codec = specialist.task, codec_of(specialist)
    evaluation = evaluate(
        specialist.predictor, ground.rows, correct=codec.correct, none_labels=task.none_labels,
        temperature=codec.calibration.temperature, progress=progress,
    )  # fmt: skip
    baseline = baseline_scores(ground.majority, evaluation, task=task, correct=codec.correct)
    comparison, cases = None, evaluation.cases
    if against is not None:
        name, answers, live = _answers_of(against, specialist, ground, place, progress)
        comparison, cases = compare_against(cases, answers, name=name, task=task, correct=codec.correct, live=live)
    outcome, reasons = verdict(evaluation, baseline, task)
    progress("measuring speed on this machine", 0, 1)
    speed = measure(specialist.predictor, [e.inputs for e in ground.rows])
    return Report(
        specialist=specialist.name,
        version=specialist.version,
        kind=task.kind,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        verdict=outcome,
        reasons=reasons,
        rows=len(ground.rows),
        metric=task.metric,
        scores=evaluation.scores,
        baseline=baseline,
        ladder=list(rungs),
        why_chosen=why,
        threshold=threshold(codec.calibration, evaluation),
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
        cases=cases,
    )


def _given_ground(
    specialist: Specialist, data: str | Path | Sequence[Mapping[str, Any]], published: Mapping[str, Any]
) -> Ground:
    examples, table = examples_of(data, specialist.task, needs_target=True)
    rows = [e for e in examples if e.expected is not None]
    if not rows:
        raise DataError(f"no row has an answer in column {specialist.task.target!r}; nothing can be scored")
    known = {*specialist.labels, *specialist.task.none_labels}
    strange = sorted({e.expected or "" for e in rows} - known)
    about = {
        "source": str(data) if isinstance(data, (str, Path)) else "rows",
        "digest": specialist.manifest["dataset"]["digest"],
        "test": len(rows),
        "rows_in": len(examples) + len(table.broken),
        "without_answer": len(examples) - len(rows),
        "broken": len(table.broken),
        "labels_never_learnt": strange[:20],
    }
    # The baseline answers what was commonest in training, as far as that is recorded; else what is commonest here.
    majority = (published.get("baseline") or {}).get("label") or Counter(e.expected or "" for e in rows).most_common(1)[
        0
    ][0]
    recorded = {origin: {k: str(v) for k, v in row.items()} for origin, row in table.rows()}
    return Ground(rows, majority, about, 0, recorded)


def _answers_of(
    against: Against, specialist: Specialist, ground: Ground, place: Project, progress: Progress
) -> tuple[str, list[Answer], bool]:
    """Whose answers to compare with: its name, its answers, and whether it was asked just now."""
    if not isinstance(against, str):
        return "recorded answers", recorded_answers(list(against or []), ground.rows, name="recorded answers"), False
    if against.startswith("column:"):
        column = against.removeprefix("column:")
        return column, recorded_answers(_column(column, ground), ground.rows, name=column), False
    if against.startswith(("http://", "https://")) or against in place.upstreams:
        name, predictor = _upstream(against, specialist, place)
        return name, live_answers(predictor, ground.rows, progress), True
    if Path(against).is_file():
        return Path(against).name, recorded_answers(_recorded_file(Path(against)), ground.rows, name=against), False
    try:
        other = open_specialist(registry.read(place.specialists, against))
    except ProjectError as error:
        raise DataError(
            f"{against!r} is no column:NAME, no file, no specialist, no upstream of this project and no http address"
        ) from error
    assert other.predictor is not None
    return other.id, live_answers(other.predictor, ground.rows, progress), True


def _column(name: str, ground: Ground) -> dict[str, str | None]:
    if not ground.recorded:
        raise DataError(
            f"'column:{name}' is a column of the rows to prove on; give them: "
            f"shokunin prove NAME ROWS.csv --against column:{name}"
        )
    there = list(dict.fromkeys(k for row in ground.recorded.values() for k in row))
    if name not in there:
        raise DataError(f"the rows have no column {name!r}; they have {', '.join(map(repr, there))}")
    return {origin: row.get(name) or None for origin, row in ground.recorded.items()}


def _recorded_file(path: Path) -> list[str | None]:
    """One answer a line, or the column `answer` of a CSV, in the order of the rows."""
    lines = path.read_text(encoding="utf-8-sig").replace("\r\n", "\n").split("\n")
    if path.suffix.lower() != ".csv":
        return [line or None for line in (lines[:-1] if lines and not lines[-1] else lines)]
    rows = csv.DictReader(lines)
    if rows.fieldnames is None or "answer" not in rows.fieldnames:
        raise DataError(f"{str(path)!r} has no column 'answer'; it has {', '.join(map(repr, rows.fieldnames or []))}")
    return [row["answer"] or None for row in rows]


def _upstream(against: str, specialist: Specialist, place: Project) -> tuple[str, Any]:
    if against in place.upstreams:
        known = place.upstreams[against]
        known.api_key()  # an unset variable is an error before any row is sent
        price = place.prices.get(known.model)
        return against, upstream(
            known.base_url, known.model, known.api_key_env, specialist.labels, timeout=known.timeout_seconds,
            usd_per_million=(price.input, price.output) if price else (0.0, 0.0),
        )  # fmt: skip
    base_url, _, model = against.partition("#")
    if not model:
        raise DataError(f"{against!r} names no model; write URL#MODEL, for instance http://127.0.0.1:8000/v1#gpt")
    return model, upstream(base_url, model, "OPENAI_API_KEY", specialist.labels)
