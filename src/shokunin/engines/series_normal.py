"""series_normal: windows of readings to how strange they are beside a normal period, with what can be said of it; no torch."""

from __future__ import annotations

from collections.abc import Sequence

from shokunin.forms import Strange
from shokunin.series.lessons import SeriesWindow
from shokunin.series.strangeness import StrangeModel, read_strange
from shokunin.weights import Weights

FORMATS: tuple[str, ...] = ("series_normal",)


class NormalSession:
    """Loaded weights.

    Attributes:
        model: what answers.
    """

    def __init__(self, model: StrangeModel) -> None:
        self.model = model

    def run(self, forms: Sequence[SeriesWindow]) -> list[Strange]:
        """What can be said of each window, one by one: sums over a batch would differ in their last digits."""
        return [self.model.tell(form) for form in forms]


def load(weights: Weights, *, threads: int | None = None) -> NormalSession:
    """Open a folder with `strange.json`.

    Raises:
        ArtefactError: a file is missing, or does not fit the others.
    """
    return NormalSession(read_strange(weights.folder))
