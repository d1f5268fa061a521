"""`shokunin models export --format …`: a published specialist's language model for other programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.numpy import load_file
from small_specialist import fill, publish
from typer.testing import CliRunner

from shokunin import registry
from shokunin.cli import app
from tiny_decoder import tiny_decoder

pytest.importorskip("gguf")
pytest.importorskip("transformers")


def export(*words: str, exit_code: int = 0) -> str:
    result = CliRunner().invoke(app, ["models", "export", *words])
    assert result.exit_code == exit_code, (result.stdout, result.stderr, result.exception)
    return result.stdout if exit_code == 0 else result.stdout + result.stderr


@pytest.fixture
def shop(project: Path, tmp_path: Path) -> Path:
    """A project with `sql`, whose weights are a language model, and `inquiries`, whose weights are none."""
    from shokunin.language.write_gguf import write_gguf

    base = tiny_decoder(tmp_path / "base")
    with registry.making(project / "specialists", "sql", version=None) as (made, number):
        manifest = fill(made, "sql", number).manifest
        (made / "weights" / "constant.json").unlink()
        write_gguf(made / "weights" / "model.gguf", load_file(base / "model.safetensors"), base, file_type="f16")
        weights = {"form": "conversation", "format": "gguf", "exact": False, "facts": {}}
        kept = {key: value for key, value in manifest.items() if key not in ("files", "digest")}
        registry.seal(made, {**kept, "weights": weights})
        registry.publish(made, project / "specialists", "sql", number)
    publish(project / "specialists")
    return project


def test_the_model_goes_into_a_folder_that_says_how_to_run_it(shop: Path) -> None:
    said = json.loads(export("sql@1", "out", "--format", "gguf", "--output", "json"))
    assert (said["name"], said["version"], said["place"]) == ("sql", 1, "out")
    assert sorted(p.name for p in (shop / "out").iterdir()) == ["Modelfile", "RUN.md", "model.gguf"]
    assert "how to run it" in export("sql@1", "again", "--format", "gguf")
    assert "exists already" in export("sql@1", "out", "--format", "gguf", exit_code=2)


def test_the_archive_is_what_it_was(shop: Path) -> None:
    export("sql@1", "sql.zip")
    assert (shop / "sql.zip").is_file()


def test_what_cannot_be_is_said_and_leaves_nothing(shop: Path) -> None:
    assert "hold no adapter" in export("sql@1", "out", "--format", "peft", exit_code=2)
    assert "no language model" in export("inquiries@1", "out", "--format", "openvino", exit_code=2)
    assert not (shop / "out").exists()
