"""Air-handling units (LBNL): is there a fault today? Whole days are tested, since the minutes of a day are alike.

Windows of 60 minutes, one every 15 (by default); a day's risk is the mean over its windows. Few days (26, 11, 14): the intervals
say so. SZCAV has one day without a fault and is left out; of MZVAV-2-1 the day whose label contradicts the source's
own inventory (30 August 2007) is left out.

`python -m benchmarks.hvac [--systems SZVAV] [--rungs statistics,embedding]`
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from benchmarks.rows import data_file
from benchmarks.series_results import result, write
from shokunin.curate.read_csv import read_csv
from shokunin.errors import UsageError
from shokunin.pipeline.anticipating import fit_rungs, prepare
from shokunin.series.columns import Columns
from shokunin.series.plan import RUNGS, Plan
from shokunin.series.ranking import compare_rankings, ranking
from shokunin.series.readings import Grid, Readings, read_readings
from shokunin.series.trees import TreeOptions

UNITS = {"MZVAV-2-2": 5, "SZVAV": 4, "MZVAV-2-1": 2}
TRUTH = "Fault Detection Ground Truth"
WRONG_DAY = "8/30/2007"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--systems", default=",".join(UNITS))
    parser.add_argument("--rungs", default="last_outside,outside_30,statistics")
    parser.add_argument("--stride", type=int, default=15)
    parser.add_argument("--parts", type=int, default=5)
    parser.add_argument("--encoder-steps", type=int, default=150)
    parser.add_argument("--lora-steps", type=int, default=0)
    asked = parser.parse_args()
    found = result("lbnl_hvac_fdd", {"window_minutes": 60, "settings": vars(asked), "systems": {}})
    for system in asked.systems.split(","):
        start = time.perf_counter()
        readings, sensors = days_of(system)
        units = len(readings.units)
        truth, notes, leaks = np.full(units, np.nan), {}, set()
        rungs = tuple(r for r in RUNGS if r in asked.rungs.split(","))
        risk = {name: np.full(units, np.nan) for name in (*rungs, "chosen")}
        chosen: list[str] = []
        for fold in range(UNITS[system]):
            plan = Plan(
                window=60, horizons=(0,), when="at", target="label", column=TRUTH, split="unit", fold=fold,
                folds=UNITS[system], parts=asked.parts, stride=asked.stride, rungs=rungs, keep_leaks=sensors,
                encoder_steps=asked.encoder_steps, lora_steps=asked.lora_steps, trees=TreeOptions(rounds=100),
            )  # fmt: skip
            prepared = prepare(readings, plan)
            leaks |= {leak.channel for leak in prepared.leaks}
            test = prepared.split.test
            y, unit = prepared.labels[test, 0], prepared.windows.unit[test]
            try:
                with tempfile.TemporaryDirectory(prefix="hvac-") as folder:
                    fitted = fit_rungs(prepared, Path(folder))
            except UsageError as error:
                notes[f"fold {fold}"] = f"not judged: {error}"
                continue
            chosen.append(fitted.chosen[0].rung.name)
            for name, logits in {**{r.name: r.test for r in fitted.rungs}, "chosen": fitted.test}.items():
                for u in np.unique(unit):
                    risk[name][u], truth[u] = expit(logits[unit == u, 0]).mean(), float(y[unit == u].max())
        known = np.isfinite(truth)
        labels = truth[known].astype(np.int8)
        entry: dict[str, Any] = {
            "days": units, "judged": int(known.sum()), "faulty": int(labels.sum()), "notes": notes, "chosen": chosen,
            "suspicious": sorted(leaks), "rungs": {},
        }  # fmt: skip
        if 0 < labels.sum() < len(labels):
            each = np.arange(len(labels))
            for name, of_day in risk.items():
                worth = ranking(of_day[known], labels, each)
                right = (of_day[known] >= 0.5) == (labels == 1)
                entry["rungs"][name] = {
                    "roc_auc": vars(worth.roc_auc), "pr_auc": vars(worth.pr_auc), "base_rate": worth.base_rate,
                    "days_right": int(right.sum()),
                }  # fmt: skip
                print(system, name, worth.roc_auc, worth.pr_auc, f"{right.sum()} of {len(right)} days", flush=True)
            if {"statistics", "embedding"} <= set(rungs):
                gain = compare_rankings(risk["embedding"][known], risk["statistics"][known], labels, each)
                entry["embedding_less_statistics"] = {k: {**vars(c.difference), "p": c.p} for k, c in gain.items()}
                print(system, entry["embedding_less_statistics"], flush=True)
        entry["seconds"] = round(time.perf_counter() - start, 1)
        found["systems"][system] = entry
        print(system, notes, f"{entry['seconds']} s", flush=True)
    print(write(found))


def days_of(system: str) -> tuple[Readings, tuple[str, ...]]:
    """The minutes of a system, each day a unit of its own; and its channels."""
    table = read_csv(data_file("lbnl_hvac_fdd", f"{system}.csv"))
    sensors = tuple(c for c in table.columns if c not in ("Datetime",))

    def rows() -> Iterator[tuple[str, dict[str, Any]]]:
        for origin, row in table.rows():
            day = row["Datetime"].partition(" ")[0]
            if (system, day) != ("MZVAV-2-1", WRONG_DAY):
                yield origin, {**row, "day": day}

    columns = Columns(unit="day", time="Datetime", channels=sensors, date_order="month_first")
    return read_readings(rows(), columns, Grid(step="minute", longest_gap=30, shortest=60)), sensors


if __name__ == "__main__":
    main()
