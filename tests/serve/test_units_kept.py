"""A real server: what it knows of units outlives it, and is not written where nothing is to be recorded."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from shokunin.serve.process import ServerProcess
from tiny_fleet import WINDOW, Pumps, window


def ask(server: ServerProcess, inputs: dict[str, Any]) -> dict[str, Any]:
    reply = httpx.post(f"{server.base_url}/v1/specialists/pumps/predict", json={"inputs": inputs}, timeout=60)
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()["answers"][0]
    return answer


@pytest.mark.slow
def test_units_outlive_a_server_unless_nothing_is_recorded(pumps: Pumps, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(pumps.folder, project)
    kept, asked = project / ".shokunin" / "units.sqlite3", window("pump 2", 6.0)
    words = ["pumps", "--project", str(project)]
    with ServerProcess([*words, "--no-record"], seconds=120) as server:
        first = ask(server, asked)
        assert ask(server, {"unit": "pump 2"})["details"] == first["details"]
    assert not kept.exists()
    with ServerProcess(words, seconds=120) as server:
        assert f"send {WINDOW} steps" in ask(server, {"unit": "pump 2"})["problem"]
        assert ask(server, asked)["details"] == first["details"]
        assert kept.stat().st_size > 0
    with ServerProcess(words, seconds=120) as server:
        assert ask(server, {"unit": "pump 2"})["details"] == first["details"]
