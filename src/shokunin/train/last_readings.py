"""What needs no model: the base rate, whether the last reading is out of its range, how often one lately was.

Published scores are seldom set beside these; a machine that is out of range today mostly is so tomorrow, too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from shokunin.forms import Form
from shokunin.progress import Progress
from shokunin.series.crossing import cross_rule
from shokunin.series.features import Recipe
from shokunin.series.lessons import SeriesLessons
from shokunin.series.model import Rule, fit_rule
from shokunin.series.scaling import fit_scale
from shokunin.weights import Weights

EATS: Form = "series_window"
EXTRA: str | None = None


class Options(BaseModel):
    """Which rule.

    Attributes:
        rule: `base_rate`, `last_outside` (persistence) or `outside_30` (the share of the last 30 readings outside
            their range).
        scale: normal ranges of each unit, or of the fleet.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    rule: Literal["base_rate", "last_outside", "outside_30"] = "outside_30"
    scale: Literal["unit", "fleet"] = "unit"


def forecast(lessons: SeriesLessons, options: BaseModel) -> float:
    """About 20 microseconds a validation window and channel."""
    return 0.5 + 2e-5 * len(lessons.validation) * len(lessons.readings.channels)


def fit(lessons: SeriesLessons, options: BaseModel, folder: Path, *, seed: int, progress: Progress) -> Weights:
    """Write `series.json` and `scale.json`."""
    return fit_crossed(lessons, options, folder, seed=seed, progress=progress)[0]


def fit_crossed(
    lessons: SeriesLessons, options: BaseModel, folder: Path, *, seed: int, progress: Progress
) -> tuple[Weights, npt.NDArray[np.float64] | None]:
    """As `fit`, and where training is crossed the calibrated log-odds (n, horizons) of validation windows without their part."""
    assert isinstance(options, Options)

    def recipe(some: SeriesLessons) -> Recipe:
        scale = fit_scale(some.readings, some.known, by=options.scale, least=some.windows.length)
        return Recipe(some.readings.channels, some.windows.length, ("recent",), scale)

    def score(some: SeriesLessons) -> npt.NDArray[np.float64]:
        made = recipe(some)
        return Rule(options.rule, made).raw(made.matrix(some.readings, some.windows.take(some.validation)))

    progress("judging the last readings", 0, 1)
    raw = cross_rule(lessons, score) if lessons.parts() else None
    about = {"learner": options.rule, "scale": options.scale}
    model = fit_rule(lessons, recipe(lessons), options.rule, folder, about=about, raw=raw)
    progress("judging the last readings", 1, 1)
    logits = None if raw is None else np.stack([risk.logit(raw) for risk in model.risks], axis=1)
    return Weights(folder, EATS, "series_trees", facts=dict(model.about)), logits
