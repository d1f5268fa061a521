"""Windows to embeddings through the encoder's ONNX graph: no torch, any number of windows, one channel at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shokunin.errors import ArtefactError

GRAPH = "encoder.onnx"
BATCH = 512
"""Windows a run: the hidden states of so many fit into the processor's cache."""


class SeriesEncoder:
    """An opened encoder. `embed` may be called from one thread at a time.

    Attributes:
        length: readings in a window.
        width: numbers in an embedding.
    """

    def __init__(self, graph: Path, *, threads: int | None = None) -> None:
        """Open the graph.

        Raises:
            ArtefactError: it is missing, or no encoder of windows.
        """
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session: Any = ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
            (taken,), (given,) = self._session.get_inputs(), self._session.get_outputs()
            self.length, self.width = int(taken.shape[1]), int(given.shape[1])
        except Exception as error:  # ONNX Runtime has no exception class of its own that covers a damaged file
            raise ArtefactError(f"{graph.name!r} is no encoder of windows: {error}") from error
        self._input = taken.name

    def embed(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Embeddings of shape (n, width) of windows (n, length), one channel, what is no number counting as 0.

        Raises:
            ValueError: the windows have another length.
        """
        if windows.ndim != 2 or windows.shape[1] != self.length:
            raise ValueError(f"windows of shape {windows.shape}; this encoder reads (n, {self.length})")
        out = np.empty((len(windows), self.width), dtype=np.float32)
        for start in range(0, len(windows), BATCH):
            batch = np.ascontiguousarray(windows[start : start + BATCH], dtype=np.float32)
            batch = np.nan_to_num(batch, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
            out[start : start + BATCH] = self._session.run(None, {self._input: batch})[0]
        return out
