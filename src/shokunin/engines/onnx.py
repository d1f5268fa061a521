"""onnx: texts to log-scores through a tokenizer and one ONNX graph, on the processor.

float32 graphs run in small batches of texts of about equal length: a row then differs from the same row run alone by
rounding only (below 1e-5). Graphs with dynamic int8 activations scale by the largest value in the whole batch, padding
included, so that a row's numbers would depend on its neighbours (measured: up to 0.04 in an embedding's coordinate);
such graphs say so, and run every text alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from shokunin.encoders.onnx_text import read_about
from shokunin.encoders.text_runner import TextRunner
from shokunin.errors import ArtefactError
from shokunin.weights import Weights

FORMATS: tuple[str, ...] = ("onnx_text",)


class OnnxSession:
    """Loaded weights; call `run` from one thread at a time."""

    def __init__(self, runner: TextRunner) -> None:
        self._runner = runner

    def run(self, forms: Sequence[str]) -> npt.NDArray[np.float32]:
        """Log-scores, float32 of shape (len(forms), k), one row a text in the order given."""
        return self._runner.run(forms)


def load(weights: Weights, *, threads: int | None = None) -> OnnxSession:
    """Open the weights on `threads` processor threads (default: all that this process may use).

    Raises:
        ArtefactError: a file is missing, damaged or unsafe, or the weights are of another format.
    """
    if weights.format not in FORMATS:
        raise ArtefactError(f"the onnx engine reads {', '.join(FORMATS)}, not {weights.format!r}")
    return OnnxSession(TextRunner(weights.folder, read_about(weights.folder), threads=threads))
