"""From a chosen rung to a published specialist: assemble the folder, prove it, replay it through a real server, publish."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from shokunin import registry
from shokunin.calibration import Calibration, calibration_to_dict
from shokunin.dataset import Dataset, Example
from shokunin.files import read_json, write_json, write_text
from shokunin.pipeline.answering import codec_of, open_specialist
from shokunin.pipeline.ladder import Ladder
from shokunin.pipeline.mixing import written
from shokunin.pipeline.proof import make_report, sealed_ground
from shokunin.progress import Progress
from shokunin.project import Project
from shokunin.prove.render import model_card, report_html
from shokunin.prove.replay import check_replay, replay, replay_to_dict
from shokunin.report import Report, report_from_dict, report_to_dict
from shokunin.serve.process import ServerProcess
from shokunin.specialist import FORMAT, Specialist, read_specialist
from shokunin.task import task_to_dict
from shokunin.tasks import kind
from shokunin.version import __version__

T = TypeVar("T")
GOLDEN, GOLDEN_WRITTEN = 16, 4
"""Sample inputs that are asked at every load; fewer where answers are written, which may take seconds each."""
REPLAYED = 5_000
"""Of more sealed rows than this, so many are replayed, evenly spread over all of them: more would take longer and show little."""
INT8_TOLERANCE = 0.01


def publish(
    dataset: Dataset,
    ladder: Ladder,
    calibration: Calibration,
    project: Project,
    *,
    replayed: bool,
    progress: Progress,
    steps: list[dict[str, Any]],
    parent: str | None = None,
) -> Specialist:
    """Assemble, prove, replay and publish the chosen rung; it becomes the champion when its verdict is pass.

    Not if the champion reads other inputs or has other labels: then a person promotes it, or does not.

    Args:
        dataset: its sealed rows are opened once.
        ladder: the chosen rung, and all of them for the report.
        calibration: what turns its raw scores into confidence and decisions.
        project: where it goes.
        replayed: whether the sealed rows, at most `REPLAYED` of them, go through a server process first.
        progress: told how far it is.
        steps: how the weights came to be, oldest first, for the manifest.
        parent: `name@version` of the specialist it was derived from.

    Raises:
        ReplayError: the served model answers differently from the tested one; nothing was published.
    """
    name = dataset.task.name
    with registry.making(project.specialists, name) as (made, version):
        _assemble(made, dataset, ladder, calibration, version, steps, parent)
        specialist = open_specialist(read_specialist(made))
        ground = sealed_ground(dataset, codec_of(specialist), why=f"proof of {specialist.id}")
        report = make_report(specialist, ground, rungs=ladder.rungs, why=ladder.why, place=project, progress=progress)
        write_report(made, report)
        if replayed:
            report = replace(report, replay=replay_folder(made, report, progress=progress))
            write_report(made, report)
        published = registry.publish(made, project.specialists, name, version)
    if report.verdict == "pass" and registry.differs(project.specialists, published) is None:
        registry.promote(project.specialists, name, published.version)
    return published


def replay_folder(folder: Path, report: Report, *, progress: Progress) -> dict[str, Any]:
    """Send sealed rows through a server process that serves `folder`, and compare with the report's cases.

    All of them, or `REPLAYED` evenly spread ones if there are more.

    Raises:
        ReplayError: too many answers differ.
    """
    specialist = read_specialist(folder)
    cases = spread(report.cases, REPLAYED)
    examples = [Example(c.inputs, c.expected, c.origin, c.group) for c in cases]
    tolerance = 0.0 if specialist.weights.exact else INT8_TOLERANCE
    # A project of its own: no key is asked for, no upstream answers in the specialist's place, nothing is recorded.
    alone = tempfile.TemporaryDirectory(prefix="shokunin-replay-")
    with alone, ServerProcess(["--specialist", str(folder), "--no-record", "--project", alone.name]) as server:
        result = replay(
            server.base_url, specialist.name, examples, [c.value for c in cases],
            exact=specialist.weights.exact, tolerance=tolerance, progress=progress,
        )  # fmt: skip
    check_replay(result)
    return replay_to_dict(result)


def _assemble(
    made: Path,
    dataset: Dataset,
    ladder: Ladder,
    calibration: Calibration,
    version: int,
    steps: list[dict[str, Any]],
    parent: str | None,
) -> None:
    side_files = made / "side_files"
    side_files.mkdir()
    weights = written(ladder.chosen.weights, made / "weights")
    kind(dataset.task.kind).prepare(dataset.task, dataset.train, side_files)
    write_json(side_files / "calibration.json", calibration_to_dict(calibration))
    write_json(side_files / "golden.json", [])
    manifest = {
        "format": FORMAT,
        "name": dataset.task.name,
        "version": version,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "made_with": f"shokunin {__version__}",
        "task": task_to_dict(dataset.task),
        "labels": list(dataset.labels),
        "weights": {
            "form": weights.form, "format": weights.format,
            "exact": weights.exact, "facts": weights.facts,
        },
        "dataset": {
            "digest": dataset.digest, "train": len(dataset.train), "validation": len(dataset.validation),
            "test": dataset.sealed.count,
        },
        "steps": steps,
        "parent": parent,
        "licences": _licences(weights.facts),
    }  # fmt: skip
    registry.seal(made, manifest)
    specialist = open_specialist(read_specialist(made), golden=False)
    count = GOLDEN_WRITTEN if weights.form == "conversation" else GOLDEN
    sample = [dict(e.inputs) for e in spread(dataset.train, count)]
    answers = specialist.predict(sample)
    golden = [{"inputs": i, "value": a.value, "confidence": a.confidence} for i, a in zip(sample, answers, strict=True)]
    write_json(side_files / "golden.json", golden)
    registry.seal(made, manifest)


def _licences(facts: dict[str, Any]) -> dict[str, str]:
    """The licence of every base model that the weights were made from."""
    base = facts.get("base")
    own = {str(base["name"]): str(base["licence"])} if isinstance(base, dict) else {}
    for member in facts.get("members", []):
        own |= _licences(member["facts"])
    return own


def write_report(folder: Path, report: Report) -> None:
    """The report in its two shapes and the card, and the manifest that covers them."""
    manifest = read_json(folder / "manifest.json")
    write_json(folder / "report.json", report_to_dict(report))
    write_text(folder / "report.html", report_html(report))
    write_text(folder / "card.md", model_card(report, manifest))
    registry.seal(folder, manifest)


def read_report(specialist: Specialist) -> Report:
    """The report that was published with the specialist."""
    return report_from_dict(read_json(specialist.folder / "report.json"))


def spread(rows: Sequence[T], count: int) -> list[T]:
    """`count` of the rows, evenly spread from the first to the last; all of them if there are no more."""
    return [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int))]
