# ruff: noqa: E402  (torch may be absent: the file is then skipped before it imports anything that needs it)
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from shokunin.encoders.architecture import FAMILIES, read_shape, read_tensors
from shokunin.encoders.graph import write_encoder
from shokunin.encoders.onnx_text import OnnxText
from shokunin.encoders.text_runner import TextRunner
from shokunin.encoders.tiny_model import write_tiny_model
from shokunin.engines.onnx import load
from shokunin.errors import UsageError
from shokunin.forms import TextLessons
from shokunin.progress import silent
from shokunin.train import adapted_encoder, encoder_head
from shokunin.train.encoder_lora import Options, _nearest_loss, _Tuner, fit, forecast
from shokunin.train.torch_encoder import TorchEncoder, batch_of

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads only wait for each other on models this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SHOKUNIN_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "tiny"
    folder.mkdir()
    write_tiny_model(folder, layers=3)
    return str(folder)


def lessons(each: int, names: tuple[str, ...] = ("early", "late")) -> TextLessons:
    """Whether the mark stands early or late: a frozen random encoder with a linear head finds this hard."""
    random = np.random.default_rng(0)
    texts, labels = [], []
    for row in range(2 * each):
        letters = [str(x) for x in random.choice(list("abcdefgh"), 8)]
        place = random.integers(0, 3) if row % 2 == 0 else random.integers(5, 8)
        letters[place] = "z"
        texts.append(" ".join(letters))
        labels.append(row % 2)
    return TextLessons(tuple(texts), np.array(labels, np.int64), names, np.arange(2 * each))


def made(tmp_path: Path, name: str = "out") -> Path:
    (tmp_path / name).mkdir()
    return tmp_path / name


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_the_torch_encoder_is_the_graph(model_type: str, tmp_path: Path) -> None:
    folder = made(tmp_path, model_type)
    write_tiny_model(folder, model_type=model_type, seed=2)
    shape = read_shape(folder)
    write_encoder(folder, folder / "model.onnx")
    runner = TextRunner(folder, OnnxText(48, shape.pad_id, 32, False, "mean", "float32", {}))
    texts = ["hi", "a much longer text, to be padded", "x y"]
    ids, mask = batch_of([np.array(i) for i in runner.tokenise(texts)], shape.pad_id, torch.device("cpu"))
    encoder = TorchEncoder(shape, read_tensors(folder, shape), "mean").eval()
    with torch.no_grad():
        whole = encoder.upper(encoder.lower(ids, mask, 1), mask, 1).numpy()
    assert np.abs(whole - runner.run(texts)).max() < 1e-5


def test_merged_adapters_serve_what_was_trained(base: str, tmp_path: Path) -> None:
    given = lessons(8)
    tuner = _Tuner(given, Options(base=base, bf16=False), silent)
    before = tuner.embeddings(silent)
    with torch.no_grad():
        for name, parameter in tuner.encoder.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.2)
    tuner.set_strength(0.5)
    trained = tuner.embeddings(silent)
    assert np.abs(trained - before).max() > 0.01, "the adapters must do something, or this test says nothing"
    folder = made(tmp_path)
    write_encoder(tuner.base.folder, folder / "model.onnx", tensors=tuner.merged())
    (folder / "tokenizer.json").write_bytes((tuner.base.folder / "tokenizer.json").read_bytes())
    runner = TextRunner(folder, OnnxText(tuner.max_length, 0, 32, False, "mean", "float32", {}))
    served = runner.run(given.texts)
    assert np.abs(served - trained).max() < 1e-4
    assert (served * trained).sum(1).min() > 0.9999


def test_keeping_the_lower_layers_changes_nothing(base: str) -> None:
    tuner = _Tuner(lessons(8), Options(base=base, bf16=False), silent)
    without = tuner.embeddings(silent)
    tuner.keep_lower_layers(silent)
    assert tuner.kept is not None
    assert np.abs(tuner.embeddings(silent) - without).max() < 1e-5


def test_what_is_too_large_to_keep_is_run_again(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapted_encoder, "KEPT_BYTES", 100)
    tuner = _Tuner(lessons(8), Options(base=base), silent)
    tuner.keep_lower_layers(silent)
    assert tuner.kept is None
    assert np.isfinite(tuner.embeddings(silent)).all()


def test_it_learns_what_the_frozen_encoder_does_not(base: str, tmp_path: Path) -> None:
    given, held = lessons(150), lessons(220)
    options = Options(base=base, num_train_epochs=12, learning_rate=5e-3, trained_layers=3, interpolation=1.0)
    weights = fit(given, options, made(tmp_path), seed=0, progress=silent)
    frozen = encoder_head.fit(given, encoder_head.Options(base=base), made(tmp_path, "frozen"), seed=0, progress=silent)
    new = held.take(np.arange(300, 440))
    right, before = ((load(w).run(new.texts).argmax(1) == new.labels).mean() for w in (weights, frozen))
    assert right > 0.9 > before
    assert weights.exact
    assert weights.facts["loss"] == "cross-entropy and contrastive"
    assert weights.facts["epochs"] == pytest.approx(12, abs=0.2)


def test_few_rows_a_label_train_by_contrast_alone(base: str, tmp_path: Path) -> None:
    given = lessons(8)
    weights = fit(given, Options(base=base, num_train_epochs=2), made(tmp_path), seed=0, progress=silent)
    assert weights.facts["loss"] == "contrastive"
    assert load(weights).run(given.texts).shape == (16, 2)


def test_the_same_seed_gives_the_same_answers(base: str, tmp_path: Path) -> None:
    given = lessons(12)
    outs = [
        load(
            fit(given, Options(base=base, num_train_epochs=2, bf16=False), made(tmp_path, n), seed=5, progress=silent)
        ).run(given.texts)
        for n in ("a", "b")
    ]
    assert np.abs(outs[0] - outs[1]).max() < 1e-4


def test_minutes_cap_the_steps(base: str, tmp_path: Path) -> None:
    options = Options(base=base, num_train_epochs=100_000, minutes=0.05)
    weights = fit(lessons(8), options, made(tmp_path), seed=0, progress=silent)
    assert 1 <= weights.facts["steps"] < 5000
    assert weights.facts["shortened"]


def test_progress_counts_every_step(base: str, tmp_path: Path) -> None:
    seen: list[tuple[float, float | None]] = []

    def note(what: str, done: float, total: float | None) -> None:
        if what == "tuning the encoder":
            seen.append((done, total))

    fit(lessons(32), Options(base=base, num_train_epochs=2), made(tmp_path), seed=0, progress=note)
    assert seen == [(i + 1, 4) for i in range(4)]


def test_stopping_passes_through_and_leaves_nothing(base: str, tmp_path: Path) -> None:
    def stop(what: str, done: float, total: float | None) -> None:
        if what == "tuning the encoder" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(lessons(40), Options(base=base), made(tmp_path), seed=0, progress=stop)
    assert list((tmp_path / "out").iterdir()) == []


def test_options_that_cannot_work_are_refused(base: str, tmp_path: Path) -> None:
    folder = made(tmp_path)
    with pytest.raises(UsageError, match="unknown target_modules"):
        fit(lessons(5), Options(base=base, target_modules=("q_proj",)), folder, seed=0, progress=silent)
    with pytest.raises(UsageError, match="has 3 layers"):
        fit(lessons(5), Options(base=base, trained_layers=4), folder, seed=0, progress=silent)
    with pytest.raises(UsageError, match="nothing to tell apart"):
        fit(lessons(5).take(np.array([0, 2, 4])), Options(base=base), folder, seed=0, progress=silent)


def test_forecast_says_what_all_epochs_need_not_what_the_cap_leaves(base: str) -> None:
    capped = forecast(lessons(30), Options(base=base, num_train_epochs=1e9, minutes=0.01))
    assert capped > 1e5, "a billion epochs take more than a day"


class TestNearestLoss:
    def test_neighbours_of_the_same_label_cost_nothing(self) -> None:
        bank = torch.eye(4)[:2].repeat_interleave(3, 0)
        labels = torch.tensor([0, 0, 0, 1, 1, 1])
        loss = _nearest_loss(bank[[0, 3]], labels[[0, 3]], torch.tensor([0, 3]), bank, labels, 0.05)
        assert loss < 1e-6
        crossed = _nearest_loss(bank[[0, 3]], labels[[3, 0]], torch.tensor([0, 3]), bank, labels, 0.05)
        assert crossed > 5

    def test_a_text_is_not_its_own_neighbour(self) -> None:
        bank, labels = torch.eye(3), torch.tensor([0, 0, 1])
        at_itself = _nearest_loss(bank[:1], labels[:1], torch.tensor([0]), bank, labels, 0.05)
        assert at_itself == pytest.approx(np.log(2), abs=1e-5)

    def test_a_label_with_one_row_is_left_out(self) -> None:
        bank, labels = torch.eye(3), torch.tensor([0, 0, 1])
        assert _nearest_loss(bank[2:], labels[2:], torch.tensor([2]), bank, labels, 0.05) == 0
