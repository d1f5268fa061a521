"""Killed at any step, out of disk at any step, and many at once: never a half specialist, never a broken alias."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FAULTS = Path(__file__).with_name("faults.py")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the driver forks")


def _run(what: str, shelf: Path) -> dict[str, Any]:
    run = subprocess.run(
        [sys.executable, str(FAULTS), what, str(shelf)], capture_output=True, text=True, timeout=240, check=False
    )
    assert run.returncode == 0, run.stderr
    result: dict[str, Any] = json.loads(run.stdout)
    return result


def test_kill_at_every_step(shelf: Path) -> None:
    result = _run("killed", shelf)
    assert result["problems"] == []
    assert result["steps"] > 20, "the hook saw the steps of a publication"
    assert result["failed"] == result["steps"] - 1


def test_ctrl_c_at_every_step_leaves_nothing_half_written(shelf: Path) -> None:
    result = _run("interrupted", shelf)
    assert result["problems"] == []
    assert result["failed"] == result["steps"] - 1 > 20


def test_disk_full_at_every_step(shelf: Path) -> None:
    result = _run("full", shelf)
    assert result["problems"] == []
    assert result["steps"] > 20
    assert result["failed"] > 15
    assert all(said.startswith("the disk is full while writing") for said in result["said"])


def test_kill_at_random_moments(shelf: Path) -> None:
    result = _run("random", shelf)
    assert result["problems"] == []
    assert result["left"] == []
    assert result["published"] > 0, "some publications got through, so kills fell between them too"


def test_eight_at_once(shelf: Path) -> None:
    result = _run("race", shelf)
    assert result["whole"] == [0] * 8
    assert result["versions"] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert set(result["late"]) <= {0, 3}
    assert len(result["after"]) == 8 + result["late"].count(0) > 8
    assert (result["damaged"], result["left"]) == ([], [])
    assert result["changes"] == 8
    assert result["chain"], "each change starts from what the one before it wrote"


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """On a small disk in memory, as far as this machine lets us mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = (
        f"mount -t tmpfs -o size=400k none '{disk}' || exit 77\n"
        f"exec '{sys.executable}' -c \"\n"
        "import sys\nfrom pathlib import Path\n"
        "from small_specialist import publish\n"
        "from shokunin import registry\nfrom shokunin.errors import ProjectError\n"
        "shelf = Path(sys.argv[1]) / 'specialists'\n"
        "try:\n"
        "    while True:\n"
        "        publish(shelf, note='x' * 20000)\n"
        "except ProjectError as error:\n"
        "    print(str(error).partition(' while ')[0])\n"
        "found = registry.list_specialists(shelf)\n"
        "print(len(found) > 1, [s.damaged for s in found if s.damaged])\n"
        "print(sorted(p.name for p in shelf.rglob('.*')))\n"
        f"\" '{disk}'\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(FAULTS.parent)}
    tool = ["unshare", "--mount", "--map-root-user", "--user", "sh", "-c", script]
    if os.geteuid() == 0:
        tool = ["unshare", "--mount", "sh", "-c", script]
    try:
        run = subprocess.run(tool, capture_output=True, text=True, timeout=120, env=environment, check=False)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if run.returncode == 77 or "unshare" in run.stderr:
        pytest.skip("this machine does not let us mount")
    assert run.stdout.split("\n") == ["the disk is full", "True []", "['.lock']", ""], run.stderr
