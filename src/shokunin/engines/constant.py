"""Runs `constant` weights: the same scores for every input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from shokunin.errors import ArtefactError
from shokunin.files import read_json
from shokunin.weights import Weights

FORMATS = ("constant",)


class ConstantSession:
    """Says the same to everything."""

    def __init__(self, scores: npt.NDArray[np.float32]) -> None:
        self._scores = scores

    def run(self, forms: Sequence[Any]) -> npt.NDArray[np.float32]:
        """The constant scores, shape (len(forms), k)."""
        return np.tile(self._scores, (len(forms), 1))


def load(weights: Weights, *, threads: int | None = None) -> ConstantSession:
    """Read `constant.json`.

    Raises:
        ArtefactError: the file is missing or holds no list of numbers.
    """
    path = weights.folder / "constant.json"
    try:
        return ConstantSession(np.asarray(read_json(path)["scores"], dtype=np.float32))
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"{str(path)!r} holds no scores: {error}") from error
