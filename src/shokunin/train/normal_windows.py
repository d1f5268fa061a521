"""What normal windows of readings look like: limits for each sensor, principal directions, or an isolation forest."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from shokunin.forms import Form
from shokunin.progress import Progress
from shokunin.series.lessons import SeriesLessons
from shokunin.series.strangeness import fit_strange
from shokunin.weights import Weights

EATS: Form = "series_window"
EXTRA: str | None = None


class Options(BaseModel):
    """How to fit.

    Attributes:
        detector: `last_outside` (the sensor whose last reading is furthest outside its normal range: what any control
            system does), `reconstruction` (what the principal directions of normal windows cannot rebuild), `isolation`
            (how few random cuts part a window from the normal ones).
        scale: measure each unit against its own normal period, or all against the fleet's.
        most_windows: training windows beyond so many are thinned evenly.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    detector: Literal["last_outside", "reconstruction", "isolation"] = "reconstruction"
    scale: Literal["unit", "fleet"] = "unit"
    most_windows: int = Field(default=20_000, ge=100)


def forecast(lessons: SeriesLessons, options: BaseModel) -> float:
    """From measured fits: the principal directions grow with the square of a window's numbers."""
    assert isinstance(options, Options)
    rows = min(len(lessons.train), options.most_windows)
    numbers = lessons.windows.length * len(lessons.readings.channels)
    return 0.5 + rows * numbers * 2e-7 + (rows * numbers**2 * 2e-9 if options.detector == "reconstruction" else 0.0)


def fit(lessons: SeriesLessons, options: BaseModel, folder: Path, *, seed: int, progress: Progress) -> Weights:
    """Write `strange.json` and `strange.safetensors`; all training windows are taken as normal.

    Raises:
        UsageError: there are fewer than twenty, or no channel moves in them.
    """
    assert isinstance(options, Options)
    progress(f"learning what is normal: {options.detector}", 0, 1)
    model = fit_strange(lessons, options.detector, by=options.scale, most=options.most_windows, seed=seed)
    model.save(folder)
    progress(f"learning what is normal: {options.detector}", 1, 1)
    facts = {"learner": "normal_windows", **options.model_dump(), "windows": len(lessons.train)}
    return Weights(folder, EATS, "series_normal", facts=facts)
