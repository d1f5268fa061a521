"""From a CSV to a published, replayed specialist by the command line alone: time, memory, install size, start-up."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.rows import data_file

STARTS = 7
COMMAND = "shokunin train banking77/train.csv --test banking77/test.csv"


def main(words: list[str] | None = None) -> None:
    say_how = argparse.ArgumentParser(prog="python -m benchmarks.whole_process", description=__doc__)
    say_how.add_argument("--budget", type=float, help="minutes; by default the command's own")
    say_how.add_argument("--out", type=Path, default=harness.RESULTS)
    say_how.add_argument(
        "--quick", action="store_true", help="a few rows only, to see whether the script runs; nothing is kept"
    )
    options = say_how.parse_args(words)
    result = {key: value for key, value in harness.record("whole_process", options.quick).items() if key != "settings"}
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        result |= {"command": COMMAND, **whole(Path(folder), options.budget, quick=options.quick)}
        result["help_seconds"] = starting(Path(folder))
    if base := os.environ.get("SHOKUNIN_BASE_VENV"):
        result["base_install_mb"] = installed_mb(Path(base))
    stamp = result["created"].replace("-", "").replace(":", "")
    out = Path(tempfile.mkdtemp()) if options.quick else options.out
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"whole_process-{stamp}-{result['commit']}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(
        json.dumps({key: result.get(key) for key in ("train", "report", "help_seconds", "base_install_mb")}, indent=1)
    )
    print(f"written to {path}")


def whole(folder: Path, budget: float | None, *, quick: bool) -> dict[str, Any]:
    """Train in a process of its own, as a user would."""
    for part in ("train", "test"):
        lines = data_file("banking77", f"{part}.csv").read_text(encoding="utf-8").splitlines(keepends=True)
        if quick:  # the file is ordered by label: two labels of it
            lines = [lines[0], *(line for line in lines if line.rstrip().endswith((",card_arrival", ",card_linking")))]
        (folder / f"{part}.csv").write_text("".join(lines), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "shokunin",
        "train",
        "train.csv",
        "--test",
        "test.csv",
        "--name",
        "banking77",
        "--project",
        ".",
    ]
    limit = 0.5 if quick else budget
    command += ["--budget", str(limit)] if limit else []
    measured = harness.measure(command, folder)
    if measured["exit_code"] not in (0, 1):  # 1: published, but its verdict is no
        raise SystemExit((folder / "log.txt").read_text(encoding="utf-8", errors="replace"))
    found = sorted(folder.glob("specialists/banking77/*/report.json"))
    if len(found) != 1:
        raise SystemExit(f"expected one published specialist in {str(folder)!r}, found {len(found)}")
    report = json.loads(found[0].read_text(encoding="utf-8"))
    kept = (
        "verdict",
        "rows",
        "ladder",
        "why_chosen",
        "threshold",
        "latency_ms",
        "throughput",
        "size_bytes",
        "replay",
        "dataset",
    )
    accuracy = report["scores"]["accuracy"]
    return {
        "train": measured,
        "report": {
            "accuracy": accuracy["value"],
            "low": accuracy["low"],
            "high": accuracy["high"],
            **{k: report.get(k) for k in kept},
        },
    }


def starting(folder: Path) -> dict[str, Any]:
    """Seconds of `shokunin --help`, the median of seven after one that warms the disk's cache."""
    command = [str(Path(sys.executable).parent / "shokunin"), "--help"]
    times = []
    for _ in range(STARTS + 1):
        start = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        times.append(round(time.perf_counter() - start, 3))
    return {"median": statistics.median(times[1:]), "first": times[0], "all": times[1:]}


def installed_mb(venv: Path) -> dict[str, int]:
    """Megabytes below an environment's site-packages without pip and setuptools, and how many of them are the encoder."""
    total = encoder = 0
    for packages in venv.glob("lib/python*/site-packages"):
        for path in packages.rglob("*"):
            top = path.relative_to(packages).parts[0]
            if path.is_file() and not path.is_symlink() and not top.startswith(("pip", "setuptools", "pkg_resources")):
                total += path.stat().st_size
                encoder += path.stat().st_size if top.startswith(harness.ENCODER_PACKAGE) else 0
    return {"total": round(total / 2**20), "encoder": round(encoder / 2**20)}


if __name__ == "__main__":
    main()
