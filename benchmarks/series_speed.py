"""How fast: one window to a risk on one core, 58,000 windows to rows, sizes on disk, and a fleet of 1,000 units over three years.

The single window has one channel and three horizons: 28 statistics, 64 numbers of the encoder, and a kept text vector of 1,024.

`python -m benchmarks.series_speed [--fleet] [--units 1000]`
"""

from __future__ import annotations

import argparse
import csv
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fleet_rows import fleet
from benchmarks.series_results import result, write
from shokunin.curate.read_csv import read_csv
from shokunin.engines import trees as engine
from shokunin.pipeline.anticipating import fit_rungs, prepare
from shokunin.series.columns import guess_columns
from shokunin.series.embedding import GRAPH, SeriesEncoder
from shokunin.series.features import Block, Recipe
from shokunin.series.lessons import SeriesWindow
from shokunin.series.mixer import MixerShape, random_mixer
from shokunin.series.mixer_graph import write_graph
from shokunin.series.model import SeriesModel, save_model
from shokunin.series.moments import moment_text
from shokunin.series.plan import Plan
from shokunin.series.readings import Grid, read_readings
from shokunin.series.risk import Risk
from shokunin.series.scaling import fit_scale
from shokunin.series.text import Texts
from shokunin.series.trees import TreeOptions, fit_trees
from shokunin.weights import Weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fleet", action="store_true")
    parser.add_argument("--units", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=300)
    asked = parser.parse_args()
    found = result("series_speed", {"settings": vars(asked)})
    found |= large(asked.units) if asked.fleet else small(asked.rounds)
    print(write(found))


def small(rounds: int) -> dict[str, Any]:
    """One window, and 58,000."""
    made = fleet(64, 1091, signal=True)
    plan = Plan(rungs=("statistics",), stride=24)
    prepared = prepare(made.readings, plan, failures=made.failures)
    lessons = prepared.lessons()
    with tempfile.TemporaryDirectory(prefix="speed-") as name:
        folder = Path(name)
        shape = MixerShape()
        write_graph(shape, random_mixer(shape, 0), 90, folder / GRAPH)
        # Vectors of the large encoder's width; how long a kept vector takes does not depend on what is in it.
        vectors = np.random.default_rng(0).normal(size=(64, 1024)).astype(np.float32)
        texts = Texts(made.readings.units, vectors, {"name": "drawn at random, for timing"})
        scale = fit_scale(made.readings, lessons.known)
        blocks: tuple[Block, ...] = ("statistics", "embedding", "text")
        triplet = Recipe(made.readings.channels, 90, blocks, scale, SeriesEncoder(folder / GRAPH, threads=1), texts)
        x = triplet.matrix(made.readings, lessons.windows.take(lessons.train))
        # Every tree is grown, so that the models are as large as published ones, however little there is to learn.
        options = TreeOptions(rounds=rounds, num_leaves=63, feature_fraction=0.8, weigh_positives=True)
        forests = []
        for j, horizon in enumerate(plan.horizons):
            known = lessons.labels[lessons.train, j] >= 0
            forests.append(fit_trees(x[known], lessons.labels[lessons.train, j][known], None, options, seed=42))
            forests[-1].save(folder / f"trees_{horizon}.txt")
        about = {"trees": [f.trees for f in forests], "columns": x.shape[1]}
        risks = (Risk(1.0, 0.0),) * 3
        save_model(SeriesModel(triplet, plan.horizons, tuple(f.open() for f in forests), risks, about), folder)
        weights = Weights(folder, "series_window", "series_trees")
        session = engine.load(weights, threads=1)
        stretch = made.readings.stretches[0]
        forms = [SeriesWindow(stretch.values[i : i + 90], stretch.filled[i : i + 90], "unit-0000") for i in range(1000)]
        for form in forms[:50]:
            session.run([form])
        one_window = timed(session, forms[50:])
        sizes = {p.name: p.stat().st_size for p in sorted(folder.iterdir())}
        recipe: Recipe = session.model.recipe
        windows = prepare(made.readings, plan.model_copy(update={"stride": 1}), failures=made.failures).windows
        windows = windows.take(np.arange(58_000))
        start = time.perf_counter()
        recipe.matrix(made.readings, windows)
        seconds = time.perf_counter() - start
    out = {
        "one_window_ms": one_window,
        "58000_windows_seconds": seconds, "bytes": sizes, **session.model.about,
    }  # fmt: skip
    print(out)
    return out


def timed(session: Any, forms: list[SeriesWindow]) -> dict[str, Any]:
    """Milliseconds a call: by the clock, of the processor, and by the clock where no other process took the core meanwhile.

    On a shared machine the tail by the clock is how long others keep the core, and says nothing of the code.
    """
    clock, used, taken = (np.empty(len(forms)) for _ in range(3))
    for i, form in enumerate(forms):
        switched = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
        start, cpu = time.perf_counter(), time.thread_time()
        session.run([form])
        clock[i], used[i] = 1000 * (time.perf_counter() - start), 1000 * (time.thread_time() - cpu)
        taken[i] = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - switched
    told = {"clock": clock, "processor": used, "clock_undisturbed": clock[taken == 0]}
    quantiles = {
        k: dict(zip(("p50", "p95", "p99"), np.quantile(v, [0.5, 0.95, 0.99]), strict=True)) for k, v in told.items()
    }
    return {**quantiles, "calls": len(forms), "core_taken_in": float((taken > 0).mean())}


def large(units: int) -> dict[str, Any]:
    """A table of three years of daily readings of eight channels, from the file to judged models."""
    days, channels = 1095, 8
    out: dict[str, Any] = {"units": units, "days": days, "channels": channels}
    with tempfile.TemporaryDirectory(prefix="speed-") as name:
        path = Path(name) / "readings.csv"
        made = fleet(units, days, signal=True, channels=channels)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["unit", "day", *made.readings.channels])
            for stretch in made.readings.stretches:
                label = made.readings.units[stretch.unit]
                for i, row in enumerate(stretch.values.round(4).tolist()):
                    writer.writerow([label, moment_text((stretch.start + i) * 86400, "day"), *row])
        out["file_mb"] = round(path.stat().st_size / 1e6, 1)
        failures = made.failures
        del made
        began = time.process_time()
        start = time.perf_counter()
        table = read_csv(path)
        readings = read_readings(table.rows(), guess_columns(table.columns, table.sample(200, 2000)), Grid())
        out["read_seconds"] = round(time.perf_counter() - start, 1)
        out["rows"] = readings.facts["rows"]["in"]
        out["peak_mb_after_reading"] = peak()
        print(out, flush=True)
        plan = Plan(
            stride=7,
            rungs=("base_rate", "outside_30", "statistics"),
            most_windows=50_000,
            trees=TreeOptions(rounds=150),
        )
        start = time.perf_counter()
        prepared = prepare(readings, plan, failures=failures)
        out["prepare_seconds"] = round(time.perf_counter() - start, 1)
        out["windows"] = prepared.split.facts["windows"]
        print(out, flush=True)
        start = time.perf_counter()
        fitted = fit_rungs(prepared, Path(name) / "rungs")
        out["fit_seconds"] = round(time.perf_counter() - start, 1)
        chosen = {str(c.horizon): {"rung": c.rung.name, "why": c.why} for c in fitted.chosen}
        out["processor_seconds"] = round(time.process_time() - began, 1)
        out["end_to_end_seconds"] = round(sum(out[f"{k}_seconds"] for k in ("read", "prepare", "fit")), 1)
        out |= {"chosen": chosen, "peak_mb": peak(), "plan": plan.model_dump()}
    print(out)
    return out


def peak() -> int:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
