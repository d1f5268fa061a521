"""Train on a fleet: read, split, fit the rungs, choose one a horizon, prove on the sealed side, replay, publish."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logit

from shokunin.files import exclusive, folder_in_making, publish_folder, read_json, write_json
from shokunin.pipeline.anticipating import Anticipation, fit_rungs, prepare
from shokunin.pipeline.fleet_folder import REPLAYED, Window, published, sealed_windows
from shokunin.pipeline.fleet_proof import Judged, fleet_report, judged_as_published
from shokunin.pipeline.fleet_rows import Fleet, Rows, fleet_task, read_fleet
from shokunin.pipeline.fleet_seen import last_steps_of, learnt
from shokunin.progress import Progress, silent
from shokunin.project import Project
from shokunin.report import Report
from shokunin.series.horizons import Chosen, write_horizons
from shokunin.series.leaks import Leak
from shokunin.series.plan import RungName
from shokunin.series.precedents import Precedents, find_precedents
from shokunin.series.proof import Sides, judge
from shokunin.specialist import FORMAT, Specialist
from shokunin.task import Task, task_to_dict
from shokunin.tasks.anticipate_failures import ALARMS, codec, settled_with
from shokunin.train import boosted_trees
from shokunin.version import __version__

FAST: tuple[RungName, ...] = ("base_rate", "last_outside", "outside_30", "statistics")
PARTS = 6
"""With a split by unit an encoder is taught anew for each part and once for all."""


def train_fleet(
    data: Rows,
    *,
    project: Project,
    task: Task | None = None,
    name: str | None = None,
    wishes: Mapping[str, Any],
    budget_seconds: float,
    seed: int = 0,
    replayed: bool = True,
    progress: Progress = silent,
) -> Specialist:
    """Train a specialist that foresees failures, prove it and publish it. Arguments and errors as for `pipeline.train`."""
    data, task, folder = fleet_task(data, task, name, wishes)
    fleet = read_fleet(data, task, folder, seed=seed, progress=progress)
    notes: dict[str, str] = {}
    if "rungs" not in task.options:
        rungs, notes = _rungs(fleet, budget_seconds)
        fleet = replace(fleet, options=fleet.options.model_copy(update={"rungs": rungs}))
    prepared = prepare(fleet.readings, fleet.plan, failures=fleet.failures, texts=fleet.texts)
    ahead = max(prepared.plan.horizons) + prepared.plan.offset
    known = learnt(prepared.readings, last_steps_of(prepared.windows, prepared.split, ahead))
    digest = keep_fleet(fleet, prepared.split.facts, prepared.leaks, project, known)
    work = project.work / f"fleet-{digest[:16]}"
    work.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(work.with_suffix(".lock"), seconds=1), tempfile.TemporaryDirectory(dir=work.parent) as scratch:
        start = time.perf_counter()
        found = fit_rungs(prepared, Path(scratch) / "rungs", progress=progress)
        found = replace(found, notes={**found.notes, **notes})
        seconds = time.perf_counter() - start
        validation, test = (
            Sides(prepared.windows.take(rows), prepared.labels[rows], logits)
            for rows, logits in (
                (prepared.split.validation, found.validation),
                (prepared.split.test, found.test),
            )
        )
        worths = judge(
            fleet.plan.horizons, validation, test, prepared.events, prepared.readings.grid,
            alarms_a_month=fleet.options.alarms_a_month, when=fleet.plan.when, offset=fleet.plan.offset, seed=seed,
        )  # fmt: skip
        claimed = judged_as_published(prepared, Path(scratch) / "published", progress=progress)
        judged = Judged(fleet, prepared, found, tuple(worths), tuple(claimed), seconds)
        return _publish(judged, project, digest, seed=seed, replayed=replayed, progress=progress)


def keep_fleet(
    fleet: Fleet,
    split: Mapping[str, Any],
    leaks: Sequence[Leak],
    project: Project,
    known: Mapping[str, Any],
) -> str:
    """Write down in the project what was read, how it was split and what is learnt from (`fleet_seen.learnt`).

    Returns:
        The digest of the readings, the plan and what is learnt from: the same readings without a channel that is now known
        for a leak are written down anew, since checksums of other channels would make every unit a stranger.
    """
    whole = hashlib.sha256(json.dumps(fleet.options.model_dump(mode="json"), sort_keys=True).encode())
    for stretch in fleet.readings.stretches:
        whole.update(f"{fleet.readings.units[stretch.unit]} {stretch.start}".encode())
        whole.update(stretch.values.tobytes())
        whole.update(stretch.filled.tobytes())
    whole.update(json.dumps({u: list(f) for u, f in fleet.failures.items()}, sort_keys=True).encode())
    whole.update(json.dumps(known, sort_keys=True).encode())
    digest = whole.hexdigest()
    place = project.datasets(fleet.task.name) / digest[:16]
    if not (place / "fleet.json").is_file():
        facts = {
            "digest": digest, "task": task_to_dict(fleet.task), "read": fleet.readings.facts, "taken": fleet.facts,
            "split": split, "leaks": [vars(leak) for leak in leaks], "learnt": known,
        }  # fmt: skip
        with folder_in_making(place.parent) as made:
            write_json(made / "fleet.json", facts)
            publish_folder(made, place)
    return digest


def fleet_facts(specialist: Specialist, project: Project) -> dict[str, Any]:
    """What `keep_fleet` wrote down for a specialist."""
    digest = str(specialist.manifest["dataset"]["digest"])
    return dict(read_json(project.datasets(specialist.name) / digest[:16] / "fleet.json"))


def _rungs(fleet: Fleet, seconds: float) -> tuple[tuple[RungName, ...], dict[str, str]]:
    """The rungs that are tried where nobody names them, and why others are not."""
    ask = f"--option rungs={','.join((*FAST, 'embedding'))}"
    if not fleet.texts:
        # Minutes of teaching that bought nothing measurable on the one real data set it was tried on.
        return FAST, {
            "embedding": f"not tried: it takes minutes and did not help where it was measured; to try it: {ask}"
        }
    if find_spec("torch") is None:
        return FAST, {"embedding": "not tried: the encoder is taught with the extra `train`, which is not installed"}
    readings = fleet.readings
    windows = sum(max(0, len(s) - fleet.plan.window + 1) for s in readings.stretches)
    options = boosted_trees.Options(encoder_steps=fleet.plan.encoder_steps, lora_steps=fleet.plan.lora_steps)
    teaching = options.encoder_steps * 0.1 + options.lora_steps * 0.15 * len(readings.channels)
    needed = teaching + windows * len(readings.channels) * 92 * len(fleet.plan.horizons) * 1e-5
    needed *= PARTS if fleet.plan.split == "unit" else 1
    if needed > seconds / 2:
        told = f"not tried: it would take about {needed / 60:.0f} min, more than half of the budget; to try it: {ask}"
        return FAST, {"embedding": told}
    return (*FAST, "embedding", "text"), {}


def _publish(
    judged: Judged, project: Project, digest: str, *, seed: int, replayed: bool, progress: Progress
) -> Specialist:
    def fill(made: Path, version: int) -> tuple[dict[str, Any], Sequence[Window]]:
        _assemble(made, judged, version, digest, seed)
        prepared, shape = judged.prepared, codec(task_of(judged), made / "side_files").shape
        windows = sealed_windows(prepared.readings, prepared.windows, prepared.split.test, shape, REPLAYED)
        return _manifest(judged, version, digest, seed), windows

    def prove(specialist: Specialist, windows: Sequence[Window]) -> Report:
        sample = [(w.inputs, w.row, w.until) for w in windows]
        return fleet_report(specialist, judged, sample, progress=progress)

    return published(project, judged.fleet.task.name, digest, fill, prove, replayed=replayed, progress=progress)


def task_of(judged: Judged) -> Task:
    """The task as the specialist carries it: with the channels that are left, without the files of the training."""
    fleet = judged.fleet
    columns = fleet.columns.model_copy(update={"channels": judged.prepared.readings.channels})
    return settled_with(replace(fleet.task, options=fleet.options.model_dump(mode="json", exclude_none=True)), columns,
                        judged.prepared.readings.channels)  # fmt: skip


def thresholds_of(judged: Judged) -> list[float | None]:
    """The risk from which on an alarm is raised, one a horizon; None: never."""
    found = [worth.alarms.threshold for worth in judged.worths]
    return [float(t) if np.isfinite(t) else None for t in found]


def _assemble(made: Path, judged: Judged, version: int, digest: str, seed: int) -> None:
    side_files, weights = made / "side_files", made / "weights"
    side_files.mkdir()
    weights.mkdir()
    thresholds = thresholds_of(judged)
    chosen = [
        Chosen(c.horizon, c.rung.name, None if t is None else float(logit(np.clip(t, 1e-9, 1 - 1e-9))))
        for c, t in zip(judged.found.chosen, thresholds, strict=True)
    ]
    folders: dict[str, Path] = {c.rung.name: c.rung.weights.folder for c in judged.found.chosen}
    write_horizons(chosen, folders, weights, precedents=_precedents(judged))
    write_json(side_files / ALARMS, {"thresholds": thresholds})
    write_json(side_files / "golden.json", [])


def _precedents(judged: Judged) -> Precedents | None:
    """Training windows before events, for alarms to be likened to."""
    prepared = judged.prepared
    return find_precedents(
        prepared.readings, prepared.windows, prepared.labels, prepared.events,
        (prepared.split.train, prepared.split.validation), judged.found.chosen[0].rung.model.recipe.scale,
        furthest=max(prepared.plan.horizons) + prepared.plan.offset,
    )  # fmt: skip


def _manifest(judged: Judged, version: int, digest: str, seed: int) -> dict[str, Any]:
    prepared, found = judged.prepared, judged.found
    facts = {
        "rungs": {str(c.horizon): {"rung": c.rung.name, "why": c.why} for c in found.chosen},
        "members": [{"rung": r.name, "facts": r.weights.facts} for r in _used(found)],
    }
    return {
        "format": FORMAT,
        "name": judged.fleet.task.name,
        "version": version,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "made_with": f"shokunin {__version__}",
        "task": task_to_dict(task_of(judged)),
        "labels": [],
        "weights": {"form": "series_window", "format": "series_horizons", "exact": True, "facts": facts},
        "dataset": {
            "digest": digest, "train": len(prepared.split.train), "validation": len(prepared.split.validation),
            "test": len(prepared.split.test),
        },
        "steps": [
            {
                "step": "train", "learner": "+".join(dict.fromkeys(c.rung.name for c in found.chosen)), "seed": seed,
                "seconds": round(judged.seconds, 3), "candidates": len(found.rungs),
            }
        ],
        "parent": None,
        "licences": _licences(found),
    }  # fmt: skip


def _used(found: Anticipation) -> list[Any]:
    return list({c.rung.name: c.rung for c in found.chosen}.values())


def _licences(found: Anticipation) -> dict[str, str]:
    """The licences of the encoders that the used rungs carry."""
    out: dict[str, str] = {}
    for rung in _used(found):
        for key in ("text_model", "encoder"):
            about = rung.weights.facts.get(key)
            if isinstance(about, dict) and about.get("name") and about.get("licence"):
                out[str(about["name"])] = str(about["licence"])
    return out
