"""integer: eight-bit weights for an `onnx_text` graph: a quarter of the size and two to three times the speed.

Matrices are kept as int8 with one scale an output channel and multiplied in integers, activations being scaled as they
come (Jacob et al., arXiv 1712.05877; the operators are ONNX Runtime's own). The word table is kept as int8 with one
scale a word. The head stays float32.

An activation scale covers everything that is multiplied at once, so in a batch rows would change each other. Such
weights therefore say `one_by_one`, and the engine runs every text alone; without a batch there is no padding either.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from pydantic import BaseModel, ConfigDict, Field

from shokunin.encoders.graph import FUSED
from shokunin.encoders.onnx_text import GRAPH, check_graph, copy_tokenizer, read_about, write_about
from shokunin.errors import ArtefactError, UsageError
from shokunin.forms import Lessons
from shokunin.weights import Weights

FORMATS: tuple[str, ...] = ("onnx_text",)


class Options(BaseModel):
    """What the owner may choose."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reduce_range: bool = Field(
        True, description="seven of the eight bits: exact on processors without VNNI, which overflow on eight"
    )
    word_table: bool = Field(True, description="keep the word table in int8 too")


def shrink(weights: Weights, lessons: Lessons, options: BaseModel, folder: Path) -> Weights:
    """Write the weights in int8 into `folder`; `lessons` are not needed, since scales are taken from what is run.

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
    count = _Rewriter(model, chosen).rewrite()
    if count == 0:
        raise ArtefactError(
            f"{str(weights.folder / GRAPH)!r} has no matrix to compress; was it written by this program?"
        )
    onnx.save(model, str(folder / GRAPH))
    copy_tokenizer(weights.folder, folder)
    write_about(folder, replace(about, one_by_one=True, precision="int8"))
    facts = {**weights.facts, "precision": "int8", "compressor": "integer", "compressor_options": chosen.model_dump()}
    return Weights(folder, weights.form, weights.format, exact=False, facts=facts)


class _Rewriter:
    """Goes through the nodes once; what is not a large constant matrix stays as it is."""

    def __init__(self, model: onnx.ModelProto, options: Options) -> None:
        self.graph, self.options = model.graph, options
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
                self.nodes.append(self._product(node.input[0], node.input[1], matrix, node.output[0]))
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

    def _product(self, value: str, name: str, matrix: npt.NDArray[np.float32], output: str) -> onnx.NodeProto:
        numbers, scales = _quantised(matrix, axis=0, largest=64 if self.options.reduce_range else 127)
        inputs = [value, self._constant(f"{name}.int8", numbers), self._constant(f"{name}.scale", scales.ravel())]
        return helper.make_node("DynamicQuantizeMatMul", inputs, [output], name=output, domain=FUSED)

    def _attention(self, node: onnx.NodeProto, matrix: npt.NDArray[np.float32]) -> None:
        """One product for query, key and value, then attention proper in float32."""
        name = node.output[0]
        inputs = [*node.input, *[""] * (6 - len(node.input))]
        width = matrix.shape[1] // 3
        parts = [f"{name}.{part}" for part in ("query", "key", "value")]
        sizes = self._constant(f"sizes_{width}", np.array([width] * 3, np.int64))
        heads = {a.name: a for a in node.attribute}["num_heads"].i
        self.nodes += [
            self._product(inputs[0], inputs[1], matrix, f"{name}.packed"),
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
