"""What answering costs on this machine: latency one by one, throughput in batches, peak memory; and which machine."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from shokunin.answer import Inputs, Predictor

WARM_UP = 5
SINGLES = 200
SECONDS = 5.0
"""How long single answers, and then batches, are timed at most."""
BATCH = 64
LIBRARIES = ("shokunin", "numpy", "scipy", "scikit-learn", "onnxruntime", "tokenizers", "torch", "transformers")


@dataclass(frozen=True)
class Measurement:
    """What answering took.

    Attributes:
        latency_ms: `p50`, `p95`, `p99` of one answer at a time.
        throughput: answers per second in batches of 64.
        peak_memory_bytes: the most memory the process held while it answered, its libraries and weights included.
        singles: how many single answers were timed.
    """

    latency_ms: dict[str, float]
    throughput: float
    peak_memory_bytes: int
    singles: int


def measure(
    predictor: Predictor,
    inputs: Sequence[Inputs],
    *,
    singles: int = SINGLES,
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> Measurement:
    """Time the predictor on real inputs, after a warm-up, for at most about twice `seconds`.

    Raises:
        ValueError: there are no inputs.
    """
    if not inputs:
        raise ValueError("nothing to measure: there are no inputs")
    spread = [inputs[i] for i in np.linspace(0, len(inputs) - 1, min(singles, len(inputs))).astype(int)]
    for row in spread[:WARM_UP]:
        predictor.predict([row])
    peak = _PeakMemory()
    times: list[float] = []
    end = clock() + seconds
    while len(times) < singles and (not times or clock() < end):
        start = clock()
        predictor.predict([spread[len(times) % len(spread)]])
        times.append(clock() - start)
    p50, p95, p99 = (1000 * float(q) for q in np.quantile(times, [0.5, 0.95, 0.99]))
    throughput = _throughput(predictor, inputs, seconds, clock)
    return Measurement({"p50": p50, "p95": p95, "p99": p99}, throughput, peak.read(), len(times))


def machine() -> dict[str, Any]:
    """What the figures were measured on; no name of the machine or of its user is in it."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "memory_bytes": int(psutil.virtual_memory().total),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "libraries": {name: found for name in LIBRARIES if (found := _version(name)) is not None},
    }


def _throughput(predictor: Predictor, inputs: Sequence[Inputs], seconds: float, clock: Callable[[], float]) -> float:
    answered, start = 0, clock()
    predictor.predict(inputs[:BATCH])  # a batch of this shape was not seen in the warm-up
    start = clock()
    while True:
        at = answered % len(inputs)
        batch = inputs[at : at + BATCH]
        predictor.predict(batch)
        answered += len(batch)
        spent = clock() - start
        if spent >= seconds or (answered >= len(inputs) and spent > seconds / 5):
            return answered / spent if spent > 0 else float(answered)


class _PeakMemory:
    """The process's largest resident size: from here on where Linux counts it, else over the whole run."""

    def __init__(self) -> None:
        self._reset = False
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # man 5 proc: resets VmHWM
            self._reset = True

    def read(self) -> int:
        if self._reset:
            status = Path("/proc/self/status").read_text(encoding="utf-8")
            lines = [line for line in status.splitlines() if line.startswith("VmHWM:")]
            if lines:
                return int(lines[0].split()[1]) * 1024
        info = psutil.Process().memory_info()
        return int(getattr(info, "peak_wset", info.rss))


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if sys.platform == "darwin":
        return "Apple silicon" if platform.machine() == "arm64" else platform.processor()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
