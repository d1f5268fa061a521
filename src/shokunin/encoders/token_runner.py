"""TokenRunner: sequences of tokens through an ONNX graph that gives numbers for every token; little padding, memory bounded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shokunin.encoders.onnx_text import GRAPH, OnnxText, read_graph
from shokunin.encoders.text_runner import Graph, padded

TOKENS_A_RUN = 2048
"""Padded tokens that go through together."""


class TokenRunner:
    """An open graph; safe to use from several threads."""

    def __init__(self, folder: Path, about: OnnxText) -> None:
        """Open the graph in `folder`.

        Raises:
            ArtefactError: it is missing, damaged or unsafe, or gives other numbers than `about` says.
        """
        self._about = about
        path = folder / GRAPH
        self._graph = Graph(read_graph(path, about.outputs, axes=3).SerializeToString(), path, arena=False)

    def run(self, ids: Sequence[npt.NDArray[np.int64]]) -> list[npt.NDArray[np.float32]]:
        """For each sequence of token ids, special tokens included, float32 of shape (its length, outputs).

        Which sequences are run with which depends on nothing but the sequences themselves.
        """
        out: list[npt.NDArray[np.float32]] = []
        start = 0
        while start < len(ids):
            stop = start + 1
            while stop < len(ids) and (stop + 1 - start) * max(map(len, ids[start : stop + 1])) <= TOKENS_A_RUN:
                stop += 1
            batch = [i.tolist() for i in ids[start:stop]]
            scores = self._graph.run(*padded(batch, self._about.pad_id))
            out += [scores[row, : len(tokens)] for row, tokens in enumerate(batch)]
            start = stop
        return out
