"""Turbofans (C-MAPSS FD003): fails within 15 or 30 cycles? Whole engines are tested, in five folds.

Thresholds, the number of trees and the choice of the model come from the other engines, each scored by models that
did not see it. Wrong alarms are counted as in `shokunin.series.alarms`.

`python -m benchmarks.cmapss [--rungs statistics,embedding] [--folds 5] [--encoder own|random]`
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from benchmarks.rows import data_file
from benchmarks.series_results import result, write
from shokunin.curate.read import read_rows
from shokunin.pipeline.anticipating import Prepared, fit_rungs, prepare
from shokunin.series.alarms import record, threshold_for_budget
from shokunin.series.columns import Columns
from shokunin.series.plan import RUNGS, Plan
from shokunin.series.ranking import areas, blocks_of, ranking
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
    parser.add_argument("--only", type=int, help="this fold alone")
    asked = parser.parse_args()
    readings = engines()
    rungs = tuple(r for r in RUNGS if r in asked.rungs.split(","))
    found = result(
        "cmapss_fd003", {"window": WINDOW, "horizons": HORIZONS, "folds": asked.folds, "reading": readings.facts}
    )
    pooled: dict[str, list[Any]] = {}
    chosen: list[dict[str, dict[str, Any]]] = []
    seconds: dict[str, float] = {}
    leaks: list[Any] = []
    for fold in range(asked.folds) if asked.only is None else [asked.only]:
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
        side = prepared.labels[prepared.split.validation]
        chosen.append({"average precision on training engines": {
            r.name: [round(areas(r.validation[k, j], side[k, j])[1], 3) for j, k in enumerate((side >= 0).T)]
            for r in fitted.rungs
        }})  # fmt: skip
        for j, c in enumerate(fitted.chosen):
            about = c.rung.model.about
            grown = {"trees": about["trees"][j], "grown_for": about["grown_for"][j]} if "trees" in about else {}
            chosen[-1][str(c.horizon)] = {"rung": c.rung.name, "why": c.why, **grown}
        sides = {r.name: (r.validation, r.test) for r in fitted.rungs}
        sides["chosen"] = (fitted.validation, fitted.test)
        for name, (validation, test) in sides.items():
            pooled.setdefault(name, []).append((prepared, validation, test))
        print(chosen[-1], flush=True)
        for c in fitted.chosen:
            print(f"fold {fold}: within {c.horizon}: {c.why} ({seconds[f'fold {fold}']} s)", flush=True)
    found["rungs"] = {}
    for name, parts in pooled.items():
        found["rungs"][name] = [judged(parts, j, readings.grid) for j in range(len(HORIZONS))]
        for told in found["rungs"][name]:
            print(name, told["summary"], flush=True)
    found |= {
        "chosen_by_fold": chosen,
        "seconds": seconds,
        "leaks": leaks[0],
        "settings": {"rounds": asked.rounds, "encoder": asked.encoder},
    }
    print(write(found))


def judged(parts: Sequence[tuple[Prepared, np.ndarray, np.ndarray]], j: int, grid: Grid) -> dict[str, Any]:
    """One rung at one horizon: the folds' test engines together are all engines, each judged once by models that never saw it.

    Each fold has the threshold that its own training engines gave (at most one wrong alarm an engine); what is judged
    together is how far the risk is above it.
    """
    windows, labels, events = parts[0][0].windows, parts[0][0].labels[:, j], parts[0][0].events
    risk, above = np.full(len(windows), np.nan), np.full(len(windows), np.nan)
    thresholds = []
    for prepared, validation, test in parts:
        side, asked = prepared.split.validation, prepared.split.test
        threshold = threshold_for_budget(
            windows.unit[side], windows.step[side], validation[:, j], labels[side], HORIZONS[j],
            allowed=len(np.unique(windows.unit[side])), wrong=True,
        )  # fmt: skip
        risk[asked], above[asked] = test[:, j], test[:, j] - threshold
        thresholds.append(float(expit(threshold)))
    rows = np.flatnonzero(~np.isnan(risk))
    w, y = windows.take(rows), labels[rows]
    ranked = ranking(risk[rows], y, blocks_of(w.unit, w.step, 1))
    kept = record(w.unit, w.step, above[rows], y, events, 0.0, HORIZONS[j])
    ahead = np.median(kept.ahead) if kept.ahead else None
    summary = (
        f"within {HORIZONS[j]}: PR {ranked.pr_auc}, ROC {ranked.roc_auc}, {kept.caught} of {kept.events} caught, "
        f"{ahead} cycles ahead in the middle, {kept.wrong} wrong alarms for {len(np.unique(w.unit))} engines"
    )
    return {
        "horizon": HORIZONS[j], "summary": summary, "rows": ranked.rows, "positives": ranked.positives,
        "base_rate": ranked.base_rate, "pr_auc": vars(ranked.pr_auc), "roc_auc": vars(ranked.roc_auc),
        "thresholds": thresholds, "events": kept.events, "caught": kept.caught, "cycles_ahead": list(kept.ahead),
        "wrong_alarms": kept.wrong, "wrong_an_engine": kept.wrong / len(np.unique(w.unit)),
    }  # fmt: skip


if __name__ == "__main__":
    main()
