"""Is the budget of alarms kept that the label-free mode says is kept? Synthetic fleets whose normal time goes on for long.

Each fleet: 8 units with levels of their own, 3 channels that follow one slowly wandering load (autoregressive, 0.9) and
noise. The mode (without the isolation forest, to save time) learns, chooses and is judged on 560 days; then the true
rate of alarms is counted on 1,500 further normal days of each unit. Told: in how many fleets the budget was said to be
kept, in how many of those it truly is, how often the interval of the report holds the true rate.

`python -m benchmarks.normal_budget [--fleets 40] [--first 0]`
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.series_results import result, write
from shokunin.pipeline.normal_choice import choose_detector
from shokunin.pipeline.normal_period import SHARES, normal_period
from shokunin.series.quietness import quiet
from shokunin.series.readings import Grid, Readings, Stretch
from shokunin.series.windows import windows_of
from shokunin.tasks.anticipate_failures import Options

UNITS, DAYS, LATER, BUDGET = 8, 560, 1500, 0.5
TRIED = ("last_outside", "forecast_residual", "reconstruction")


def fleet(seed: int) -> tuple[Readings, Readings]:
    """The history, and the history with what comes later."""
    rng = np.random.default_rng(seed)
    stretches = []
    for unit in range(UNITS):
        shocks, load = rng.normal(size=DAYS + LATER), np.zeros(DAYS + LATER)
        for day in range(1, len(load)):
            load[day] = 0.9 * load[day - 1] + shocks[day] * np.sqrt(1 - 0.81)
        x = load[:, None] * [1.0, 2.0, -1.0] + 0.3 * rng.normal(size=(len(load), 3)) + rng.normal(size=3) * 5
        stretches.append(Stretch(unit, 0, x.astype(np.float32), np.zeros(x.shape, dtype=bool)))
    names, channels = tuple(f"u{i}" for i in range(UNITS)), ("a", "b", "c")
    known = tuple(Stretch(s.unit, 0, s.values[:DAYS], s.filled[:DAYS]) for s in stretches)
    facts = {"filled_share": 0.0}
    return (
        Readings(names, channels, known, Grid(step="day"), facts),
        Readings(names, channels, tuple(stretches), Grid(step="day"), facts),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fleets", type=int, default=40)
    parser.add_argument("--first", type=int, default=0, help="the first fleet's seed")
    asked = parser.parse_args()
    options = Options(target="normal", window=7, shares=SHARES, alarms_a_week=BUDGET, detectors=TRIED)
    rows = []
    for seed in range(asked.first, asked.first + asked.fleets):
        history, whole = fleet(seed)
        period = normal_period(history, options)
        with tempfile.TemporaryDirectory(prefix="budget-") as folder:
            choice = choose_detector(period, Path(folder))
        model, grid = choice.chosen.model, history.grid
        test = period.windows.take(period.split.test)
        told = quiet(test, model.scores(history, test), model.threshold, 7, grid)
        later = windows_of(whole, 7)
        later = later.take(np.flatnonzero(later.step >= DAYS + 7))
        true = quiet(later, model.scores(whole, later), model.threshold, 7, grid).rate.value
        rows.append({"seed": seed, "detector": choice.chosen.name, "low": told.rate.low, "high": told.rate.high,
                     "told": told.rate.value, "true": true, "weeks": told.weeks})  # fmt: skip
        if seed % 10 == 9:
            print(seed + 1, flush=True)
    said = [r for r in rows if r["high"] <= BUDGET]
    found = result(
        "normal_budget",
        {
            "fleets": len(rows), "budget": BUDGET, "said_kept": len(said),
            "of_these_truly_kept": sum(r["true"] <= BUDGET for r in said),
            "truly_kept": sum(r["true"] <= BUDGET for r in rows),
            "interval_holds_true_rate": sum(r["low"] <= r["true"] <= r["high"] for r in rows),
            "mean_true_rate": float(np.mean([r["true"] for r in rows])),
            "detectors": {n: sum(r["detector"] == n for r in rows) for n in {r["detector"] for r in rows}}, "rows": rows,
        },
    )  # fmt: skip
    print({k: v for k, v in found.items() if k not in ("rows", "machine", "versions")})
    print(write(found))


if __name__ == "__main__":
    main()
