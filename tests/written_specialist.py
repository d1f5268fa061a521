"""A small whole specialist that writes: a tiny decoder tuned to say the colour of four things, published with its adapter."""

from __future__ import annotations

from pathlib import Path

from shokunin import registry
from shokunin.calibration import Calibration, calibration_to_dict
from shokunin.files import write_json
from shokunin.pipeline.answering import open_specialist
from shokunin.progress import silent
from shokunin.specialist import Specialist
from shokunin.task import Task, task_to_dict
from tiny_decoder import colours, tiny_decoder

SEALED = (("sky 91", "blue"), ("sun 92", "gold"), ("coal 93", "black"))


def publish_writer(shelf: Path, base: Path, name: str = "colours") -> Specialist:
    """Tune the tiny decoder `base`, a new folder, and publish the specialist; about five seconds on a free processor."""
    from shokunin.train import causal_lora

    lessons = colours()
    task = Task(
        name,
        kind="generate_text",
        inputs=("text",),
        target="colour",
        metric="exact_match",
        options={"instructions": lessons.asked[0].messages[0]["content"], "longest": 8},
    )
    options = causal_lora.Options(
        base=str(tiny_decoder(base, sure=0.3)), r=16, lora_alpha=32, bf16=False, per_device_train_batch_size=24,
        num_train_epochs=20, learning_rate=0.02, validation_split=0, file_type="f16",
    )  # fmt: skip
    with registry.making(shelf, name) as (made, version):
        for part in ("weights", "side_files"):
            (made / part).mkdir()
        weights = causal_lora.fit(lessons, options, made / "weights", seed=0, progress=silent)
        write_json(made / "side_files" / "calibration.json", calibration_to_dict(Calibration()))
        write_json(made / "side_files" / "golden.json", [])
        manifest = {
            "name": name,
            "version": version,
            "created": "2025-01-02T03:04:05Z",
            "task": task_to_dict(task),
            "labels": [],
            "weights": {"form": weights.form, "format": weights.format, "exact": False, "facts": weights.facts},
            "dataset": {"digest": "0" * 64, "train": 24, "validation": 0, "test": len(SEALED)},
            "steps": [{"step": "train", "learner": "causal_lora"}],
            "parent": None,
            "licences": {},
        }
        opened = open_specialist(registry.seal(made, manifest), golden=False)
        asked = [form.messages[-1]["content"] for form in lessons.asked[:4]]
        golden = [
            {"inputs": {"text": text}, "value": answer.value, "confidence": answer.confidence}
            for text, answer in zip(asked, opened.predict(asked), strict=True)
        ]
        assert all(one["value"] for one in golden), "the tiny decoder has learnt to end its answers"
        write_json(made / "side_files" / "golden.json", golden)
        write_json(made / "report.json", _report(opened))
        registry.seal(made, manifest)
        return registry.publish(made, shelf, name, version)


def _report(opened: Specialist) -> dict[str, object]:
    score = {"value": 0.9, "low": 0.8, "high": 1.0}
    answers = opened.predict([text for text, _ in SEALED])
    cases = [
        {
            "origin": f"rows.csv:{row}", "inputs": {"text": text}, "expected": expected, "value": answer.value,
            "confidence": answer.confidence, "correct": answer.value == expected, "sure": True,
        }
        for row, ((text, expected), answer) in enumerate(zip(SEALED, answers, strict=True), 2)
    ]  # fmt: skip
    return {
        "specialist": opened.name, "version": opened.version, "kind": "generate_text", "created": "2025-01-02T03:04:05Z",
        "verdict": "pass", "reasons": [], "rows": len(cases), "metric": "exact_match", "scores": {"exact_match": score},
        "baseline": {}, "ladder": [], "why_chosen": "", "threshold": {}, "calibration": {}, "risk_coverage": [],
        "worst_pairs": [], "scope": None, "latency_ms": {"p50": 1.0, "p95": 2.0, "p99": 3.0}, "throughput": 10.0,
        "size_bytes": 100, "peak_memory_bytes": 10**8, "dataset": {}, "openings": 1, "machine": {}, "cases": cases,
    }  # fmt: skip
