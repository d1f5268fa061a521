"""How fast a small language model writes here: alone and together, free and held to a schema, with one adapter and with twenty.

    python -m benchmarks.decoding [--base NAME] [--repeats N] [--adapters N] [--threads N]

Pairs that are compared are measured in turn, in one process, so that the machine's other work falls on both; times are
medians over the repeats with their quartiles, and the ratio is the median of each repeat's own ratio. Tokens
a second are those that callers get, reading the prompt included unless said otherwise. What a schema costs is given in processor
time too, which is what can be compared where the machine has other work. Adapters are random ones of rank 8 on q and v of every
layer: how fast they run does not depend on what they learned.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from safetensors.numpy import save_file

from benchmarks.harness import RESULTS, machine, revision
from shokunin.engines.language_model import LanguageSession, load
from shokunin.forms import Conversation, Written
from shokunin.language.base_models import DEFAULT_LANGUAGE_MODEL, LanguageModel, resolve
from shokunin.language.prepared import prepare
from shokunin.language.runner import runner_for
from shokunin.weights import Weights

LIBRARIES = ("shokunin", "openvino", "openvino-genai")
TOKENS = 32
"""Of a free answer; the prompts ask for long ones."""
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"words": {"type": "array", "items": {"type": "string", "minLength": 3}, "minItems": 40}},
        "required": ["words"],
        "additionalProperties": False,
    }
)
"""Long enough that no answer ends before its last token, and of texts whose characters must be counted."""
SIMPLE = json.dumps(
    {
        "type": "object",
        "properties": {name: {"type": "string"} for name in ("name", "city", "street", "remark")},
        "required": ["name", "city", "street", "remark"],
        "additionalProperties": False,
    }
)
"""Four texts, as of an address."""
FIRST_USED = {
    "four texts": SIMPLE.replace("remark", "notes"),
    "one text of at most 20 characters": '{"type": "string", "maxLength": 20}',
    "one text of at most 1000 characters": '{"type": "string", "maxLength": 1000}',
}
"""Schemas that nothing else here asks for."""
SUBJECTS = ("the sea", "a village", "winter", "a long train ride", "bread", "an old library", "the harbour", "two cats")
PREFIX = "You complete what the user is typing. Write the next words only. " * 12


def main() -> None:
    options = _options()
    model = resolve(options.base)
    prepared = prepare(model)
    before = _rss()
    start = time.perf_counter()
    session = LanguageSession(runner_for(prepared, threads=options.threads))
    loaded = time.perf_counter() - start
    session.run([_asks("Say yes.")])
    result: dict[str, Any] = {
        "benchmark": "decoding",
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **revision(),
        "machine": machine(),
        "versions": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "model": model.facts(),
        "threads": options.threads,
        "load_average": psutil.getloadavg()[0],
        "load_seconds": round(loaded, 2),
        "rss_mb": {"before": before, "loaded": _rss()},
        "constrained_against_free": constrained(session, options.repeats),
        "batch_of_8_against_one_stream": batched(session, options.repeats),
        "first_token": first_token(session, options.repeats),
    }
    with tempfile.TemporaryDirectory() as scratch:
        result["adapters"] = adapters(model, prepared.shapes, Path(scratch), options)
    result["rss_mb"]["end"] = _rss()
    text = json.dumps(result, indent=1) + "\n"
    stamp = result["created"].replace("-", "").replace(":", "")
    (RESULTS / f"decoding-{stamp}-{result['commit']}.json").write_text(text, encoding="utf-8")
    print(text)


def constrained(session: LanguageSession, repeats: int) -> dict[str, Any]:
    """Tokens a second of one stream, free and held to a schema, after the prompt has been read.

    The free answers are asked for with the words of the hard schema, of which they write as many tokens.
    """
    subject = "List at least fifty words about {}, as JSON with the key words."
    free, hard, simple = (
        [_asks(subject.format(s), schema=one) for s in SUBJECTS[:3]] for one in (None, SCHEMA, SIMPLE)
    )
    rounds = [[_decoding(session, rows) for rows in (free, hard, simple)] for _ in range(repeats + 1)][1:]
    told: dict[str, Any] = {}
    for at, name in enumerate(("free", "constrained", "four_texts")):
        told[f"{name}_tokens_per_second"] = _spread([each[at][0] for each in rounds])
        told[f"{name}_processor_ms_a_token"] = _spread([1e3 / each[at][1] for each in rounds])
    for at, name in ((1, "cost"), (2, "cost_of_four_texts")):
        told[name] = round(1 - statistics.median(each[at][0] / each[0][0] for each in rounds), 4)
        told[f"{name}_in_processor_time"] = round(1 - statistics.median(each[at][1] / each[0][1] for each in rounds), 4)
    return {
        **told,
        "first_use_of_a_schema_ms": {name: _first_use(session, schema) for name, schema in FIRST_USED.items()},
        "goal": "at most 0.10",
    }


def batched(session: LanguageSession, repeats: int) -> dict[str, Any]:
    """Eight conversations at once against the same eight one after another, prompts read anew each time."""
    pairs = []
    for repeat in range(repeats):
        rows = [_asks(f"({repeat}) Write a long story about {s}.") for s in SUBJECTS]
        again = [_asks(f"({repeat} again) Write a long story about {s}.") for s in SUBJECTS]
        alone = _rate(lambda rows=rows: [session.run([row])[0] for row in rows])  # type: ignore[misc]
        pairs.append((alone, _rate(lambda again=again: session.run(again))))  # type: ignore[misc]
    return {
        "one_stream_tokens_per_second": _spread([a for a, _ in pairs]),
        "batch_of_8_tokens_per_second": _spread([b for _, b in pairs]),
        "ratio": round(statistics.median(b / a for a, b in pairs), 3),
        "goal": "at least 2.5",
    }


def first_token(session: LanguageSession, repeats: int) -> dict[str, Any]:
    """Completion while typing: milliseconds to the first token, the instruction seen before or not."""
    cold, warm = [], []
    for repeat in range(max(repeats, 5)):
        new = f"{repeat}. {PREFIX}"
        cold.append(_first(session, _typed(new, "Dear Ms Ito, thank you for")))
        warm.append(_first(session, _typed(new, "Dear Ms Ito, thank you for your letter of")))
    return {
        "prompt_tokens": session.count(PREFIX),
        "unseen_ms": _spread(cold),
        "seen_ms": _spread(warm),
    }


def adapters(model: LanguageModel, shapes: Any, scratch: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Many adapters on one base in one process: memory, and tokens a second when each answers in turn."""
    before = _rss()
    start = time.perf_counter()
    made = [_adapter(scratch / str(n), n, shapes, model) for n in range(options.adapters)]
    sessions = [load(weights, threads=options.threads) for weights in made]
    rows = [Conversation(one.messages, None, 16) for one in (_asks(f"Tell a long story of {s}.") for s in SUBJECTS[:4])]
    one_alone = _rate(lambda: sessions[0].run(rows))
    with_one = _rss()
    for session in sessions:  # each is opened once
        session.run([_asks("Say yes.")])
    opened = time.perf_counter() - start
    same = _rate(lambda: [w for _ in range(len(sessions)) for w in sessions[0].run(rows)])
    turns = _rate(lambda: [w for session in sessions for w in session.run(rows)])
    return {
        "adapters": len(sessions),
        "rank": 8,
        "file_mb": round((made[0].folder / "adapter_model.safetensors").stat().st_size / 1e6, 2),
        "seconds_until_all_are_open": round(opened, 1),
        "rss_mb": {"before": before, "with_one": with_one, "with_all": _rss()},
        "rows_at_once": len(rows),
        "only_one_adapter_tokens_per_second": round(one_alone, 1),
        "same_adapter_again_tokens_per_second": round(same, 1),
        "each_in_turn_tokens_per_second": round(turns, 1),
        "ratio": round(turns / same, 3),
    }


def _asks(text: str, *, schema: str | None = None) -> Conversation:
    return Conversation(({"role": "user", "content": text},), schema, TOKENS)


def _typed(instruction: str, text: str) -> Conversation:
    return Conversation(({"role": "system", "content": instruction}, {"role": "user", "content": text}), None, 8)


def _decoding(session: LanguageSession, rows: Sequence[Conversation]) -> tuple[float, float]:
    """Tokens a second, and a second of processor time, from the first token on, over the rows one after another."""
    tokens, seconds, busy = 0, 0.0, 0.0
    for row in rows:
        began, used = None, 0.0
        for piece in session.stream(row):
            if piece.done is not None:
                assert piece.done.problem is None, piece.done.problem
                tokens += len(piece.done.logprobs) - 1
            elif began is None:
                began, used = time.perf_counter(), time.process_time()
        assert began is not None
        seconds += time.perf_counter() - began
        busy += time.process_time() - used
    return tokens / seconds, tokens / busy


def _first_use(session: LanguageSession, schema: str) -> float:
    """Milliseconds to the first token with a schema that the engine has not met, less those when it has."""
    new, known = (_first(session, _asks("Where is the Louvre?", schema=schema)) for _ in range(2))
    return round(new - known, 1)


def _first(session: LanguageSession, row: Conversation) -> float:
    start = time.perf_counter()
    stream = session.stream(row)
    next(stream)
    found = (time.perf_counter() - start) * 1e3
    for _ in stream:
        pass
    return found


def _rate(run: Callable[[], list[Written]]) -> float:
    start = time.perf_counter()
    written = run()
    seconds = time.perf_counter() - start
    assert all(one.problem is None for one in written)
    return sum(len(one.logprobs) for one in written) / seconds


def _adapter(folder: Path, seed: int, shapes: Any, model: LanguageModel, rank: int = 8) -> Weights:
    random = np.random.default_rng(seed)
    tensors = {}
    for name, (inputs, outputs) in shapes.items():
        if name.endswith(("q_proj", "v_proj")):
            for side, shape in (("A", (rank, inputs)), ("B", (outputs, rank))):
                key = f"base_model.model.{name}.lora_{side}.weight"
                tensors[key] = (random.standard_normal(shape) * 0.01).astype(np.float32)
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank}))
    return Weights(folder, "conversation", "gguf_adapter", facts={"base": model.facts()})


def _spread(values: Sequence[float]) -> dict[str, float]:
    low, high = np.quantile(values, [0.25, 0.75])
    return {"median": round(statistics.median(values), 1), "low": round(float(low), 1), "high": round(float(high), 1)}


def _rss() -> int:
    return int(psutil.Process().memory_info().rss >> 20)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default=DEFAULT_LANGUAGE_MODEL)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--adapters", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
