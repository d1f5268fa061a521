"""The texts in an answer, and the answer with others in their place."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from shokunin.curate.answer_texts import texts_in, with_texts

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def test_a_text_is_its_own_and_an_object_has_those_of_its_values() -> None:
    assert list(texts_in("Dear Kim")) == ["Dear Kim"]
    assert list(texts_in('["no object"]')) == ['["no object"]']
    assert list(texts_in('{"broken": ')) == ['{"broken": ']
    assert list(texts_in('{"a": "x", "b": [{"c": "y"}, 1, null]}')) == ["x", "y"]


def test_what_stays_keeps_its_spelling() -> None:
    answer = '{ "a" : "x" }'
    assert with_texts(answer, ["x"]) == answer
    assert with_texts(answer, ["日"]) == '{"a": "日"}'


@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=4) | st.text(max_size=20))
def test_every_text_is_found_and_can_be_changed(value: object) -> None:
    answer = value if isinstance(value, str) else json.dumps(value)
    texts = list(texts_in(answer))
    assert with_texts(answer, texts) == answer
    assert list(texts_in(with_texts(answer, [f"{text}!" for text in texts]))) == [f"{text}!" for text in texts]
