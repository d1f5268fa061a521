"""The format `onnx_text`: a folder with a tokenizer, an ONNX graph and how to use them; and the checks before anything
is loaded.

```
tokenizer.json     a fast tokenizer
model.onnx         input_ids, attention_mask -> log_scores (or embedding)
onnx_text.json     max_length, pad_id, outputs, one_by_one, pooling, base (name, licence, digest)
```
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from shokunin.encoders.graph import FUSED, INPUTS
from shokunin.errors import ArtefactError
from shokunin.files import read_json, write_json

FORMAT_VERSION = 1
TOKENIZER, GRAPH, ABOUT = "tokenizer.json", "model.onnx", "onnx_text.json"
DOMAINS = frozenset({"", "ai.onnx", FUSED})


@dataclass(frozen=True)
class OnnxText:
    """What `onnx_text.json` says.

    Attributes:
        max_length: the most tokens of a text that are read, special tokens included.
        pad_id: the token that fills shorter rows of a batch.
        outputs: numbers a text: k labels, or the embedding's width.
        one_by_one: run every text alone, because the numbers of a row would depend on its neighbours in a batch.
        pooling: `mean` or `cls`, for the record.
        precision: `float32`, `int8` …, for the record.
        base: facts of the base model.
    """

    max_length: int
    pad_id: int
    outputs: int
    one_by_one: bool
    pooling: str
    precision: str
    base: dict[str, Any]


def write_about(folder: Path, about: OnnxText) -> None:
    """Write `onnx_text.json` into `folder`."""
    write_json(folder / ABOUT, {"format": FORMAT_VERSION, **vars(about)})


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy the tokenizer of a model folder."""
    shutil.copyfile(source / TOKENIZER, folder / TOKENIZER)


def read_about(folder: Path) -> OnnxText:
    """What `onnx_text.json` in `folder` says.

    Raises:
        ArtefactError: it is missing, garbled or of another format.
    """
    path = folder / ABOUT
    value = read_json(path)
    if not isinstance(value, dict) or value.get("format") != FORMAT_VERSION:
        raise ArtefactError(f"{str(path)!r} is not of format {FORMAT_VERSION}; update shokunin to read it")
    try:
        about = OnnxText(**{k: v for k, v in value.items() if k != "format"})
        whole = all(type(n) is int for n in (about.max_length, about.pad_id, about.outputs))
        if (
            not whole
            or about.max_length < 1
            or about.outputs < 1
            or about.pad_id < 0
            or type(about.one_by_one) is not bool
        ):
            raise ValueError("a number out of range")
    except (TypeError, ValueError) as error:
        raise ArtefactError(f"{str(path)!r} is garbled ({error}); restore the folder from a copy") from error
    return about


def check_graph(path: Path, outputs: int) -> str:
    """The output's name, once `read_graph` has found nothing wrong."""
    return str(read_graph(path, outputs).graph.output[0].name)


def read_graph(path: Path, outputs: int, *, axes: int = 2) -> onnx.ModelProto:
    """The ONNX file, checked: it can be loaded safely and has the expected inputs and one output of `outputs` columns.

    The output has `axes` axes: two, or three for numbers of every token.

    Raises:
        ArtefactError: it is missing or damaged, keeps data outside itself, uses operators of an unknown domain, or has
            other ends.
    """
    try:
        model = onnx.load_model(str(path), load_external_data=False)
    except FileNotFoundError as error:
        raise ArtefactError(f"{str(path)!r} is missing; restore the folder from a copy") from error
    except Exception as error:  # protobuf's own errors have no common public base
        raise ArtefactError(f"{str(path)!r} is not a readable ONNX file: {error}") from error
    for graph in _graphs(model.graph):
        for tensor in graph.initializer:
            _check_tensor(tensor, path)
        for sparse in graph.sparse_initializer:
            _check_tensor(sparse.values, path)
            _check_tensor(sparse.indices, path)
        for node in graph.node:
            if node.domain not in DOMAINS:
                raise ArtefactError(
                    f"{str(path)!r} uses operator {node.op_type!r} of the unknown domain {node.domain!r}; "
                    "it is not loaded"
                )
            for attribute in node.attribute:
                for tensor in (attribute.t, *attribute.tensors):
                    _check_tensor(tensor, path)
    if model.functions or any(o.domain not in DOMAINS for o in model.opset_import):
        raise ArtefactError(f"{str(path)!r} defines or imports operators of its own; it is not loaded")
    constants = {t.name for t in model.graph.initializer}
    inputs = sorted(i.name for i in model.graph.input if i.name not in constants)
    ends = list(model.graph.output)
    columns = [d.dim_value for d in ends[0].type.tensor_type.shape.dim] if ends else []
    if inputs != sorted(INPUTS) or len(ends) != 1 or len(columns) != axes or columns[-1] != outputs:
        what = "a text" if axes == 2 else "a token"
        raise ArtefactError(
            f"{str(path)!r} does not take {', '.join(INPUTS)} and give {outputs} numbers {what}; restore it from a copy"
        )
    return model


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)
            for inner in attribute.graphs:
                yield from _graphs(inner)


def _check_tensor(tensor: onnx.TensorProto, path: Path) -> None:
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise ArtefactError(
            f"{str(path)!r} keeps the tensor {tensor.name!r} in another file; only graphs in one file are loaded"
        )
