"""What a normal machine would read next, learnt from its normal period; what it reads instead is how strange it is.

A plain ridge autoregression over all channels, not a forecasting library and not a network: it has one solution, fits
in moments, is a few kilobytes, and serves without torch. Larger forecasters have to be measurably better first.
"""

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
        lags: readings looked back on; at most half a window.
        ridge: the penalty, where channels have deviation 1.
        scale: measure each unit against its own normal period, or all against the fleet's.
        most_windows: training windows beyond so many are thinned evenly.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    lags: int = Field(default=5, ge=1)
    ridge: float = Field(default=1.0, ge=0)
    scale: Literal["unit", "fleet"] = "unit"
    most_windows: int = Field(default=20_000, ge=100)


def forecast(lessons: SeriesLessons, options: BaseModel) -> float:
    """From measured fits: the normal equations grow with the square of what is looked back on."""
    assert isinstance(options, Options)
    rows, width = min(len(lessons.train), options.most_windows), len(lessons.readings.channels)
    return 0.5 + rows * lessons.windows.length * width * 2e-7 + rows * (options.lags * width) ** 2 * 1e-9


def fit(lessons: SeriesLessons, options: BaseModel, folder: Path, *, seed: int, progress: Progress) -> Weights:
    """Write `strange.json` and `strange.safetensors`; all training windows are taken as normal.

    Raises:
        UsageError: there are fewer than twenty, or no channel moves in them.
    """
    assert isinstance(options, Options)
    progress("learning what comes next: forecast_residual", 0, 1)
    model = fit_strange(
        lessons, "forecast_residual", by=options.scale, most=options.most_windows, lags=options.lags,
        ridge=options.ridge, seed=seed,
    )  # fmt: skip
    model.save(folder)
    progress("learning what comes next: forecast_residual", 1, 1)
    facts = {"learner": "forecast_residual", **options.model_dump(), "windows": len(lessons.train)}
    return Weights(folder, EATS, "series_normal", facts=facts)
