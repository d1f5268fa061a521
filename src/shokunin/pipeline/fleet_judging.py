"""Judge a specialist of machines by readings it has not seen: with its thresholds as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shokunin.errors import DataError, UsageError
from shokunin.files import read_json
from shokunin.pipeline.answering import codec_of
from shokunin.pipeline.anticipating import Anticipation, Choice, FittedRung, Prepared, labelled
from shokunin.pipeline.fleet_folder import REPLAYED, sealed_windows
from shokunin.pipeline.fleet_given import as_published, given_readings, learnt_of, source_of
from shokunin.pipeline.fleet_proof import Judged, fleet_report
from shokunin.pipeline.fleet_rows import Fleet, Rows, failures_of
from shokunin.pipeline.fleet_seen import Seen, unseen
from shokunin.pipeline.normal_judging import prove_normal
from shokunin.pipeline.publish import read_report
from shokunin.progress import Progress, silent
from shokunin.project import Project
from shokunin.report import Report
from shokunin.series.horizons import HorizonModels, read_horizons
from shokunin.series.proof import Sides, judge
from shokunin.series.split import Split
from shokunin.specialist import Specialist
from shokunin.tasks.anticipate_failures import ALARMS, FailuresCodec, options_of


def prove_fleet(
    specialist: Specialist,
    data: Rows | None,
    failures: str | Path | None,
    place: Project,
    *,
    horizon: int | None = None,
    progress: Progress = silent,
) -> Report:
    """The report on new readings; without any, the one that was published.

    Args:
        specialist: open.
        data: a table of readings as in training: a file, or rows.
        failures: of the targets `failures` and `normal`: the file with the units and times of failures.
        place: the project.
        horizon: of the target `normal`: steps before a failure in which an alarm counts for it.
        progress: told how far it is.

    Raises:
        DataError: the tables do not fit each other or the specialist, or no window is left that it has not learnt from.
        UsageError: failures without readings or the other way round, or there is nothing to be judged by.
    """
    told = options_of(specialist.task)
    if horizon is not None and (told.target != "normal" or failures is None):
        raise UsageError(
            "--horizon says how long before a failure an alarm counts for it, and needs --failures"
            if told.target == "normal"
            else f"{specialist.id!r} was trained for its own horizons ({', '.join(map(str, told.horizons))}); leave out --horizon"
        )
    if data is None:
        return as_published(specialist, failures, place)
    if told.target == "normal":
        return prove_normal(specialist, data, failures, horizon, place, progress=progress)
    if (told.target == "failures") != (failures is not None):
        raise UsageError(
            f"{specialist.id!r} foresees failures: say when units failed, --failures FILE"
            if failures is None
            else f"{specialist.id!r} was taught by {told.target!r} of the readings, not by dates; leave out --failures"
        )
    codec = codec_of(specialist)
    assert isinstance(codec, FailuresCodec)
    models = read_horizons(specialist.weights.folder)
    readings = given_readings(data, codec.shape.columns, told, progress)
    told = told.model_copy(update={"failures": None if failures is None else str(failures)})
    known, book = failures_of(told, Path(), codec.shape.columns, readings)
    fleet = Fleet(specialist.task, told, codec.shape.columns, readings, known, {}, {"failures": book})
    prepared, seen = _prepared(fleet, models, learnt_of(specialist, place), specialist.id)
    judged = _judged(specialist, fleet, prepared, models, progress)
    return _report(specialist, judged, seen, source_of(data), progress)


def _prepared(fleet: Fleet, models: HorizonModels, known: Mapping[str, Any] | None, name: str) -> tuple[Prepared, Seen]:
    plan = fleet.plan.model_copy(update={"keep_leaks": ()})
    scale = models.models[models.chosen[0].model].recipe.scale
    readings, windows, labels, events = labelled(fleet.readings, plan, scale, failures=fleet.failures)
    seen = unseen(readings, windows, known, name)
    test = np.flatnonzero(seen.unseen & (labels >= 0).any(axis=1))
    if not len(test):
        raise DataError(
            f"of {len(windows):,} windows none can prove anything: {seen.told} What comes after the others is not known yet; "
            "give newer readings, and longer ones than the horizons"
        )
    nothing = np.zeros(0, dtype=np.int64)
    facts = {
        "by": "given", "told": seen.told,
        "windows": {"in": len(windows), "train": 0, "validation": 0, "test": len(test)},
        "namesakes": list(seen.namesakes[:50]),
    }  # fmt: skip
    split = Split(nothing, nothing, test, [], facts)
    return Prepared(plan, readings, windows, labels, events, split, (), {}), seen


def _judged(
    specialist: Specialist, fleet: Fleet, prepared: Prepared, models: HorizonModels, progress: Progress
) -> Judged:
    test, horizons = prepared.split.test, prepared.plan.horizons
    windows = prepared.windows.take(test)
    rungs: dict[str, FittedRung] = {}
    for name, model in models.models.items():
        logits = model.logits_of(model.recipe.matrix(prepared.readings, windows, progress))
        wide = np.zeros((len(test), len(horizons)))
        for j, horizon in enumerate(horizons):
            if horizon in model.horizons:
                wide[:, j] = logits[:, model.horizons.index(horizon)]
        rungs[name] = FittedRung(name, specialist.weights, model, np.zeros((0, len(horizons))), wide)  # type: ignore[arg-type]
    why = specialist.weights.facts.get("rungs", {})
    chosen = tuple(
        Choice(c.horizon, rungs[c.model], str(why.get(str(c.horizon), {}).get("why", "as it was published")))
        for c in models.chosen
    )
    found = Anticipation(prepared, tuple(rungs.values()), chosen, {})
    thresholds = [np.inf if t is None else float(t) for t in read_json(specialist.side_files / ALARMS)["thresholds"]]
    side = Sides(windows, prepared.labels[test], found.test)
    plan = prepared.plan
    worths = judge(
        horizons, None, side, prepared.events, prepared.readings.grid, thresholds=thresholds, when=plan.when,
        offset=plan.offset,
    )  # fmt: skip
    taken = {
        **fleet.facts,
        "columns": {
            "unit": fleet.columns.unit, "time": fleet.columns.time, "channels": list(prepared.readings.channels),
            "long": fleet.columns.is_long, "label": fleet.options.column,
        },
        "target": prepared.plan.target, "split": f"none: {prepared.split.facts['told']}",
        "events": {u: len(f) for u, f in fleet.failures.items()}, "named_units": 0,
    }  # fmt: skip
    return Judged(replace(fleet, facts=taken), prepared, found, tuple(worths), (), 0.0)


def _report(specialist: Specialist, judged: Judged, seen: Seen, source: str, progress: Progress) -> Report:
    prepared, codec = judged.prepared, codec_of(specialist)
    assert isinstance(codec, FailuresCodec)
    windows = sealed_windows(prepared.readings, prepared.windows, prepared.split.test, codec.shape, REPLAYED)
    report = fleet_report(specialist, judged, [(w.inputs, w.row, w.until) for w in windows], progress=progress)
    published = read_report(specialist)
    lost: npt.NDArray[np.bool_] = ~seen.unseen
    about = {
        **report.dataset, "train": published.dataset.get("train", 0), "validation": published.dataset.get("validation", 0),
        "source": source, "seen_in_training": int(lost.sum()) if seen.known else None,
    }  # fmt: skip
    rungs = [replace(rung, score=None) for rung in published.ladder if rung.chosen]
    return replace(report, reasons=[*report.reasons, seen.told], ladder=rungs, dataset=about)
