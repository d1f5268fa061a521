"""The folder of a specialist of a fleet: sealed windows as callers would send them, golden answers, the report, the replay."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from shokunin import registry
from shokunin.dataset import Example, count_openings, log_opening
from shokunin.files import write_json
from shokunin.pipeline.answering import open_specialist
from shokunin.pipeline.publish import spread, write_report
from shokunin.progress import Progress
from shokunin.project import Project
from shokunin.prove.replay import check_replay, replay, replay_to_dict
from shokunin.report import Report
from shokunin.series.readings import Readings
from shokunin.series.sent import Shape, as_sent, read_sent
from shokunin.series.windows import Rows, Windows, cut
from shokunin.serve.process import ServerProcess
from shokunin.specialist import Specialist, read_specialist

GOLDEN = 8
REPLAYED = 400
"""Windows of the sealed side that go through a server before publication, spread evenly over all of them."""


@dataclass(frozen=True)
class Window:
    """One window of the sealed side, as a caller would send it."""

    inputs: dict[str, str]
    row: int
    until: str


def published(
    project: Project,
    name: str,
    digest: str,
    fill: Callable[[Path, int], tuple[dict[str, Any], Sequence[Window]]],
    prove: Callable[[Specialist, Sequence[Window]], Report],
    *,
    replayed: bool,
    progress: Progress,
) -> Specialist:
    """Make the folder, prove what is in it, replay it, publish it; a pass makes it the champion.

    Args:
        project: where.
        name: the specialist's.
        digest: of its readings and plan; beside what is kept of them the opening of the sealed side is written down.
        fill: writes weights and side files into the folder, of which it is told the version, and returns the manifest and the
            sealed windows.
        prove: makes the report of the open specialist.
        replayed: send the windows through a server process first.
        progress: told how far it is.

    Raises:
        ReplayError: the served model answers differently; nothing was published.
    """
    with registry.making(project.specialists, name) as (made, version):
        manifest, windows = fill(made, version)
        _seal(made, manifest, windows)
        specialist = open_specialist(read_specialist(made))
        report = prove(specialist, windows)
        report = replace(report, openings=_opened(project.datasets(name) / digest[:16], specialist))
        write_report(made, report)
        if replayed:
            report = replace(report, replay=_replay(made, windows, progress=progress))
            write_report(made, report)
        specialist = registry.publish(made, project.specialists, name, version)
    if report.verdict == "pass" and registry.differs(project.specialists, specialist) is None:
        registry.promote(project.specialists, name, specialist.version)
    return open_specialist(specialist)


def _opened(folder: Path, specialist: Specialist) -> int:
    """Write the opening down; how often sealed sides of this name were opened, with whatever options."""
    log_opening(folder, f"proof of {specialist.id}")
    return count_openings(folder.parent.iterdir())


def sealed_windows(readings: Readings, windows: Windows, rows: Rows, shape: Shape, most: int) -> list[Window]:
    """Windows at `rows`, those of the sealed side, as a caller would send them, evenly spread.

    Left out are those whose first readings were filled from later ones: nobody could send them.
    """
    found = []
    for row in spread(rows.tolist(), most):
        inputs, step = as_sent(readings, windows, row)
        sent = read_sent(inputs["unit"], inputs["readings"], shape).window
        (_, values, filled), *_ = cut(readings, windows.take(np.asarray([row])), None)
        if np.array_equal(sent.values, values[0], equal_nan=True) and np.array_equal(sent.filled, filled[0]):
            found.append(Window(inputs, row, readings.when(step)))
    return found


def _seal(made: Path, manifest: dict[str, Any], windows: Sequence[Window]) -> None:
    """The manifest, and golden samples as the model answers them now."""
    registry.seal(made, manifest)
    specialist = open_specialist(read_specialist(made), golden=False)
    sample = [window.inputs for window in spread(windows, GOLDEN)]
    answers = specialist.predict(sample)
    golden = [{"inputs": i, "value": a.value, "confidence": a.confidence} for i, a in zip(sample, answers, strict=True)]
    write_json(made / "side_files" / "golden.json", golden)
    registry.seal(made, manifest)


def _replay(folder: Path, windows: Sequence[Window], *, progress: Progress) -> dict[str, Any]:
    """Send sealed windows through a server process, and compare alarms and sentences with what was tested.

    Raises:
        ReplayError: one differs.
    """
    specialist = open_specialist(read_specialist(folder))
    tested = specialist.predict([w.inputs for w in windows])
    examples = [Example(w.inputs, None, f"{w.inputs['unit']}, until {w.until}") for w in windows]
    alone = tempfile.TemporaryDirectory(prefix="shokunin-replay-")
    with alone, ServerProcess(["--specialist", str(folder), "--no-record", "--project", alone.name]) as server:
        result = replay(
            server.base_url, specialist.name, examples, [a.value for a in tested],
            said=[str(a.details["said"]) for a in tested], exact=True, progress=progress,
        )  # fmt: skip
    check_replay(result)
    return replay_to_dict(result)
