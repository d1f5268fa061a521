"""Every variant on every shelf against its contract."""

from __future__ import annotations

import inspect
import tomllib
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError

from rows import rows
from shokunin.compress import COMPRESSORS, compressor
from shokunin.dataset import Example
from shokunin.engines import ENGINES, READS, engine_for
from shokunin.errors import ShokuninError, UsageError
from shokunin.forms import Lessons
from shokunin.progress import silent
from shokunin.task import KINDS, Task
from shokunin.tasks import kind
from shokunin.train import EATS, LEARNERS, learner
from shokunin.weights import Weights

TASK = Task("inquiries")
READERS = [name for name in LEARNERS if EATS[name] == "labelled_text"]
"""The learners that read a text and give it a label."""
QUICK = {"encoder_lora": {"num_train_epochs": 1, "max_length": 32}}


@pytest.fixture(scope="session")
def lessons(tmp_path_factory: pytest.TempPathFactory) -> Lessons:
    examples = [Example({"text": r["text"]}, r["label"], f"rows:{i}", i) for i, r in enumerate(rows(90))]
    side_files = tmp_path_factory.mktemp("side")
    kind("classify_text").prepare(TASK, examples, side_files)
    return kind("classify_text").codec(TASK, side_files).lessons(examples)


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory, lessons: Lessons) -> dict[str, Weights]:
    """Each learner's weights, fitted once."""
    made: dict[str, Weights] = {}
    for name in READERS:
        if learner(name).EXTRA is not None:
            pytest.importorskip("torch")
        options = learner(name).Options(**QUICK.get(name, {}))
        made[name] = learner(name).fit(lessons, options, tmp_path_factory.mktemp(name), seed=0, progress=silent)
    return made


@pytest.mark.parametrize("name", READERS)
class TestEveryLearner:
    def test_says_what_it_eats(self, name: str) -> None:
        module = learner(name)
        assert issubclass(module.Options, BaseModel)

    def test_refuses_unknown_options(self, name: str) -> None:
        with pytest.raises(ValidationError):
            learner(name).Options(no_such_option=1)

    def test_forecasts_seconds(self, name: str, lessons: Lessons) -> None:
        module = learner(name)
        assert 0 < module.forecast(lessons, module.Options()) < 3600

    def test_writes_only_safe_files_that_an_engine_reads(self, name: str, fitted: dict[str, Weights]) -> None:
        weights = fitted[name]
        assert weights.format in READS
        assert weights.size_bytes() > 0
        assert {p.suffix for p in weights.folder.rglob("*") if p.is_file()} <= {
            ".json",
            ".safetensors",
            ".onnx",
            ".txt",
        }

    def test_gives_finite_scores_of_the_right_shape(
        self, name: str, fitted: dict[str, Weights], lessons: Lessons
    ) -> None:
        raw = engine_for(fitted[name].format).load(fitted[name]).run(list(lessons.texts[:7]))
        assert raw.shape == (7, len(lessons.names)) and raw.dtype == np.float32 and np.isfinite(raw).all()

    def test_learns_what_can_be_learnt(self, name: str, fitted: dict[str, Weights], lessons: Lessons) -> None:
        raw = engine_for(fitted[name].format).load(fitted[name]).run(list(lessons.texts))
        right = (raw.argmax(axis=1) == lessons.labels).mean()
        share = np.bincount(lessons.labels).max() / len(lessons)
        assert right == pytest.approx(share) if name == "baseline" else right > 0.9

    def test_few_lessons_are_enough_to_work(self, name: str, lessons: Lessons, tmp_path: Path) -> None:
        few = lessons.take(np.concatenate([np.flatnonzero(lessons.labels == k)[:8] for k in range(3)]))
        options = learner(name).Options(**QUICK.get(name, {}))
        weights = learner(name).fit(few, options, tmp_path, seed=0, progress=silent)
        assert engine_for(weights.format).load(weights).run(["where is my parcel"]).shape == (1, 3)


@pytest.mark.parametrize("name", [n for n in READERS if n != "baseline"])
def test_one_label_only_is_refused(name: str, lessons: Lessons, tmp_path: Path) -> None:
    one = lessons.take(np.flatnonzero(lessons.labels == 0))
    with pytest.raises(UsageError, match="two"):
        learner(name).fit(one, learner(name).Options(**QUICK.get(name, {})), tmp_path, seed=0, progress=silent)


@pytest.mark.parametrize("name", READERS)
class TestEveryEngineOnEveryLearnersWeights:
    """Each format is read by the engine that the table names."""

    def test_the_table_and_the_engine_agree(self, name: str, fitted: dict[str, Weights]) -> None:
        assert fitted[name].format in engine_for(fitted[name].format).FORMATS

    def test_nothing_in_nothing_out(self, name: str, fitted: dict[str, Weights], lessons: Lessons) -> None:
        assert engine_for(fitted[name].format).load(fitted[name]).run([]).shape == (0, len(lessons.names))

    def test_a_row_does_not_depend_on_its_neighbours(
        self, name: str, fitted: dict[str, Weights], lessons: Lessons
    ) -> None:
        session = engine_for(fitted[name].format).load(fitted[name])
        texts = [*lessons.texts[:9], "x", "", "long " * 300, "日本語の文章です", "\x00\u2028"]
        together = session.run(texts)
        alone = np.concatenate([session.run([t]) for t in texts])
        np.testing.assert_allclose(together, alone, atol=2e-4)

    def test_damaged_files_are_an_error_of_ours(self, name: str, fitted: dict[str, Weights], tmp_path: Path) -> None:
        import shutil

        for victim in sorted(p.name for p in fitted[name].folder.iterdir() if p.is_file()):
            copy = tmp_path / victim
            shutil.copytree(fitted[name].folder, copy)
            (copy / victim).write_bytes(b"\x80\x04nonsense")
            broken = Weights(copy, fitted[name].form, fitted[name].format, facts=fitted[name].facts)
            with pytest.raises(ShokuninError):
                engine_for(broken.format).load(broken).run(["x"])


def test_the_format_table_names_engines() -> None:
    assert set(READS.values()) == set(ENGINES)
    for eaten, name in READS.items():
        assert eaten in engine_for(eaten).FORMATS, name


@pytest.mark.parametrize("name", COMPRESSORS)
def test_every_compressor_gives_smaller_weights_that_mostly_agree(
    name: str, fitted: dict[str, Weights], lessons: Lessons, tmp_path: Path
) -> None:
    module = compressor(name)
    for weights in fitted.values():
        if weights.format not in module.FORMATS:
            continue
        folder = tmp_path / str(id(weights))
        folder.mkdir()
        small = module.shrink(weights, lessons, module.Options(), folder)
        assert small.form == weights.form and small.size_bytes() < weights.size_bytes()
        before, after = (engine_for(w.format).load(w).run(list(lessons.texts)).argmax(axis=1) for w in (weights, small))
        assert (before == after).mean() > 0.9


@pytest.mark.parametrize("name", LEARNERS)
def test_the_table_says_what_each_learner_eats(name: str) -> None:
    if name in ("encoder_lora", "field_tagger", "causal_lora"):
        pytest.importorskip("torch")
    eaten = learner(name).EATS
    assert eaten == EATS[name]


def test_variants_are_strangers_by_contract() -> None:
    rules = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "importlinter"
    ]
    told = {module for rule in rules["contracts"] if rule["type"] == "independence" for module in rule["modules"]}
    kinds = {f"shokunin.tasks.{name}" for name in KINDS}
    assert kinds | {*LEARNERS.values(), *ENGINES.values(), *COMPRESSORS.values()} <= told


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_has_its_names(name: str) -> None:
    module = kind(name)
    assert module.FORMS
    for function in ("gather", "prepare", "codec", "described"):
        assert inspect.getdoc(getattr(module, function))


@pytest.mark.parametrize("find", [kind, learner, compressor, engine_for])
def test_an_unknown_variant_names_the_known_ones(find) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match="'nonsense'"):
        find("nonsense")
