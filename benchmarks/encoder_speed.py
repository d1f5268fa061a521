"""How fast an encoder runs here: our ONNX graph in float32 and int8, beside sentence-transformers where it is installed.

    python -m benchmarks.encoder_speed [--base NAME] [--rows N] [--threads N] [--repeats N]

The same rows (BANKING77, official test part) go through each: in bulk, and one at a time. Every engine runs in a process of
its own. Times are medians over the repeats; the load of the machine at the start is in the result, and so is how far the
embeddings are from the reference's. Writes benchmarks/results/encoder_speed-<time>.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rows import data_file, read
from shokunin.compress import integer
from shokunin.encoders.base_models import DEFAULT_ENCODER, BaseModel, resolve
from shokunin.encoders.onnx_text import GRAPH, copy_tokenizer, read_about, write_about
from shokunin.encoders.text_encoder import TextEncoder, embedding_graph
from shokunin.encoders.text_runner import TextRunner
from shokunin.forms import TextLessons
from shokunin.weights import Weights

RESULTS = Path(__file__).resolve().parent / "results"
ENGINES = ("onnx float32", "onnx int8", "sentence-transformers")
SINGLE = 200


def main() -> None:
    options = parsed()
    if options.engine:
        run_one(options)
        return
    base = resolve(options.base)
    texts = [text for text, _ in read(data_file("banking77", "test.csv"), "text", "category")][: options.rows]
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
        write_graphs(base, Path(scratch))
        results = [measured(engine, options, Path(scratch)) for engine in ENGINES]
        compare(results, Path(scratch))
    report = {
        "benchmark": "encoder_speed",
        "base": base.facts(),
        "rows": len(texts),
        "threads": options.threads,
        "repeats": options.repeats,
        "load_at_start": os.getloadavg(),
        "machine": {"processor": processor(), "cores": os.cpu_count(), "python": platform.python_version()},
        "results": results,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"encoder_speed-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", default=DEFAULT_ENCODER)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def measured(engine: str, options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    if engine == "sentence-transformers" and find_spec("sentence_transformers") is None:
        return {"engine": engine, "skipped": "not installed"}
    threads = str(options.threads)
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-m", "benchmarks.encoder_speed", "--engine", engine, "--scratch", str(scratch)]
    command += ["--base", options.base, "--threads", threads, "--repeats", str(options.repeats)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=RESULTS.parents[1], check=False)
    if done.returncode:
        return {"engine": engine, "failed": done.stderr.strip().splitlines()[-1:]}
    return json.loads(done.stdout.splitlines()[-1])


def run_one(options: argparse.Namespace) -> None:
    """In a process of its own: open, run in bulk, run one at a time."""
    texts = json.loads((options.scratch / "texts.json").read_text(encoding="utf-8"))
    started = time.perf_counter()
    embed, size = opened(options)
    embed(texts[:8])
    load_seconds = time.perf_counter() - started
    bulk, single = [], []
    for _ in range(options.repeats):
        started = time.perf_counter()
        out = embed(texts)
        bulk.append(time.perf_counter() - started)
    for text in texts[:SINGLE]:
        started = time.perf_counter()
        embed([text])
        single.append(time.perf_counter() - started)
    np.save(options.scratch / f"{options.engine.replace(' ', '-')}.npy", out)
    result = {
        "engine": options.engine,
        "rows_per_second": round(len(texts) / float(np.median(bulk)), 1),
        "rows_per_second_each": [round(len(texts) / s, 1) for s in bulk],
        "single_ms": {f"p{p}": round(1000 * float(np.percentile(single, p)), 2) for p in (50, 95, 99)},
        "load_seconds": round(load_seconds, 2),
        "peak_memory_mb": peak_memory_mb(),
        "size_bytes": size,
    }
    print(json.dumps(result))


def opened(options: argparse.Namespace) -> tuple[Callable[[list[str]], np.ndarray], int]:
    base = resolve(options.base)
    if options.engine == "sentence-transformers":
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(options.threads)
        model = SentenceTransformer(str(base.folder), device="cpu")
        return lambda texts: model.encode(texts, normalize_embeddings=True), base.size_bytes
    folder = options.scratch / options.engine
    runner = TextRunner(folder, read_about(folder), threads=options.threads)
    return runner.run, Weights(folder, "labelled_text", "onnx_text").size_bytes()


def write_graphs(base: BaseModel, scratch: Path) -> None:
    """The encoder without a head, as a learner and as the compressor writes it."""
    encoder = TextEncoder(base, max_length=128)
    whole, small = (scratch / engine for engine in ENGINES[:2])
    for folder in (whole, small):
        folder.mkdir()
    (whole / GRAPH).write_bytes(embedding_graph(base, encoder.pooling).read_bytes())
    copy_tokenizer(base.folder, whole)
    write_about(whole, encoder.about)
    none = TextLessons((), np.zeros(0, np.int64), (), np.zeros(0, np.int64))
    integer.shrink(Weights(whole, "labelled_text", "onnx_text"), none, integer.Options(), small)


def compare(results: list[dict[str, Any]], scratch: Path) -> None:
    """Adds the smallest and mean cosine to the reference: sentence-transformers if it ran, else our float32."""
    outs = {e: scratch / f"{e.replace(' ', '-')}.npy" for e in ENGINES}
    found = {e: np.load(p) for e, p in outs.items() if p.exists()}
    reference = "sentence-transformers" if "sentence-transformers" in found else "onnx float32"
    for result in results:
        if result["engine"] in found and reference in found:
            cosine = (found[result["engine"]] * found[reference]).sum(1)
            result[f"cosine to {reference}"] = {
                "least": round(float(cosine.min()), 5),
                "mean": round(float(cosine.mean()), 5),
            }


def peak_memory_mb() -> int:
    """Of this process alone: `ru_maxrss` would count the process it was started from."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    peak = next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), None)
    return round((peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024)


def processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


if __name__ == "__main__":
    main()
