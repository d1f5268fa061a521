"""What reports on machines have in common, whatever was proven: when and of what they are, and how fast it answers here."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from shokunin.metrics import Interval
from shokunin.progress import Progress, silent
from shokunin.prove.measure import machine, measure
from shokunin.report import Case, Report, Rung
from shokunin.series.readings import Readings
from shokunin.specialist import Specialist


def machines_report(
    specialist: Specialist,
    inputs: Sequence[Mapping[str, str]],
    *,
    verdict: str,
    reasons: list[str],
    rows: int,
    metric: str,
    scores: dict[str, Interval],
    baseline: dict[str, Any],
    ladder: list[Rung],
    why_chosen: str,
    threshold: float | None,
    dataset: dict[str, Any],
    anticipation: dict[str, Any],
    cases: list[Case],
    calibration: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Report:
    """The report, with the speed measured on windows as they would be sent.

    Args:
        specialist: open.
        inputs: those windows.
        verdict, reasons, rows, metric, scores, baseline, ladder, why_chosen, anticipation, cases: as of `Report`.
        threshold: from which risk or strangeness on an alarm is raised; None: never.
        dataset: `digest` is added.
        calibration: `ece` and `bins`, where risks are probabilities.
        progress: told of the measurement.
    """
    assert specialist.predictor is not None
    progress("measuring speed on this machine", 0, 1)
    speed = measure(specialist.predictor, list(inputs))
    bins = calibration or {}
    return Report(
        specialist=specialist.name,
        version=specialist.version,
        kind=specialist.task.kind,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        verdict=verdict,
        reasons=reasons,
        rows=rows,
        metric=metric,
        scores=scores,
        baseline=baseline,
        ladder=ladder,
        why_chosen=why_chosen,
        threshold={"value": threshold, "coverage_here": None},
        calibration={"ece": bins.get("ece"), "temperature": None, "bins": bins.get("bins", [])},
        risk_coverage=[],
        worst_pairs=[],
        scope=None,
        latency_ms=speed.latency_ms,
        throughput=speed.throughput,
        size_bytes=specialist.weights.size_bytes(),
        peak_memory_bytes=speed.peak_memory_bytes,
        dataset={"digest": specialist.manifest["dataset"]["digest"], **dataset},
        openings=0,
        machine=machine(),
        anticipation=anticipation,
        cases=cases,
    )


def sides_of(train: int, validation: int, test: int, readings: Readings) -> dict[str, Any]:
    """What a report says of its windows and of the rows that they were cut from."""
    rows = readings.facts["rows"]
    return {
        "train": train, "validation": validation, "test": test, "labels": 0,
        "facts": {"rows": {"in": rows["in"], "used": rows["used"], "set_aside": rows["aside"]}},
    }  # fmt: skip
