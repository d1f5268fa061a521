"""Embeddings: what the server asks of an encoder, and a queue before each that lets requests take turns."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from shokunin.serve.refusal import Refusal, overloaded

SLICE = 32
"""Texts that are embedded in one go; then the next request has its turn."""


class Embedder(Protocol):
    """Turns texts into vectors. Called from one thread at a time."""

    @property
    def name(self) -> str:
        """Under which it is found, for instance `all-MiniLM-L6-v2`."""

    @property
    def dimensions(self) -> int:
        """Numbers in a vector."""

    @property
    def max_length(self) -> int:
        """Tokens of a text that it can read."""

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Vectors of length 1, float32 of shape (len(texts), dimensions), in the order of the texts."""

    def tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has, by the encoder's own tokenizer; `max_length` + 1 may stand for any more."""


class Embeddings:
    """Encoders behind queues; every request waits its turn in slices of `SLICE` texts.

    Attributes:
        embedders: each encoder under each of its names.
    """

    def __init__(self, embedders: Mapping[str, Embedder], *, waiting: int = 4096, seconds: float = 60.0) -> None:
        self.embedders = dict(embedders)
        self._limit = waiting
        self._seconds = seconds
        self._waiting: dict[str, int] = {}
        self._threads: dict[str, ThreadPoolExecutor] = {}

    def find(self, asked: str) -> Embedder:
        """The encoder of that name.

        Raises:
            Refusal: 404 `model_not_found`, with the nearest name.
        """
        if asked in self.embedders:
            return self.embedders[asked]
        near = get_close_matches(asked[:100], self.embedders, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "GET /v1/models lists what there is"
        raise Refusal(404, f"there is no encoder {asked[:100]!r}; {hint}", "model_not_found", "model")

    async def run(self, embedder: Embedder, texts: Sequence[str]) -> tuple[npt.NDArray[np.float32], int]:
        """The vectors and how many tokens the texts have together. Cancel it, and what has not started is dropped.

        Raises:
            Refusal: 400, a text is longer than the encoder can read; 503, too many texts are waiting, or it took too
                long.
        """
        name = embedder.name
        waiting = self._waiting.get(name, 0)
        if waiting + len(texts) > self._limit:
            raise overloaded(f"{waiting} texts are waiting for {name!r} already; ask again in a moment")
        self._waiting[name] = waiting + len(texts)
        try:
            async with asyncio.timeout(self._seconds):
                return await self._turns(embedder, texts)
        except TimeoutError as error:
            raise overloaded(f"not embedded within {self._seconds:g} seconds; send fewer texts at a time") from error
        finally:
            self._waiting[name] -= len(texts)

    def close(self) -> None:
        """Finish the slices under way, and stop."""
        for thread in self._threads.values():
            thread.shutdown(cancel_futures=True)

    async def _turns(self, embedder: Embedder, texts: Sequence[str]) -> tuple[npt.NDArray[np.float32], int]:
        loop = asyncio.get_running_loop()
        thread = self._threads.setdefault(embedder.name, ThreadPoolExecutor(1, f"encoder {embedder.name}"))
        parts, read = [], 0
        for start in range(0, len(texts), SLICE):
            some = texts[start : start + SLICE]
            lengths = await loop.run_in_executor(thread, embedder.tokens, some)
            too_long = next((i for i, length in enumerate(lengths) if length > embedder.max_length), None)
            if too_long is not None:
                param = f"input[{start + too_long}]" if len(texts) > 1 else "input"
                raise Refusal(
                    400,
                    f"{param} is longer than the {embedder.max_length} tokens that {embedder.name!r} reads; split it",
                    "context_length_exceeded",
                    "input",
                )
            read += sum(lengths)
            parts.append(await loop.run_in_executor(thread, embedder.embed, some))
        return np.concatenate(parts), read


def encoder_card(name: str, embedder: Embedder) -> dict[str, Any]:
    """One entry of `/v1/models`."""
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": "shokunin",
        "root": embedder.name,
        "parent": None,
        "max_model_len": embedder.max_length,
        "capabilities": {
            "chat": False, "completions": False, "responses": False, "embeddings": True, "stream": False,
            "logprobs": False, "ignored": ["user"],
        },
        "shokunin": {"kind": "encoder", "dimensions": embedder.dimensions},
    }  # fmt: skip
