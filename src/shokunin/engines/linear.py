"""Runs `linear_text` weights: TF-IDF and one matrix product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from shokunin.encoders.tfidf import TfidfEncoder, load_tfidf
from shokunin.errors import ArtefactError
from shokunin.weights import Weights

FORMATS = ("linear_text",)


class LinearSession:
    """A vocabulary and a matrix in memory."""

    def __init__(self, encoder: TfidfEncoder, weight: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]) -> None:
        self._encoder = encoder
        self._weight = weight
        self._bias = bias

    def run(self, forms: Sequence[Any]) -> npt.NDArray[np.float32]:
        """Margins, shape (len(forms), k)."""
        if not forms:
            return np.zeros((0, len(self._bias)), dtype=np.float32)
        return np.asarray(self._encoder.encode(forms) @ self._weight + self._bias, dtype=np.float32)


def load(weights: Weights, *, threads: int | None = None) -> LinearSession:
    """Read the vocabulary and the linear layer.

    Raises:
        ArtefactError: a file is missing, damaged, or does not fit the others.
    """
    encoder = load_tfidf(weights.folder)
    try:
        layer = load_file(weights.folder / "linear.safetensors")
        weight, bias = layer["weight"].astype(np.float32), layer["bias"]
    except (OSError, SafetensorError, KeyError) as error:
        raise ArtefactError(f"the linear layer in {str(weights.folder)!r} is damaged: {error}") from error
    if weight.shape != (encoder.size, len(bias)):
        raise ArtefactError(f"the linear layer in {str(weights.folder)!r} does not fit its vocabulary")
    return LinearSession(encoder, weight, bias)
