"""Documents as tokens, windows over long ones, and the spans that a value may have."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin.encoders.tiny_model import write_tiny_model
from shokunin.encoders.tokens import Spelling
from shokunin.fields.candidates import mentions
from shokunin.fields.one_span import mention_spans, score, spans_of, text_spans
from shokunin.fields.places import Places
from shokunin.fields.read_tokens import Tokenised, joined, tokenise, windows
from shokunin.forms import Document, Line


@pytest.fixture(scope="module")
def spelling(tmp_path_factory: pytest.TempPathFactory) -> Spelling:
    folder: Path = tmp_path_factory.mktemp("reading")
    write_tiny_model(folder)
    return Spelling(folder / "tokenizer.json")


def read(spelling: Spelling, *lines: str) -> tuple[Places, Tokenised]:
    page = Places(Document(tuple(map(Line, lines))))
    return page, tokenise([page], spelling)[0]


@given(st.integers(0, 400), st.integers(1, 60), st.data())
def test_windows_cover_everything_and_neighbours_overlap(tokens: int, room: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, room // 2))
    found = windows(tokens, room, overlap)
    if tokens:
        assert found[0][0] == 0 and found[-1][1] == tokens
    assert all(0 <= b - a <= room for a, b in found)
    assert all(a < c and b - c >= min(overlap, tokens) and b < d for (a, b), (c, d) in pairwise(found))
    numbers = np.random.default_rng(0).random((tokens, 2), np.float32)
    assert np.array_equal(joined([numbers[a:b] for a, b in found], found, tokens, 2), numbers)


def test_where_windows_overlap_the_nearer_one_is_heard() -> None:
    parts = [np.zeros((10, 1), np.float32), np.ones((10, 1), np.float32)]
    assert joined(parts, [(0, 10), (6, 16)], 16, 1)[:, 0].tolist() == [0.0] * 8 + [1.0] * 8


def test_tokens_of_a_document_stand_in_its_text(spelling: Spelling) -> None:
    page, tokens = read(spelling, "Acme Ltd", "", "total 9.50")
    written = tokens.ends > tokens.starts
    assert (
        "".join(page.text[a:b] for a, b in zip(tokens.starts[written], tokens.ends[written], strict=True))
        == "AcmeLtdtotal9.50"
    )
    assert (~written).sum() == 2 and not (tokens.begins | tokens.closes)[~written].any(), "a mark where a line ends"
    assert tokens.lines[-1] == 2
    first, last = tokens.covering(5, 8) or (0, 0)
    assert page.text[tokens.starts[first] : tokens.ends[last]] == "Ltd"
    assert tokens.covering(8, 9) is None
    begins = [page.text[i:j] for i, j in zip(tokens.starts[tokens.begins], tokens.ends[tokens.begins], strict=True)]
    assert "".join(begins) == "ALt9.5", "a word or number begins there, or a sign stands alone"


def test_an_empty_document_has_no_tokens(spelling: Spelling) -> None:
    for lines in ((), ("",), (" \t",)):
        _, tokens = read(spelling, *lines)
        assert len(tokens) == 0 and len(text_spans(tokens, 9, 3)) == 0


def test_text_spans_are_all_that_cut_no_word(spelling: Spelling) -> None:
    page, tokens = read(spelling, "ab cd", "ef")

    def texts(longest: int, most_lines: int) -> set[str]:
        spans = text_spans(tokens, longest, most_lines)
        ends = zip(spans.firsts, spans.lasts, strict=True)
        return {page.text[tokens.starts[i] : tokens.ends[j]] for i, j in ends}

    assert texts(100, 5) == {"ab", "cd", "ef", "ab cd", "cd\nef", "ab cd\nef"}
    assert texts(100, 1) == {"ab", "cd", "ef", "ab cd"}
    assert texts(2, 5) == {"ab", "cd", "ef"}


def test_spans_of_amounts_and_windows(spelling: Spelling) -> None:
    page, tokens = read(spelling, "total 9.50 SR", "cash 10.00")
    found = mentions(page, "money")
    spans, kept = mention_spans(tokens, found)
    assert [found[i].value for i in kept] == ["9.5", "10"]
    assert len(spans.within(0, int(spans.lasts[0]) + 1)) == 1
    moved = spans.within(3, len(tokens))
    assert (moved.firsts == spans.firsts - 3).all()
    assert spans.among(spans_of([(int(spans.firsts[1]), int(spans.lasts[1]))])).tolist() == [False, True]


def test_a_spans_score_is_that_of_its_labels() -> None:
    numbers = np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)
    pairs = [(i, j) for i in range(7) for j in range(i, 7)]
    for (i, j), got in zip(pairs, score(numbers, spans_of(pairs)), strict=True):
        assert got == pytest.approx(numbers[i, 0] + numbers[i : j + 1, 1].sum() + numbers[j, 2], abs=1e-5)
