"""Base models as encoders of the server: found and checked when it starts, opened when first asked for."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution

import numpy as np
import numpy.typing as npt

from shokunin.encoders.architecture import read_shape
from shokunin.encoders.base_models import DEFAULT_ENCODER, KNOWN, BaseModel, resolve
from shokunin.encoders.onnx_text import TOKENIZER
from shokunin.encoders.text_encoder import TextEncoder
from shokunin.encoders.tokens import Tokens
from shokunin.serve.embedding import Embedder

LONGEST = 2048
"""Tokens of a text that are read at most, whatever the encoder could: attention takes memory by their square."""


class BaseEncoder:
    """One base model behind `/v1/embeddings`. Called from one thread at a time.

    Attributes:
        name: the model's own name where it is known, else the name it was asked for by.
        dimensions: numbers in a vector.
        max_length: tokens of a text that it reads.
    """

    def __init__(self, base: BaseModel, *, threads: int | None = None) -> None:
        """Read the configuration; the model itself is opened by the first call.

        Raises:
            BaseModelError: this release cannot run such an encoder.
        """
        shape = read_shape(base.folder)
        self.name = names_of(base)[0]
        self.dimensions = shape.width
        self.max_length = min(shape.max_length, LONGEST)
        self._base = base
        self._threads = threads
        self._opening = threading.Lock()
        self._open: tuple[TextEncoder, Tokens] | None = None

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Vectors of length 1, float32 of shape (len(texts), dimensions), in the order of the texts."""
        return self._opened()[0].embed(texts, remember=False)

    def tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has, special ones included; `max_length` + 1 stands for any more."""
        return [len(ids) for ids in self._opened()[1].ids(texts, self.max_length + 1)]

    def _opened(self) -> tuple[TextEncoder, Tokens]:
        with self._opening:
            if self._open is None:
                encoder = TextEncoder(self._base, max_length=self.max_length, threads=self._threads)
                self._open = encoder, Tokens(self._base.folder / TOKENIZER)
            return self._open


def embedders(models: Sequence[str] | None = None, *, threads: int | None = None) -> dict[str, Embedder]:
    """The encoders that a server offers, each under all of its names.

    Args:
        models: base models as in `shokunin.encoders.base_models`; None: the usual one, if it is installed.
        threads: threads with which each runs; None: one for each core.

    Raises:
        BaseModelError: a model that was asked for is not there, or not what it should be.
    """
    if models is None:
        models = [DEFAULT_ENCODER] if _is_installed(DEFAULT_ENCODER.removeprefix("pkg:")) else []
    found = [resolve(name) for name in models]
    made: dict[str, Embedder] = {}
    for base in found:
        encoder = BaseEncoder(base, threads=threads)
        for name in names_of(base):
            made.setdefault(name, encoder)
    return made


def names_of(base: BaseModel) -> list[str]:
    """The names by which clients may ask for it, its plainest first; no path of this machine is among them."""
    known = next((k.model for k in KNOWN if k.sha256 == base.sha256), None)
    asked = str(base.facts()["name"])
    plain = asked.partition(":")[2] if asked.startswith(("pkg:", "hf:")) else asked
    names = [known.rpartition("/")[2], known] if known else []
    return list(dict.fromkeys([*names, plain, asked]))


def _is_installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True
