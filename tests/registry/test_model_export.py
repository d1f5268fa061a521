"""`shokunin models export --format …`: a language model for other programs, asked again before it is kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_specialist import publish
from typer.testing import CliRunner

from shokunin import registry
from shokunin.cli import app
from shokunin.engines.cascade import Scale
from shokunin.errors import MissingExtraError
from shokunin.files import read_json, write_json
from shokunin.pipeline.answering import open_specialist
from shokunin.pipeline.cascading import Cascade
from shokunin.pipeline.mixing import written
from shokunin.progress import silent
from shokunin.train import learner
from shokunin.weights import Weights
from tiny_decoder import colours
from written_specialist import SEALED, publish_writer

for library in ("gguf", "peft", "openvino_genai"):
    pytest.importorskip(library)
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")]
FORMATS = ("gguf", "openvino", "safetensors", "peft")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A shelf with `colours`, which writes, and `inquiries`, whose weights are no language model."""
    place = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOKUNIN_CACHE", str(place / "cache"))
        publish_writer(place / "specialists", place / "base")
        publish(place / "specialists")
        yield place


@pytest.fixture
def shop(project: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHOKUNIN_CACHE", str(made / "cache"))
    shutil.copytree(made / "specialists", project / "specialists", dirs_exist_ok=True)
    shutil.copytree(made / "base", project / "base")  # of a base that is a folder the name alone is known
    return project


def export(*words: str, exit_code: int = 0) -> str:
    result = CliRunner().invoke(app, ["models", "export", *words])
    assert result.exit_code == exit_code, (result.stdout, result.stderr, result.exception)
    return result.stdout if exit_code == 0 else result.stdout + result.stderr


def resealed(shop: Path, **facts: Any) -> Path:
    """The weights of `colours`, whose manifest is written again after the block; with facts of their own."""
    folder = shop / "specialists" / "colours" / "1"
    manifest = read_json(folder / "manifest.json")
    manifest["weights"]["facts"] |= facts
    registry.seal(folder, {key: value for key, value in manifest.items() if key not in ("files", "digest")})
    return folder / "weights"


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_written_answers_as_the_specialist_does(shop: Path, format: str) -> None:
    said = json.loads(export("colours@1", "out", "--format", format, "--output", "json"))
    assert (said["name"], said["version"], said["place"]) == ("colours", 1, "out")
    found = read_json(shop / "out" / "export.json")
    assert said["replay"] == found
    assert (found["specialist"], found["format"], found["held_to_schema"]) == ("colours@1", format, True)
    assert found["golden"] == {"asked": 4, "agree": 4}
    sealed = found["sealed"]
    assert (sealed["asked"], sealed["agree"], sealed["of"]) == (len(SEALED), len(SEALED), "report")
    assert sealed["score"] == sealed["score_of_the_specialist"]
    assert sealed["score"]["value"] > 0
    assert (found["differ"], found["differing_rows"]) == (0, [])


def test_the_command_says_how_it_went(shop: Path) -> None:
    said = export("colours@1", "out", "--format", "gguf", "--rows", "2")
    assert "how to run it" in said
    assert "6 of 6 answers are the specialist's; on 2 sealed rows exact_match" in said
    assert sorted(p.name for p in (shop / "out").iterdir()) == ["Modelfile", "RUN.md", "export.json", "model.gguf"]
    assert "exists already" in export("colours@1", "out", "--format", "gguf", exit_code=2)


def test_what_answers_otherwise_is_not_kept_unless_that_is_wanted(shop: Path) -> None:
    config = shop / "specialists" / "colours" / "1" / "weights" / "adapter" / "adapter_config.json"
    told = read_json(config)
    config.write_text(json.dumps({**told, "lora_alpha": -told["lora_alpha"]}), encoding="utf-8")
    resealed(shop)
    said = export("colours@1", "out", "--format", "peft", exit_code=1)
    assert "answers 7 of 7 inputs otherwise than 'colours@1' (0 may differ): a golden input was 'blue', is" in said
    assert not (shop / "out").exists()
    export("colours@1", "out", "--format", "peft", "--yes")
    found = read_json(shop / "out" / "export.json")
    assert found["differ"] == 7
    assert found["differing_rows"] == ["a golden input"] * 4 + ["rows.csv:2", "rows.csv:3", "rows.csv:4"]
    assert found["sealed"]["score"]["value"] < found["sealed"]["score_of_the_specialist"]["value"]
    assert "blue" not in (shop / "out" / "export.json").read_text(encoding="utf-8")


def test_an_adapter_is_not_measured_on_another_base(shop: Path) -> None:
    base = read_json(shop / "specialists" / "colours" / "1" / "manifest.json")["weights"]["facts"]["base"]
    resealed(shop, base={**base, "sha256": "0" * 64})
    assert "with the SHA-256 000000000000" in export("colours@1", "out", "--format", "peft", exit_code=2)
    assert not (shop / "out").exists()


def test_an_adapter_whose_base_is_not_here_is_kept_unasked_only_if_that_is_wanted(shop: Path) -> None:
    shutil.rmtree(shop / "base")
    assert "--yes keeps it unasked" in export("colours@1", "out", "--format", "peft", exit_code=2)
    assert not (shop / "out").exists()
    export("colours@1", "out", "--format", "peft", "--yes")
    assert "no file or folder 'base'" in read_json(shop / "out" / "export.json")["why"]


def test_without_the_library_that_reads_it_nothing_is_kept_unless_that_is_wanted(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> Any:
        raise MissingExtraError("torch", "train")

    monkeypatch.setattr("shokunin.engines.transformers_text._libraries", missing)
    assert "shokunin[train]" in export("colours@1", "out", "--format", "safetensors", exit_code=2)
    assert not (shop / "out").exists()
    assert "were not compared" in export("colours@1", "out", "--format", "safetensors", "--yes")
    assert read_json(shop / "out" / "export.json")["measured"] is False


def both(shop: Path, *learners: str) -> list[str]:
    """Publish `both`: the nearest answer first, behind it the model of `colours`; or a rung of these two learners."""
    place = shop / "members"
    lessons = colours()
    members: list[tuple[str, Weights]] = []
    for name in learners or ("nearest_answer",):
        (place / name).mkdir(parents=True)
        module = learner(name)
        fitted = module.fit(lessons, module.Options(), place / name, seed=0, progress=silent)
        members.append((name, fitted))
    alone = registry.read(shop / "specialists", "colours@1")
    members = [*members, ("causal_lora", alone.weights)][:2]
    scales = (Scale(1.0, -0.5), Scale(1.0, 0.0))
    with registry.making(shop / "specialists", "both") as (made, version):
        shutil.copytree(alone.folder / "side_files", made / "side_files")
        shutil.copyfile(alone.folder / "report.json", made / "report.json")
        weights = written(Cascade((members[0], members[1]), scales, 0.9), made / "weights")
        write_json(made / "side_files" / "golden.json", [])
        manifest = {k: v for k, v in alone.manifest.items() if k not in ("files", "digest")}
        told = {"form": weights.form, "format": "cascade", "exact": False, "facts": weights.facts}
        manifest |= {"name": "both", "version": version, "weights": told}
        opened = open_specialist(registry.seal(made, manifest), golden=False)
        asked = [one["inputs"] for one in read_json(alone.folder / "side_files" / "golden.json")]
        golden = [
            {"inputs": inputs, "value": answer.value, "confidence": answer.confidence}
            for inputs, answer in zip(asked, opened.predict(asked), strict=True)
        ]
        write_json(made / "side_files" / "golden.json", golden)
        registry.seal(made, manifest)
        registry.publish(made, shop / "specialists", "both", version)
    return [name for name, _ in members]


@pytest.mark.parametrize("format", FORMATS)
def test_of_a_rung_of_two_the_language_model_is_written_and_that_is_said(shop: Path, format: str) -> None:
    both(shop)
    said = export("both@1", "out", "--format", format)
    assert "it is causal_lora alone: both@1 asks nearest_answer first, which other programs cannot run" in said
    note = (shop / "out" / "RUN.md").read_text(encoding="utf-8")
    assert "both@1 first asks its small writer (nearest_answer)" in note
    found = read_json(shop / "out" / "export.json")
    assert (found["part"], found["left_out"], found["measured"], found["differ"]) == (
        "causal_lora",
        "nearest_answer",
        True,
        0,
    )
    assert found["sealed"]["asked"] == found["sealed"]["agree"] == len(SEALED)
    assert found["golden"] == {"asked": 4, "agree": 4}
    assert 0 <= found["agree_with_both"] <= 4 + len(SEALED)
    assert set(found["score_of_both"]) == {"value", "low", "high"}
    if format == "gguf":
        own = registry.read(shop / "specialists", "colours@1").weights.folder / "model.gguf"
        assert (shop / "out" / "model.gguf").read_bytes() == own.read_bytes()


def test_a_rung_of_two_without_a_language_model_says_so(shop: Path) -> None:
    both(shop, "nearest_answer", "answer_templates")
    said = export("both@1", "out", "--format", "gguf", exit_code=2)
    assert "is made of nearest_answer and answer_templates, and neither is a language model" in " ".join(said.split())
    assert not (shop / "out").exists()
    export("both@1", "both.zip")


def test_the_archive_is_what_it_was(shop: Path) -> None:
    export("colours@1", "colours.zip")
    assert (shop / "colours.zip").is_file()


def test_what_cannot_be_is_said_and_leaves_nothing(shop: Path) -> None:
    assert "no language model" in export("inquiries@1", "out", "--format", "openvino", exit_code=2)
    shutil.rmtree(shop / "specialists" / "colours" / "1" / "weights" / "adapter")
    resealed(shop)
    assert "hold no adapter" in export("colours@1", "out", "--format", "peft", exit_code=2)
    assert not (shop / "out").exists()
