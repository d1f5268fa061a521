"""An encoder as an ONNX graph, written straight from its tensors: no tracing, no torch.

Writing the graph by hand avoids what tracing gets wrong (a dropped attention mask, a frozen batch size) and gives ONNX
Runtime the fused operators that it would otherwise have to guess. What is written is tested on padded batches against
the reference implementation.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from shokunin.encoders.architecture import Shape, Tensors, read_shape, read_tensors, relative_buckets
from shokunin.errors import BaseModelError

Pooling = Literal["mean", "cls"]
Head = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""A linear layer on the embedding: W of shape (k, d) and b of shape (k,)."""

FUSED = "com.microsoft"
"""The domain of ONNX Runtime's own operators, part of every build of it."""
GRAPH_VERSION = 1
"""Raised whenever the same tensors give another graph, so that no old cached one is used."""
OPSET = 18
LARGEST = (2 << 30) - (32 << 20)
"""What one ONNX file can hold."""
INPUTS = ("input_ids", "attention_mask")


def write_encoder(
    folder: Path,
    out: Path,
    *,
    pooling: Pooling = "mean",
    normalise: bool = True,
    head: Head | None = None,
    tensors: Tensors | None = None,
) -> None:
    """Write the encoder in the model folder `folder` as the ONNX file `out`.

    Inputs `input_ids` and `attention_mask`, both int64 of shape (n, t). One output: `embedding`, float32 (n, d), or
    with a `head` `log_scores`, float32 (n, k), log-probabilities.

    Args:
        folder: holds `config.json` and, unless `tensors` is given, `model.safetensors`.
        out: the file to write.
        pooling: how token vectors become one: their mean, or the first one.
        normalise: scale embeddings to length 1 (before the head, if any).
        head: a linear layer to put on top.
        tensors: the encoder's tensors, if they differ from the folder's (after training).

    Raises:
        BaseModelError: the folder is not an encoder that this release can write.
    """
    write, hidden = _begun(folder, tensors)
    shape = write.shape
    pooled = write.pooled(hidden, pooling)
    if normalise:
        pooled = write.unit_length(pooled)
    width = shape.width
    if head is None:
        name = write.node("Identity", [pooled], output="embedding")
    else:
        weight, bias = head
        width = len(bias)
        if weight.shape != (width, shape.width):
            raise ValueError(f"a head of shape {weight.shape} does not fit {width} labels and width {shape.width}")
        ends = [write.constant("head.weight", weight), write.constant("head.bias", bias)]
        scores = write.node("Gemm", [pooled, *ends], transB=1)
        name = write.node("LogSoftmax", [scores], axis=1, output="log_scores")
    _save(write, folder, out, name, ["n", width])


def write_token_encoder(folder: Path, out: Path, head: Head, *, tensors: Tensors | None = None) -> None:
    """Write the encoder in `folder` as the ONNX file `out` with a linear layer on every token.

    Inputs as of `write_encoder`. One output: `token_scores`, float32 (n, t, k); what stands for padding means nothing.

    Args:
        folder: holds `config.json` and, unless `tensors` is given, `model.safetensors`.
        out: the file to write.
        head: W of shape (k, d) and b of shape (k,).
        tensors: the encoder's tensors, if they differ from the folder's (after training).

    Raises:
        BaseModelError: the folder is not an encoder that this release can write.
    """
    write, hidden = _begun(folder, tensors)
    weight, bias = head
    if weight.shape != (len(bias), write.shape.width):
        raise ValueError(
            f"a head of shape {weight.shape} does not fit {len(bias)} scores and width {write.shape.width}"
        )
    scores = write.node("MatMul", [hidden, write.constant("head.weight", weight.T)])
    name = write.node("Add", [scores, write.constant("head.bias", bias)], output="token_scores")
    _save(write, folder, out, name, ["n", "t", len(bias)])


def _begun(folder: Path, tensors: Tensors | None) -> tuple[_Writer, str]:
    """A writer that has written all layers, and the name of their result, of shape (n, t, d)."""
    shape = read_shape(folder)
    write = _Writer(shape, read_tensors(folder, shape) if tensors is None else tensors)
    try:
        return write, write.layers(write.embeddings())
    except KeyError as error:
        raise BaseModelError(f"the encoder in {str(folder)!r} lacks the tensor {error}") from error


def _save(write: _Writer, folder: Path, out: Path, name: str, dims: list[str | int]) -> None:
    """Write the graph whose output is `name`, of shape `dims`."""
    size = sum(len(tensor.raw_data) for tensor in write.constants.values())
    if size > LARGEST:
        raise BaseModelError(
            f"the encoder in {str(folder)!r} has {size >> 20} MB in float32; at most {LARGEST >> 20} MB fit a graph"
        )
    onnx.save(write.model(name, dims), str(out))


class _Writer:
    """Collects nodes and constants; each method adds one part and returns the name of its result."""

    def __init__(self, shape: Shape, tensors: Tensors) -> None:
        self.shape, self.tensors = shape, tensors
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.bias = ""  # the relative-position bias, where the family has one
        self.mask = self.node("Cast", ["attention_mask"], to=TensorProto.INT32)
        self.weights_of_tokens = self.node("Cast", ["attention_mask"], to=TensorProto.FLOAT)

    def node(self, op: str, inputs: Sequence[str], *, domain: str = "", output: str = "", **attributes: Any) -> str:
        name = output or f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, domain=domain, **attributes))
        return name

    def constant(self, name: str, value: npt.NDArray[Any]) -> str:
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.array(value, order="C"), name)
        return name

    def ints(self, *values: int) -> str:
        return self.constant(f"ints_{'_'.join(map(str, values))}", np.array(values, np.int64))

    def tensor(self, name: str) -> str:
        return self.constant(name, self.tensors[name])

    def embeddings(self) -> str:
        """Word and position vectors, summed and normed; shape (n, t, d)."""
        family, pad = self.shape.family, self.shape.pad_id
        words = self.node("Gather", [self.tensor("embeddings.word_embeddings.weight"), "input_ids"])
        table = self.tensors["embeddings.position_embeddings.weight"]
        if family.token_types:  # every token is of type 0, so its vector can be added once and for all
            table = table + self.tensors["embeddings.token_type_embeddings.weight"][0]
        if family.positions == "from_padding":
            count = self.node("CumSum", ["attention_mask", self.constant("axis_1", np.array(1, np.int64))])
            places = self.node("Add", [self.node("Mul", [count, "attention_mask"]), self.ints(pad)])
            positions = self.node("Gather", [self.constant("positions", table), places])
        else:
            length = self.node("Shape", ["input_ids"], start=1, end=2)
            positions = self.node("Slice", [self.constant("positions", table), self.ints(0), length, self.ints(0)])
        if family.relative_bias:
            self.bias = self.relative_bias()
        return self.norm(self.node("Add", [words, positions]), "embeddings.LayerNorm")

    def relative_bias(self) -> str:
        """What is added to every attention score, by the distance between two tokens; shape (1, heads, t, t)."""
        longest = self.shape.max_length
        buckets = relative_buckets(np.arange(-longest + 1, longest), self.shape.relative_buckets)
        by_distance = self.tensors["encoder.relative_attention_bias.weight"][buckets]
        length = self.node("Squeeze", [self.node("Shape", ["input_ids"], start=1, end=2), self.ints(0)])
        zero, one = (self.constant(f"scalar_{i}", np.array(i, np.int64)) for i in (0, 1))
        here = self.node("Range", [zero, length, one])
        distance = self.node(
            "Sub", [self.node("Unsqueeze", [here, self.ints(0)]), self.node("Unsqueeze", [here, self.ints(1)])]
        )
        row = self.node("Add", [distance, self.ints(longest - 1)])
        bias = self.node("Gather", [self.constant("bias_by_distance", by_distance), row])
        return self.node("Unsqueeze", [self.node("Transpose", [bias], perm=[2, 0, 1]), self.ints(0)])

    def layers(self, hidden: str) -> str:
        """All transformer layers, on hidden states of shape (n, t, d)."""
        query, key, value, out, out_norm, up, down, down_norm = self.shape.family.parts
        for number in range(self.shape.layers):
            at = self.shape.family.layer.format(number)
            packed = [self.tensors[f"{at}{part}.weight"].T for part in (query, key, value)]
            biases = [self.tensors[f"{at}{part}.bias"] for part in (query, key, value)]
            inputs = [
                hidden,
                self.constant(f"{at}qkv.weight", np.concatenate(packed, axis=1)),
                self.constant(f"{at}qkv.bias", np.concatenate(biases)),
                self.mask,
            ]
            if self.bias:
                inputs += ["", self.bias]
            context = self.node("Attention", inputs, domain=FUSED, num_heads=self.shape.heads)
            hidden = self.add_and_norm(self.matmul(context, at + out), hidden, at + out, at + out_norm)
            wide = self.activation(self.matmul(hidden, at + up), self.tensor(f"{at}{up}.bias"))
            hidden = self.add_and_norm(self.matmul(wide, at + down), hidden, at + down, at + down_norm)
        return hidden

    def matmul(self, value: str, part: str) -> str:
        return self.node("MatMul", [value, self.constant(f"{part}.weight", self.tensors[f"{part}.weight"].T)])

    def activation(self, value: str, bias: str) -> str:
        if self.shape.activation == "gelu":
            return self.node("BiasGelu", [value, bias], domain=FUSED)
        if self.shape.activation == "gelu_tanh":
            return self.node("FastGelu", [value, bias], domain=FUSED)
        return self.node("Relu", [self.node("Add", [value, bias])])

    def norm(self, value: str, part: str) -> str:
        ends = [self.tensor(f"{part}.weight"), self.tensor(f"{part}.bias")]
        return self.node("LayerNormalization", [value, *ends], epsilon=self.shape.eps)

    def add_and_norm(self, value: str, skip: str, bias_of: str, norm: str) -> str:
        ends = [self.tensor(f"{norm}.weight"), self.tensor(f"{norm}.bias"), self.tensor(f"{bias_of}.bias")]
        return self.node("SkipLayerNormalization", [value, skip, *ends], domain=FUSED, epsilon=self.shape.eps)

    def pooled(self, hidden: str, pooling: Pooling) -> str:
        """One vector a text, padding left out; shape (n, d)."""
        if pooling == "cls":
            return self.node("Gather", [hidden, self.constant("scalar_0", np.array(0, np.int64))], axis=1)
        row = self.node("Unsqueeze", [self.weights_of_tokens, self.ints(1)])
        total = self.node("Squeeze", [self.node("MatMul", [row, hidden]), self.ints(1)])
        return self.node("Div", [total, self.node("ReduceSum", [self.weights_of_tokens, self.ints(1)], keepdims=1)])

    def unit_length(self, value: str) -> str:
        length = self.node("ReduceL2", [value, self.ints(1)], keepdims=1)
        return self.node("Div", [value, self.node("Max", [length, self.constant("tiny", np.array(1e-12, np.float32))])])

    def model(self, output: str, dims: list[str | int]) -> onnx.ModelProto:
        inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "t"]) for name in INPUTS]
        outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, dims)]
        graph = helper.make_graph(self.nodes, "encoder", inputs, outputs, list(self.constants.values()))
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(FUSED, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9, producer_name="shokunin")
