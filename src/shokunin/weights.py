"""Weights: a folder of model files, the form it eats, the format it is in."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from shokunin.forms import Form

Format = Literal[
    "constant", "linear_text", "onnx_text", "mixture", "cascade", "gguf", "gguf_adapter", "openvino_text", "hf_text",
    "field_candidates", "field_tagger", "fields_by_member", "answer_templates", "nearest_answer",
    "series_trees", "series_horizons",
    "series_normal",
]  # fmt: skip
"""What the folder holds: `constant`, the same scores for all; `linear_text`, a TF-IDF vocabulary and a linear layer; `onnx_text`,
a tokenizer and an ONNX graph; `mixture`, several of these and what each counts for."""


@dataclass(frozen=True)
class Weights:
    """What a learner or compressor leaves behind.

    Attributes:
        folder: where the files are; nothing else is in it.
        form: which form an engine must be given.
        format: how an engine must read the folder.
        exact: whether the served answers must equal the tested ones label for label (False for quantised weights).
        facts: what the learner wants to be known: options, base model with licence and digest, number of parameters.
    """

    folder: Path
    form: Form
    format: Format
    exact: bool = True
    facts: dict[str, Any] = field(default_factory=dict)

    def size_bytes(self) -> int:
        """The size of all files, in bytes."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
