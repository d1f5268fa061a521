"""TextEncoder: texts in, embeddings out, from a base model whose ONNX graph is written once and kept in the cache."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shokunin.encoders.architecture import read_shape
from shokunin.encoders.base_models import BaseModel, pooling_of
from shokunin.encoders.cache import cache_folder
from shokunin.encoders.graph import GRAPH_VERSION, Pooling, write_encoder
from shokunin.encoders.onnx_text import GRAPH, TOKENIZER, OnnxText
from shokunin.encoders.text_runner import TextRunner
from shokunin.encoders.tokens import read_pad_id, token_ids
from shokunin.errors import BaseModelError, ProjectError
from shokunin.files import folder_in_making, publish_folder, sha256_of
from shokunin.progress import Progress, silent

DEFAULT_LENGTH = 128
LONGEST_BY_ITSELF = 256
SAMPLE = 5000
REMEMBERED = 4096
"""Few texts are embedded again and again, once for every fold that is judged out of fold; so they are remembered."""

_MEMORY: dict[tuple[str, str, int], dict[str, npt.NDArray[np.float32]]] = {}


class TextEncoder:
    """A frozen encoder. `embed` may be called from one thread at a time.

    Attributes:
        base: the model it runs.
        pooling: how token vectors become one.
        about: the lengths and sizes in use.
        width: numbers in an embedding.
    """

    def __init__(self, base: BaseModel, *, max_length: int = DEFAULT_LENGTH, threads: int | None = None) -> None:
        """Open the encoder; texts beyond `max_length` tokens are cut, at the encoder's own limit at the latest.

        Raises:
            BaseModelError: this release cannot write such an encoder, or its files are damaged.
            ProjectError: the cache cannot be written.
        """
        shape = read_shape(base.folder)
        if max_length < 3:
            raise BaseModelError(f"max_length {max_length!r} leaves no room for a word; at least 3")
        self.base = base
        self.pooling = pooling_of(base.folder)
        self.width = shape.width
        self.about = OnnxText(
            max_length=min(max_length, shape.max_length),
            pad_id=read_pad_id(base.folder / TOKENIZER, shape.pad_id),
            outputs=shape.width,
            one_by_one=False,
            pooling=self.pooling,
            precision="float32",
            base=dict(base.facts()),
        )
        self._runner = TextRunner(base.folder, self.about, threads=threads, graph=embedding_graph(base, self.pooling))

    def embed(
        self, texts: Sequence[str], progress: Progress = silent, *, remember: bool = True
    ) -> npt.NDArray[np.float32]:
        """Embeddings of length 1, float32 of shape (len(texts), width), in the order of the texts.

        Texts of others are not to be remembered.
        """
        if not remember or len(texts) > REMEMBERED:
            return self._runner.run(texts, progress, "embedding texts")
        known = _known_to((self.base.sha256, self.pooling, self.about.max_length))
        new = list(dict.fromkeys(t for t in texts if t not in known))
        known.update(zip(new, self._runner.run(new, progress, "embedding texts"), strict=True))
        return np.stack([known[t] for t in texts]) if texts else np.zeros((0, self.width), dtype=np.float32)

    def seconds_a_text(self, texts: Sequence[str]) -> float:
        """How long one text takes here, measured on `texts`; nothing is remembered."""
        self._runner.run(texts[:1])
        started = time.perf_counter()
        self._runner.run(texts)
        return (time.perf_counter() - started) / max(1, len(texts))


def embedding_graph(base: BaseModel, pooling: Pooling) -> Path:
    """The encoder's ONNX file in the cache, written now if it is not there.

    Raises:
        BaseModelError: this release cannot write such an encoder.
        ProjectError: the cache cannot be written.
    """
    config = sha256_of(base.folder / "config.json")
    place = cache_folder() / "encoders" / f"{base.sha256[:24]}-{config[:8]}-{pooling}-{GRAPH_VERSION}"
    if not (place / GRAPH).is_file():
        with folder_in_making(place.parent) as made:
            write_encoder(base.folder, made / GRAPH, pooling=pooling)
            try:
                publish_folder(made, place)
            except ProjectError:
                if not (place / GRAPH).is_file():  # else another process was faster, with the same content
                    raise
    return place / GRAPH


def _known_to(encoder: tuple[str, str, int]) -> dict[str, npt.NDArray[np.float32]]:
    """What an encoder has embedded lately; of another encoder or too many texts nothing is kept."""
    if encoder not in _MEMORY or len(_MEMORY[encoder]) > 2 * REMEMBERED:
        _MEMORY.clear()
        _MEMORY[encoder] = {}
    return _MEMORY[encoder]


def length_for(base: BaseModel, texts: Sequence[str]) -> int:
    """How many tokens to read: what 99 of 100 texts need, rounded up to 8, from 16 to `LONGEST_BY_ITSELF`."""
    sample = texts[:: max(1, len(texts) // SAMPLE)]
    lengths = [len(ids) for ids in token_ids(base.folder / TOKENIZER, sample, LONGEST_BY_ITSELF, 0)]
    needed = float(np.percentile(lengths, 99)) if lengths else 0.0
    return int(np.clip(-(-needed // 8) * 8, 16, LONGEST_BY_ITSELF))
