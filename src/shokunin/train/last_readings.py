"""What needs no model: the base rate, whether the last reading is out of its range, how often one lately was.

Published scores are seldom set beside these; a machine that is out of range today mostly is so tomorrow, too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from shokunin.forms import Form
from shokunin.progress import Progress
from shokunin.series.features import Recipe
from shokunin.series.lessons import SeriesLessons
from shokunin.series.model import fit_rule
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
    assert isinstance(options, Options)
    scale = fit_scale(lessons.readings, lessons.known, by=options.scale, least=lessons.windows.length)
    recipe = Recipe(lessons.readings.channels, lessons.windows.length, ("recent",), scale)
    progress("judging the last readings", 0, 1)
    model = fit_rule(lessons, recipe, options.rule, folder, about={"learner": options.rule, "scale": options.scale})
    progress("judging the last readings", 1, 1)
    return Weights(folder, EATS, "series_trees", facts=dict(model.about))
