"""Does the promise hold? Thousands of deployments are simulated, and the true error of the answers given is counted.

    python -m benchmarks.promise_simulation [--draws 1000] [--quick]

A world is a large pool of scored rows that stands for all requests to come. A deployment draws validation rows from it,
chooses a threshold on them, and is then judged on the whole pool, so that its true coverage and error are known. The
promise (at most 5 % of the given answers are wrong) may be broken in 5 % of the deployments. Ways of choosing:

- `promise`: what the program does; no answer is given where nothing can be promised;
- `hand-set 0.9`: answer when the softmax of the scores says 0.9 or more;
- `hand-set 0.9, calibrated`: the same after fitting the temperature on the validation rows;
- `as it came out`: the lowest threshold at which the validation rows themselves have at most 5 % errors.

In the world `choice among 4` the validation rows first choose the best of four models.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from benchmarks import harness
from benchmarks.rows import data_file, read
from shokunin.calibration import Calibration
from shokunin.engines import engine_for
from shokunin.forms import TextLessons
from shokunin.metrics import wilson
from shokunin.progress import silent
from shokunin.prove.calibrate import calibrate, fit_temperature
from shokunin.task import Task
from shokunin.train import learner

MAX_ERROR, LEVEL = 0.05, 0.95
TASK = Task("simulated", max_error=MAX_ERROR, promise_confidence=LEVEL)
SIZES = (100, 300, 1000, 3000)
POOL = 10_000

Scores = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
World = tuple[list[Scores], Labels]
"""The raw scores of one or more models on the same rows, each of shape (n, k), and the right labels."""
Answered = npt.NDArray[np.bool_]


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--draws", type=int, default=1000, help="deployments for each world and number of rows")
    words.add_argument("--world", default="", help="only the worlds with this in their name")
    words.add_argument("--quick", action="store_true", help="made-up worlds only, few draws, to try the script")
    words.add_argument("--out", type=Path, default=harness.RESULTS, help="folder of the results")
    asked = words.parse_args()
    draws = 40 if asked.quick else asked.draws
    found = []
    for name, make in worlds(real=not asked.quick):
        if asked.world not in name:
            continue
        world = make()
        for rows in SIZES:
            start = time.perf_counter()
            found += deployments(name, world, rows, draws, seed=rows)
            print(f"{name}, {rows} validation rows ({time.perf_counter() - start:.0f} s)")
            print("\n".join(_line(f) for f in found[-4:]), flush=True)
    result = {
        "benchmark": "promise_simulation",
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **harness.revision(),
        "quick": asked.quick,
        "machine": harness.machine(),
        "max_error": MAX_ERROR,
        "confidence": LEVEL,
        "deployments": found,
    }
    asked.out.mkdir(parents=True, exist_ok=True)
    path = asked.out / f"promise_simulation-{time.strftime('%Y-%m-%d')}-{result['commit']}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(path)


def worlds(*, real: bool) -> Iterable[tuple[str, Callable[[], World]]]:
    """Made-up ones, where the model boasts, or validation rows choose among models; and real rows with real models."""
    yield "made up, boastful", partial(made_up, seed=1, models=1)
    yield "choice among 4", partial(made_up, seed=2, models=4)
    if not real:
        return
    banking = [read(data_file("banking77", f"{part}.csv"), "text", "category") for part in ("train", "test")]
    yield "banking77, text_linear", partial(text_linear, [*banking[0], *banking[1]], learn=6000)
    with data_file("medical_abstracts", "abstracts.csv").open(encoding="utf-8", newline="") as file:
        abstracts = [(row["text"][:600], row["label"]) for row in csv.DictReader(file)]
    yield "medical_abstracts, text_linear", partial(text_linear, abstracts, learn=len(abstracts) // 2)
    yield "medical_abstracts, logistic regression", partial(logistic, abstracts, learn=len(abstracts) // 2)


def made_up(seed: int, models: int) -> World:
    """Eight labels; the better model tells them apart more clearly, and all boast: they are six times as sure as they may be."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 8, POOL)
    difficulty = rng.gamma(4, 0.55, POOL)
    scores = []
    for model in range(models):
        raw = rng.normal(0, 1, (POOL, 8))
        raw[np.arange(POOL), labels] += difficulty * (1.6 - 0.01 * model)
        scores.append((6 * raw).astype(np.float32))
    return scores, labels


def text_linear(rows: list[tuple[str, str]], learn: int) -> World:
    """The program's own cheapest learner, fitted on some rows; the others are the pool."""
    lessons, pool, labels = _halves(rows, learn)
    module = learner("text_linear")
    with tempfile.TemporaryDirectory() as folder:
        weights = module.fit(lessons, module.Options(), Path(folder), seed=0, progress=silent)
        session = engine_for(weights.format).load(weights)
        raw = np.concatenate([session.run(pool[i : i + 256]) for i in range(0, len(pool), 256)])
    return [raw], labels


def logistic(rows: list[tuple[str, str]], learn: int) -> World:
    """A logistic regression that is hardly held back, as boastful as a network that was trained for too long."""
    lessons, pool, labels = _halves(rows, learn)
    words = TfidfVectorizer(sublinear_tf=True, min_df=2)
    model = LogisticRegression(C=300, max_iter=300).fit(words.fit_transform(lessons.texts), lessons.labels)
    return [model.decision_function(words.transform(pool)).astype(np.float32)], labels


def _halves(rows: list[tuple[str, str]], learn: int) -> tuple[TextLessons, list[str], Labels]:
    order = np.random.default_rng(0).permutation(len(rows))
    names = sorted({label for _, label in rows})
    labels = np.asarray([names.index(rows[i][1]) for i in order], dtype=np.int64)
    texts = [rows[i][0] for i in order]
    groups = np.arange(learn, dtype=np.int64)
    return TextLessons(tuple(texts[:learn]), labels[:learn], tuple(names), groups), texts[learn:], labels[learn:]


def deployments(name: str, world: World, rows: int, draws: int, seed: int) -> list[dict[str, Any]]:
    """What each way of choosing came to, over `draws` deployments with `rows` validation rows."""
    models, labels = world
    right = [raw.argmax(axis=1) == labels for raw in models]
    raw_sure = [_confidence(raw, 1.0) for raw in models]
    rng = np.random.default_rng(seed)
    outcomes: dict[str, list[tuple[float, float]]] = {}
    for draw in range(draws):
        chosen = rng.integers(0, len(labels), rows)  # with replacement: the pool is the population
        best = int(np.argmax([r[chosen].mean() for r in right]))
        raw = models[best]
        calibration = calibrate(raw[chosen], labels[chosen], task=TASK, candidates=len(models), exact=True, seed=draw)
        for way, given in _ways(raw, labels, chosen, calibration, raw_sure[best]).items():
            share = float(given.mean())
            outcomes.setdefault(way, []).append((share, float((~right[best])[given].mean()) if share else 0.0))
    return [_summary(name, rows, way, np.asarray(values)) for way, values in outcomes.items()]


def _ways(
    raw: Scores,
    labels: Labels,
    chosen: npt.NDArray[np.int64],
    calibration: Calibration,
    raw_sure: npt.NDArray[np.float32],
) -> dict[str, Answered]:
    """Which rows of the pool each way of choosing answers."""
    sure = _confidence(raw, fit_temperature(raw[chosen], labels[chosen]))
    order = chosen[np.argsort(-sure[chosen])]
    errors = np.cumsum(raw[order].argmax(axis=1) != labels[order]) / np.arange(1, len(order) + 1)
    kept = np.flatnonzero(errors <= MAX_ERROR)
    made, scope = calibration.promise, calibration.scope_threshold
    assert made is not None
    known = np.ones(len(raw), dtype=bool) if scope is None else raw.max(axis=1) >= scope
    return {
        "promise": known & (_confidence(raw, calibration.temperature) >= made.threshold),
        "hand-set 0.9": raw_sure >= 0.9,
        "hand-set 0.9, calibrated": sure >= 0.9,
        "as it came out": sure >= (sure[order[kept[-1]]] if len(kept) else 2.0),
    }


def _confidence(raw: Scores, temperature: float) -> npt.NDArray[np.float32]:
    """The largest softmax of each row."""
    below = (raw - raw.max(axis=1, keepdims=True)) * np.float32(1 / temperature)
    return np.asarray(1 / np.exp(below, out=below).sum(axis=1))


def _summary(name: str, rows: int, way: str, values: npt.NDArray[np.float64]) -> dict[str, Any]:
    coverage, error = values[:, 0], values[:, 1]
    kept = wilson(int((error <= MAX_ERROR).sum()), len(error))
    return {
        "world": name,
        "validation_rows": rows,
        "way": way,
        "deployments": len(error),
        "kept": round(kept.value, 4),
        "kept_low": round(kept.low, 4),
        "kept_high": round(kept.high, 4),
        "answering": round(float((coverage > 0).mean()), 4),
        "coverage": round(float(coverage.mean()), 4),
        "error": round(float(error[coverage > 0].mean()), 4) if (coverage > 0).any() else None,
        "error_p95": round(float(np.quantile(error, 0.95)), 4),
    }


def _line(found: dict[str, Any]) -> str:
    error = "–" if found["error"] is None else f"{100 * found['error']:.1f} %"
    return (
        f"  {found['way']:<26} kept in {100 * found['kept']:5.1f} % of deployments, "
        f"answers {100 * found['coverage']:5.1f} %, of those wrong {error}"
    )


if __name__ == "__main__":
    main()
