"""The smallest whole specialist: the same three scores for every text. Written at once, and it can be served."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from shokunin import registry
from shokunin.calibration import Calibration, calibration_to_dict
from shokunin.files import write_json, write_text
from shokunin.specialist import Specialist
from shokunin.task import Task, task_to_dict

LABELS = ("invoice", "parcel", "refund")
SHARES = (0.2, 0.7, 0.1)


def fill(folder: Path, name: str = "inquiries", version: int = 1, *, verdict: str = "pass", **more: Any) -> Specialist:
    """Write and seal a whole specialist into the existing, empty `folder`."""
    for part in ("weights", "side_files"):
        (folder / part).mkdir()
    write_json(folder / "weights" / "constant.json", {"scores": [math.log(share) for share in SHARES]})
    write_json(folder / "side_files" / "labels.json", list(LABELS))
    write_json(folder / "side_files" / "calibration.json", calibration_to_dict(Calibration()))
    golden = [{"inputs": {"text": "where is my parcel?"}, "value": "parcel", "confidence": 0.7}]
    write_json(folder / "side_files" / "golden.json", golden)
    write_json(folder / "report.json", report(name, version, verdict))
    write_text(folder / "card.md", f"# {name}\n")
    manifest = {
        "name": name,
        "version": version,
        "created": "2025-01-02T03:04:05Z",
        "task": task_to_dict(Task(name)),
        "labels": list(LABELS),
        "weights": {"form": "labelled_text", "format": "constant", "exact": True, "facts": {}},
        "steps": [{"step": "train", "learner": "baseline"}],
        "parent": None,
        "licences": {},
    }
    return registry.seal(folder, {**manifest, **more})


def publish(shelf: Path, name: str = "inquiries", *, version: int | None = None, **more: Any) -> Specialist:
    """Make and publish one more version."""
    with registry.making(shelf, name, version=version) as (made, number):
        fill(made, name, number, **more)
        return registry.publish(made, shelf, name, number)


def report(name: str, version: int, verdict: str) -> dict[str, Any]:
    """A report of three rows, as plain values; its answers are those of the specialist that `fill` writes."""
    score = {"value": 0.91, "low": 0.88, "high": 0.94}
    cases = [
        {
            "origin": f"rows.csv:{row}",
            "inputs": {"text": text},
            "expected": expected,
            "value": "parcel",
            "confidence": 0.7,
            "correct": expected == "parcel",
            "sure": True,
        }
        for row, (text, expected) in enumerate(
            [("where is it?", "parcel"), ("money back", "refund"), ("when?", "parcel")], 2
        )
    ]
    return {
        "specialist": name,
        "version": version,
        "kind": "classify_text",
        "created": "2025-01-02T03:04:05Z",
        "verdict": verdict,
        "reasons": ["It answers one thing only."],
        "rows": 3,
        "metric": "accuracy",
        "scores": {"accuracy": score, "macro_f1": score},
        "baseline": {},
        "ladder": [],
        "why_chosen": "",
        "threshold": {},
        "calibration": {},
        "risk_coverage": [],
        "worst_pairs": [],
        "scope": None,
        "latency_ms": {"p50": 0.1, "p95": 0.2, "p99": 0.3},
        "throughput": 1e4,
        "size_bytes": 100,
        "peak_memory_bytes": 10**8,
        "dataset": {},
        "openings": 1,
        "machine": {},
        "cases": cases,
    }
