"""Ctrl-C and kill at any moment of a training: nothing half-written is listed, and the same command then goes through."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rows import rows

COMMAND = [
    sys.executable,
    "-m",
    "shokunin",
    "train",
    "inquiries.csv",
    "--learner",
    "baseline",
    "--learner",
    "text_linear",
]


def listed(project: Path) -> list[dict[str, object]]:
    command = [sys.executable, "-m", "shokunin", "models", "list", "--output", "json"]
    found = json.loads(subprocess.run(command, cwd=project, capture_output=True, check=True).stdout)
    return list(found["specialists"])


def is_there(what: str, project: Path) -> bool:
    """Whether a path has this in it; folders may come and go meanwhile."""
    return any(what in f"{folder}/{name}" for folder, _, files in os.walk(project) for name in ("", *files))


STOPS = [(signal.SIGINT, "datasets"), (signal.SIGKILL, "climb.json"), (signal.SIGINT, ".making-")]


@pytest.mark.parametrize(("how", "what"), STOPS)
def test_a_stop_once_something_appears(how: signal.Signals, what: str, project: Path) -> None:
    with Path("inquiries.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["text", "label"])
        writer.writeheader()
        writer.writerows(rows(400))
    process = subprocess.Popen(COMMAND, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    end = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < end and not is_there(what, project):
        time.sleep(0.01)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("it was done before the signal came")
    if how is signal.SIGINT:
        assert process.returncode == 130 and b"nothing half-written" in said and b"Traceback" not in said
    assert listed(project) == []
    subprocess.run(COMMAND, cwd=project, check=True, capture_output=True)
    [only] = listed(project)
    assert only["damaged"] is None and only["verdict"] == "pass"
    assert [p for p in project.rglob(".making-*") if "work" not in p.parts] == []
