"""What the benchmarks of sensor series have in common: how their results are written."""

from __future__ import annotations

import importlib.metadata
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS, machine, revision

LIBRARIES = ("shokunin", "numpy", "scipy", "lightgbm", "onnxruntime", "torch", "scikit-learn")


def result(benchmark: str, about: Mapping[str, Any]) -> dict[str, Any]:
    """An empty result: what, when, at which commit, on which machine."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "benchmark": benchmark,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **revision(),
        "machine": {**machine(), "load_at_start": round(os.getloadavg()[0], 2)},
        "versions": versions,
        **about,
    }


def write(found: Mapping[str, Any], folder: Path = RESULTS) -> Path:
    """Write a result as `<benchmark>-<date>-<commit>.json`."""
    stamp = str(found["created"]).replace("-", "").replace(":", "")
    path = folder / f"{found['benchmark']}-{stamp}-{found['commit']}.json"
    half = path.with_suffix(".part")
    half.write_text(json.dumps(found, indent=1, default=float) + "\n", encoding="utf-8")
    half.replace(path)
    return path
