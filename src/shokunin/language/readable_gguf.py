"""Readable GGUF: a copy of a GGUF file in which what the engine's reader does not know is stored as Q8_0.

The reader knows F32, F16, Q4_0, Q4_1, Q8_0, Q4_K and Q6_K; mixes such as Q4_K_M of small models hold Q5_0 too. Q8_0 keeps 8
bits of each number in blocks of 32, finer than what it replaces: the largest error is 1/254 of the largest number of a block.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shokunin.errors import BaseModelError, MissingExtraError
from shokunin.language.gguf_header import GgufHeader

READ = frozenset({0, 1, 2, 3, 8, 12, 14})
"""Tensor types that the engine's reader knows, by their numbers in the format."""


def unreadable(header: GgufHeader) -> list[str]:
    """The tensors that the engine's reader does not know the type of."""
    return [name for name, kind in header.types.items() if kind not in READ]


def write_readable(path: Path, place: Path, name: str) -> None:
    """Write the copy to `place`, a new file.

    Raises:
        BaseModelError: a tensor cannot be converted.
        MissingExtraError: the library for GGUF is not installed.
    """
    try:
        import gguf
        from gguf.quants import dequantize, quantize
    except ModuleNotFoundError as error:
        raise MissingExtraError("gguf", "llm") from error
    q8_0 = gguf.GGMLQuantizationType.Q8_0
    reader = gguf.GGUFReader(path)
    writer = gguf.GGUFWriter(place, str(reader.fields["general.architecture"].contents()))
    for key, field in reader.fields.items():
        if not key.startswith("GGUF.") and key != "general.architecture":
            _copy(writer, key, field)
    try:
        for tensor in reader.tensors:
            data, kind = tensor.data, tensor.tensor_type
            if int(kind) not in READ:
                data, kind = quantize(dequantize(data, kind), q8_0), q8_0
            writer.add_tensor(tensor.name, data, raw_dtype=kind)
    except (NotImplementedError, ValueError) as error:
        raise BaseModelError(f"{name!r} holds a quantisation that cannot be converted here: {error}") from error
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _copy(writer: Any, key: str, field: Any) -> None:
    kinds = field.types
    writer.add_key_value(key, field.contents(), kinds[0], sub_type=kinds[-1] if len(kinds) > 1 else None)
