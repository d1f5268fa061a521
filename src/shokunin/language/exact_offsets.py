"""Exact offsets: blocks of 4-bit numbers that begin where the GGUF file says, not at the nearest whole step.

In Q4_1 and Q4_K a number is d·q + m, with q from 0 to 15 and a scale d and an offset m for each 32 of them. The engine's
reader of GGUF keeps d·(q − z) with z = −m/d rounded to a whole number (and cut to 4 bits), which doubles the error of the
quantisation: SmolLM2-135M gave "The" 0.41 where its file says 0.15. Here z becomes a float16 again; size and
speed stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shokunin.errors import BaseModelError
from shokunin.language.decoder_names import PERMUTED, checkpoint_name, from_gguf_rows
from shokunin.language.gguf_header import GgufHeader

Q4_1, Q4_K = 3, 12
"""Their numbers in the format: the types that have offsets, of those that the engine's reader knows."""
MOST_STEPS = 30_000
"""An offset is at most so many steps from zero, so that a float16 holds it; where a block's numbers are nearly the same, the
step is made larger, by a 2,000th of the offset over the whole block at most."""

LEAST_STEP = 2.0**-24
"""The smallest step that a float16 holds; a smaller one would be 0, and the block with it."""


def has_offsets(header: GgufHeader) -> bool:
    """Whether the file has blocks with offsets."""
    return any(kind in (Q4_1, Q4_K) for kind in header.types.values())


def set_exact_offsets(graph: Any, path: Path, header: GgufHeader, name: str) -> None:
    """Give every 4-bit weight of the graph that the engine's reader made of the file its exact offsets.

    Which tensor a weight is, is told by its scales: the reader keeps them as they are.

    Raises:
        BaseModelError: the graph has a weight whose scales are those of no tensor of the file.
    """
    from openvino import opset13

    known = {before.tobytes(): (scales, zeros) for before, scales, zeros in _blocks(path, header)}
    for node in graph.get_ops():
        if node.get_type_name() != "Multiply" or node.input_value(0).get_node().get_type_name() != "Subtract":
            continue
        shifted, scale = node.input_value(0).get_node(), node.input_value(1).get_node()
        if not _is_four_bits(shifted) or scale.get_type_name() != "Constant":
            continue
        shape = tuple(scale.get_output_shape(0))
        found = known.get(np.ascontiguousarray(scale.get_data(), np.float16).tobytes())
        if found is None and _symmetric(shifted):
            continue  # Q4_0: the zero of every block is 8
        if found is None:
            raise BaseModelError(f"the engine reads a 4-bit weight of {name!r} otherwise than the file has it")
        scales, zeros = (np.ascontiguousarray(one.reshape(shape)) for one in found)
        shifted.input(1).replace_source_output(opset13.constant(zeros).output(0))
        node.input(1).replace_source_output(opset13.constant(scales).output(0))


def steps(
    scales: npt.NDArray[np.float32], offsets: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float16]]:
    """Of blocks scale·q + offset the scales and zeros with which scale·(q − zero) is the same."""
    least = np.maximum(np.abs(offsets) / MOST_STEPS, LEAST_STEP)
    kept = np.where(np.abs(offsets) > MOST_STEPS * np.abs(scales), least, scales).astype(np.float16)
    safe = np.where(kept == 0, np.float32(1), kept.astype(np.float32))
    return kept, (-offsets / safe).astype(np.float16)


def _blocks(
    path: Path, header: GgufHeader
) -> Iterator[tuple[npt.NDArray[np.float16], npt.NDArray[np.float16], npt.NDArray[np.float16]]]:
    """Of each tensor with offsets the scales as the reader keeps them, and the scales and zeros to put there."""
    from gguf import GGUFReader

    heads = int(header.facts[f"{header.architecture}.attention.head_count"])
    kept = int(header.facts.get(f"{header.architecture}.attention.head_count_kv", heads))
    for tensor in GGUFReader(path).tensors:
        kind = int(tensor.tensor_type)
        if kind not in (Q4_1, Q4_K):
            continue
        scales, offsets = (_q4_1 if kind == Q4_1 else _q4_k)(np.asarray(tensor.data))
        rows = int(tensor.shape[1])
        long = checkpoint_name(tensor.name) or ""
        rotated = heads if ".q_proj." in long else kept if ".k_proj." in long else None
        if rotated is not None and header.architecture in PERMUTED:
            scales, offsets = (from_gguf_rows(one.reshape(rows, -1), rotated) for one in (scales, offsets))
        yield np.ascontiguousarray(scales.astype(np.float16)), *steps(scales, offsets)


def _q4_1(data: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Blocks of 32: scale, offset, sixteen bytes of numbers."""
    heads = np.ascontiguousarray(data.reshape(-1, 20)[:, :4]).view(np.float16).astype(np.float32)
    return heads[:, 0], heads[:, 1]


def _q4_k(data: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Blocks of 256: scale and offset of their eight scales and offsets, those in 6 bits each, the numbers."""
    from gguf import quants

    blocks = data.reshape(-1, 144)
    heads = np.ascontiguousarray(blocks[:, :4]).view(np.float16).astype(np.float32)
    scales, least = quants.Q4_K.get_scale_min(np.ascontiguousarray(blocks[:, 4:16]))
    return (
        (heads[:, :1] * scales.astype(np.float32)).reshape(-1),
        (-heads[:, 1:] * least.astype(np.float32)).reshape(-1),
    )


def _is_four_bits(shifted: Any) -> bool:
    numbers = shifted.input_value(0).get_node()
    if numbers.get_type_name() != "Convert":
        return False
    constant = numbers.input_value(0).get_node()
    return bool(constant.get_type_name() == "Constant" and constant.get_element_type().get_type_name() == "u4")


def _symmetric(shifted: Any) -> bool:
    """Whether the zero of every block is 8."""
    constant = shifted.input_value(1).get_node().input_value(0).get_node()
    packed = np.asarray(constant.get_data())
    return bool((packed == 8).all())
