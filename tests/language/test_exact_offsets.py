"""Blocks of 4-bit numbers begin in the engine where the file says; of the types with such blocks both are compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from shokunin.files import sha256_of
from shokunin.language.decoder_names import from_gguf_rows
from shokunin.language.exact_offsets import Q4_1, Q4_K, steps
from shokunin.language.gguf_header import read_header
from shokunin.language.prepared import prepare_gguf
from shokunin.language.write_gguf import write_gguf
from tiny_decoder import tiny_decoder

gguf = pytest.importorskip("gguf")
openvino = pytest.importorskip("openvino")
pytest.importorskip("transformers")
WHOLE = {Q4_1: 20, Q4_K: 144}
"""Bytes of a block."""


@given(
    st.lists(
        st.tuples(st.floats(0, 8, width=16), st.floats(-60_000, 60_000, width=16)).filter(
            lambda o: o[0] == 0 or o[0] > 1e-4
        ),
        min_size=1,
    )
)
@example([(0.0, 1e-3), (0.0, -1e-3), (0.0, 1e-8), (0.0, 0.0), (0.0, 60_000.0)])
def test_a_block_is_the_same_with_zeros_in_place_of_offsets(blocks: list[tuple[float, float]]) -> None:
    scales, offsets = (np.array(one, np.float32) for one in zip(*blocks, strict=True))
    kept, zeros = steps(scales, offsets)
    assert np.isfinite(zeros).all()
    numbers = np.arange(16, dtype=np.float32)
    got = kept[:, None].astype(np.float32) * (numbers - zeros[:, None].astype(np.float32))
    wanted = scales[:, None] * numbers + offsets[:, None]
    close = np.abs(got - wanted) <= 1e-3 * (np.abs(offsets) + 15 * scales)[:, None] + 1e-6
    assert close.all()


@pytest.mark.parametrize("kind", [Q4_1, Q4_K])
@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_the_engine_has_the_numbers_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, kind: int
) -> None:
    from gguf.quants import dequantize

    monkeypatch.setenv("SHOKUNIN_CACHE", str(tmp_path / "cache"))
    file = four_bits(tmp_path, family, kind)
    ready = prepare_gguf(file, sha256_of(file), "tiny")
    core = openvino.Core()
    graph = core.read_model(str(ready.folder / "openvino_model.xml"))
    stored = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
    named = {node.get_friendly_name(): node for node in graph.get_ops()}
    for ours, theirs in (("self_attn.q_proj", "attn_q"), ("self_attn.k_proj", "attn_k"), ("mlp.gate_proj", "ffn_gate")):
        node = named[f"model.layers.1.{ours}"]
        weight = openvino.Model([node.input_value(1).get_node()], [], "weight")
        got = core.compile_model(weight, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})({})[0]
        tensor = stored[f"blk.1.{theirs}.weight"]
        wanted = dequantize(tensor.data, tensor.tensor_type).reshape(got.shape)
        heads = {"attn_q": 4, "attn_k": 2}.get(theirs)
        if heads and family == "llama":
            wanted = from_gguf_rows(wanted, heads)
        assert np.abs(got - wanted).max() < 2e-3 * np.abs(wanted).max()


def four_bits(place: Path, family: str, kind: int) -> Path:
    """A tiny model whose projections are blocks of this type, of numbers drawn at random with offsets off the steps."""
    plain, file = place / "plain.gguf", place / "model.gguf"
    folder = tiny_decoder(place / family, family, width=256)
    write_gguf(plain, load_file(folder / "model.safetensors"), folder, file_type="f16")
    reader = gguf.GGUFReader(plain)
    writer = gguf.GGUFWriter(file, family)
    for key, field in reader.fields.items():
        if not key.startswith("GGUF.") and key != "general.architecture":
            kinds: Any = field.types
            # The engine goes by what the file says of itself: 3 is mostly Q4_1, 15 mostly Q4_K.
            value = field.contents() if key != "general.file_type" else 3 if kind == Q4_1 else 15
            writer.add_key_value(key, value, kinds[0], sub_type=kinds[-1] if len(kinds) > 1 else None)
    random = np.random.default_rng(0)
    for tensor in reader.tensors:
        if tensor.name.startswith("blk.") and len(tensor.shape) == 2 and tensor.shape[0] % 256 == 0:
            count = int(np.prod(tensor.shape)) // (32 if kind == Q4_1 else 256)
            data = random.integers(0, 256, (count, WHOLE[kind]), np.uint8)
            data[:, :4] = (
                np.stack([random.uniform(0.01, 0.02, count), random.uniform(-0.2, -0.1, count)], 1)
                .astype(np.float16)
                .view(np.uint8)
            )
            if kind == Q4_K:  # its offsets are subtracted
                data[:, :4] = np.abs(data[:, :4].view(np.float16)).view(np.uint8)
            data = data.reshape(int(tensor.shape[1]), -1)
            writer.add_tensor(tensor.name, data, raw_dtype=gguf.GGMLQuantizationType(kind))
        else:
            writer.add_tensor(tensor.name, np.asarray(tensor.data), raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert kind in read_header(file).types.values()
    return file
