"""The tensors of a folder of safetensors, one at a time and as float32; bfloat16 too, and without torch.

The format: https://github.com/huggingface/safetensors#format. Its library checks each header and knows no bfloat16 in NumPy.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from shokunin.errors import BaseModelError

_KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True)
class _Place:
    file: Path
    kind: str
    shape: tuple[int, ...]
    at: int


class FolderTensors(Mapping[str, npt.NDArray[np.float32]]):
    """All tensors of a folder by their names; each is read when it is asked for.

    Attributes:
        shapes: of every tensor, of which no number was read.

    Raises:
        BaseModelError: a file is damaged, or a name stands in two of them.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._name = name
        self._places: dict[str, _Place] = {}
        for file in sorted(folder.glob("*.safetensors")):
            for tensor, place in _places(file, name):
                if tensor in self._places:
                    raise BaseModelError(
                        f"{name!r} has tensor {tensor!r} in {self._places[tensor].file.name!r} and in {file.name!r}; take away "
                        "the files that are not of this model"
                    )
                self._places[tensor] = place
        self.shapes = {tensor: place.shape for tensor, place in self._places.items()}

    def __getitem__(self, tensor: str) -> npt.NDArray[np.float32]:
        place = self._places[tensor]
        if place.kind not in _KINDS:
            raise BaseModelError(
                f"tensor {tensor!r} of {self._name!r} is of the kind {place.kind}; expected {', '.join(_KINDS)}: take the model "
                "that is not quantised"
            )
        count = int(np.prod(place.shape, dtype=np.int64))
        try:
            numbers = np.fromfile(place.file, _KINDS[place.kind], count, offset=place.at)
        except OSError as error:
            raise BaseModelError(f"{place.file.name!r} of {self._name!r} cannot be read: {error.strerror}") from error
        if len(numbers) != count:
            raise BaseModelError(f"{place.file.name!r} of {self._name!r} is cut short; fetch it again")
        if place.kind == "BF16":  # the upper half of a float32
            numbers = (numbers.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return numbers.astype(np.float32, copy=False).reshape(place.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _places(file: Path, name: str) -> Iterator[tuple[str, _Place]]:
    try:
        with safe_open(file, framework="numpy") as opened:  # offsets and sizes are checked here
            names = list(opened.keys())
        with file.open("rb") as raw:
            length = struct.unpack("<Q", raw.read(8))[0]
            header = json.loads(raw.read(length))
        for tensor in names:
            said = header[tensor]
            yield tensor, _Place(file, said["dtype"], tuple(said["shape"]), 8 + length + said["data_offsets"][0])
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise BaseModelError(f"{file.name!r} of {name!r} is damaged: {error}; fetch it again") from error
