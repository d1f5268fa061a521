"""series_horizons: windows of readings to risks, one model a horizon, with what speaks for them; no torch."""

from __future__ import annotations

from collections.abc import Sequence

from shokunin.forms import Foreseen
from shokunin.series.horizons import HorizonModels, read_horizons
from shokunin.series.lessons import SeriesWindow
from shokunin.weights import Weights

FORMATS: tuple[str, ...] = ("series_horizons",)


class HorizonsSession:
    """Loaded weights.

    Attributes:
        models: what answers.
    """

    def __init__(self, models: HorizonModels) -> None:
        self.models = models

    def run(self, forms: Sequence[SeriesWindow]) -> list[Foreseen]:
        """Calibrated log-odds for every horizon, and the signs where an alarm is near."""
        return self.models.foresee(forms)


def load(weights: Weights, *, threads: int | None = None) -> HorizonsSession:
    """Open a folder with `horizons.json` and its models.

    Raises:
        ArtefactError: a file is missing, or does not fit the others.
    """
    return HorizonsSession(read_horizons(weights.folder, threads=threads))
