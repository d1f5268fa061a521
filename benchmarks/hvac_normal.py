"""Air-handling units (LBNL) without labels: what is normal is learnt from fault-free days; do faulty days look strange?

The label-free mode as it is (`shokunin train --option target=normal`), a day a unit, windows of 60 minutes, one every 15.
Fault-free days are dealt into folds: some are learnt from, one or more held out for the thresholds (which no held-out
window may reach, as there is less than a week of them) and for choosing the detector by injected faults, one or more
tested. Every faulty day is scored in every fold, none is learnt from. A day's score is the mean of its windows'
logarithms of strangeness over the threshold; a day rings where one of its windows does. As in `benchmarks/hvac.py` SZCAV
(one day without a fault) and the wrongly labelled 30 August 2007 are left out.

`python -m benchmarks.hvac_normal`
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.rows import data_file
from benchmarks.series_results import result, write
from shokunin.curate.read_csv import read_csv
from shokunin.pipeline.normal_choice import NormalChoice, choose_detector
from shokunin.pipeline.normal_period import NormalPeriod, normal_period
from shokunin.series.columns import Columns
from shokunin.series.ranking import ranking
from shokunin.series.readings import Readings, read_readings
from shokunin.series.strangeness import DETECTORS
from shokunin.tasks.anticipate_failures import Options

FOLDS = {"MZVAV-2-2": 6, "SZVAV": 4, "MZVAV-2-1": 6}
TRUTH = "Fault Detection Ground Truth"
WRONG_DAY = ("MZVAV-2-1", "8/30/2007")
NAMES = (*DETECTORS, "chosen")


def days_of(system: str) -> tuple[Readings, Options]:
    """The readings, a day a unit, and the options without the fold."""
    table = read_csv(data_file("lbnl_hvac_fdd", f"{system}.csv"))
    sensors = tuple(c for c in table.columns if c != "Datetime")
    options = Options(
        target="normal", column=TRUTH, step="minute", window=60, stride=15, longest_gap=30, split="unit",
        folds=FOLDS[system], alarms_a_week=1.0,
    )  # fmt: skip

    def rows():
        for origin, row in table.rows():
            day = row["Datetime"].partition(" ")[0]
            if (system, day) != WRONG_DAY:
                yield origin, {**row, "day": day}

    columns = Columns(unit="day", time="Datetime", channels=sensors, date_order="month_first")
    return read_readings(rows(), columns, options.grid), options


def scored(choice: NormalChoice, period: NormalPeriod) -> dict[str, dict[str, tuple[float, bool]]]:
    """By detector and day: the mean logarithm over the threshold, and whether the day rings."""
    rows = np.unique(np.concatenate([period.split.test, period.labelled]))
    windows, out = period.windows.take(rows), {}
    for one in choice.tried:
        ratio = one.model.scores(period.readings, windows) / one.model.threshold
        days = {}
        for unit in np.unique(windows.unit).tolist():
            mine = ratio[windows.unit == unit]
            days[period.readings.units[unit]] = (float(np.log(np.maximum(mine, 1e-9)).mean()), bool((mine >= 1).any()))
        out[one.name] = days
        if one is choice.chosen:
            out["chosen"] = days
    return out


def main() -> None:
    found = result("lbnl_hvac_normal", {"window_minutes": 60, "stride_minutes": 15, "systems": {}})
    for system, folds in FOLDS.items():
        readings, options = days_of(system)
        told: dict[str, dict[str, list[tuple[float, bool]]]] = {name: {} for name in NAMES}
        faulty: set[str] = set()
        taken: Counter[str] = Counter()
        power: dict[str, list[float]] = {name: [] for name in DETECTORS}
        notes = {}
        for fold in range(folds):
            period = normal_period(readings, options.model_copy(update={"fold": fold}))
            faulty |= {readings.units[u] for u in period.windows.unit[period.labelled].tolist()}
            with tempfile.TemporaryDirectory(prefix="hvac-") as folder:
                choice = choose_detector(period, Path(folder))
                for name, days in scored(choice, period).items():
                    for day, value in days.items():
                        told[name].setdefault(day, []).append(value)
            taken[choice.chosen.name] += 1
            for one in choice.tried:
                power[one.name].append(one.power.all.value)
            notes[f"fold {fold}"] = {"gone": [name for name, _ in period.gone], "still": list(period.still)}
        entry = {
            "days": len(told["chosen"]), "faulty": len(faulty), "chosen_for_folds": dict(taken),
            "injected_faults_found_held_out": {name: float(np.mean(v)) for name, v in power.items()}, "channels": notes,
            "detectors": {},
        }  # fmt: skip
        for name, days in told.items():
            labels = np.asarray([day in faulty for day in days], dtype=np.int8)
            scores = np.asarray([np.mean([score for score, _ in values]) for values in days.values()])
            rings = np.asarray([np.mean([ring for _, ring in values]) for values in days.values()])
            worth = ranking(scores, labels, np.arange(len(labels)))
            entry["detectors"][name] = {
                "roc_auc": vars(worth.roc_auc), "pr_auc": vars(worth.pr_auc), "base_rate": worth.base_rate,
                "faulty_days_that_ring": float(rings[labels == 1].sum()),
                "normal_days_that_ring": float(rings[labels == 0].sum()),
                "normal_days": int((labels == 0).sum()),
            }  # fmt: skip
            print(system, name, entry["detectors"][name], flush=True)
        found["systems"][system] = entry
        print(system, {k: v for k, v in entry.items() if k != "detectors"}, flush=True)
    print(write(found))


if __name__ == "__main__":
    main()
