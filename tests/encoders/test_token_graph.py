"""The graph with numbers for every token, what runs it, and the tokenizer that tells where its tokens stand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin.encoders.architecture import FAMILIES, read_shape
from shokunin.encoders.graph import write_encoder, write_token_encoder
from shokunin.encoders.onnx_text import GRAPH, OnnxText, read_graph
from shokunin.encoders.text_runner import padded
from shokunin.encoders.tiny_model import write_tiny_model
from shokunin.encoders.token_runner import TokenRunner
from shokunin.encoders.tokens import Spelling
from shokunin.errors import ArtefactError

WIDTH, OUT = 32, 6


def made(folder: Path, model_type: str = "bert") -> tuple[Path, OnnxText]:
    folder.mkdir(exist_ok=True)
    write_tiny_model(folder, model_type=model_type, seed=3)
    head = np.random.default_rng(0).standard_normal((OUT, WIDTH)).astype(np.float32), np.ones(OUT, np.float32)
    write_token_encoder(folder, folder / GRAPH, head)
    return folder, OnnxText(64, read_shape(folder).pad_id, OUT, False, "none", "float32", {})


def ids_of(folder: Path, texts: list[str]) -> list[np.ndarray]:
    spelling = Spelling(folder / "tokenizer.json")
    return [np.array([*spelling.before, *t.ids, *spelling.behind]) for t in spelling.tokens(texts)]


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_the_mean_of_the_tokens_is_what_the_text_encoder_gives(model_type: str, tmp_path: Path) -> None:
    folder, about = made(tmp_path / model_type, model_type)
    sequences = ids_of(folder, ["hi", "a much longer text, to be padded", "x y"])
    scores = TokenRunner(folder, about).run(sequences)
    write_encoder(folder, folder / "whole.onnx", normalise=False)
    whole = onnxruntime.InferenceSession(str(folder / "whole.onnx"), providers=["CPUExecutionProvider"])
    ids, mask = padded([s.tolist() for s in sequences], about.pad_id)
    pooled = whole.run(None, {"input_ids": ids, "attention_mask": mask})[0]
    head = np.random.default_rng(0).standard_normal((OUT, WIDTH)).astype(np.float32)
    for row, tokens in enumerate(scores):
        assert tokens.shape == (len(sequences[row]), OUT)
        assert np.abs(tokens.mean(0) - (pooled[row] @ head.T + 1)).max() < 1e-4


def test_many_sequences_are_run_as_each_by_itself(tmp_path: Path) -> None:
    folder, about = made(tmp_path / "m")
    sequences = ids_of(folder, ["ab " * 20] * 60 + ["z"])
    together = TokenRunner(folder, about).run(sequences)
    alone = TokenRunner(folder, about).run(sequences[-1:])
    assert len(together) == 61 and np.abs(together[-1] - alone[0]).max() < 1e-5
    assert TokenRunner(folder, about).run([]) == []


def test_a_graph_of_other_ends_is_refused(tmp_path: Path) -> None:
    folder, about = made(tmp_path / "m")
    with pytest.raises(ArtefactError, match="numbers a text"):
        read_graph(folder / GRAPH, OUT)
    with pytest.raises(ArtefactError, match="give 9 numbers a token"):
        read_graph(folder / GRAPH, 9, axes=3)
    write_encoder(folder, folder / GRAPH)
    with pytest.raises(ArtefactError, match="a token"):
        TokenRunner(folder, about)
    (folder / GRAPH).write_bytes(onnx.ModelProto().SerializeToString())
    with pytest.raises(ArtefactError):
        TokenRunner(folder, about)


def test_a_head_that_does_not_fit_is_not_written(tmp_path: Path) -> None:
    write_tiny_model(tmp_path)
    with pytest.raises(ValueError, match="does not fit"):
        write_token_encoder(tmp_path, tmp_path / GRAPH, (np.zeros((3, 5), np.float32), np.zeros(3, np.float32)))
    assert not (tmp_path / GRAPH).exists()


@pytest.fixture(scope="module")
def spelling(tmp_path_factory: pytest.TempPathFactory) -> Spelling:
    folder = tmp_path_factory.mktemp("spelling")
    write_tiny_model(folder)
    return Spelling(folder / "tokenizer.json")


@given(st.lists(st.text(max_size=40), max_size=4))
def test_tokens_stand_where_they_say(spelling: Spelling, texts: list[str]) -> None:
    for text, told in zip(texts, spelling.tokens(texts), strict=True):
        assert len(told.ids) == len(told.starts) == len(told.ends)
        assert (told.starts[1:] >= told.ends[:-1]).all(), "in order, without overlap"
        assert (told.ends > told.starts).all() and (told.ends <= len(text)).all()


def test_what_stands_around_a_text_is_known(spelling: Spelling) -> None:
    told = spelling.tokens(["ab\ud800c", ""])
    assert len(spelling.before) == len(spelling.behind) == 1
    assert len(told[1].ids) == 0
    assert told[0].ends[-1] == 4
