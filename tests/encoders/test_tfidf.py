"""The TF-IDF rows of a specialist are scikit-learn's, number for number; only the way there is shorter."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from shokunin.encoders.tfidf import TfidfEncoder, fit_tfidf, load_tfidf

LESSONS = [f"{word} my card {i}" for i in range(20) for word in ("lost", "where is", "new,", "カードを")]
TEXTS = ["where is my card", "", "zzz qqq", "card card card lost", "カードを失くした", "NEW " * 50, "\ud800 lone"]


@pytest.fixture(scope="module", params=["fitted", "read"])
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TfidfEncoder:
    made, _ = fit_tfidf(LESSONS, limit=500)
    if request.param == "fitted":
        return made
    folder: Path = tmp_path_factory.mktemp("tfidf")
    made.save(folder)
    return load_tfidf(folder)


def assert_as_scikit_learn_says(encoder: TfidfEncoder, texts: list[str]) -> None:
    rows = encoder.encode(texts)
    expected = sparse.hstack([part.transform(texts) for part in encoder._parts], format="csr")
    assert (rows.shape, rows.dtype) == (expected.shape, expected.dtype)
    for name in ("data", "indices", "indptr"):
        assert (getattr(rows, name) == getattr(expected, name)).all(), name


def test_all_at_once_and_each_alone(encoder: TfidfEncoder) -> None:
    assert_as_scikit_learn_says(encoder, TEXTS)
    for text in TEXTS:
        assert_as_scikit_learn_says(encoder, [text])
    assert encoder.encode([]).shape == (0, encoder.size)


@settings(max_examples=40, deadline=None)
@given(texts=st.lists(st.text("acdelrsty, カ", max_size=40), min_size=1, max_size=6))
def test_any_texts(texts: list[str]) -> None:
    assert_as_scikit_learn_says(fit_tfidf(LESSONS, limit=300)[0], texts)
