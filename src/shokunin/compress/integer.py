"""integer: eight-bit weights for an `onnx_text` graph: a quarter of the size, a single answer in about a third of the time.

Matrices are kept as int8 with one scale an output channel and multiplied in integers, activations being scaled as they
come (Jacob et al., arXiv 1712.05877; the operators are ONNX Runtime's own). The word table is kept as int8 with one
scale a word. The head stays float32.

Some channels of the activations are far larger than the rest and would eat the scale. What is multiplied is therefore
evened out first, as lessons show it: large channels are divided down and the matrix multiplied up in return (SmoothQuant,
Xiao et al., arXiv 2211.10438). On all-MiniLM-L6-v2 that cuts the error of the embedding, 1 - cosine, by two thirds.

An activation scale covers everything that is multiplied at once, so in a batch rows would change each other. Such
weights therefore say `one_by_one`, and the engine runs every text alone; without a batch there is no padding either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from pydantic import BaseModel, ConfigDict, Field

from shokunin.encoders.graph import FUSED
from shokunin.encoders.onnx_text import GRAPH, OnnxText, check_graph, copy_tokenizer, read_about, write_about
from shokunin.encoders.text_runner import TextRunner, padded
from shokunin.errors import ArtefactError, UsageError
from shokunin.forms import TextLessons
from shokunin.weights import Weights

FORMATS: tuple[str, ...] = ("onnx_text",)
TEXTS_TO_LOOK_AT = 128
Reach = dict[str, npt.NDArray[np.float32]]
"""The largest absolute value of each channel, by the name of what goes into a matrix."""


class Options(BaseModel):
    """What the owner may choose."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reduce_range: bool = Field(
        True, description="seven of the eight bits: exact on processors without VNNI, which overflow on eight"
    )
    smoothing: float = Field(
        0.8, ge=0, le=1, description="how much of the activations' unevenness goes into the matrices; 0: none"
    )
    word_table: bool = Field(True, description="keep the word table in int8 too")


def shrink(weights: Weights, lessons: TextLessons, options: BaseModel, folder: Path) -> Weights:
    """Write the weights in int8 into `folder`; some lessons' texts show which activations are large.

    Raises:
        UsageError: the weights are of another format, or int8 already.
        ArtefactError: their files are damaged.
    """
    chosen = cast(Options, options)
    if weights.format not in FORMATS:
        raise UsageError(f"integer compresses weights of format {', '.join(FORMATS)}, not {weights.format!r}")
    about = read_about(weights.folder)
    if about.precision != "float32":
        raise UsageError(f"these weights are {about.precision} already; compress the float32 ones")
    check_graph(weights.folder / GRAPH, about.outputs)
    model = onnx.load_model(str(weights.folder / GRAPH), load_external_data=False)
    reach = _reach(model, weights.folder, about, lessons.texts) if chosen.smoothing and len(lessons) else {}
    count = _Rewriter(model, chosen, reach).rewrite()
    if count == 0:
        raise ArtefactError(
            f"{str(weights.folder / GRAPH)!r} has no matrix to compress; was it written by this program?"
        )
    onnx.save(model, str(folder / GRAPH))
    copy_tokenizer(weights.folder, folder)
    write_about(folder, replace(about, one_by_one=True, precision="int8"))
    facts = {**weights.facts, "precision": "int8", "compressor": "integer", "compressor_options": chosen.model_dump()}
    return Weights(folder, weights.form, weights.format, exact=False, facts=facts)


def _reach(model: onnx.ModelProto, folder: Path, about: OnnxText, texts: Sequence[str]) -> Reach:
    """The largest absolute value of every channel that goes into a matrix, over some of the texts."""
    constants = {t.name for t in model.graph.initializer}
    products = [n for n in model.graph.node if n.op_type in ("MatMul", "Attention") and n.input[1] in constants]
    names = sorted({n.input[0] for n in products})
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = onnxruntime.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
    reach: Reach = {}
    some = texts[:: max(1, len(texts) // TEXTS_TO_LOOK_AT)][:TEXTS_TO_LOOK_AT]
    for ids in TextRunner(folder, about, threads=1).tokenise(some):
        input_ids, mask = padded([ids], about.pad_id)
        for name, value in zip(
            names, session.run(names, {"input_ids": input_ids, "attention_mask": mask}), strict=True
        ):
            largest = np.abs(value).max(axis=(0, 1))
            reach[name] = np.maximum(reach.get(name, largest), largest)
    return reach


class _Rewriter:
    """Goes through the nodes once; what is not a large constant matrix stays as it is."""

    def __init__(self, model: onnx.ModelProto, options: Options, reach: Reach) -> None:
        self.graph, self.options, self.reach = model.graph, options, reach
        self.constants = {t.name: t for t in model.graph.initializer}
        self.nodes: list[onnx.NodeProto] = []
        self.added: dict[str, onnx.TensorProto] = {}

    def rewrite(self) -> int:
        """Rewrite the graph in place; gives how many nodes were changed."""
        changed = 0
        for node in self.graph.node:
            matrix = self._matrix(node)
            if matrix is None:
                self.nodes.append(node)
                continue
            changed += 1
            if node.op_type == "MatMul":
                self._product(node.input[0], node.input[1], matrix, node.output[0])
            elif node.op_type == "Attention":
                self._attention(node, matrix)
            else:
                self._words(node, matrix)
        used = {name for node in self.nodes for name in node.input}
        kept = [t for t in [*self.graph.initializer, *self.added.values()] if t.name in used]
        del self.graph.node[:], self.graph.initializer[:]
        self.graph.node.extend(self.nodes)
        self.graph.initializer.extend(kept)
        return changed

    def _matrix(self, node: onnx.NodeProto) -> npt.NDArray[np.float32] | None:
        """The constant matrix that the node multiplies by or looks words up in, if it is one to compress."""
        if node.op_type == "Gather":
            place = 0 if self.options.word_table and list(node.input[1:2]) == ["input_ids"] else -1
        else:
            place = {("MatMul", ""): 1, ("Attention", FUSED): 1}.get((node.op_type, node.domain), -1)
        tensor = self.constants.get(node.input[place]) if place >= 0 else None
        if tensor is None or tensor.data_type != TensorProto.FLOAT or len(tensor.dims) != 2:
            return None
        return np.asarray(numpy_helper.to_array(tensor), np.float32)

    def _product(self, value: str, name: str, matrix: npt.NDArray[np.float32], output: str) -> None:
        value, matrix = self._evened_out(value, name, matrix)
        numbers, scales = _quantised(matrix, axis=0, largest=64 if self.options.reduce_range else 127)
        inputs = [value, self._constant(f"{name}.int8", numbers), self._constant(f"{name}.scale", scales.ravel())]
        self.nodes.append(helper.make_node("DynamicQuantizeMatMul", inputs, [output], name=output, domain=FUSED))

    def _evened_out(
        self, value: str, name: str, matrix: npt.NDArray[np.float32]
    ) -> tuple[str, npt.NDArray[np.float32]]:
        """What is multiplied divided by a factor a channel, and the matrix multiplied by it: the same product."""
        if value not in self.reach:
            return value, matrix
        large = np.maximum(self.reach[value], 1e-5) ** self.options.smoothing
        factor = large / np.maximum(np.abs(matrix).max(axis=1), 1e-5) ** (1 - self.options.smoothing)
        factor = np.asarray(factor / np.exp(np.log(factor).mean()), np.float32)
        even = f"{name}.input"
        inputs = [value, self._constant(f"{name}.factor", np.float32(1) / factor)]
        self.nodes.append(helper.make_node("Mul", inputs, [even], name=even))
        return even, matrix * factor[:, None]

    def _attention(self, node: onnx.NodeProto, matrix: npt.NDArray[np.float32]) -> None:
        """One product for query, key and value, then attention proper in float32."""
        name = node.output[0]
        inputs = [*node.input, *[""] * (6 - len(node.input))]
        width = matrix.shape[1] // 3
        parts = [f"{name}.{part}" for part in ("query", "key", "value")]
        sizes = self._constant(f"sizes_{width}", np.array([width] * 3, np.int64))
        heads = {a.name: a for a in node.attribute}["num_heads"].i
        self._product(inputs[0], inputs[1], matrix, f"{name}.packed")
        self.nodes += [
            helper.make_node("Split", [f"{name}.packed", sizes], parts, name=f"{name}.split", axis=2),
            helper.make_node(
                "MultiHeadAttention",
                [*parts, inputs[2], inputs[3], inputs[5]],
                [name],
                name=name,
                domain=FUSED,
                num_heads=heads,
            ),
        ]

    def _words(self, node: onnx.NodeProto, matrix: npt.NDArray[np.float32]) -> None:
        name, ids = node.output[0], node.input[1]
        numbers, scales = _quantised(matrix, axis=1, largest=127)
        table = self._constant(f"{node.input[0]}.int8", numbers)
        scale = self._constant(f"{node.input[0]}.scale", scales)
        self.nodes += [
            helper.make_node("Gather", [table, ids], [f"{name}.int8"], name=f"{name}.int8"),
            helper.make_node("Cast", [f"{name}.int8"], [f"{name}.float"], name=f"{name}.float", to=TensorProto.FLOAT),
            helper.make_node("Gather", [scale, ids], [f"{name}.scale"], name=f"{name}.scale"),
            helper.make_node("Mul", [f"{name}.float", f"{name}.scale"], [name], name=name),
        ]

    def _constant(self, name: str, value: npt.NDArray[np.generic]) -> str:
        self.added[name] = numpy_helper.from_array(np.array(value, order="C"), name)
        return name


def _quantised(
    matrix: npt.NDArray[np.float32], axis: int, largest: int
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Whole numbers from -largest to largest, and the scale (kept along `axis` as 1) that turns them back."""
    scales = np.abs(matrix).max(axis=axis, keepdims=True) / np.float32(largest)
    scales = np.where(scales > 0, scales, np.float32(1)).astype(np.float32)
    return np.rint(matrix / scales).astype(np.int8), scales
