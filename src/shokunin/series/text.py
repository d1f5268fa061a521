"""What a unit is called, as numbers: one embedding of its master text a unit, made once and kept.

The vector does not change with the readings, so to the trees it is a dense name of the unit: units with like names
lie near each other, and a unit that the model has never seen is understood as far as its name is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from shokunin.errors import ArtefactError
from shokunin.files import read_json, write_json
from shokunin.progress import Progress, silent

PREFERRED = (
    "intfloat/multilingual-e5-large", "intfloat/multilingual-e5-base", "intfloat/multilingual-e5-small",
)  # fmt: skip
LENGTH = 128
"""Tokens of a master text that are read."""
NAMELESS = "unknown equipment"
VECTORS, ABOUT = "texts.safetensors", "texts.json"


@dataclass(frozen=True)
class Texts:
    """Embeddings of units.

    Attributes:
        units: names.
        vectors: float32 (units, width), each of length 1.
        model: the encoder's name, digest and licence.
    """

    units: tuple[str, ...]
    vectors: npt.NDArray[np.float32]
    model: Mapping[str, Any]

    @property
    def width(self) -> int:
        """Numbers in a vector: 1,024 with the large encoder of the paper."""
        return int(self.vectors.shape[1])

    def of(self, units: Sequence[str]) -> npt.NDArray[np.float32]:
        """The vectors of these units, (n, width); NaN for a unit without one, which trees treat as missing."""
        places = {name: i for i, name in enumerate(self.units)}
        out = np.full((len(units), self.width), np.nan, dtype=np.float32)
        for row, name in enumerate(units):
            if name in places:
                out[row] = self.vectors[places[name]]
        return out

    def save(self, folder: Path) -> None:
        """Write `texts.safetensors` and `texts.json`."""
        save_file({"vectors": np.ascontiguousarray(self.vectors)}, folder / VECTORS)
        write_json(folder / ABOUT, {"units": list(self.units), "model": dict(self.model)})


def read_texts(folder: Path) -> Texts:
    """The inverse of `save`.

    Raises:
        ArtefactError: the files are missing or do not belong together.
    """
    about = read_json(folder / ABOUT)
    try:
        texts = Texts(tuple(about["units"]), load_file(folder / VECTORS)["vectors"].astype(np.float32), about["model"])
    except (OSError, KeyError, TypeError, SafetensorError) as error:
        raise ArtefactError(f"the embedded texts of the units are damaged: {error}") from error
    if texts.vectors.ndim != 2 or len(texts.vectors) != len(texts.units):
        raise ArtefactError(f"{len(texts.units)} units have {texts.vectors.shape} embedded texts")
    return texts


def embed_texts(
    masters: Mapping[str, str], *, model: str | None = None, threads: int | None = None, progress: Progress = silent
) -> Texts:
    """The embeddings of units' master texts.

    Args:
        masters: by unit, what the equipment records call it (category, name, checked item), in any language.
        model: a base model's name; None: the best of the multilingual encoders that is on this machine already, else
            the default encoder.
        threads: of the processor.
        progress: told of the texts embedded.

    Raises:
        BaseModelError: the model cannot be found or run.
    """
    from shokunin.encoders.base_models import resolve
    from shokunin.encoders.text_encoder import TextEncoder

    base = resolve(model or available())
    encoder = TextEncoder(base, max_length=LENGTH, threads=threads)
    # Encoders of the e5 family are trained with this word before what is to be found.
    lead = "passage: " if "e5" in base.name.lower() or "e5" in base.source.lower() else ""
    units = tuple(sorted(masters))
    texts = [lead + (" ".join(masters[u].split()) or NAMELESS) for u in units]
    vectors = encoder.embed(texts, progress)
    return Texts(units, vectors, {**base.facts(), "width": encoder.width})


def available() -> str:
    """The name of the encoder for master texts: the largest multilingual one in this machine's cache, else the default."""
    from huggingface_hub import try_to_load_from_cache

    from shokunin.encoders.base_models import DEFAULT_ENCODER

    for name in PREFERRED:
        if all(
            isinstance(try_to_load_from_cache(name, f), str)
            for f in ("model.safetensors", "config.json", "tokenizer.json")
        ):
            return f"hf:{name}"
    return DEFAULT_ENCODER
