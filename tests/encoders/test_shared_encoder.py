"""One encoder in memory for all that have it in common: what is shared, what is not, and when it goes."""

from __future__ import annotations

import gc
import threading
import weakref
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from shokunin.encoders.graph import write_encoder
from shokunin.encoders.onnx_text import GRAPH, OnnxText, copy_tokenizer
from shokunin.encoders.shared import shared
from shokunin.encoders.split_graph import digest_of, split_graph
from shokunin.encoders.text_runner import TextRunner, padded
from shokunin.encoders.tiny_model import write_tiny_model

TEXTS = ["where is my card", "x", "", "lost, lost, lost", "where is my card", "かーど", "a longer text than the others"]


def head(labels: int, seed: int) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    random = np.random.default_rng(seed)
    return random.standard_normal((labels, 32)).astype(np.float32) * 4, random.standard_normal(labels).astype(
        np.float32
    )


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    folder.mkdir()
    write_tiny_model(folder)
    return folder


def weights(base: Path, name: str, *, labels: int = 3, seed: int = 0) -> Path:
    folder = base.parent / name
    folder.mkdir()
    write_encoder(base, folder / GRAPH, head=head(labels, seed))
    copy_tokenizer(base, folder)
    return folder


def runner(
    folder: Path, *, labels: int = 3, length: int = 24, one_by_one: bool = False, threads: int = 1
) -> TextRunner:
    about = OnnxText(length, 0, labels, one_by_one, "mean", "float32", {})
    return TextRunner(folder, about, threads=threads)


def whole(folder: Path, one: TextRunner, texts: list[str]) -> np.ndarray:  # type: ignore[type-arg]
    """The file as it is, run in one piece and each text alone."""
    session = onnxruntime.InferenceSession(str(folder / GRAPH), providers=["CPUExecutionProvider"])
    rows = []
    for ids in one.tokenise(texts):
        input_ids, mask = padded([ids], 0)
        rows.append(session.run(None, {"input_ids": input_ids, "attention_mask": mask})[0])
    return np.concatenate(rows)


def test_the_two_halves_give_what_the_whole_file_gives_bit_for_bit(base: Path) -> None:
    folder = weights(base, "one", labels=5)
    one = runner(folder, labels=5, one_by_one=True)
    assert (one.run(TEXTS) == whole(folder, one, TEXTS)).all()


def test_equal_encoders_are_one_object_and_heads_are_not(base: Path) -> None:
    first, second = runner(weights(base, "one")), runner(weights(base, "two", labels=7, seed=1), labels=7, length=12)
    assert first.reader.encoder is second.reader.encoder
    assert first.reader != second.reader, "they read another number of tokens"
    assert first.run(TEXTS).shape == (7, 3)
    assert second.run(TEXTS).shape == (7, 7)
    again = runner(base.parent / "one")
    assert again.reader == first.reader
    assert (again.run(TEXTS) == first.run(TEXTS)).all()


def test_a_bare_encoder_is_the_one_below_a_head(base: Path) -> None:
    specialist = runner(weights(base, "one"))
    write_encoder(base, base / GRAPH)
    bare = runner(base, labels=32)
    assert bare.reader == specialist.reader
    assert (bare.run(TEXTS) == specialist.reader.run(TEXTS)).all()
    assert np.abs(bare.run(TEXTS) - whole(base, bare, TEXTS)).max() < 1e-5


def test_another_tuned_encoder_or_another_tokenizer_is_not_shared(base: Path) -> None:
    first = runner(weights(base, "one"))
    tuned = weights(base, "tuned")
    model = onnx.load(str(tuned / GRAPH))
    tensor = next(t for t in model.graph.initializer if t.name.endswith("qkv.weight"))
    changed = np.array(numpy_helper.to_array(tensor))
    changed[0, 0] += 1e-3
    tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))
    onnx.save(model, str(tuned / GRAPH))
    words = weights(base, "words")
    (words / "tokenizer.json").write_text((words / "tokenizer.json").read_text() + "\n")
    assert runner(tuned).reader.encoder is not first.reader.encoder
    assert runner(words).reader.encoder is not first.reader.encoder
    assert runner(base.parent / "one", one_by_one=True).reader.encoder is not first.reader.encoder


def test_an_encoder_leaves_memory_with_its_last_user_at_once(base: Path) -> None:
    first, second = runner(weights(base, "one")), runner(weights(base, "two", seed=1))
    gone = weakref.ref(first.reader.encoder)
    gc.disable()  # a server takes what it loaded out of the collector's rounds: it must go by itself
    try:
        del first
        assert gone() is second.reader.encoder
        del second
        assert gone() is None
    finally:
        gc.enable()


def test_readers_of_different_lengths_do_not_disturb_each_other(base: Path) -> None:
    folder = weights(base, "one")
    long, short = runner(folder, length=24), runner(folder, length=4)
    text = "where is my card " * 5
    expected = {24: long.run([text]), 4: short.run([text])}
    assert np.abs(expected[24] - expected[4]).max() > 1e-3
    wrong: list[int] = []

    def ask(one: TextRunner) -> None:
        for _ in range(100):
            if not (one.run([text]) == expected[one.about.max_length]).all():
                wrong.append(one.about.max_length)

    threads = [threading.Thread(target=ask, args=(one,)) for one in (long, short) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    both = long.reader.encoder.run([text, text, "x"], [24, 4, 24])
    assert np.abs(long.finish(both)[:2] - np.concatenate([expected[24], expected[4]])).max() < 1e-5


def test_two_threads_that_open_the_same_make_it_once() -> None:
    class Thing:
        pass

    made: list[Thing] = []

    def make() -> Thing:
        made.append(Thing())
        return made[-1]

    found: list[Thing] = []
    start = threading.Barrier(4)

    def get() -> None:
        start.wait()
        found.append(shared(Thing, "content", make))

    threads = [threading.Thread(target=get) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert set(found) == set(made)


def test_what_cannot_be_opened_is_not_kept() -> None:
    def broken() -> dict[str, int]:
        raise ValueError("not now")

    class Thing:
        pass

    with pytest.raises(ValueError, match="not now"):
        shared(dict, "thing", broken)
    one = shared(Thing, "thing", Thing)
    assert shared(Thing, "thing", Thing) is one


def no_softmax(model: onnx.ModelProto) -> None:
    model.graph.node[-1].op_type = "Softmax"


def bias_used_twice(model: onnx.ModelProto) -> None:
    model.graph.node.insert(0, helper.make_node("Identity", ["head.bias"], ["unused"]))


def scaled(model: onnx.ModelProto) -> None:
    model.graph.node[-2].attribute.append(helper.make_attribute("alpha", 2.0))


@pytest.mark.parametrize("edit", [no_softmax, bias_used_twice, scaled])
def test_a_graph_that_ends_in_another_way_stays_in_one_piece(base: Path, edit: object) -> None:
    folder = weights(base, "one")
    model = onnx.load(str(folder / GRAPH))
    edit(model)  # type: ignore[operator]
    onnx.save(model, str(folder / GRAPH))
    assert split_graph(onnx.load(str(folder / GRAPH))).head is None
    one = runner(folder)
    assert np.abs(one.run(TEXTS) - whole(folder, one, TEXTS)).max() < 1e-5


def test_the_digest_changes_with_every_part_of_a_graph(base: Path) -> None:
    path = weights(base, "one") / GRAPH
    first = digest_of(onnx.load(str(path)))
    assert digest_of(onnx.load(str(path))) == first

    def tensor(model: onnx.ModelProto) -> None:
        data = bytearray(model.graph.initializer[-1].raw_data)
        data[-1] ^= 1
        model.graph.initializer[-1].raw_data = bytes(data)

    def order(model: onnx.ModelProto) -> None:
        model.graph.node[0].input[0], model.graph.node[1].input[0] = "a", "b"

    def version(model: onnx.ModelProto) -> None:
        model.ir_version += 1

    def opset(model: onnx.ModelProto) -> None:
        model.opset_import[0].version -= 1

    def output(model: onnx.ModelProto) -> None:
        model.graph.output[0].name += "x"

    for edit in (tensor, order, version, opset, output):
        model = onnx.load(str(path))
        edit(model)
        assert digest_of(model) != first, edit.__name__
