"""A TinyTimeMixer encoder as an ONNX graph, written straight from its tensors: no tracing, no torch.

Input `windows`, float32 (n, length); output `embedding`, float32 (n, width). A window shorter than the encoder's
context is preceded by its own mean; of a longer one the newest part counts.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from shokunin.series.mixer import SCALE_FLOOR, MixerShape, Tensors

OPSET = 18


def write_graph(shape: MixerShape, tensors: Tensors, length: int, out: Path) -> None:
    """Write the encoder for windows of `length` readings as the file `out`."""
    graph = _Graph(tensors)
    x = graph.scaled("windows", shape, length)
    if shape.resolutions:
        x = graph.op("Concat", x, axis=1, first=graph.resolution("windows", tensors))
    for at, finer in shape.blocks():
        if finer > 1:
            x = graph.op("Reshape", x, graph.ints([-1, shape.tokens * finer, shape.width // finer]))
        x = graph.mixed(x, f"{at}patch_mixer.", shape.eps, across=True)
        x = graph.mixed(x, f"{at}feature_mixer.", shape.eps, across=False)
        if finer > 1:
            x = graph.op("Reshape", x, graph.ints([-1, shape.tokens, shape.width]))
    graph.nodes.append(helper.make_node("ReduceMean", [x, graph.ints([1])], ["embedding"], keepdims=0))
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "series_encoder",
            [helper.make_tensor_value_info("windows", TensorProto.FLOAT, ["n", length])],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", shape.width])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=9,
    )
    onnx.checker.check_model(model)
    onnx.save(model, str(out))


class _Graph:
    """Nodes and constants so far; every method adds some and gives the name of the result."""

    def __init__(self, tensors: Tensors) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._tensors, self._named = tensors, set[str]()

    def op(self, kind: str, *inputs: str, first: str | None = None, **attributes: int | float | list[int]) -> str:
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [*([first] if first else []), *inputs], [name], **attributes))
        return name

    def constant(self, name: str, value: npt.NDArray[np.float32] | npt.NDArray[np.int64]) -> str:
        if name not in self._named:
            self._named.add(name)
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def ints(self, values: list[int]) -> str:
        return self.constant("ints_" + "_".join(map(str, values)), np.asarray(values, dtype=np.int64))

    def scaled(self, x: str, shape: MixerShape, length: int) -> str:
        """Patches (n, patches, width) of the window over its own mean and deviation."""
        centred = self.op("Sub", x, self.op("ReduceMean", x, self.ints([1]), keepdims=1))
        variance = self.op("ReduceMean", self.op("Mul", centred, centred), self.ints([1]), keepdims=1)
        floor = self.constant("scale_floor", np.asarray([SCALE_FLOOR], dtype=np.float32))
        x = self.op("Div", centred, self.op("Sqrt", self.op("Add", variance, floor)))
        if length < shape.context:
            x = self.op("Pad", x, self.ints([0, shape.context - length, 0, 0]))
        used = shape.patches * shape.patch
        start = max(length, shape.context) - used
        places = start + np.arange(used, dtype=np.int64).reshape(shape.patches, shape.patch)
        patches = self.op("Gather", x, self.constant("patches", places), axis=1)
        return self.linear(patches, "encoder.patcher")

    def resolution(self, x: str, tensors: Tensors) -> str:
        """The leading token (n, 1, width) of the resolution "not said"; the same for all windows."""
        from scipy.special import erf

        hidden = (
            tensors["encoder.freq_mod.0.weight"][0] @ tensors["encoder.freq_mod.1.weight"].T
            + tensors["encoder.freq_mod.1.bias"]
        )
        hidden = hidden * 0.5 * (1 + erf(hidden / np.sqrt(2)))
        token = hidden @ tensors["encoder.freq_mod.3.weight"].T + tensors["encoder.freq_mod.3.bias"]
        count = self.op("Slice", self.op("Shape", x), self.ints([0]), self.ints([1]))
        rest = self.constant("token_shape", np.asarray([1, len(token)], dtype=np.int64))
        value = self.constant("token", token.astype(np.float32)[None, None])
        return self.op("Expand", value, self.op("Concat", count, rest, axis=0))

    def mixed(self, x: str, at: str, eps: float, *, across: bool) -> str:
        """One mixer: along the features, or (transposed) across the patches."""
        norm = [self.tensor(f"{at}norm.norm.{end}") for end in ("weight", "bias")]
        y = self.op("LayerNormalization", x, *norm, axis=-1, epsilon=eps)
        if across:
            y = self.op("Transpose", y, perm=[0, 2, 1])
        y = self.linear(self.gelu(self.linear(y, f"{at}mlp.fc1")), f"{at}mlp.fc2")
        y = self.op("Mul", y, self.op("Softmax", self.linear(y, f"{at}gating_block.attn_layer"), axis=-1))
        if across:
            y = self.op("Transpose", y, perm=[0, 2, 1])
        return self.op("Add", y, x)

    def linear(self, x: str, name: str) -> str:
        weight = self.constant(f"{name}.weight", self._tensors[f"{name}.weight"].T)
        return self.op("Add", self.op("MatMul", x, weight), self.tensor(f"{name}.bias"))

    def gelu(self, x: str) -> str:
        root, one, half = (self.constant(f"number_{v}", np.asarray([v], dtype=np.float32)) for v in (2**0.5, 1.0, 0.5))
        wide = self.op("Add", self.op("Erf", self.op("Div", x, root)), one)
        return self.op("Mul", self.op("Mul", x, wide), half)

    def tensor(self, name: str) -> str:
        return self.constant(name, self._tensors[name])
