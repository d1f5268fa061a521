"""A document out of its text and layout, whatever stands in them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin.curate.documents.rows import inputs_of
from shokunin.errors import TaskError
from shokunin.fields.inputs import document_of
from shokunin.forms import Document, Line

numbers = st.floats(0, 1e5).map(lambda x: round(x, 1))
boxes = st.tuples(numbers, numbers, numbers, numbers).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)
words = st.text(st.characters(blacklist_characters="\n", blacklist_categories=("Cs",)))
lines = st.one_of(st.builds(Line, words), st.builds(Line, words, boxes, st.integers(0, 200)))


@given(st.lists(lines, min_size=1).map(tuple))
def test_what_is_written_is_read_back(some: tuple[Line, ...]) -> None:
    assert document_of(inputs_of(Document(some))) == Document(some)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
)


@given(st.text("a\n", max_size=5), st.one_of(st.text(max_size=20), anything.map(json.dumps)))
def test_any_layout_gives_a_document_of_this_text_or_says_why_not(text: str, layout: str) -> None:
    try:
        document = document_of({"text": text, "layout": layout})
    except TaskError as error:
        assert "'layout'" in str(error)
    else:
        assert document.text == text
        assert all(line.box is None or line.box[0] <= line.box[2] for line in document.lines)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("[", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("{}", "is not a list"),
        ("[null]", "has 1 entries where 'text' has 2 lines"),
        ("[null, [1, 2, 3, 4]]", "entry 1 of 'layout' is no place"),
        ("[null, [1, 2, 3, 4, true]]", "entry 1 of 'layout' is no place"),
        ("[[1, 2, NaN, 4, 0], null]", "entry 0 of 'layout' is no place"),
        ("[[3, 2, 1, 4, 0], null]", "left is at most right"),
        ("[[1, 2, 3, 4, 0.5], null]", "the page 0, 1, 2"),
    ],
)
def test_what_is_no_layout(layout: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        document_of({"text": "one\ntwo", "layout": layout})


def test_a_row_without_text_and_one_without_layout() -> None:
    with pytest.raises(TaskError, match="lacks the field 'text'"):
        document_of({"layout": "[]"})
    assert document_of({"body": "a\nb"}, text="body") == Document((Line("a"), Line("b")))
