"""A GGUF file made here byte by byte, whole and damaged in every way a header can be."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin.errors import BaseModelError
from shokunin.language.gguf_header import read_header

FACTS: dict[str, Any] = {
    "general.architecture": "llama",
    "general.license": "mit",
    "llama.context_length": 64,
    "llama.block_count": 1,
    "llama.embedding_length": 32,
    "llama.attention.head_count": 2,
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": ["a", "b"],
    "tokenizer.ggml.token_type": [1, 1],
    "tokenizer.ggml.scores": [0.5, 1.5],
    "tokenizer.chat_template": "{{ messages[0]['content'] }}",
}


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def fact(key: str, value: Any) -> bytes:
    if isinstance(value, str):
        return text(key) + struct.pack("<I", 8) + text(value)
    if isinstance(value, list) and isinstance(value[0], str):
        return text(key) + struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))
    if isinstance(value, list):
        code, kind = ("i", 5) if isinstance(value[0], int) else ("f", 6)
        return text(key) + struct.pack(f"<IIQ{len(value)}{code}", 9, kind, len(value), *value)
    return text(key) + struct.pack("<II", 4, value)


def gguf(
    facts: dict[str, Any] | None = None,
    *,
    magic: bytes = b"GGUF",
    version: int = 3,
    kind: int = 8,
    matrix: str = "token_embd.weight",
) -> bytes:
    """One matrix of 32 x 2 numbers as Q8_0: 68 bytes."""
    facts = FACTS if facts is None else facts
    tensor = text(matrix) + struct.pack("<IQQIQ", 2, 32, 2, kind, 0)
    head = magic + struct.pack("<IQQ", version, 1, len(facts)) + b"".join(fact(*one) for one in facts.items()) + tensor
    return head + b"\0" * (-len(head) % 32) + b"\1" * 68


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def test_a_whole_file(place: Path) -> None:
    place.write_bytes(gguf())
    header = read_header(place)
    assert (header.architecture, header.context, header.licence) == ("llama", 64, "mit")
    assert header.facts["tokenizer.ggml.tokens"] == ("a", "b")
    assert header.facts["tokenizer.ggml.scores"] == (0.5, 1.5)
    assert header.chat_template == "{{ messages[0]['content'] }}"
    assert (header.tensors, header.types) == ({"token_embd.weight": (32, 2)}, {"token_embd.weight": 8})


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (gguf(magic=b"PK\3\4"), "is not a GGUF file: it begins with b'PK"),
        (gguf(version=99), "is GGUF of version 99"),
        (gguf(kind=77), "'token_embd.weight' of 'model.gguf' is of the unknown type 77"),
        (gguf({"split.no": 1, "split.count": 3}), "is one of 3 parts of a model; join them"),
        (gguf({**FACTS, "llama.context_length": 0}), "does not say its 'llama.context_length'"),
        (gguf({k: v for k, v in FACTS.items() if k != "general.architecture"}), "'general.architecture'"),
        (gguf({k: v for k, v in FACTS.items() if "tokens" not in k}), "carries no tokenizer"),
        (
            gguf({**FACTS, "tokenizer.ggml.tokens": ["a"]}),
            r"'tokenizer.ggml.token_type' is a list of 2; expected a list of 1 ",
        ),
        (gguf({k: v for k, v in FACTS.items() if "token_type" not in k}), "'tokenizer.ggml.token_type' is missing"),
        (gguf({k: v for k, v in FACTS.items() if "ggml.model" not in k}), "'tokenizer.ggml.model' is missing"),
        (gguf({k: v for k, v in FACTS.items() if "head_count" not in k}), "'llama.attention.head_count' .missing"),
        (gguf({**FACTS, "tokenizer.ggml.model": "gpt2"}), "'tokenizer.ggml.merges' is missing"),
        (
            gguf({**FACTS, "tokenizer.ggml.eos_token_id": 2}),
            "says 2 is its 'tokenizer.ggml.eos_token_id'; .* from 0 to 1",
        ),
        (
            gguf({**FACTS, "tokenizer.ggml.tokens": ["a", "b", "c"], "tokenizer.ggml.token_type": [1, 1, 1]}),
            r"it has 3 tokens, and its 'token_embd.weight' has the dimensions \(32, 2\)",
        ),
        (gguf(matrix="output.weight"), "'token_embd.weight' is missing"),
        (gguf({**FACTS, "llama.context_length": 1 << 31}), "'llama.context_length' is 2147483648; expected at most"),
        (gguf({**FACTS, "general.alignment": "a"}), "aligns its tensors to 'a' bytes"),
        (gguf({**FACTS, "general.alignment": 0}), "aligns its tensors to 0 bytes"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1 << 60), "promises 1152921504606846976 tensors"),
        (gguf()[:-1], "tensor 'token_embd.weight' ends at byte"),
        (b"", "is cut short"),
    ],
)
def test_a_bad_file_says_what_is_wrong(place: Path, content: bytes, why: str) -> None:
    place.write_bytes(content)
    with pytest.raises(BaseModelError, match=why):
        read_header(place)


@given(st.integers(0, len(gguf()) - 1))
def test_a_file_cut_anywhere_is_refused(tmp_path_factory: pytest.TempPathFactory, at: int) -> None:
    place = tmp_path_factory.mktemp("cut") / "model.gguf"
    place.write_bytes(gguf()[:at])
    with pytest.raises(BaseModelError):
        read_header(place)


@given(st.binary(max_size=200), st.integers(0, 120))
def test_other_bytes_are_refused_or_read_but_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int
) -> None:
    place = tmp_path_factory.mktemp("noise") / "model.gguf"
    whole = gguf()
    place.write_bytes(whole[:at] + noise + whole[at + len(noise) :])
    with contextlib.suppress(BaseModelError):
        assert read_header(place).context > 0
