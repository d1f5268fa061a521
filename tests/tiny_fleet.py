"""A fleet of five pumps that shake before they fail, and a specialist trained on it; made once for all tests."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from shokunin import pipeline
from shokunin.specialist import Specialist

FIRST = date(2024, 1, 1)
DAYS = 260
WINDOW = 10
OPTIONS = {
    "window": WINDOW, "horizons": [5, 8], "rungs": ["base_rate", "last_outside", "statistics"],
    "trees": {"rounds": 40, "min_child_samples": 5}, "longest_gap": 4,
}  # fmt: skip


@dataclass(frozen=True)
class Pumps:
    """Where everything is."""

    folder: Path
    readings: Path
    failures: Path
    specialist: Specialist


def day(number: int) -> str:
    """A date of the fleet's history."""
    return (FIRST + timedelta(number)).isoformat()


def rows(units: int = 5, *, first: int = 0, days: int = DAYS, seed: int = 3) -> tuple[list[list[Any]], list[list[Any]]]:
    """Readings and failures: pumps shake for a week before they fail."""
    rng = np.random.default_rng(seed)
    readings: list[list[Any]] = []
    failures: list[list[Any]] = []
    for unit in range(units):
        shaking, heat = rng.normal(size=days), 60 + rng.normal(size=days)
        for at in range(18 + 3 * unit, days, 23):
            failures.append([f"pump {unit}", day(first + at)])
            shaking[max(0, at - 7) : at + 1] *= 6
        readings += [
            [f"pump {unit}", day(first + n), round(float(shaking[n]), 4), round(float(heat[n]), 3)]
            for n in range(days)
            if rng.random() > 0.02
        ]
    rng.shuffle(readings)
    return readings, failures


def write(path: Path, header: list[str], table: list[list[Any]]) -> Path:
    """A CSV file."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *table])
    return path


def trained(folder: Path) -> Pumps:
    """Readings and failures on disk, and the published specialist `pumps`, not replayed."""
    readings, failures = rows()
    paths = (
        write(folder / "readings.csv", ["pump", "date", "vibration", "heat"], readings),
        write(folder / "failures.csv", ["pump", "date"], failures),
    )
    options = {**OPTIONS, "failures": str(paths[1])}
    made = pipeline.train(paths[0], name="pumps", project=folder, options=options, replayed=False)
    return Pumps(folder, *paths, made)


def window(unit: str, tail: float, *, days: int = WINDOW, first: int = DAYS + 20, seed: int = 7) -> dict[str, Any]:
    """Readings of a pump; the last seven days shake `tail` times as much."""
    rng = np.random.default_rng(seed)
    shaking, heat = rng.normal(size=days), 60 + rng.normal(size=days)
    shaking[-7:] *= tail
    return {
        "unit": unit,
        "readings": [
            {"date": day(first + n), "vibration": float(shaking[n]), "heat": float(heat[n])} for n in range(days)
        ],
    }
