"""Specialists that share an encoder, asked in one go: each answers as if it were alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shokunin.encoders.graph import write_encoder
from shokunin.encoders.onnx_text import GRAPH, OnnxText, copy_tokenizer, write_about
from shokunin.encoders.text_runner import Encoder
from shokunin.encoders.tiny_model import write_tiny_model
from shokunin.engines import Session, engine_for
from shokunin.engines.joint import finish, first_encoder, read_together
from shokunin.files import write_json
from shokunin.forms import TextLessons
from shokunin.progress import silent
from shokunin.train import text_linear
from shokunin.weights import Weights

TEXTS = ["where is my card", "x", "", "lost, lost, lost", "where is my card", "かーど", "a longer text than the others"]


def encoder_head(folder: Path, base: Path, *, labels: int, seed: int, length: int = 24) -> Weights:
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    head = random.standard_normal((labels, 32)).astype(np.float32) * 4, np.zeros(labels, np.float32)
    write_encoder(base, folder / GRAPH, head=head)
    copy_tokenizer(base, folder)
    write_about(folder, OnnxText(length, 0, labels, False, "mean", "float32", {}))
    return Weights(folder, "labelled_text", "onnx_text")


def linear(folder: Path) -> Weights:
    folder.mkdir(parents=True)
    texts = tuple(f"{word} card {i}" for i in range(5) for word in ("lost", "new", "where is my"))
    lessons = TextLessons(texts, np.arange(15) % 3, ("lost", "new", "where"), np.arange(15))
    return text_linear.fit(lessons, text_linear.Options(), folder, seed=0, progress=silent)


def mixture(folder: Path, base: Path, seed: int) -> Weights:
    members = [linear(folder / "0"), encoder_head(folder / "1", base, labels=3, seed=seed)]
    about = [
        {"name": str(i), "share": 1.0 + i, "form": w.form, "format": w.format, "exact": w.exact, "facts": {}}
        for i, w in enumerate(members)
    ]
    write_json(folder / "mixture.json", {"members": about})
    return Weights(folder, "labelled_text", "mixture")


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Session]:
    place = tmp_path_factory.mktemp("sessions")
    bases = {name: place / name for name in ("one", "other")}
    for seed, base in enumerate(bases.values()):
        base.mkdir()
        write_tiny_model(base, seed=seed)
    weights = {
        "head": encoder_head(place / "head", bases["one"], labels=3, seed=1),
        "short": encoder_head(place / "short", bases["one"], labels=9, seed=2, length=4),
        "mixture": mixture(place / "mixture", bases["one"], seed=3),
        "linear": linear(place / "linear"),
        "other": encoder_head(place / "other-head", bases["other"], labels=4, seed=4),
    }
    return {name: engine_for(w.format).load(w, threads=1) for name, w in weights.items()}


def together(work: list[tuple[Session, list[str]]]) -> list[np.ndarray]:  # type: ignore[type-arg]
    return [finish(s, forms, read) for (s, forms), read in zip(work, read_together(work), strict=True)]


def test_each_answers_as_if_it_were_alone(sessions: dict[str, Session]) -> None:
    work = [(session, [*TEXTS[place:], name]) for place, (name, session) in enumerate(sessions.items())]
    for (session, forms), raw in zip(work, together(work), strict=True):
        alone = np.concatenate([session.run([text]) for text in forms])
        assert raw.dtype == np.float32
        assert np.abs(raw - alone).max() < 1e-5
        assert (raw.argmax(axis=1) == alone.argmax(axis=1)).all()


def test_the_same_session_twice_and_one_with_nothing_to_do(sessions: dict[str, Session]) -> None:
    work = [(sessions["head"], TEXTS), (sessions["mixture"], []), (sessions["head"], TEXTS[::-1])]
    first, nothing, second = together(work)
    assert nothing.shape == (0, 3)
    assert np.abs(first - second[::-1]).max() < 1e-5


def test_an_encoder_reads_a_text_once_for_all_that_want_it(
    sessions: dict[str, Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[list[tuple[str, int]]] = []
    run = Encoder.run

    def counted(self: Encoder, texts: list[str], lengths: list[int], *more: object) -> np.ndarray:  # type: ignore[type-arg]
        read.append(list(zip(texts, lengths, strict=True)))
        return run(self, texts, lengths, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(Encoder, "run", counted)
    together([(sessions[name], ["a", "b"]) for name in ("head", "short", "mixture", "linear", "other")])
    assert sorted(map(sorted, read)) == [  # type: ignore[type-var]
        [("a", 4), ("a", 24), ("b", 4), ("b", 24)],
        [("a", 24), ("b", 24)],
    ]


def test_which_sessions_share_an_encoder(sessions: dict[str, Session]) -> None:
    shared = first_encoder(sessions["head"])
    assert shared is not None
    assert first_encoder(sessions["short"]) is shared
    assert first_encoder(sessions["mixture"]) is shared
    assert first_encoder(sessions["other"]) not in (None, shared)
    assert first_encoder(sessions["linear"]) is None
