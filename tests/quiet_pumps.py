"""Pumps whose flow follows the pressure, also in readings that come later; before some failures it does not for four days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from shokunin import pipeline
from shokunin.specialist import Specialist
from tiny_fleet import write

FIRST, DAYS, LATER = date(2024, 1, 1), 420, 440
HEADER = ["pump", "date", "pressure", "flow", "anomaly"]
OPTIONS = {"target": "normal", "alarms_a_week": 0.5, "detectors": ["forecast_residual"]}
WARNING = 4


def day(number: int) -> str:
    """A date."""
    return (FIRST + timedelta(number)).isoformat()


def rows(
    units: Sequence[int] = range(6),
    *,
    first: int = 0,
    days: int = DAYS,
    seed: int = 0,
    failing: Sequence[int] = (),
    labelled: bool = False,
) -> tuple[list[list[Any]], list[list[Any]]]:
    """Readings, and the failures of each pump at the days `failing` (counted from `first`, some days later for each pump).

    `labelled`: the column `anomaly` is 1 in the days before a failure. Each pump has a level of its own.
    """
    rng = np.random.default_rng(seed)
    readings: list[list[Any]] = []
    failures: list[list[Any]] = []
    for unit in units:
        days_of = np.arange(first, first + days)
        pressure = np.sin(days_of / 5 + unit) + 0.1 * rng.normal(size=days)
        flow = 2 * pressure + 0.1 * rng.normal(size=days)
        bad = np.zeros(days, dtype=int)
        for at in failing:
            failed = at + 3 * unit
            flow[failed - WARNING : failed] = 1 - flow[failed - WARNING : failed]
            bad[failed - WARNING : failed] = labelled
            failures.append([f"pump {unit}", day(first + failed)])
        readings += [
            [
                f"pump {unit}",
                day(first + n),
                round(10 * unit + float(pressure[n]), 4),
                round(float(flow[n]), 4),
                int(bad[n]),
            ]
            for n in range(days)
        ]
    return readings, failures


def trained(folder: Path) -> Specialist:
    """The published specialist `pumps`, not replayed; its readings are in `readings.csv`."""
    table = write(folder / "readings.csv", HEADER, rows()[0])
    return pipeline.train(
        table, name="pumps", kind="anticipate_failures", project=folder, options=OPTIONS, replayed=False
    )
