"""Air-handling units (LBNL): is there a fault today? Whole days are tested, since the minutes of a day are alike.

Windows of 60 minutes, one every 15; a day's risk is the mean over its windows. Few days (26, 11, 14): the intervals
say so. SZCAV has one day without a fault and is left out; of MZVAV-2-1 the day whose label contradicts the source's
own inventory (30 August 2007) is left out.

`python -m benchmarks.hvac`
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from scipy.special import expit

from benchmarks.rows import data_file
from benchmarks.series_results import result, write
from shokunin.curate.read_csv import read_csv
from shokunin.pipeline.anticipating import fit_rungs, prepare
from shokunin.series.columns import Columns
from shokunin.series.plan import Plan
from shokunin.series.ranking import ranking
from shokunin.series.readings import Grid, read_readings
from shokunin.series.trees import TreeOptions

UNITS = {"MZVAV-2-2": 5, "SZVAV": 4, "MZVAV-2-1": 2}
TRUTH = "Fault Detection Ground Truth"
WRONG_DAY = "8/30/2007"


def main() -> None:
    found = result("lbnl_hvac_fdd", {"window_minutes": 60, "stride_minutes": 15, "systems": {}})
    for system, folds in UNITS.items():
        table = read_csv(data_file("lbnl_hvac_fdd", f"{system}.csv"))
        sensors = tuple(c for c in table.columns if c not in ("Datetime",))

        def rows(table=table, system=system):
            for origin, row in table.rows():
                day = row["Datetime"].partition(" ")[0]
                if (system, day) != ("MZVAV-2-1", WRONG_DAY):
                    yield origin, {**row, "day": day}

        columns = Columns(unit="day", time="Datetime", channels=sensors, date_order="month_first")
        readings = read_readings(rows(), columns, Grid(step="minute", longest_gap=30, shortest=60))
        days, truth, risk = {}, np.full(len(readings.units), np.nan), np.full(len(readings.units), np.nan)
        leaks: set[str] = set()
        for fold in range(folds):
            plan = Plan(
                window=60, horizons=(0,), when="at", target="label", column=TRUTH, split="unit", fold=fold, folds=folds,
                stride=15, rungs=("statistics",), trees=TreeOptions(rounds=60, min_child_samples=10), keep_leaks=sensors,
            )  # fmt: skip
            prepared = prepare(readings, plan)
            leaks |= {leak.channel for leak in prepared.leaks}
            try:
                with tempfile.TemporaryDirectory(prefix="hvac-") as folder:
                    fitted = fit_rungs(prepared, Path(folder))
            except Exception as error:
                days[f"fold {fold}"] = f"not judged: {error}"
                print(system, days)
                continue
            test = prepared.split.test
            p, y, unit = expit(fitted.test[:, 0]), prepared.labels[test, 0], prepared.windows.unit[test]
            for u in np.unique(unit):
                risk[u], truth[u] = p[unit == u].mean(), float(y[unit == u].max())
        known = np.isfinite(risk)
        labels = truth[known].astype(np.int8)
        entry = {"days": int(known.sum()), "faulty": int(labels.sum()), "notes": days, "suspicious": sorted(leaks)}
        if 0 < labels.sum() < len(labels):
            worth = ranking(risk[known], labels, np.arange(known.sum()))
            right = (risk[known] >= 0.5) == (labels == 1)
            entry |= {
                "roc_auc": vars(worth.roc_auc),
                "pr_auc": vars(worth.pr_auc),
                "base_rate": worth.base_rate,
                "days_right": int(right.sum()),
            }
        found["systems"][system] = entry
        print(system, entry, flush=True)
    print(write(found))


if __name__ == "__main__":
    main()
