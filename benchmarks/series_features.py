"""Seconds of the processor from windows to numbers, beside tsfresh on the same windows (turbofans, 24 channels of 30 cycles).

Only the time is compared here, not what the numbers are worth.

`SHOKUNIN_TSFRESH_PYTHON=… python -m benchmarks.series_features [--windows 100]`
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.cmapss import WINDOW, engines
from benchmarks.harness import PEERS
from benchmarks.series_results import result, write
from shokunin.series.features import Recipe
from shokunin.series.labels import apart
from shokunin.series.scaling import fit_scale
from shokunin.series.windows import cut, windows_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=100)
    asked = parser.parse_args()
    readings, _ = apart(engines(), ["remaining_cycles"])
    windows = windows_of(readings, WINDOW)
    windows = windows.take(np.linspace(0, len(windows) - 1, asked.windows).astype(np.int64))
    known = [(s, np.ones(len(s), dtype=bool)) for s in readings.stretches]
    recipe = Recipe(readings.channels, WINDOW, ("statistics", "recent"), fit_scale(readings, known, by="fleet"))
    start, cpu = time.perf_counter(), time.process_time()
    ours = recipe.matrix(readings, windows)
    seconds, used = time.perf_counter() - start, time.process_time() - cpu
    about = {"seconds": seconds, "cpu_seconds": used, "columns": ours.shape[1]}
    found = result("series_features", {"windows": len(windows), "ours": about})
    with tempfile.TemporaryDirectory(prefix="tsfresh-") as name:
        folder = Path(name)
        np.savez(folder / "windows.npz", windows=np.concatenate([v for _, v, _ in cut(readings, windows, None)]))
        python = os.environ.get("SHOKUNIN_TSFRESH_PYTHON")
        if python is None:
            raise SystemExit("set SHOKUNIN_TSFRESH_PYTHON to the Python of an environment with tsfresh")
        files = [str(folder / "windows.npz"), str(folder / "out.json")]
        command = [python, "-W", "ignore", str(PEERS / "tsfresh_features.py"), *files]
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        found["tsfresh"] = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    found["ratio"] = used / found["tsfresh"]["cpu_seconds"]
    print({k: found[k] for k in ("ours", "tsfresh", "ratio")})
    print(write(found))


if __name__ == "__main__":
    main()
