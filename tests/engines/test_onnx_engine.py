from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from shokunin.encoders.graph import write_encoder
from shokunin.encoders.onnx_text import OnnxText, check_graph, copy_tokenizer, write_about
from shokunin.encoders.tiny_model import write_tiny_model
from shokunin.engines.onnx import load
from shokunin.errors import ArtefactError
from shokunin.weights import Weights

TEXTS = ["where is my card", "x", "", "lost, lost, lost", "where is my card", "かーど"]


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    base, folder = tmp_path / "base", tmp_path / "weights"
    base.mkdir()
    folder.mkdir()
    write_tiny_model(base)
    random = np.random.default_rng(0)
    head = random.standard_normal((3, 32)).astype(np.float32), np.zeros(3, np.float32)
    write_encoder(base, folder / "model.onnx", head=head)
    copy_tokenizer(base, folder)
    write_about(folder, OnnxText(24, 0, 3, False, "mean", "float32", {}))
    return Weights(folder, "labelled_text", "onnx_text")


def change(weights: Weights, **values: object) -> None:
    path = weights.folder / "onnx_text.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_rows_are_log_probabilities_in_order(weights: Weights) -> None:
    out = load(weights).run(TEXTS)
    assert out.shape == (6, 3)
    assert out.dtype == np.float32
    assert np.abs(np.exp(out).sum(1) - 1).max() < 1e-5
    assert (out[0] == out[4]).all()
    assert np.abs(out[0] - out[1]).max() > 1e-3


@pytest.mark.parametrize("one_by_one", [False, True])
def test_a_row_does_not_depend_on_its_neighbours(weights: Weights, one_by_one: bool) -> None:
    change(weights, one_by_one=one_by_one)
    session = load(weights, threads=2)
    together = session.run([*TEXTS, "a much longer text than all of the others here"])
    alone = np.concatenate([session.run([text]) for text in TEXTS])
    assert np.abs(together[:6] - alone).max() < (1e-9 if one_by_one else 1e-5)


def test_moving_the_folder_changes_nothing(weights: Weights, tmp_path: Path) -> None:
    before = load(weights).run(TEXTS)
    moved = weights.folder.rename(tmp_path / "elsewhere")
    assert (load(Weights(moved, "labelled_text", "onnx_text")).run(TEXTS) == before).all()


def test_another_format_is_refused(weights: Weights) -> None:
    with pytest.raises(ArtefactError, match="not 'linear_text'"):
        load(Weights(weights.folder, "labelled_text", "linear_text"))


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "onnx_text.json"])
def test_a_missing_or_damaged_file_is_named(weights: Weights, name: str) -> None:
    whole = (weights.folder / name).read_bytes()
    for content in (None, b"", whole[: len(whole) // 2], b"\0" * 100):
        (weights.folder / name).unlink()
        if content is not None:
            (weights.folder / name).write_bytes(content)
        else:
            with pytest.raises(ArtefactError, match=f"{name}'.*is missing"):
                load(weights)
            (weights.folder / name).touch()
            continue
        with pytest.raises(ArtefactError, match=name):
            load(weights)


@pytest.mark.parametrize(
    "values",
    [
        {"format": 2},
        {"max_length": "long"},
        {"max_length": 0},
        {"pad_id": -1},
        {"outputs": True},
        {"one_by_one": "no"},
        {"unknown": 1},
    ],
)
def test_garbled_facts_are_refused(weights: Weights, values: dict[str, object]) -> None:
    change(weights, **values)
    with pytest.raises(ArtefactError, match=r"onnx_text\.json"):
        load(weights)


def test_a_graph_with_another_number_of_labels_is_refused(weights: Weights) -> None:
    change(weights, outputs=4)
    with pytest.raises(ArtefactError, match="give 4 numbers a text"):
        load(weights)


def rewrite(weights: Weights, edit: object) -> Path:
    path = weights.folder / "model.onnx"
    model = onnx.load(str(path))
    edit(model)  # type: ignore[operator]
    path.write_bytes(model.SerializeToString())
    return path


def external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret")


def external_in_attribute(model: onnx.ModelProto) -> None:
    tensor = onnx.TensorProto(name="hidden", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    model.graph.node.append(helper.make_node("Constant", [], ["unused"], value=tensor))


def external_in_branch(model: onnx.ModelProto) -> None:
    inner = helper.make_graph([], "branch", [], [helper.make_tensor_value_info("hidden", TensorProto.FLOAT, [1])])
    tensor = inner.initializer.add(name="hidden", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    model.graph.node.append(helper.make_node("If", ["input_ids"], ["unused"], then_branch=inner, else_branch=inner))


def foreign_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.evil"


def foreign_import(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.evil", 1))


def own_function(model: onnx.ModelProto) -> None:
    model.functions.add(name="f", domain="")


def second_output(model: onnx.ModelProto) -> None:
    model.graph.output.append(helper.make_tensor_value_info("extra", TensorProto.FLOAT, ["n", 3]))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (external, "another file"),
        (external_in_attribute, "another file"),
        (external_in_branch, "another file"),
        (foreign_operator, "unknown domain 'com.evil'"),
        (foreign_import, "of its own"),
        (own_function, "of its own"),
        (second_output, "does not take"),
    ],
)
def test_an_unsafe_graph_is_refused(weights: Weights, edit: object, said: str) -> None:
    path = rewrite(weights, edit)
    with pytest.raises(ArtefactError, match=said):
        check_graph(path, 3)
    with pytest.raises(ArtefactError, match=said):
        load(weights)


def test_a_graph_that_the_runtime_refuses(weights: Weights) -> None:
    def break_it(model: onnx.ModelProto) -> None:
        model.graph.node[-1].op_type = "NoSuchOperator"

    rewrite(weights, break_it)
    with pytest.raises(ArtefactError, match="cannot be run"):
        load(weights)
