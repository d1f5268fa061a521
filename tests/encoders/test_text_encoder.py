from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shokunin.encoders.base_models import resolve
from shokunin.encoders.cache import cache_folder
from shokunin.encoders.text_encoder import TextEncoder, embedding_graph, length_for
from shokunin.encoders.tiny_model import write_tiny_model
from shokunin.errors import ArtefactError, BaseModelError, ProjectError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    write_tiny_model(folder, seed=5)
    return folder


@pytest.fixture(scope="module")
def encoder(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TextEncoder]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOKUNIN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield TextEncoder(resolve(str(folder)), max_length=32, threads=2)


def test_embeddings_have_length_one_and_keep_the_order(encoder: TextEncoder) -> None:
    texts = ["a" * n for n in (1, 40, 3, 17, 2)] * 30 + [f"card {n}" for n in range(500)]
    together = encoder.embed(texts)
    assert together.shape == (650, 32)
    assert together.dtype == np.float32
    assert np.abs(np.linalg.norm(together, axis=1) - 1).max() < 1e-5
    for row in (0, 1, 149, 150, 400, 649):
        assert np.abs(together[row] - encoder.embed([texts[row]])[0]).max() < 1e-5


def test_equal_texts_are_run_once(encoder: TextEncoder) -> None:
    seen: list[tuple[float, float | None]] = []
    out = encoder.embed(["x", "y", "x", "x"], lambda what, done, total: seen.append((done, total)))
    assert (out[0] == out[2]).all()
    assert (out[0] == out[3]).all()
    assert seen[0] == (0, 2)
    assert seen[-1] == (2, 2)


def test_no_texts(encoder: TextEncoder) -> None:
    assert encoder.embed([]).shape == (0, 32)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_do_not_change_the_numbers(folder: Path, encoder: TextEncoder, threads: int) -> None:
    texts = [f"where is order {n} " * (n % 7) for n in range(300)]
    other = TextEncoder(encoder.base, max_length=32, threads=threads)
    assert (other.embed(texts) == encoder.embed(texts)).all()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.lists(st.text(alphabet=st.characters(), max_size=80), max_size=6))
def test_any_text_gives_finite_numbers(encoder: TextEncoder, texts: list[str]) -> None:
    out = encoder.embed(texts)
    assert out.shape == (len(texts), 32)
    assert np.isfinite(out).all()


@pytest.mark.parametrize("text", ["", "\0", "\ud800 half a pair", " " * 1000, "\u2028\ufeff", "z" * 3_000_000])
def test_awkward_texts(encoder: TextEncoder, text: str) -> None:
    assert np.isfinite(encoder.embed([text, "card"])).all()


def test_text_beyond_max_length_is_not_read(encoder: TextEncoder) -> None:
    long = "a b c d e f g h " * 8
    assert np.abs(encoder.embed([long]) - encoder.embed([long + "something else"])).max() < 1e-6


def test_the_graph_is_written_once(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOKUNIN_CACHE", str(tmp_path / "new"))
    base = resolve(str(folder))
    path = embedding_graph(base, "mean")
    before = path.stat().st_mtime_ns
    assert embedding_graph(base, "mean") == path
    assert path.stat().st_mtime_ns == before
    assert embedding_graph(base, "cls") != path
    assert [p.name for p in path.parent.parent.iterdir() if p.name.startswith(".")] == []


def test_a_damaged_cache_is_noticed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOKUNIN_CACHE", str(tmp_path))
    base = resolve(str(folder))
    path = embedding_graph(base, "mean")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ArtefactError, match="not a readable ONNX file"):
        TextEncoder(base)


def test_a_cache_that_cannot_be_written(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("SHOKUNIN_CACHE", str(tmp_path / "file"))
    with pytest.raises((ProjectError, OSError)):
        TextEncoder(resolve(str(folder)))


def test_max_length_is_the_encoders_at_most(folder: Path, encoder: TextEncoder) -> None:
    assert TextEncoder(encoder.base, max_length=5000).about.max_length == 64
    with pytest.raises(BaseModelError, match="no room"):
        TextEncoder(encoder.base, max_length=2)


def test_length_for_covers_nearly_all_texts(encoder: TextEncoder) -> None:
    assert length_for(encoder.base, ["a"]) == 16
    assert length_for(encoder.base, ["a b c d e f g h i j k l m n o p q r s t"] * 99 + ["a " * 200]) == 24
    assert length_for(encoder.base, ["a " * 5000]) == 256
    assert length_for(encoder.base, []) == 16


def test_the_cache_has_a_place_on_every_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SHOKUNIN_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert cache_folder() == tmp_path / "shokunin"
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_folder().parts[-2:] == ("Caches", "shokunin")
