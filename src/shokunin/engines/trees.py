"""trees: windows of readings to risks, through statistics, an ONNX encoder where there is one, and boosted trees; no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from shokunin.errors import UsageError
from shokunin.series.lessons import SeriesWindow
from shokunin.series.model import SeriesModel, read_model
from shokunin.weights import Weights

FORMATS: tuple[str, ...] = ("series_trees",)


class TreesSession:
    """Loaded weights.

    Attributes:
        model: what answers; it also says which channels speak.
    """

    def __init__(self, model: SeriesModel) -> None:
        self.model = model

    def run(self, forms: Sequence[SeriesWindow]) -> npt.NDArray[np.float32]:
        """Calibrated log-odds of an event at or within each horizon, float32 (n, horizons)."""
        recipe = self.model.recipe
        if not forms:
            return np.zeros((0, len(self.model.horizons)), dtype=np.float32)
        shape = (recipe.length, len(recipe.channels))
        for form in forms:
            if form.values.shape != shape or form.filled.shape != shape:
                raise UsageError(f"a window of {form.unit!r} has shape {form.values.shape}; this model reads {shape}")
        values = np.stack([form.values for form in forms]).astype(np.float32)
        filled = np.stack([form.filled for form in forms])
        return self.model.logits(values, filled, [form.unit for form in forms]).astype(np.float32)


def load(weights: Weights, *, threads: int | None = None) -> TreesSession:
    """Open a folder with `series.json`.

    Raises:
        ArtefactError: a file is missing, or does not fit the others.
    """
    return TreesSession(read_model(weights.folder, threads=threads))
