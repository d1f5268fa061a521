from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from shokunin.encoders.linear_head import fit_linear_head
from shokunin.encoders.tiny_model import write_tiny_model
from shokunin.engines.onnx import load
from shokunin.errors import BaseModelError, UsageError
from shokunin.forms import TextLessons
from shokunin.progress import silent
from shokunin.train import encoder_head
from shokunin.train.encoder_head import Options, fit, forecast

WORDS = {"card": ["card", "bank card", "my card", "cards"], "time": ["when", "what time", "at noon", "wait"]}


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SHOKUNIN_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "tiny"
    folder.mkdir()
    write_tiny_model(folder)
    return str(folder)


def lessons(each: int, names: tuple[str, ...] = ("card", "time")) -> TextLessons:
    random = np.random.default_rng(0)
    texts, labels = [], []
    for label, name in enumerate(names[:2]):
        for _ in range(each):
            texts.append(f"{random.choice(WORDS[name])} {random.integers(100)} {random.choice(WORDS[name])}")
            labels.append(label)
    return TextLessons(tuple(texts), np.array(labels, np.int64), names, np.arange(len(texts)))


def test_two_rows_a_label_are_too_few_to_choose_the_strength_by() -> None:
    embeddings = np.eye(8, dtype=np.float32)[:6]
    labels = np.array([0, 0, 1, 1, 2, 2])
    found = fit_linear_head(embeddings, labels, np.arange(6), 3, seed=0)
    assert found.chosen_by == "too few rows to choose by"
    assert (np.argmax(embeddings @ found.head[0].T + found.head[1], axis=1) == labels).all()


def made(tmp_path: Path, name: str = "out") -> Path:
    (tmp_path / name).mkdir()
    return tmp_path / name


def test_it_learns_and_serves_one_graph(base: str, tmp_path: Path) -> None:
    given = lessons(60)
    rest = np.arange(0, 120, 4)
    train = given.take(np.setdiff1d(np.arange(120), rest))
    weights = fit(train, Options(base=base), made(tmp_path), seed=0, progress=silent)
    out = load(weights).run([given.texts[i] for i in rest])
    assert out.shape == (30, 2)
    assert (out.argmax(1) == given.labels[rest]).mean() > 0.8
    assert {p.name for p in weights.folder.iterdir()} == {"model.onnx", "tokenizer.json", "onnx_text.json"}
    assert weights.exact
    assert weights.facts["base"]["licence"] == "not stated"
    assert len(weights.facts["base"]["sha256"]) == 64
    json.dumps(weights.facts)
    assert str(tmp_path) not in json.dumps(weights.facts) + (weights.folder / "onnx_text.json").read_text()


def test_the_same_seed_gives_the_same_bytes(base: str, tmp_path: Path) -> None:
    graphs = [
        (
            fit(lessons(10), Options(base=base), made(tmp_path, n), seed=3, progress=silent).folder / "model.onnx"
        ).read_bytes()
        for n in ("a", "b")
    ]
    assert graphs[0] == graphs[1]


def test_eight_rows_a_label_and_one_row_a_label(base: str, tmp_path: Path) -> None:
    for each in (8, 1):
        given = lessons(each)
        weights = fit(given, Options(base=base), made(tmp_path, str(each)), seed=0, progress=silent)
        assert (load(weights).run(given.texts).argmax(1) == given.labels).mean() > 0.9


def test_a_label_without_rows_is_never_the_answer(base: str, tmp_path: Path) -> None:
    given = lessons(10, ("card", "time", "unseen"))
    out = load(fit(given, Options(base=base), made(tmp_path), seed=0, progress=silent)).run(given.texts)
    assert out.shape == (20, 3)
    assert set(out.argmax(1)) <= {0, 1}
    assert np.isfinite(out).all()


def test_one_label_only_is_refused(base: str, tmp_path: Path) -> None:
    only = lessons(5).take(np.arange(5))
    with pytest.raises(UsageError, match="nothing to tell apart"):
        fit(only, Options(base=base), made(tmp_path), seed=0, progress=silent)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_base_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="there is no folder"):
        fit(lessons(5), Options(base="./nowhere"), made(tmp_path), seed=0, progress=silent)


def test_stopping_passes_through(base: str, tmp_path: Path) -> None:
    def stop(what: str, done: float, total: float | None) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(lessons(20), Options(base=base), made(tmp_path), seed=0, progress=stop)


def test_forecast_is_seconds(base: str) -> None:
    assert 0 < forecast(lessons(30), Options(base=base)) < 600


def test_max_length_is_honoured(base: str, tmp_path: Path) -> None:
    weights = fit(lessons(5), Options(base=base, max_length=8), made(tmp_path), seed=0, progress=silent)
    session = load(weights)
    assert np.abs(session.run(["my card is lost"]) - session.run(["my card is late"])).max() < 1e-6


class TestHead:
    def test_one_group_stays_on_one_side(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[tuple[set[int], set[int]]] = []
        of = encoder_head.fit_linear_head.__globals__["_Fold"].of.__func__

        def spy(cls: type, rows: np.ndarray, fit_: np.ndarray, held: np.ndarray, labels: np.ndarray) -> object:
            seen.append((set(groups[rows[fit_]]), set(groups[rows[held]])))
            return of(cls, rows, fit_, held, labels)

        monkeypatch.setattr("shokunin.encoders.linear_head._Fold.of", classmethod(spy))
        random = np.random.default_rng(0)
        groups = np.repeat(np.arange(30), 4)
        features = random.standard_normal((120, 8)).astype(np.float32)
        fit_linear_head(features, groups % 3, groups, 3, seed=0)
        assert len(seen) == 3
        assert all(not fitted & held for fitted, held in seen)

    def test_noise_gets_the_strongest_regularisation(self) -> None:
        random = np.random.default_rng(0)
        noise = random.standard_normal((200, 16)).astype(np.float32)
        noise /= np.linalg.norm(noise, axis=1, keepdims=True)
        fitted = fit_linear_head(noise, random.integers(0, 3, 200), np.arange(200), 3, seed=0)
        assert fitted.strength == 0.03

    @pytest.mark.parametrize("k", [2, 3])
    def test_scores_equal_the_librarys(self, k: int) -> None:
        from sklearn.linear_model import LogisticRegression

        random = np.random.default_rng(1)
        features = random.standard_normal((90, 16)).astype(np.float32)
        labels = random.integers(0, k, 90)
        weight, bias = fit_linear_head(features, labels, np.arange(90), k, grid=(1.0,), seed=0).head
        scores = features @ weight.T + bias
        mine = scores - np.log(np.exp(scores).sum(1, keepdims=True))
        model = LogisticRegression(C=1.0, max_iter=200, tol=5e-5).fit(features * np.float32(4), labels)
        assert np.abs(mine - model.predict_log_proba(features * np.float32(4))).max() < 1e-3
