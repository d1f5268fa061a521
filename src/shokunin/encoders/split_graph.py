"""A graph in two: the encoder, which many specialists have in common, and the linear head that is each one's own.

A specialist's file holds both. They are told apart when it is opened, by what `write_encoder` puts last: one linear layer
and a log-softmax, or for a bare encoder an identity. Run one after the other the two halves give the same numbers as the
whole, bit for bit. A graph that ends in another way is one piece.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import onnx
from onnx import TensorProto, helper

HEAD = "head"


@dataclass(frozen=True)
class SplitGraph:
    """The two halves.

    Attributes:
        encoder: what turns tokens into numbers; the whole graph, if it has no head.
        digest: SHA-256 that stands for everything in `encoder`.
        width: numbers a text that the encoder gives.
        head: the ONNX file of what turns these numbers into log-scores, or None.
    """

    encoder: onnx.ModelProto
    digest: str
    width: int
    head: bytes | None


def split_graph(model: onnx.ModelProto) -> SplitGraph:
    """Take a checked graph apart; `model` is changed."""
    graph = model.graph
    width = graph.output[0].type.tensor_type.shape.dim[1].dim_value
    head = None
    inner = _inner_width(graph)
    if inner is not None:
        head, width = _cut(model, inner), inner
    elif _ends_in_identity(graph):  # then a bare encoder is the same as the one below a head
        embedding = graph.node.pop().input[0]
        graph.output[0].name = embedding
    return SplitGraph(model, digest_of(model), width, head)


def digest_of(model: onnx.ModelProto) -> str:
    """SHA-256 over every field; piece by piece, which takes half the time of writing a large graph as one."""
    digest = hashlib.sha256()
    for message, leave in ((model, "graph"), (model.graph, "")):
        for field, value in message.ListFields():
            if field.name == leave:
                continue
            single = isinstance(value, (str, bytes, int)) or hasattr(value, "ListFields")
            parts = [value] if single else list(value)
            for part in (field.name, len(parts), *parts):
                write = getattr(part, "SerializeToString", None)
                content = repr(part).encode() if write is None else write(deterministic=True)
                digest.update(b"%d " % len(content))
                digest.update(content)
    return digest.hexdigest()


def _inner_width(graph: onnx.GraphProto) -> int | None:
    """The width of what goes into the linear layer, if the graph ends in one with a log-softmax on it."""
    if len(graph.node) < 3:
        return None
    linear, last = graph.node[-2:]
    constants = {t.name: t for t in graph.initializer}
    ends_so = (
        (linear.op_type, linear.domain, last.op_type, last.domain) == ("Gemm", "", "LogSoftmax", "")
        and list(last.input) == list(linear.output)
        and list(last.output) == [graph.output[0].name]
        and len(linear.input) == 3
        and linear.input[0] not in constants
        and all(name in constants for name in linear.input[1:])
        and {a.name: a.i for a in linear.attribute} == {"transB": 1}
    )
    used_elsewhere = {name for node in graph.node[:-2] for name in node.input}
    if not ends_so or used_elsewhere & {*linear.input[1:], *linear.output}:
        return None
    dims = constants[linear.input[1]].dims
    return int(dims[1]) if len(dims) == 2 else None


def _ends_in_identity(graph: onnx.GraphProto) -> bool:
    last = graph.node[-1] if len(graph.node) > 1 else None
    return (
        last is not None
        and (last.op_type, last.domain) == ("Identity", "")
        and list(last.output) == [graph.output[0].name]
        and any(last.input[0] in node.output for node in graph.node[:-1])
    )


def _cut(model: onnx.ModelProto, width: int) -> bytes:
    """Take the last two nodes out of the graph, which then ends in the embedding; they are a graph of their own."""
    graph = model.graph
    nodes = list(graph.node[-2:])
    own = set(nodes[0].input[1:])
    between = helper.make_tensor_value_info(nodes[0].input[0], TensorProto.FLOAT, ["n", width])
    weights = [t for t in graph.initializer if t.name in own]
    top = helper.make_graph(nodes, HEAD, [between], list(graph.output), weights)
    head = helper.make_model(top, opset_imports=model.opset_import, ir_version=model.ir_version).SerializeToString()
    del graph.node[-2:], graph.output[:]
    for place in reversed(range(len(graph.initializer))):
        if graph.initializer[place].name in own:
            del graph.initializer[place]
    graph.output.append(between)
    return bytes(head)
