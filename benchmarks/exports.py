"""A tuned SmolLM2 in every format that `shokunin models export` writes: does it answer as the specialist does?

    python -m benchmarks.exports --weights FOLDER [--rows N] [--formats gguf,openvino,safetensors,peft]

FOLDER holds what `causal_lora` left: run `python -m benchmarks.geoquery --only tuned --split question --keep FOLDER` first. It
becomes a published specialist of a project of its own, whose sealed rows are the test rows of GeoQuery's question split, and is
exported by the command's own code: each format is read again and asked the golden inputs and `--rows` sealed rows; the score
is execution accuracy. GGUF is moreover run by llama.cpp, where the package `xllamacpp` is importable: with the chat template in
the file, greedily, each question as one user message.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.geoquery import LONGEST, rows_of
from benchmarks.rows import data_file
from shokunin import registry
from shokunin.calibration import Calibration, calibration_to_dict
from shokunin.dataset import Dataset, Example, SealedRows, digest_of, write_dataset
from shokunin.files import read_json, write_json
from shokunin.language.sql import parse
from shokunin.pipeline.answering import codec_of, open_specialist
from shokunin.pipeline.exporting import export
from shokunin.pipeline.publish import GOLDEN_WRITTEN
from shokunin.specialist import Specialist
from shokunin.task import Task, task_to_dict

LIBRARIES = ("torch", "transformers", "peft", "openvino-genai", "gguf")
FORMATS = ("gguf", "openvino", "safetensors", "peft")
NAME = "geography"


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--weights", type=Path, required=True, help="what causal_lora left, with its facts.json")
    words.add_argument("--rows", type=int, default=48, help="sealed rows that are asked")
    words.add_argument("--formats", default=",".join(FORMATS))
    words.add_argument("--out", type=Path, default=harness.RESULTS)
    asked = words.parse_args()
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    result: dict[str, Any] = {
        "benchmark": "exports", "created": created, **harness.revision(), "machine": harness.machine(),
        "load": round(os.getloadavg()[0], 1),
        "versions": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "formats": {},
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="exports-") as scratch:
        project = Path(scratch)
        specialist = published(asked.weights, project)
        result["specialist"] = {
            key: specialist.weights.facts.get(key)
            for key in ("learner", "base", "file_type", "epochs", "losses_held_back")
        }
        for kind in asked.formats.split(","):
            began = time.perf_counter()
            found = export(specialist, project / "out" / kind, kind, project=project, rows=asked.rows, anyway=True)
            size = sum(p.stat().st_size for p in (project / "out" / kind).rglob("*") if p.is_file())
            kept = {k: v for k, v in found.items() if k not in ("digest", "shown")}
            result["formats"][kind] = {
                **kept,
                "size_mb": round(size / 1e6, 1),
                "seconds": round(time.perf_counter() - began, 1),
            }
            print(kind, json.dumps(kept), found["shown"], flush=True)
        if "gguf" in result["formats"]:
            result["llama_cpp"] = llama_cpp(specialist, project, project / "out" / "gguf" / "model.gguf", asked.rows)
            print("llama.cpp", json.dumps(result["llama_cpp"]), flush=True)
    asked.out.mkdir(parents=True, exist_ok=True)
    path = asked.out / f"exports-{created.replace('-', '').replace(':', '')}-{result['commit']}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(path.name)


def published(weights: Path, project: Path) -> Specialist:
    """The weights as a specialist, with the dataset that it was tuned beside."""
    part = rows_of("question")
    database = str(data_file("geoquery", "geography.sqlite").resolve())
    options = {"language": "sql", "longest": LONGEST, "database": database}
    task = Task(NAME, kind="generate_text", inputs=("question",), target="sql", metric="execution", options=options)
    examples = {
        side: tuple(Example({"question": r["question"]}, r["sql"], f"geography:{n}", n) for n, r in enumerate(rows))
        for side, rows in (("train", part.train), ("validation", part.dev), ("test", part.test))
    }
    digest = digest_of(task, {**examples, "none": ()})
    dataset = Dataset(
        task,
        (),
        examples["train"],
        examples["validation"],
        (),
        {},
        SealedRows(len(part.test), examples["test"]),
        digest,
    )
    folder = project / "tasks" / NAME / "datasets" / digest[:16]
    folder.mkdir(parents=True)
    write_dataset(dataset, folder)
    (project / "out").mkdir()
    with registry.making(project / "specialists", NAME) as (made, version):
        (made / "side_files").mkdir()
        linked(weights, made / "weights")
        write_json(made / "side_files" / "calibration.json", calibration_to_dict(Calibration()))
        write_json(made / "side_files" / "golden.json", [])
        manifest = {
            "name": NAME, "version": version, "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "task": task_to_dict(task), "labels": [],
            "weights": {"form": "conversation", "format": "gguf", "exact": False, "facts": read_json(weights / "facts.json")},
            "dataset": {"digest": digest, "train": len(part.train), "validation": len(part.dev), "test": len(part.test)},
            "steps": [{"step": "train", "learner": "causal_lora"}], "parent": None, "licences": {},
        }  # fmt: skip
        opened = open_specialist(registry.seal(made, manifest), golden=False)
        sample = [dict(e.inputs) for e in examples["train"][:: len(part.train) // GOLDEN_WRITTEN][:GOLDEN_WRITTEN]]
        answers = opened.predict(sample)
        golden = [
            {"inputs": i, "value": a.value, "confidence": a.confidence} for i, a in zip(sample, answers, strict=True)
        ]
        write_json(made / "side_files" / "golden.json", golden)
        registry.seal(made, manifest)
        return registry.publish(made, project / "specialists", NAME, version)


def linked(weights: Path, place: Path) -> None:
    """The weights' files; copied, since a specialist holds no links."""
    place.mkdir()
    shutil.copyfile(weights / "model.gguf", place / "model.gguf")
    (place / "adapter").mkdir()
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        shutil.copyfile(weights / "adapter" / name, place / "adapter" / name)


def llama_cpp(specialist: Specialist, project: Path, file: Path, rows: int) -> dict[str, Any] | str:
    """The exported file in llama.cpp: its answers to the same sealed rows beside the specialist's."""
    try:
        import xllamacpp
    except ModuleNotFoundError:
        return "not run: xllamacpp is not importable"
    from shokunin.pipeline.exporting import _sealed

    sealed, _ = _sealed(specialist, project, rows, "the benchmark of exports, llama.cpp")
    questions = [example.inputs["question"] for example in sealed]
    own = [answer.value for answer in open_specialist(specialist, golden=False).predict([e.inputs for e in sealed])]
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(file)
    parameters.n_ctx, parameters.n_parallel = 4096, 1
    # Its threads wait for each other without sleeping, which on a machine with other work takes minutes an answer.
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(parameters)
    codec = codec_of(specialist)
    began = time.perf_counter()
    values = [codec.read_reply(_asked(server, question)) for question in questions]
    seconds = time.perf_counter() - began
    expected = [example.expected or "" for example in sealed]
    groups = [example.group for example in sealed]
    return {
        "version": importlib.metadata.version("xllamacpp"),
        "asked": len(sealed),
        "agree": sum(_spelled(a) == _spelled(b) for a, b in zip(own, values, strict=True)),
        "score": _value(codec.scores(expected, values, groups)["execution"]),
        "score_of_the_specialist": _value(codec.scores(expected, own, groups)["execution"]),
        "seconds_an_answer": round(seconds / len(sealed), 3),
    }


def _asked(server: Any, question: str) -> str:
    body = {
        "messages": [{"role": "user", "content": question}],
        "temperature": 0, "max_tokens": LONGEST, "stream": False,
    }  # fmt: skip
    reply = server.handle_chat_completions(body)
    return str(reply["choices"][0]["message"]["content"])


def _spelled(query: str | None) -> str | None:
    return None if query is None else parse(query).text


def _value(found: Any) -> dict[str, float]:
    return {"value": round(found.value, 4), "low": round(found.low, 4), "high": round(found.high, 4)}


if __name__ == "__main__":
    main()
