"""Synthetic fleets: one channel a unit, with a season, slow wandering and noise; with or without anything to be foreseen.

Without signal a unit is a stationary process whose memory is days, so that nothing can be known 30 days ahead. With
signal a unit wears: some time before each failure its level begins to rise and its unrest grows, until it fails and
is repaired.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shokunin.series.readings import Grid, Readings, Stretch


@dataclass(frozen=True)
class Fleet:
    """Histories, and the steps at which units failed."""

    readings: Readings
    failures: dict[str, list[int]]
    texts: dict[str, str]


def fleet(
    units: int = 64, days: int = 1091, *, signal: bool, seed: int = 0, channels: int = 1, memory: float = 0.8
) -> Fleet:
    """A fleet of `units` with `days` of daily readings."""
    rng = np.random.default_rng(seed)
    stretches, failures, texts = [], {}, {}
    kinds = ("pump", "chiller", "fan", "compressor", "boiler")
    for number in range(units):
        name = f"unit-{number:04d}"
        season = rng.uniform(0, 1.5) * np.sin(2 * np.pi * (np.arange(days) / 365 + rng.uniform()))
        values = np.empty((days, channels))
        failed = _failures(rng, days) if signal else []
        for c in range(channels):
            values[:, c] = season * rng.uniform(0.3, 1) + _wandering(rng, days, memory) + _wear(rng, days, failed, c)
            values[:, c] = values[:, c] * rng.uniform(0.5, 20) + rng.uniform(-50, 200)
        failures[name] = failed
        texts[name] = (
            f"{kinds[number % len(kinds)]} {name} {'bearing temperature' if number % 2 else 'outlet pressure'}"
        )
        filled = np.zeros((days, channels), dtype=bool)
        stretches.append(Stretch(number, 18_000, values.astype(np.float32), filled))
    readings = Readings(tuple(failures), tuple(f"channel_{c}" for c in range(channels)), tuple(stretches), Grid())
    return Fleet(readings, {u: [18_000 + d for d in f] for u, f in failures.items() if f}, texts)


def _wandering(rng: np.random.Generator, days: int, memory: float) -> np.ndarray:
    out = np.empty(days)
    out[0] = rng.normal()
    noise = rng.normal(size=days) * (1 - memory**2) ** 0.5
    for t in range(1, days):
        out[t] = memory * out[t - 1] + noise[t]
    return out


def _failures(rng: np.random.Generator, days: int) -> list[int]:
    out, at = [], int(rng.uniform(40, 330))
    while at < days:
        out.append(at)
        at += int(rng.uniform(150, 400))
    return out


def _wear(rng: np.random.Generator, days: int, failed: list[int], channel: int) -> np.ndarray:
    """Rising level and unrest over the 50 to 90 days before each failure; every other channel feels less of it."""
    out = np.zeros(days)
    for day in failed:
        length = int(rng.uniform(50, 90))
        start = max(0, day - length)
        progress = (np.arange(start, day + 1) - (day - length)) / length
        strength = rng.uniform(1.0, 2.5) / (1 + channel % 3)
        out[start : day + 1] += strength * progress**2 + rng.normal(size=len(progress)) * 0.8 * strength * progress
    return out
