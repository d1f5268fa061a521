"""The ladder's decisions: folds, which learners are tried, how they are named, what is mixed, what is chosen."""

from __future__ import annotations

import errno
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

import shokunin
from rows import rows
from shokunin import pipeline
from shokunin.calibration import Calibration
from shokunin.compress import integer
from shokunin.dataset import Dataset, Example, SealedRows
from shokunin.encoders.tiny_model import write_tiny_model
from shokunin.engines import engine_for
from shokunin.engines.mixture import MOST_MEMBERS
from shokunin.errors import BaseModelError, DataError, MissingExtraError, ProjectError, UsageError
from shokunin.files import read_json, write_json
from shokunin.forms import TextLessons
from shokunin.pipeline import deriving
from shokunin.pipeline import ladder as module_under_test
from shokunin.pipeline.bases import families
from shokunin.pipeline.judged import judged_by
from shokunin.pipeline.ladder import Ladder, climb, mixtures
from shokunin.pipeline.mixing import Mixture, shrink_members, written
from shokunin.pipeline.publish import spread
from shokunin.pipeline.rungs import Climb, folds_of, out_of_fold
from shokunin.progress import silent
from shokunin.task import Task
from shokunin.tasks import kind
from shokunin.tasks.classify_text import TextCodec
from shokunin.train import learner
from shokunin.weights import Weights

TASK = Task("inquiries")


def lessons_of(labels: list[int], groups: list[int]) -> TextLessons:
    names = tuple(f"label {i}" for i in range(max(labels) + 1))
    texts = tuple(f"text {i} of {names[label]}" for i, label in enumerate(labels))
    return TextLessons(texts, np.array(labels, np.int64), names, np.array(groups, np.int64))


def dataset_of(count: int, validation: int = 0) -> Dataset:
    examples = [Example({"text": r["text"]}, r["label"], f"rows:{i}", i) for i, r in enumerate(rows(count))]
    labels = tuple(sorted({e.expected for e in examples}))
    held, train = tuple(examples[:validation]), tuple(examples[validation:])
    return Dataset(TASK, labels, train, held, (), {}, SealedRows(0, ()), "0" * 64)


def climbed(dataset: Dataset, work: Path, **options: Any) -> Ladder:
    side_files = work / "side_files"
    side_files.mkdir(parents=True, exist_ok=True)
    kind("classify_text").prepare(TASK, list(dataset.train), side_files)
    asked: dict[str, Any] = {"bases": {}, "budget_seconds": 600, "seed": 0, "learners": None, "progress": silent}
    asked["shaping"] = lambda n: np.arange(n) % 4 == 0
    return climb(dataset, kind("classify_text").codec(TASK, side_files), work, **{**asked, **options})


def tiny(folder: Path, seed: int) -> str:
    folder.mkdir(parents=True)
    write_tiny_model(folder, seed=seed)
    return str(folder)


class TestFolds:
    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8)), min_size=2, max_size=60))
    def test_every_row_is_judged_once_with_its_group_left_out_or_the_reason_is_given(
        self, made: list[tuple[int, int]]
    ) -> None:
        lessons = lessons_of([label for label, _ in made], [group for _, group in made])
        try:
            folds = folds_of(lessons, 0)
        except DataError as error:
            assert "too few groups" in str(error)
            return
        assert sorted(np.concatenate([judge for _, judge in folds]).tolist()) == list(range(len(lessons)))
        for fit, judge in folds:
            assert not set(lessons.groups[fit]) & set(lessons.groups[judge])
            assert len(set(lessons.labels[fit])) >= 2

    def test_three_customers_make_three_folds(self) -> None:
        lessons = lessons_of([i % 2 for i in range(60)], [i // 20 for i in range(60)])
        assert len(folds_of(lessons, 0)) == 3

    def test_labels_with_one_row_each_are_left_out_by_group(self) -> None:
        folds = folds_of(lessons_of([0, 1, 2, 3], [0, 1, 2, 3]), 0)
        assert len(folds) == 2

    def test_a_label_that_is_one_group_beside_one_other_label_cannot_be_judged(self) -> None:
        lessons = lessons_of([0] * 10 + [1] * 50, [0] * 10 + list(range(1, 51)))
        with pytest.raises(DataError, match="51 groups"):
            folds_of(lessons, 0)

    def test_one_group_only(self) -> None:
        with pytest.raises(DataError, match="1 groups"):
            folds_of(lessons_of([0, 1, 0, 1], [5] * 4), 0)


class Stopped:
    """A learner whose fits are interrupted, the first one at once."""

    def __init__(self) -> None:
        self.fits = 0
        self._lock = threading.Lock()

    def fit(self, *_: Any, **__: Any) -> Weights:
        with self._lock:
            self.fits += 1
            first = self.fits == 1
        time.sleep(0 if first else 0.2)
        raise KeyboardInterrupt


@pytest.mark.parametrize(("workers", "most"), [(1, 1), (2, 5)])
def test_an_interrupted_fold_stops_the_others(workers: int, most: int, tmp_path: Path) -> None:
    lessons = lessons_of([i % 2 for i in range(40)], list(range(40)))
    stopped = Stopped()
    with pytest.raises(KeyboardInterrupt):
        out_of_fold(
            stopped, lessons, folds_of(lessons, 0) * 3, None, tmp_path, seed=0, progress=silent, workers=workers
        )
    assert stopped.fits <= most


def test_nothing_could_be_fitted_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise MissingExtraError("torch", "train")

    monkeypatch.setattr(module_under_test, "learner", missing)
    with pytest.raises(UsageError, match=r"nothing could be fitted \(encoder_lora: .*shokunin\[train\]"):
        climbed(dataset_of(60), tmp_path, learners=["encoder_lora"])


def test_a_wrong_base_is_found_before_any_work(tmp_path: Path) -> None:
    families([tiny(tmp_path / "tiny", 0)])
    with pytest.raises(BaseModelError, match="not-there"):
        families([tiny(tmp_path / "other", 1), str(tmp_path / "not-there")])


def test_a_wrong_base_ends_a_training_before_the_rows_are_read(project: Path) -> None:
    with pytest.raises(BaseModelError, match="not-there"):
        shokunin.train("no-such-rows.csv", base=["./not-there"])


class TestWhatIsTried:
    def test_without_the_default_base_the_others_are_tried(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def missing(name: str) -> Any:
            raise BaseModelError(f"base model {name!r} is not installed")

        monkeypatch.setattr("shokunin.train.encoder_head.resolve", missing)
        ladder = climbed(dataset_of(90, 30), tmp_path / "a", learners=["text_linear", "encoder_head"])
        notes = {r.learner: r.note for r in ladder.rungs}
        assert notes == {"text_linear": None, "encoder_head": notes["encoder_head"]}
        assert "is not installed" in str(notes["encoder_head"])
        with pytest.raises(BaseModelError, match="is not installed"):
            climbed(
                dataset_of(90, 30), tmp_path / "b", learners=["text_linear", "encoder_head"], bases={"some": "encoder"}
            )

    def test_bases_of_one_last_name_keep_apart(self, tmp_path: Path) -> None:
        bases = [tiny(tmp_path / f"{place}/same", seed) for seed, place in enumerate("abc")]
        ladder = climbed(
            dataset_of(90, 30),
            tmp_path / "work",
            learners=["text_linear", "encoder_head"],
            bases=dict.fromkeys([*bases, bases[1]], "encoder"),
        )
        single = [c.name for c in ladder.climbs if "+" not in c.name and c.name != "text_linear"]
        assert len(single) == len(set(single)) == 3 and "encoder_head" in single
        assert len({r.learner for r in ladder.rungs}) == len(ladder.climbs)
        assert not [p for p in (tmp_path / "work").rglob("*") if ":" in p.name]

    def shortenable(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        """text_linear as a learner that needs `seconds`, and can do with less."""

        class Options(BaseModel):
            minutes: float | None = None

        true = learner("text_linear")

        def fit(lessons: Any, options: Any, folder: Path, **rest: Any) -> Weights:
            return true.fit(lessons, true.Options(), folder, **rest)

        slow = SimpleNamespace(EATS="labelled_text", EXTRA=None, Options=Options, forecast=lambda *_: seconds, fit=fit)
        monkeypatch.setattr(module_under_test, "learner", lambda n: slow if n == "encoder_lora" else learner(n))

    def test_what_needs_a_little_more_than_is_left_is_shortened(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.shortenable(monkeypatch, 900)
        ladder = climbed(dataset_of(90, 30), tmp_path, learners=["baseline", "encoder_lora"])
        assert [c.name for c in ladder.climbs] == ["baseline", "encoder_lora"]

    def test_what_needs_far_more_is_not_tried_and_the_true_need_is_said(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.shortenable(monkeypatch, 2100)
        ladder = climbed(dataset_of(90, 30), tmp_path, learners=["baseline", "encoder_lora"])
        [rung] = [r for r in ladder.rungs if r.learner == "encoder_lora"]
        assert rung.note == "not tried: about 35.0 min needed, 10.0 min left; raise --budget"


def test_too_many_members_are_not_mixed() -> None:
    def one(name: str, form: Any) -> Climb:
        return Climb(name, Weights(Path(), "labelled_text", form), np.zeros((1, 2), np.float32), 0.0, 0.0)

    encoders = [one(f"encoder_head:{i}", "onnx_text") for i in range(MOST_MEMBERS)]
    made = mixtures([one("text_linear", "linear_text"), *encoders])
    assert len(made) == MOST_MEMBERS and {len(m) for m in made} == {2}
    assert MOST_MEMBERS in {len(m) for m in mixtures([one("text_linear", "linear_text"), *encoders[:-1]])}


def test_rows_of_one_group_do_not_make_the_paired_test_surer() -> None:
    """Ten rows of one group on which the models differ are one observation, not ten."""
    examples = [Example({"text": f"text {i}"}, "a", f"rows:{i}", i) for i in range(60)]
    best, worse = np.zeros((60, 2), np.float32), np.zeros((60, 2), np.float32)
    best[:, 0], worse[:, 0], worse[:10, 1] = 1, 1, 2
    codec = TextCodec(TASK, ("a", "b"), Calibration())
    apart = judged_by(examples, codec, "accuracy", labels=True)
    near = judged_by([replace(e, group=max(0, e.group - 9)) for e in examples], codec, "accuracy", labels=True)
    assert apart.worse(worse, best, 0) < 0.01
    assert near.worse(worse, best, 0) > 0.05


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> tuple[Mixture, TextLessons]:
    place = tmp_path_factory.mktemp("mixture")
    ladder = climbed(
        dataset_of(120, 40),
        place / "work",
        learners=["text_linear", "encoder_head"],
        bases={tiny(place / "tiny", 0): "encoder"},
    )
    [mixed] = [c for c in ladder.climbs if "+" in c.name]
    assert isinstance(mixed.weights, Mixture)
    found = sorted(str(p.name) for p in (place / "work").iterdir() if p.name.startswith("mixture"))
    assert found == [], "a mixture is only written when it is chosen"
    assert Ladder([mixed], [], mixed, "", ladder.judged, False).raw_of(ladder.judged.inputs) == pytest.approx(
        mixed.raw, abs=1e-4
    )
    assert ladder.judged.lessons is not None
    return mixed.weights, ladder.judged.lessons


class TestMixtures:
    def test_the_written_mixture_answers_as_its_members_did(
        self, mixture: tuple[Mixture, TextLessons], tmp_path: Path
    ) -> None:
        made, judged = mixture
        weights = written(made, tmp_path / "weights")
        assert weights.format == "mixture" and weights.exact and "parameters" not in weights.facts
        served = engine_for("mixture").load(weights).run(list(judged.texts))
        np.testing.assert_allclose(served, made.session().run(list(judged.texts)), atol=1e-5)
        assert 0 < weights.size_bytes() - made.size_bytes() < 10_000

    def test_a_full_disk_is_called_that(
        self, mixture: tuple[Mixture, TextLessons], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(source: Path, place: Path) -> None:
            raise OSError(errno.ENOSPC, "No space left on device", str(place))

        monkeypatch.setattr(shutil, "copyfile", full)
        with pytest.raises(ProjectError, match="the disk is full"):
            written(mixture[0], tmp_path / "weights")

    def test_encoders_of_a_mixture_are_made_smaller(self, mixture: tuple[Mixture, TextLessons], tmp_path: Path) -> None:
        weights = written(mixture[0], tmp_path / "weights")

        def shrink(member: Weights, folder: Path) -> Weights:
            return integer.shrink(member, mixture[1], integer.Options(), folder)

        (tmp_path / "small").mkdir()
        small = shrink_members(weights, shrink, tmp_path / "small", formats=integer.FORMATS)
        assert small.format == "mixture" and not small.exact and small.size_bytes() < weights.size_bytes()
        before, after = (read_json(w.folder / "mixture.json")["members"] for w in (weights, small))
        assert [m["share"] for m in after] == [m["share"] for m in before]
        assert [(m["format"], m["exact"]) for m in after] == [("linear_text", True), ("onnx_text", False)]
        assert small.facts["members"][1]["facts"]["precision"] == "int8"
        large, little = (engine_for("mixture").load(w).run(list(mixture[1].texts)) for w in (weights, small))
        assert (large.argmax(axis=1) == little.argmax(axis=1)).mean() > 0.9

    def test_other_weights_are_left_to_the_compressor(self, tmp_path: Path) -> None:
        alone = Weights(tmp_path, "labelled_text", "onnx_text")
        assert shrink_members(
            alone, lambda w, f: Weights(f, w.form, w.format, False), tmp_path / "x", formats=["onnx_text"]
        ) == Weights(tmp_path / "x", "labelled_text", "onnx_text", False)

    def test_a_mixture_without_encoders_is_refused(self, tmp_path: Path) -> None:
        write_json(tmp_path / "mixture.json", {"members": [{"name": "text_linear", "format": "linear_text"}]})
        with pytest.raises(UsageError, match="mixture of 'text_linear' is in the format 'onnx_text'"):
            shrink_members(
                Weights(tmp_path, "labelled_text", "mixture"), lambda w, f: w, tmp_path, formats=["onnx_text"]
            )

    def test_a_published_mixture_can_be_compressed(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def mixture_chosen(*args: Any, **options: Any) -> Ladder:
            ladder = climb(*args, **options)
            return replace(ladder, chosen=next(c for c in ladder.climbs if isinstance(c.weights, Mixture)))

        monkeypatch.setattr(pipeline, "climb", mixture_chosen)
        publish = deriving.publish
        monkeypatch.setattr(deriving, "publish", lambda *a, **k: publish(*a, **{**k, "replayed": False}))
        parent = pipeline.train(
            rows(120),
            name="t",
            learners=["text_linear", "encoder_head"],
            base=tiny(project / "tiny", 0),
            replayed=False,
        )
        small = pipeline.compress(parent.id)
        assert (parent.weights.format, parent.weights.exact) == ("mixture", True)
        assert (small.weights.format, small.weights.exact) == ("mixture", False)
        assert small.weights.size_bytes() < parent.weights.size_bytes()
        assert small.predict(rows(1)[0]["text"]).value == parent.predict(rows(1)[0]["text"]).value


def test_what_is_replayed_is_spread_over_all_rows() -> None:
    assert spread(range(10), 4) == [0, 3, 6, 9]
    assert spread(range(3), 4) == [0, 1, 2]
