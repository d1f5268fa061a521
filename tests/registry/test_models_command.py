"""`shokunin models …`, as a user and as a script call it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_specialist import publish, report
from typer.testing import CliRunner

from shokunin.cli import app
from shokunin.report import report_from_dict


def run(*words: str, exit_code: int = 0) -> str:
    result = CliRunner().invoke(app, ["models", *words])
    assert result.exit_code == exit_code, (result.stdout, result.stderr, result.exception)
    return result.stdout if exit_code == 0 else result.stdout + result.stderr


def answer(*words: str, exit_code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["models", *words, "--output", "json"])
    assert result.exit_code == exit_code, (result.stdout, result.stderr, result.exception)
    return json.loads(result.stdout)


@pytest.fixture
def shelf(project: Path) -> Path:
    shelf = project / "specialists"
    publish(shelf)
    publish(shelf)
    publish(shelf, verdict="fail")
    return shelf


def test_the_small_report_is_a_report() -> None:
    assert report_from_dict(report("inquiries", 1, "pass")).scores["accuracy"].value == 0.91


def test_list(shelf: Path) -> None:
    publish(shelf, "parcels")
    (shelf / "inquiries" / "2" / "card.md").unlink()
    found = answer("list")["specialists"]
    assert [s["id"] for s in found] == ["inquiries@1", "inquiries@2", "inquiries@3", "parcels@1"]
    assert [s["verdict"] for s in found] == ["pass", None, "fail", "pass"]
    assert found[1]["damaged"].startswith("'card.md' is missing")
    assert [s["id"] for s in answer("list", "parcels")["specialists"]] == ["parcels@1"]
    shown = run("list")
    assert "inquiries@1" in shown and "damaged" in shown and "0.910" in shown
    assert "did you mean 'parcels'" in run("list", "parcel", exit_code=2)


def test_list_of_an_empty_project(project: Path) -> None:
    assert answer("list") == {"specialists": []}
    assert "shokunin train" in run("list")
    assert list(project.iterdir()) == [], "looking writes nothing"


def test_show(shelf: Path) -> None:
    about = answer("show", "inquiries@3")
    assert (about["id"], about["verdict"], about["labels"]) == ("inquiries@3", "fail", ["invoice", "parcel", "refund"])
    assert about["task"]["name"] == "inquiries"
    assert "report.json" in about["files"]
    assert about["changes"] == []
    shown = run("show", "inquiries@3")
    assert "classify_text: text → label" in shown and "invoice, parcel, refund" in shown
    assert answer("show", str(shelf / "inquiries" / "1"))["id"] == "inquiries@1"


def test_show_of_a_folder_outside(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    about = answer("show", str(shelf / "inquiries" / "1"))
    assert (about["id"], about["folder"]) == ("inquiries@1", str(shelf / "inquiries" / "1"))


def test_promote_and_rollback(shelf: Path) -> None:
    promoted = answer("promote", "inquiries@1", "--no-replay")
    assert promoted == {"name": "inquiries", "alias": "champion", "version": 1, "previous": None}
    assert "now version 2 (before: version 1)" in run("promote", "inquiries@2", "--no-replay")
    assert answer("promote", "inquiries@2", "--alias", "candidate", "--no-replay")["alias"] == "candidate"
    assert answer("rollback", "inquiries") == {"name": "inquiries", "alias": "champion", "version": 1, "previous": 2}
    assert "no earlier champion" in run("rollback", "inquiries", exit_code=2)


def test_what_did_not_pass_is_not_promoted_unless_forced(shelf: Path) -> None:
    said = answer("promote", "inquiries", exit_code=1)
    assert said["error"]["type"] == "RefusedError"
    assert "'inquiries@3' did not pass" in said["error"]["message"] and "--force" in said["error"]["message"]
    assert answer("promote", "inquiries", "--force", "--no-replay")["version"] == 3


def test_promotion_replays_through_a_real_server(shelf: Path) -> None:
    assert answer("promote", "inquiries@1")["version"] == 1
    with_another_answer = publish(shelf).folder
    path = with_another_answer / "report.json"
    told = json.loads(path.read_text())
    told["cases"][0]["value"] = "refund"
    path.chmod(0o644)
    path.write_text(json.dumps(told))
    from shokunin.registry import seal

    seal(with_another_answer, json.loads((with_another_answer / "manifest.json").read_text()))
    said = answer("promote", "inquiries@4", exit_code=1)
    assert said["error"]["type"] == "ReplayError"
    assert answer("list")["specialists"][0]["aliases"] == ["champion"], "still the old one"


def test_verify(shelf: Path) -> None:
    assert [s["whole"] for s in answer("verify")["specialists"]] == [True, True, True]
    (shelf / "inquiries" / "2" / "weights" / "model.pkl").write_bytes(b"\x80\x04.")
    found = answer("verify", exit_code=2)["specialists"]
    assert [s["whole"] for s in found] == [True, False, True]
    assert "'weights/model.pkl'" in found[1]["problem"]
    assert "inquiries@1  whole" in run("verify", "inquiries@1")
    assert "'weights/model.pkl'" in run("verify", "inquiries@2", exit_code=2)


def test_verify_asks_the_golden_samples_again(shelf: Path) -> None:
    folder = publish(shelf).folder
    path = folder / "side_files" / "golden.json"
    path.chmod(0o644)
    path.write_text('[{"inputs": {"text": "x"}, "value": "refund", "confidence": 0.7}]')
    from shokunin.registry import seal

    seal(folder, json.loads((folder / "manifest.json").read_text()))
    (found,) = answer("verify", "inquiries@4", exit_code=2)["specialists"]
    assert "once answered 'refund'" in found["problem"]


def test_export_import_remove(shelf: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.tar.gz"
    exported = answer("export", "inquiries@2", str(file))
    assert exported["place"] == str(file)
    assert "exists already" in run("export", "inquiries@2", str(file), exit_code=2)
    other = tmp_path / "other"
    other.mkdir()
    imported = answer("import", str(file), "--project", str(other))
    assert (imported["name"], imported["version"], imported["digest"]) == ("inquiries", 2, exported["digest"])
    assert "inquiries@4 is published" in run("import", str(file))
    assert answer("remove", "inquiries@4") == {"name": "inquiries", "version": 4, "removed": True}
    run("promote", "inquiries@1", "--no-replay")
    assert "champion" in run("remove", "inquiries@1", exit_code=2)
    assert "inquiries@1 is removed" in run("remove", "inquiries@1", "--force")
    assert [s["version"] for s in answer("list")["specialists"]] == [2, 3]


def test_a_folder_outside_cannot_be_promoted(shelf: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    said = run("promote", str(shelf / "inquiries" / "1"), "--project", str(other), exit_code=2)
    assert "models import" in said


@pytest.mark.parametrize("command", ["list", "show", "promote", "rollback", "verify", "export", "import", "remove"])
def test_help(command: str) -> None:
    shown = run(command, "--help")
    assert "--output" in shown and "--project" in shown


def test_a_folder_by_its_relative_path_is_on_the_shelf(shelf: Path) -> None:
    assert answer("promote", "specialists/inquiries/1", "--no-replay")["version"] == 1
    assert answer("show", "specialists/inquiries/1")["aliases"] == ["champion"]


def test_the_settings_of_the_project_hold_when_a_version_is_opened(
    shelf: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shokunin.toml").write_text("[limits]\nthreads = 0\n")  # another project's, and broken
    assert answer("verify", "inquiries@1", "--project", str(shelf.parent))["specialists"][0]["whole"]
    assert answer("promote", "inquiries@1", "--no-replay", "--project", str(shelf.parent))["version"] == 1
