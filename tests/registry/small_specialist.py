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


def fill(folder: Path, name: str = "inquiries", version: int = 1, **more: Any) -> Specialist:
    """Write and seal a whole specialist into the existing, empty `folder`."""
    for part in ("weights", "side_files"):
        (folder / part).mkdir()
    write_json(folder / "weights" / "constant.json", {"scores": [math.log(share) for share in SHARES]})
    write_json(folder / "side_files" / "labels.json", list(LABELS))
    write_json(folder / "side_files" / "calibration.json", calibration_to_dict(Calibration()))
    golden = [{"inputs": {"text": "where is my parcel?"}, "value": "parcel", "confidence": 0.7}]
    write_json(folder / "side_files" / "golden.json", golden)
    score = {"value": 0.91, "low": 0.88, "high": 0.94}
    write_json(folder / "report.json", {"verdict": "pass", "metric": "accuracy", "scores": {"accuracy": score}})
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
