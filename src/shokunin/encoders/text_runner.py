"""Texts through a tokenizer and an ONNX graph: sorted by length, little padding, order kept, memory bounded.

The encoder, by far the larger part, is open once for everything in the process that reads texts with an equal one; a
runner adds how many tokens it reads, and its own head.

Measured choice: one ONNX Runtime thread a session and several small batches at once, instead of one batch over several
threads. Encoder batches are small matrices; splitting each over threads cost up to half the throughput, and threads
that spin starve other work.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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

from shokunin.encoders.graph import INPUTS
from shokunin.encoders.onnx_text import GRAPH, TOKENIZER, OnnxText, read_graph
from shokunin.encoders.shared import shared
from shokunin.encoders.split_graph import SplitGraph, split_graph
from shokunin.encoders.tokens import CHUNK, Tokens
from shokunin.errors import ArtefactError
from shokunin.files import sha256_of
from shokunin.progress import Progress, silent

TOKENS_A_BATCH = 384
"""Padded tokens a run. The working set of a layer then stays in the processor's cache; larger batches were slower."""
_RUNTIME_ERRORS = (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, RuntimeError)
Rows = npt.NDArray[np.float32]


class Encoder:
    """An open tokenizer and encoder graph; safe to use from several threads, and for readers of different lengths.

    Attributes:
        width: numbers a text.
        threads: batches that run at once.
    """

    def __init__(
        self, tokens: Tokens, graph: Graph, *, width: int, pad_id: int, one_by_one: bool, threads: int
    ) -> None:
        """Put together what is open already."""
        self.width = width
        self.threads = threads
        self._tokens = tokens
        self._graph = graph
        self._pad_id = pad_id
        self._one_by_one = one_by_one

    def run(
        self, texts: Sequence[str], lengths: Sequence[int], each: Callable[[int], object] = lambda rows: None
    ) -> Rows:
        """The encoder's output for every text, float32 (len(texts), width), in order.

        Args:
            texts: any number; they are all in memory as tokens at once.
            lengths: how many tokens of each are read at most.
            each: told after every run how many texts it had.
        """
        ids = self.tokenise(texts, lengths)
        out = np.empty((len(texts), self.width), np.float32)
        batches = list(self._batches(ids))
        for rows, values in zip(batches, self._values(ids, batches), strict=True):
            out[rows] = values
            each(len(rows))
        return out

    def tokenise(self, texts: Sequence[str], lengths: Sequence[int]) -> list[list[int]]:
        """Token ids of each text, special tokens included, at most its length of them and at least one."""
        out: list[list[int]] = [[]] * len(texts)
        for length in sorted(set(lengths)):
            places = [i for i, asked in enumerate(lengths) if asked == length]
            for place, ids in zip(places, self._tokens.ids([texts[i] for i in places], length), strict=True):
                out[place] = ids or [self._pad_id]
        return out

    def _batches(self, ids: Sequence[Sequence[int]]) -> Iterator[npt.NDArray[np.int64]]:
        """Rows that go through together: neighbours in length, longest first so that the last ones are quick."""
        lengths = np.array([len(i) for i in ids])
        order = np.argsort(-lengths, kind="stable")
        if self._one_by_one:
            yield from (order[i : i + 1] for i in range(len(order)))
            return
        start = 0
        while start < len(order):
            size = max(1, TOKENS_A_BATCH // int(lengths[order[start]]))
            yield order[start : start + size]
            start += size

    def _values(self, ids: Sequence[Sequence[int]], batches: Sequence[npt.NDArray[np.int64]]) -> Iterator[Rows]:
        if self.threads == 1 or len(batches) <= 1:
            yield from (self._one(ids, rows) for rows in batches)
            return
        with ThreadPoolExecutor(self.threads) as pool:
            yield from pool.map(lambda rows: self._one(ids, rows), batches)

    def _one(self, ids: Sequence[Sequence[int]], rows: npt.NDArray[np.int64]) -> Rows:
        input_ids, mask = padded([ids[r] for r in rows], self._pad_id)
        return self._graph.run(input_ids, mask)


@dataclass(frozen=True)
class Reader:
    """An encoder, and how many tokens of a text are read with it; equal ones give equal numbers to equal texts."""

    encoder: Encoder
    max_length: int

    def run(self, texts: Sequence[str], each: Callable[[int], object] = lambda rows: None) -> Rows:
        """The encoder's output for every text, in order."""
        return self.encoder.run(texts, [self.max_length] * len(texts), each)


class TextRunner:
    """An open specialist of texts or a bare encoder: a reader and, on top of it, the head. Safe to use from several threads.

    Attributes:
        about: the lengths and sizes in use.
        reader: what texts are read with; many runners may share its encoder.
    """

    def __init__(self, folder: Path, about: OnnxText, *, threads: int | None = None, graph: Path | None = None) -> None:
        """Open `folder`'s tokenizer and its graph (or the one at `graph`), as far as they are not open already.

        Raises:
            ArtefactError: a file is missing, damaged or unsafe.
        """
        self.about = about
        path = graph or folder / GRAPH
        halves = split_graph(read_graph(path, about.outputs))
        self.reader = Reader(_open_encoder(folder, about, halves, path, threads), about.max_length)
        self._head = None if halves.head is None else Graph(halves.head, path, arena=False)

    def run(self, texts: Sequence[str], progress: Progress = silent, what: str = "reading texts") -> Rows:
        """The graph's output for every text, float32 (len(texts), outputs), in order; equal texts are run once."""
        place: dict[str, int] = {}
        row_of = np.fromiter((place.setdefault(text, len(place)) for text in texts), np.int64, len(texts))
        distinct = list(place)
        out = np.empty((len(distinct), self.about.outputs), np.float32)
        done = 0

        def each(rows: int) -> None:
            nonlocal done
            done += rows
            progress(what, done, len(distinct))

        each(0)
        for start in range(0, len(distinct), CHUNK):
            chunk = distinct[start : start + CHUNK]
            out[start : start + len(chunk)] = self.finish(self.reader.run(chunk, each))
        return out[row_of] if len(distinct) < len(texts) else out

    def finish(self, read: Rows) -> Rows:
        """The graph's output for texts that were read already: `read` is what the reader gave for them."""
        if self._head is None or not len(read):
            return read if self._head is None else np.zeros((0, self.about.outputs), np.float32)
        return self._head.run(read)

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, special tokens included, at most `max_length` and at least one."""
        return self.reader.encoder.tokenise(texts, [self.about.max_length] * len(texts))


class Graph:
    """An open ONNX graph with one output, on one thread."""

    def __init__(self, content: bytes, path: Path, *, arena: bool) -> None:
        """Open the checked file `content`, which was read from `path`.

        Raises:
            ArtefactError: it cannot be run.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_cpu_mem_arena = arena
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except _RUNTIME_ERRORS as error:
            raise ArtefactError(f"{str(path)!r} cannot be run: {error}") from error
        self._output = self._session.get_outputs()[0].name
        names = {i.name for i in self._session.get_inputs()}
        self._inputs = INPUTS if names == set(INPUTS) else tuple(names)

    def run(self, *values: npt.NDArray[np.generic]) -> Rows:
        """The output, float32."""
        inputs = dict(zip(self._inputs, values, strict=True))
        return np.asarray(self._session.run([self._output], inputs)[0], np.float32)


def _open_encoder(folder: Path, about: OnnxText, halves: SplitGraph, path: Path, threads: int | None) -> Encoder:
    """The process's encoder for this content; what of it is open already is not opened again."""
    at_once = max(1, threads or _processors())
    source = folder / TOKENIZER
    if not source.is_file():
        raise ArtefactError(f"{str(source)!r} is missing; restore the folder from a copy")
    words = sha256_of(source)

    def make() -> Encoder:
        return Encoder(
            shared(Tokens, words, lambda: Tokens(source)),
            shared(Graph, halves.digest, lambda: Graph(halves.encoder.SerializeToString(), path, arena=True)),
            width=halves.width,
            pad_id=about.pad_id,
            one_by_one=about.one_by_one,
            threads=at_once,
        )

    return shared(Encoder, (words, halves.digest, about.pad_id, about.one_by_one, at_once), make)


def padded(ids: Sequence[Sequence[int]], pad_id: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Token ids and attention mask of one batch, both int64 of shape (n, longest)."""
    longest = max(len(i) for i in ids)
    input_ids = np.full((len(ids), longest), pad_id, np.int64)
    mask = np.zeros((len(ids), longest), np.int64)
    for row, tokens in enumerate(ids):
        input_ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    return input_ids, mask


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every platform
        return os.cpu_count() or 1
