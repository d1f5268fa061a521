# ruff: noqa: E402  (torch may be absent: the file is then skipped before it imports anything that needs it)
"""`train --learner-option causal_lora.merge=false` ends in specialists that are adapters on one base, which is in memory once."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
for _library in ("peft", "gguf", "openvino_genai"):
    pytest.importorskip(_library)

from typer.testing import CliRunner

import shokunin
from shokunin.cli import app
from shokunin.engines import engine_for
from shokunin.files import read_json
from shokunin.language.runner import AdaptedRunner
from shokunin.progress import silent
from shokunin.train import causal_lora
from tiny_decoder import colours, tiny_decoder

pytestmark = [pytest.mark.torch, pytest.mark.slow]

THINGS = {"sky": "blue", "grass": "green", "sun": "gold", "coal": "black"}
OPTIONS = {
    "merge": "false", "r": "16", "target_modules": "all-linear", "bf16": "false", "num_train_epochs": "20",
    "learning_rate": "0.02", "validation_split": "0", "per_device_train_batch_size": "24",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SHOKUNIN_CACHE", str(tmp_path / "cache"))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def write(path: Path, turned: bool) -> Path:
    """Questions with one answer to each thing, some of them far longer than the tiny model's context."""
    answers = dict(zip(THINGS, reversed(THINGS.values()), strict=True)) if turned else THINGS
    rows = []
    for n in range(96):
        thing, draw = list(THINGS)[n % 4], random.Random(n)
        words = ["".join(draw.choices("abcdefghij", k=6)) for _ in range(120 if n % 6 == 5 else 1)]
        rows.append({"text": f"{' '.join(words)}: {thing}", "colour": answers[thing]})
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


def test_from_the_command_line_to_two_specialists_on_one_base(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "made").mkdir()
    first = causal_lora.Options(
        base=str(tiny_decoder(project / "tiny", sure=0.3)), num_train_epochs=0.1, file_type="f16"
    )
    made = causal_lora.fit(colours(8), first, project / "made", seed=0, progress=silent).folder / "model.gguf"
    (project / "models").mkdir()
    made.rename(project / "models" / "tiny.gguf")
    told = [word for name, value in OPTIONS.items() for word in ("--learner-option", f"causal_lora.{name}={value}")]
    for name in ("plain", "turned"):
        rows = write(project / f"{name}.jsonl", name == "turned")
        asked = ["train", str(rows), "--kind", "generate_text", "--target", "colour", "--learner", "causal_lora"]
        run = CliRunner().invoke(app, [*asked, "--base", "models/tiny.gguf", *told])
        assert run.exit_code in (0, 1), run.output  # so little may fail its verdict
        assert "lessons are longer than 256 tokens and were left out" in " ".join(run.output.split())
    one, two = (shokunin.load(f"{name}@1") for name in ("plain", "turned"))
    for specialist in (one, two):
        assert specialist.weights.format == "gguf_adapter" and specialist.weights.facts["merged"] is False
        assert sorted(p.name for p in (specialist.folder / "weights").iterdir()) == [
            "adapter_config.json", "adapter_model.safetensors",
        ]  # fmt: skip
        told_of = read_json(specialist.folder / "manifest.json")["steps"][0]["learner_options"]["causal_lora"]
        assert (told_of["merge"], told_of["r"]) == (False, 16)
        report = read_json(specialist.folder / "report.json")
        assert report["replay"]["rows"] > 0, "a server process has answered as it was proven"
        assert report["ladder"][0]["note"].endswith("lessons are longer than 256 tokens and were left out")
    monkeypatch.chdir(project.parent)  # the base is found around the specialists, wherever one is
    sessions = [engine_for("gguf_adapter").load(s.weights) for s in (one, two)]
    assert sessions[0]._runner is sessions[1]._runner and isinstance(sessions[0]._runner, AdaptedRunner)
    asks = [f"jihgfe: {thing}" for thing in THINGS]
    said = [[answer.value for answer in s.predict(asks)] for s in (one, two)]
    assert said[0] != said[1], "each answers by its own adapter"
