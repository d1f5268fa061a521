"""How long a client waits for a specialist's written answer: for its first token in a stream, and for all of it at once.

    python -m benchmarks.streamed_answers [--base NAME] [--repeats N] [--threads N]

A base model as the specialist `replies`, behind the real server on loopback, asked by the official client, one request at a
time. For each text the two ways are measured in turn, so that the machine's other work falls on both; every text is new, so
that no prompt was read before. Times are milliseconds from sending the request; medians over the texts with their quartiles.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import openai
import psutil
import uvicorn

from benchmarks.harness import RESULTS, machine, revision
from shokunin.calibration import Calibration
from shokunin.engines.language_model import load
from shokunin.language.base_models import DEFAULT_LANGUAGE_MODEL, LanguageModel, resolve
from shokunin.pipeline.answering import SpecialistPredictor
from shokunin.serve.app import create_app
from shokunin.serve.connection import Connection
from shokunin.serve.process import bind
from shokunin.serve.served import Served
from shokunin.task import Task
from shokunin.tasks.generate_text import WritingCodec
from shokunin.weights import Weights

LIBRARIES = ("shokunin", "openvino", "openvino-genai", "openai", "uvicorn")
LONGEST = 64
"""Tokens of an answer, at most; the texts ask for long ones, so that nearly all have so many."""
TEXT = "Case {}: write a long, polite letter to a customer whose parcel {} has not come after {} days."


def main() -> None:
    options = _options()
    model = resolve(options.base)
    streamed: list[dict[str, float]] = []
    at_once: list[float] = []
    with tempfile.TemporaryDirectory() as scratch, serving(model, Path(scratch), options.threads) as client:
        _streamed(client, "Say yes.")
        for number in range(options.repeats):
            one, other = (TEXT.format(f"{number}{part}", 7000 + 37 * number, 3 + number % 9) for part in "ab")
            streamed.append(_streamed(client, one))
            at_once.append(_at_once(client, other))
    result: dict[str, Any] = {
        "benchmark": "streamed_answers",
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **revision(),
        "machine": machine(),
        "versions": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "model": model.facts(),
        "threads": options.threads,
        "load_average": psutil.getloadavg()[0],
        "texts": options.repeats,
        "longest_tokens": LONGEST,
        "streamed": {name: _spread([one[name] for one in streamed]) for name in streamed[0]},
        "at_once_ms": _spread(at_once),
    }
    text = json.dumps(result, indent=1) + "\n"
    stamp = result["created"].replace("-", "").replace(":", "")
    (RESULTS / f"streamed_answers-{stamp}-{result['commit']}.json").write_text(text, encoding="utf-8")
    print(text)


@contextmanager
def serving(model: LanguageModel, scratch: Path, threads: int) -> Iterator[openai.OpenAI]:
    """A client of a server of the model as the specialist `replies`."""
    shutil.copyfile(model.path, scratch / "model.gguf")
    task = Task("replies", "generate_text", options={"longest": LONGEST})
    codec = WritingCodec(task, Calibration())
    session = load(Weights(scratch, "conversation", "gguf"), threads=threads)
    predictor = SpecialistPredictor(codec, session, "replies@1", "conversation")
    app = create_app({"replies@1": Served("replies@1", "replies", 1, (), "generate_text", predictor, codec)})
    listener = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, http=Connection, log_config=None, access_log=False, lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        with openai.OpenAI(base_url=address, api_key="unused", max_retries=0, timeout=300) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


def _streamed(client: openai.OpenAI, text: str) -> dict[str, float]:
    start = time.perf_counter()
    times, written = [], 0
    for event in client.chat.completions.create(
        model="replies",
        messages=[{"role": "user", "content": text}],
        stream=True,
        stream_options={"include_usage": True},
    ):
        if event.choices and event.choices[0].delta.content:
            times.append((time.perf_counter() - start) * 1e3)
        elif event.usage is not None:
            written = event.usage.completion_tokens
    return {"first_token_ms": times[0], "last_token_ms": times[-1], "pieces": len(times), "tokens": written}


def _at_once(client: openai.OpenAI, text: str) -> float:
    start = time.perf_counter()
    try:
        client.chat.completions.create(model="replies", messages=[{"role": "user", "content": text}])
    except openai.InternalServerError as error:
        if error.code != "no_answer":  # one that reached its longest length took its time all the same
            raise
    return (time.perf_counter() - start) * 1e3


def _spread(values: Sequence[float]) -> dict[str, float]:
    low, high = np.quantile(values, [0.25, 0.75])
    return {"median": round(statistics.median(values), 1), "low": round(float(low), 1), "high": round(float(high), 1)}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default=DEFAULT_LANGUAGE_MODEL)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
