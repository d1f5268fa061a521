"""GGUF headers: read and checked before any engine sees the file, since a reader of C++ trusts what it is told.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3, little-endian). Every count is
compared with the bytes that are there before anything is made of it, so that a short file cannot ask for memory.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from shokunin.errors import BaseModelError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
LONGEST_STRING = 64 << 20
MOST_DIMENSIONS = 4
LONGEST_CONTEXT = 1 << 25
"""Tokens; no model looks at more, and memory is asked for by this number."""

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9

BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36), 10: (256, 84),
    11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66), 17: (256, 74),
    18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2),
    26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip
"""Of each tensor type: how many numbers a block holds, and its bytes."""


@dataclass(frozen=True)
class GgufHeader:
    """What a GGUF file says of itself.

    Attributes:
        version: of the format.
        facts: its key-value pairs; a list as a tuple.
        tensors: of each tensor its dimensions, the fastest first, as the file has them.
        types: of each tensor the number of its type, a key of `BLOCKS`.
    """

    version: int
    facts: Mapping[str, Any]
    tensors: Mapping[str, tuple[int, ...]]
    types: Mapping[str, int]

    @property
    def architecture(self) -> str:
        """The family of the model, such as `llama`."""
        return str(self.facts["general.architecture"])

    @property
    def context(self) -> int:
        """Tokens that the model can look at, prompt and answer together."""
        return int(self.facts[f"{self.architecture}.context_length"])

    @property
    def chat_template(self) -> str | None:
        """The Jinja template by which messages become a prompt."""
        found = self.facts.get("tokenizer.chat_template")
        return found if isinstance(found, str) and found.strip() else None

    @property
    def licence(self) -> str | None:
        """As the file states it."""
        found = self.facts.get("general.license")
        return found if isinstance(found, str) and found.strip() else None


def read_header(path: Path) -> GgufHeader:
    """The header of a GGUF file, once it is whole and every tensor lies inside the file.

    Raises:
        BaseModelError: it is no GGUF file, of a version that is not read, cut short, or contradicts itself.
    """
    try:
        with path.open("rb") as file:
            return _read(_Bytes(file, path.stat().st_size, path.name), path.name)
    except OSError as error:
        raise BaseModelError(f"{path.name!r} cannot be read: {error.strerror}") from error


def _read(data: _Bytes, name: str) -> GgufHeader:
    if (magic := data.take(4)) != MAGIC:
        raise BaseModelError(f"{name!r} is not a GGUF file: it begins with {magic!r}, expected {MAGIC!r}")
    version = int(data.number("I"))
    if version not in VERSIONS:
        raise BaseModelError(f"{name!r} is GGUF of version {version}; this release reads {VERSIONS}, little-endian")
    tensors, pairs = int(data.number("Q")), int(data.number("Q"))
    data.expect(tensors * 24 + pairs * 13, f"{tensors} tensors and {pairs} facts")
    facts: dict[str, Any] = {}
    for _ in range(pairs):
        key = data.string()
        facts[key] = data.value(int(data.number("I")))
    places = [_place(data, name) for _ in range(tensors)]
    _check_facts(facts, name)
    _check_tokens(facts, {tensor: shape for tensor, shape, *_ in places}, name)
    step = facts.get("general.alignment", 32)
    if not is_count(step) or step > 1 << 20:
        raise BaseModelError(f"{name!r} is damaged: it aligns its tensors to {step!r} bytes")
    start = -(-data.at // step) * step
    for tensor, _, _, offset, size in places:
        if start + offset + size > data.size:
            raise BaseModelError(
                f"{name!r} is cut short: tensor {tensor!r} ends at byte {start + offset + size}, "
                f"and the file has {data.size}; fetch it again"
            )
    return GgufHeader(
        version,
        facts,
        {tensor: shape for tensor, shape, *_ in places},
        {tensor: kind for tensor, _, kind, *_ in places},
    )


def _place(data: _Bytes, name: str) -> tuple[str, tuple[int, ...], int, int, int]:
    """One tensor: its name, dimensions, type, where it begins after the header, and its bytes."""
    tensor = data.string()
    count = int(data.number("I"))
    if not 1 <= count <= MOST_DIMENSIONS:
        raise BaseModelError(f"{name!r} is damaged: tensor {tensor!r} has {count} dimensions")
    shape = tuple(int(data.number("Q")) for _ in range(count))
    kind, offset = int(data.number("I")), int(data.number("Q"))
    if kind not in BLOCKS:
        raise BaseModelError(f"tensor {tensor!r} of {name!r} is of the unknown type {kind}")
    numbers = 1
    for length in shape:
        numbers *= length
    block, size = BLOCKS[kind]
    if numbers < 1 or shape[0] % block:
        raise BaseModelError(f"{name!r} is damaged: tensor {tensor!r} has the dimensions {shape}")
    return tensor, shape, kind, offset, numbers // block * size


def is_count(found: object) -> bool:
    """Whether it is a whole number from 1 on."""
    return isinstance(found, int) and not isinstance(found, bool) and found >= 1


def _check_facts(facts: Mapping[str, Any], name: str) -> None:
    parts = facts.get("split.count")
    if is_count(parts) and parts != 1:
        raise BaseModelError(
            f"{name!r} is one of {parts} parts of a model; join them with llama.cpp's `llama-gguf-split --merge FIRST_PART "
            "WHOLE.gguf`, and name WHOLE.gguf"
        )
    architecture = facts.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise BaseModelError(f"{name!r} does not say its 'general.architecture'; it is no language model")
    for key in ("context_length", "block_count", "embedding_length", "attention.head_count"):
        if not is_count(found := facts.get(f"{architecture}.{key}")):
            raise BaseModelError(
                f"{name!r} does not say its '{architecture}.{key}' ({_told(found)}; expected a whole number from 1 on); it is "
                f"no language model, or is damaged; {_ANEW}"
            )
    context = facts[f"{architecture}.context_length"]
    if context > LONGEST_CONTEXT:
        raise BaseModelError(
            f"{name!r} is damaged: its '{architecture}.context_length' is {context}; expected at most {LONGEST_CONTEXT}"
        )


def _check_tokens(facts: Mapping[str, Any], tensors: Mapping[str, tuple[int, ...]], name: str) -> None:
    """That the tokenizer is whole, and belongs to the embedding."""
    tokens, kinds = facts.get("tokenizer.ggml.tokens"), facts.get("tokenizer.ggml.token_type")
    if not isinstance(tokens, tuple) or not tokens or not all(isinstance(one, str) for one in tokens):
        raise BaseModelError(
            f"{name!r} carries no tokenizer ('tokenizer.ggml.tokens' is {_told(tokens)}; expected a list of texts); {_ANEW}"
        )
    model = facts.get("tokenizer.ggml.model")
    if not isinstance(model, str) or not model:
        raise BaseModelError(
            f"{name!r} does not say what its tokenizer is ('tokenizer.ggml.model' is {_told(model)}; expected a name such as "
            f"'gpt2'); {_ANEW}"
        )
    if not isinstance(kinds, tuple) or len(kinds) != len(tokens) or not all(isinstance(one, int) for one in kinds):
        raise BaseModelError(
            f"{name!r} does not say the kind of each token ('tokenizer.ggml.token_type' is {_told(kinds)}; expected a list of "
            f"{len(tokens)} numbers, one a token); {_ANEW}"
        )
    merges = facts.get("tokenizer.ggml.merges")
    if model == "gpt2" and (not isinstance(merges, tuple) or not all(isinstance(one, str) for one in merges)):
        raise BaseModelError(
            f"{name!r} does not say how its tokens are joined ('tokenizer.ggml.merges' is {_told(merges)}; expected a list of "
            f"texts, since the tokenizer is 'gpt2'); {_ANEW}"
        )
    for which in ("bos", "eos", "eot"):
        number = facts.get(f"tokenizer.ggml.{which}_token_id")
        if number is not None and not (isinstance(number, int) and 0 <= number < len(tokens)):
            raise BaseModelError(
                f"{name!r} says {number!r} is its 'tokenizer.ggml.{which}_token_id'; expected a number from 0 to "
                f"{len(tokens) - 1}, since it has {len(tokens)} tokens; {_ANEW}"
            )
    rows = tensors.get("token_embd.weight")
    if rows is None or len(rows) != 2 or rows[1] != len(tokens):
        raise BaseModelError(
            f"the tokenizer and the weights of {name!r} do not belong together: it has {len(tokens)} tokens, and its "
            f"'token_embd.weight' {'is missing' if rows is None else f'has the dimensions {rows}'}; expected a row for each "
            f"token; {_ANEW}"
        )


_ANEW = "fetch the file again, or convert the model again"


def _told(found: object) -> str:
    if found is None:
        return "missing"
    return f"a list of {len(found)}" if isinstance(found, tuple) else f"{found!r:.40}"


class _Bytes:
    """A file read from its start, that says how far it should have gone when it ends."""

    def __init__(self, file: BinaryIO, size: int, name: str) -> None:
        self._file = file
        self.size = size
        self.at = 0
        self._name = name

    def expect(self, count: int, what: str) -> None:
        """Refuse a promise that the rest of the file cannot keep."""
        if count > self.size - self.at:
            raise BaseModelError(
                f"{self._name!r} is cut short or damaged: it promises {what} at byte {self.at}, "
                f"and has {self.size} bytes; fetch it again"
            )

    def take(self, count: int) -> bytes:
        self.expect(count, f"{count} bytes")
        self.at += count
        return self._file.read(count)

    def number(self, code: str) -> int | float | bool:
        found: int | float | bool = struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]
        return found

    def string(self) -> str:
        length = int(self.number("Q"))
        if length > LONGEST_STRING:
            raise BaseModelError(f"{self._name!r} is damaged: it has a text of {length} bytes")
        return self.take(length).decode("utf-8", errors="replace")

    def value(self, kind: int, depth: int = 0) -> Any:
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY or depth > 2:
            raise BaseModelError(f"{self._name!r} is damaged: a fact is of the unknown type {kind}")
        inner, count = int(self.number("I")), int(self.number("Q"))
        if inner in _SCALARS:
            code = f"<{count}{_SCALARS[inner]}"
            self.expect(count, f"a list of {count}")
            return struct.unpack(code, self.take(struct.calcsize(code)))
        self.expect(count * 8, f"a list of {count}")
        return tuple(self.value(inner, depth + 1) for _ in range(count))
