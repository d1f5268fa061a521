"""Train where no failure is known: what is normal is learnt, a detector is chosen, proven on sealed normal time, published."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from shokunin.errors import UsageError
from shokunin.files import exclusive, write_json
from shokunin.pipeline.fleet_folder import REPLAYED, Window, published, sealed_windows
from shokunin.pipeline.fleet_rows import Rows, fleet_task, read_fleet
from shokunin.pipeline.fleet_seen import last_steps_of, learnt
from shokunin.pipeline.fleet_training import keep_fleet
from shokunin.pipeline.normal_choice import choose_detector
from shokunin.pipeline.normal_period import SHARES, WINDOW, normal_period
from shokunin.pipeline.normal_proof import JudgedNormal, judge_normal, normal_report, sealed_rows
from shokunin.progress import Progress, silent
from shokunin.project import Project
from shokunin.report import Report
from shokunin.specialist import FORMAT, Specialist
from shokunin.task import Task, task_to_dict
from shokunin.tasks.anticipate_failures import codec, options_of, settled_with
from shokunin.version import __version__


def target_asked(data: Rows, task: Task | None, name: str | None, wishes: Mapping[str, Any]) -> str | None:
    """What the call or its task says that is to be foreseen; None: nobody said, and the table shows it.

    Raises:
        TaskError: the task's options are wrong.
    """
    _, told, _ = fleet_task(data, task, name, wishes)
    return options_of(told).target if "target" in told.options else None


def train_normal(
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
    """Train a specialist that tells what is unlike normal time, prove it and publish it.

    Arguments and errors as for `pipeline.train`; detectors for which the budget of time does not suffice are left out and named.
    """
    if (wishes.get("options") or {}).get("horizons"):
        raise UsageError("target=normal foresees nothing, so it has no horizons; leave out --horizon")
    data, task, folder = fleet_task(data, task, name, wishes)
    told = options_of(task)
    settled = {"window": WINDOW[told.step], "shares": list(SHARES), **task.options}
    fleet = read_fleet(data, replace(task, options=settled), folder, seed=seed, progress=progress)
    period = normal_period(fleet.readings, fleet.options)
    known = learnt(period.readings, last_steps_of(period.windows, period.split))
    digest = keep_fleet(fleet, {**period.split.facts, **period.facts}, (), project, known)
    work = project.work / f"fleet-{digest[:16]}"
    work.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(work.with_suffix(".lock"), seconds=1), tempfile.TemporaryDirectory(dir=work.parent) as scratch:
        start = time.perf_counter()
        choice = choose_detector(period, Path(scratch), budget_seconds=budget_seconds, progress=progress)
        judged = judge_normal(fleet, choice, time.perf_counter() - start)
        asked = task_of(judged)

        def fill(made: Path, version: int) -> tuple[dict[str, Any], Sequence[Window]]:
            shutil.copytree(choice.chosen.weights.folder, made / "weights")
            side_files = made / "side_files"
            side_files.mkdir()
            write_json(side_files / "golden.json", [])
            shape = codec(asked, side_files).shape
            windows = sealed_windows(period.readings, period.windows, sealed_rows(period), shape, REPLAYED)
            return _manifest(judged, asked, version, digest, seed), windows

        def prove(specialist: Specialist, windows: Sequence[Window]) -> Report:
            return normal_report(specialist, judged, windows, progress=progress)

        return published(project, task.name, digest, fill, prove, replayed=replayed, progress=progress)


def task_of(judged: JudgedNormal) -> Task:
    """The task as the specialist carries it: with the channels that are looked at."""
    fleet, channels = judged.fleet, judged.choice.period.readings.channels
    columns = fleet.columns.model_copy(update={"channels": channels})
    options = fleet.options.model_dump(mode="json", exclude_none=True)
    return settled_with(replace(fleet.task, options=options), columns, channels)


def _manifest(judged: JudgedNormal, task: Task, version: int, digest: str, seed: int) -> dict[str, Any]:
    period, chosen = judged.choice.period, judged.choice.chosen
    return {
        "format": FORMAT,
        "name": task.name,
        "version": version,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "made_with": f"shokunin {__version__}",
        "task": task_to_dict(task),
        "labels": [],
        "weights": {
            "form": "series_window", "format": "series_normal", "exact": True,
            "facts": {
                **chosen.weights.facts, "detector": chosen.name, "why": judged.choice.why,
                "plain_threshold": judged.choice.plain.model.threshold,
            },
        },
        "dataset": {
            "digest": digest, "train": len(period.split.train), "validation": len(period.split.validation),
            "test": len(sealed_rows(period)),
        },
        "steps": [
            {
                "step": "train", "learner": str(chosen.weights.facts["learner"]), "seed": seed,
                "seconds": round(judged.seconds, 3), "candidates": len(judged.choice.tried),
            }
        ],
        "parent": None,
        "licences": {},
    }  # fmt: skip
