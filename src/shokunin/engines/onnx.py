"""onnx: texts to log-scores through a tokenizer and one ONNX graph, on the processor.

The part of the graph below its head is in memory once for all weights in which it is the same, byte for byte: heads on a
frozen encoder share it. Weights of an encoder that was tuned for the task, and int8 weights, whose scales were chosen on
the task's texts, have each their own.

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
    """Loaded weights.

    Attributes:
        readers: the one reader; sessions whose reader's encoder is the same object can have it read for all at once.
    """

    def __init__(self, runner: TextRunner) -> None:
        self._runner = runner
        self.readers = (runner.reader,)

    def run(self, forms: Sequence[str]) -> npt.NDArray[np.float32]:
        """Log-scores, float32 of shape (len(forms), k), one row a text in the order given."""
        return self._runner.run(forms)

    def finish(self, forms: Sequence[str], read: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        """The same from what the reader gave for the forms."""
        return self._runner.finish(read[0])


def load(weights: Weights, *, threads: int | None = None) -> OnnxSession:
    """Open the weights on `threads` processor threads (default: all that this process may use).

    Raises:
        ArtefactError: a file is missing, damaged or unsafe, or the weights are of another format.
    """
    if weights.format not in FORMATS:
        raise ArtefactError(f"the onnx engine reads {', '.join(FORMATS)}, not {weights.format!r}")
    return OnnxSession(TextRunner(weights.folder, read_about(weights.folder), threads=threads))
