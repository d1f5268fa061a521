"""Report: the proof. Made only from sealed or given rows and answers; every case is in it, each score has an interval."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from shokunin.metrics import Interval


@dataclass(frozen=True)
class Rung:
    """One learner on the ladder, as it did on the rows it was chosen by (validation or out of fold; never the sealed rows).

    Attributes:
        learner: the learner's name.
        score: the task's metric there; None if it was not tried or there were no rows that it was not fitted on.
        worse_than_best: p-value of the paired test against the best rung (small: measurably worse).
        shortfall: the best rung's score minus this one's.
        train_seconds: time to fit.
        latency_ms: median time for one answer.
        size_bytes: size of the weights.
        chosen: whether this rung became the specialist.
        note: why there is no score, if there is none; else what of the lessons was left out, if anything was.
    """

    learner: str
    score: Interval | None
    worse_than_best: float | None = None
    shortfall: float | None = None
    train_seconds: float | None = None
    latency_ms: float | None = None
    size_bytes: int | None = None
    chosen: bool = False
    note: str | None = None


@dataclass(frozen=True)
class Case:
    """One sealed row and what the specialist said to it."""

    origin: str
    inputs: dict[str, str]
    expected: str
    value: str | None
    confidence: float
    correct: bool
    sure: bool
    group: int = 0
    problem: str | None = None
    against: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """The proof of one specialist on one set of rows. Times in milliseconds or seconds as named, sizes in bytes, rates 0 to 1.

    Attributes:
        verdict: `pass` or `fail`.
        reasons: why, in plain sentences.
        scores: the kind's metrics with 95 % intervals; those of a single field are called `f1[NAME]`.
        baseline: the trivial answer's scores on the same rows, and the paired p-value against it.
        against: the paired comparison with the large model's recorded or live answers, if asked for.
        threshold: `value`, `coverage`, `bound`, `confidence` as promised on validation rows, and `coverage_here`, `error_here` as
            they came out on these rows.
        calibration: `ece`, `temperature`, and the reliability `bins`.
        risk_coverage: pairs (coverage, error) as the threshold falls.
        worst_pairs: the commonest confusions: `expected`, `given`, `count`.
        scope: AUROC of telling "none of these" apart, where such rows exist.
        latency_ms: `p50`, `p95`, `p99` of single answers on this machine.
        throughput: answers per second in batches on this machine.
        replay: rows sent through the running server and how many answers differed.
        peak_memory_bytes: of the process that made the proof, with what a training in it left behind.
        dataset: what is known about the rows; of given rows `source` and `seen_in_training`: how many were left out because
            they repeat rows of the training side, or None where the dataset was not at hand to compare with.
        cost: a thousand answers rented and owned, and where owning breaks even (`pipeline.costing`), amounts in US dollars;
            or `missing`: why that is not known. None in reports of earlier releases.
        anticipation: of a specialist that foresees failures: what it is worth to whoever maintains the machines, horizon by
            horizon, beside the published way to judge; None for other kinds.
        openings: how often the same sealed rows were opened in the project, this time included; 0 for given rows.
    """

    specialist: str
    version: int
    kind: str
    created: str
    verdict: str
    reasons: list[str]
    rows: int
    metric: str
    scores: dict[str, Interval]
    baseline: dict[str, Any]
    ladder: list[Rung]
    why_chosen: str
    threshold: dict[str, Any]
    calibration: dict[str, Any]
    risk_coverage: list[tuple[float, float]]
    worst_pairs: list[dict[str, Any]]
    scope: dict[str, Any] | None
    latency_ms: dict[str, float]
    throughput: float
    size_bytes: int
    peak_memory_bytes: int
    dataset: dict[str, Any]
    openings: int
    machine: dict[str, Any]
    against: dict[str, Any] | None = None
    replay: dict[str, Any] | None = None
    cost: dict[str, Any] | None = None
    anticipation: dict[str, Any] | None = None
    cases: list[Case] = field(default_factory=list)


def report_to_dict(report: Report) -> dict[str, Any]:
    """The plain values, ready for JSON."""
    return asdict(report)


def report_from_dict(value: dict[str, Any]) -> Report:
    """The inverse of `report_to_dict`."""
    plain = dict(value)
    plain["scores"] = {name: Interval(**i) for name, i in value["scores"].items()}
    plain["ladder"] = [Rung(**{**r, "score": r["score"] and Interval(**r["score"])}) for r in value["ladder"]]
    plain["cases"] = [Case(**c) for c in value["cases"]]
    plain["risk_coverage"] = [(c, r) for c, r in value["risk_coverage"]]
    return Report(**plain)
