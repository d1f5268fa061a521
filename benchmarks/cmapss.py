"""Turbofans (C-MAPSS FD003): fails within 15 or 30 cycles? Whole engines are tested, in five folds.

Thresholds and the choice of the model come from other engines.

`python -m benchmarks.cmapss [--rungs statistics,embedding] [--folds 5] [--encoder own|random]`
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rows import data_file
from benchmarks.series_results import result, write
from shokunin.curate.read import read_rows
from shokunin.pipeline.anticipating import fit_rungs, prepare
from shokunin.series.columns import Columns
from shokunin.series.plan import RUNGS, Plan
from shokunin.series.proof import Sides, as_json, judge, sentence
from shokunin.series.readings import Grid, Readings, read_readings
from shokunin.series.trees import TreeOptions

WINDOW = 30
HORIZONS = (15, 30)


def engines() -> Readings:
    """The 100 engines; the remaining life is a channel that the plan takes out."""
    table = read_rows(data_file("cmapss_fd003", "series.csv"))
    channels = tuple(c for c in table.columns if c not in ("unit", "cycle"))
    columns = Columns(unit="unit", time="cycle", channels=channels)
    return read_readings(table.rows(), columns, Grid(step="cycle", longest_gap=0, shortest=WINDOW))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rungs", default="base_rate,outside_30,statistics")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--encoder", default="own")
    parser.add_argument("--rounds", type=int, default=300)
    asked = parser.parse_args()
    readings = engines()
    rungs = tuple(r for r in RUNGS if r in asked.rungs.split(","))
    found = result(
        "cmapss_fd003", {"window": WINDOW, "horizons": HORIZONS, "folds": asked.folds, "reading": readings.facts}
    )
    pooled: dict[str, list[Any]] = {}
    chosen: list[dict[str, dict[str, str]]] = []
    seconds: dict[str, float] = {}
    leaks: list[Any] = []
    for fold in range(asked.folds):
        plan = Plan(
            window=WINDOW, horizons=HORIZONS, target="remaining", column="remaining_cycles", split="unit", fold=fold,
            folds=asked.folds, rungs=rungs, encoder=asked.encoder, encoder_steps=200, lora_steps=60,
            trees=TreeOptions(rounds=asked.rounds, metric="average_precision"),
        )  # fmt: skip
        prepared = prepare(readings, plan)
        leaks.append([vars(leak) for leak in prepared.leaks])
        with tempfile.TemporaryDirectory(prefix="cmapss-") as folder:
            start = time.perf_counter()
            fitted = fit_rungs(prepared, Path(folder))
            seconds[f"fold {fold}"] = round(time.perf_counter() - start, 1)
        chosen.append({str(c.horizon): {"rung": c.rung.name, "why": c.why} for c in fitted.chosen})
        sides = {r.name: (r.validation, r.test) for r in fitted.rungs}
        sides["chosen"] = (fitted.validation, fitted.test)
        for name, (validation, test) in sides.items():
            pooled.setdefault(name, []).append((prepared, validation, test))
        for c in fitted.chosen:
            print(f"fold {fold}: within {c.horizon}: {c.why} ({seconds[f'fold {fold}']} s)", flush=True)
    found["rungs"] = {}
    for name, parts in pooled.items():
        # The folds' test engines together are all engines, each judged once by models that never saw it.
        windows, labels = parts[0][0].windows, parts[0][0].labels
        logits = np.full((len(windows), len(HORIZONS)), np.nan)
        for prepared, _, test in parts:
            logits[prepared.split.test] = test
        tested = np.concatenate([prepared.split.test for prepared, _, _ in parts])
        held = [(prepared.split.validation, validation) for prepared, validation, _ in parts]
        validation = Sides(
            windows.take(np.concatenate([rows for rows, _ in held])),
            labels[np.concatenate([rows for rows, _ in held])],
            np.concatenate([scores for _, scores in held]),
        )
        order = np.sort(tested)
        test = Sides(windows.take(order), labels[order], logits[order])
        worths = judge(HORIZONS, validation, test, parts[0][0].events, readings.grid, wrong_a_unit=1.0)
        found["rungs"][name] = [as_json(w) for w in worths]
        for worth in worths:
            print(f"{name:12} {sentence(worth, readings.grid)}")
            if worth.ranking:
                print(f"{'':12} ROC {worth.ranking.roc_auc}  PR {worth.ranking.pr_auc}")
    found |= {
        "chosen_by_fold": chosen,
        "seconds": seconds,
        "leaks": leaks[0],
        "settings": {"rounds": asked.rounds, "encoder": asked.encoder},
    }
    print(write(found))


if __name__ == "__main__":
    main()
