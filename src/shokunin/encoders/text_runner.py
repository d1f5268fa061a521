"""Texts through a tokenizer and an ONNX graph: sorted by length, little padding, order kept, memory bounded.

Measured choice: one ONNX Runtime thread a session and several small batches at once, instead of one batch over several
threads. Encoder batches are small matrices; splitting each over threads cost up to half the throughput, and threads
that spin starve other work.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
)
from tokenizers import Tokenizer

from shokunin.encoders.onnx_text import GRAPH, TOKENIZER, OnnxText, check_graph
from shokunin.errors import ArtefactError
from shokunin.progress import Progress, silent

CHUNK = 4096
"""How many distinct texts are tokenised and sorted at a time."""
TOKENS_A_BATCH = 384
"""Padded tokens a run. The working set of a layer then stays in the processor's cache; larger batches were slower."""
CHARACTERS_A_TOKEN = 64
"""Text beyond this many characters per token of `max_length` is not even tokenised: no real token is so long."""
_RUNTIME_ERRORS = (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, RuntimeError)


class TextRunner:
    """An open graph with its tokenizer. `run` may be called from one thread at a time."""

    def __init__(self, folder: Path, about: OnnxText, *, threads: int | None = None, graph: Path | None = None) -> None:
        """Open `folder`'s tokenizer and its graph (or the one at `graph`).

        Raises:
            ArtefactError: a file is missing, damaged or unsafe.
        """
        self.about = about
        self.threads = max(1, threads or _processors())
        path = graph or folder / GRAPH
        self._output = check_graph(path, about.outputs)
        self._tokenizer = _read_tokenizer(folder / TOKENIZER, about.max_length)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except _RUNTIME_ERRORS as error:
            raise ArtefactError(f"{str(path)!r} cannot be run: {error}") from error

    def run(
        self, texts: Sequence[str], progress: Progress = silent, what: str = "reading texts"
    ) -> npt.NDArray[np.float32]:
        """The graph's output for every text, float32 (len(texts), outputs), in order; equal texts are run once."""
        place: dict[str, int] = {}
        row_of = np.fromiter((place.setdefault(text, len(place)) for text in texts), np.int64, len(texts))
        distinct = list(place)
        out = np.empty((len(distinct), self.about.outputs), np.float32)
        done = 0
        progress(what, 0, len(distinct))
        for start in range(0, len(distinct), CHUNK):
            ids = self.tokenise(distinct[start : start + CHUNK])
            batches = list(self._batches(ids))
            for rows, values in zip(batches, self._values(ids, batches), strict=True):
                out[start + rows] = values
                done += len(rows)
                progress(what, done, len(distinct))
        return out[row_of] if len(distinct) < len(texts) else out

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, special tokens included, at most `max_length` and at least one."""
        encoded = _encoded(self._tokenizer, texts, self.about.max_length)
        return [ids or [self.about.pad_id] for ids in encoded]

    def _batches(self, ids: Sequence[Sequence[int]]) -> Iterator[npt.NDArray[np.int64]]:
        """Rows that go through together: neighbours in length, longest first so that the last ones are quick."""
        lengths = np.array([len(i) for i in ids])
        order = np.argsort(-lengths, kind="stable")
        if self.about.one_by_one:
            yield from (order[i : i + 1] for i in range(len(order)))
            return
        start = 0
        while start < len(order):
            size = max(1, TOKENS_A_BATCH // int(lengths[order[start]]))
            yield order[start : start + size]
            start += size

    def _values(
        self, ids: Sequence[Sequence[int]], batches: Sequence[npt.NDArray[np.int64]]
    ) -> Iterator[npt.NDArray[np.float32]]:
        if self.threads == 1 or len(batches) == 1:
            yield from (self._one(ids, rows) for rows in batches)
            return
        with ThreadPoolExecutor(self.threads) as pool:
            yield from pool.map(lambda rows: self._one(ids, rows), batches)

    def _one(self, ids: Sequence[Sequence[int]], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        input_ids, mask = padded([ids[r] for r in rows], self.about.pad_id)
        values = self._session.run([self._output], {"input_ids": input_ids, "attention_mask": mask})[0]
        return np.asarray(values, np.float32)


def padded(ids: Sequence[Sequence[int]], pad_id: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Token ids and attention mask of one batch, both int64 of shape (n, longest)."""
    longest = max(len(i) for i in ids)
    input_ids = np.full((len(ids), longest), pad_id, np.int64)
    mask = np.zeros((len(ids), longest), np.int64)
    for row, tokens in enumerate(ids):
        input_ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    return input_ids, mask


def read_pad_id(folder: Path, fallback: int) -> int:
    """The padding token that the tokenizer itself names, else `fallback`."""
    padding = _read_tokenizer(folder / TOKENIZER, None).padding
    return int(padding["pad_id"]) if padding else fallback


def token_ids(path: Path, texts: Sequence[str], max_length: int, pad_id: int) -> list[npt.NDArray[np.int64]]:
    """Token ids of each text under the tokenizer at `path`, special tokens included, from 1 to `max_length` of them."""
    tokenizer = _read_tokenizer(path, max_length)
    out = []
    for start in range(0, len(texts), CHUNK):
        encoded = _encoded(tokenizer, texts[start : start + CHUNK], max_length)
        out += [np.array(ids or [pad_id], np.int64) for ids in encoded]
    return out


def _encoded(tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> list[list[int]]:
    most = max_length * CHARACTERS_A_TOKEN
    return [e.ids for e in tokenizer.encode_batch_fast([_clean(text[:most]) for text in texts])]


def _read_tokenizer(path: Path, max_length: int | None) -> Tokenizer:
    if not path.is_file():
        raise ArtefactError(f"{str(path)!r} is missing; restore the folder from a copy")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers library raises plain Exception
        raise ArtefactError(f"{str(path)!r} is not a readable tokenizer: {error}") from error
    if max_length is not None:
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length)
    return tokenizer


def _clean(text: str) -> str:
    """The text without lone surrogates, which no tokenizer takes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every platform
        return os.cpu_count() or 1
