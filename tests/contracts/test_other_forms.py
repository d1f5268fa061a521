"""Learners of documents and conversations, and the engines that read their weights, against the shelves' contracts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError

from shokunin.encoders.tiny_model import write_tiny_model
from shokunin.engines import READS, engine_for
from shokunin.errors import ShokuninError
from shokunin.forms import Conversation, Conversations, Document, Field, FieldLessons, Line
from shokunin.pipeline.kept_raw import keep_raw, kept_raw
from shokunin.progress import silent
from shokunin.task import KINDS, Task
from shokunin.tasks import kind
from shokunin.train import EATS, LEARNERS, learner
from shokunin.weights import Weights

LIGHT = [
    name for name in LEARNERS if EATS[name] in ("labelled_fields", "conversation") and name not in ("causal_lora",)
]
SAFE = {".json", ".safetensors", ".txt", ".onnx", ".gguf"}
NAMES = ("MORI", "SATO", "UEDA", "ABE", "KATO", "OKA", "ONO", "ITO", "OTA", "ENDO")


def documents() -> FieldLessons:
    made, expected = [], []
    for i in range(60):
        shop, total = f"{NAMES[i % 10]} STORES", f"{i * 7 + 3}.50"
        lines = (shop, f"NO {1000 + i}", f"TAX {i}.10", f"TOTAL {total}", f"CASH {i * 9 + 50}.00")
        made.append(Document(tuple(map(Line, lines))))
        expected.append({"shop": shop, "total": total, "discount": None})
    fields = (Field("shop"), Field("total", "money"), Field("discount", "money"))
    return FieldLessons(tuple(made), tuple(expected), fields, np.arange(60))


def conversations() -> Conversations:
    pairs = [(f"Where is {n}'s parcel?", f"Dear {n}, it is on its way.") for n in NAMES]
    pairs += [(f"{n} cancels the order.", f"Dear {n}, it is cancelled.") for n in NAMES]
    asked = tuple(Conversation(({"role": "user", "content": q},)) for q, _ in pairs)
    return Conversations(asked, tuple(a for _, a in pairs), np.arange(len(pairs)))


LESSONS = {"labelled_fields": documents, "conversation": conversations}


def forms_of(name: str) -> list[Any]:
    lessons = LESSONS[EATS[name]]()
    return list(lessons.documents[:5] if isinstance(lessons, FieldLessons) else lessons.asked[:5])


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Options with which a learner is done in a moment; without any it has its defaults."""
    tiny = tmp_path_factory.mktemp("tiny")
    write_tiny_model(tiny)
    return {"field_tagger": {"base": str(tiny), "num_train_epochs": 1, "bf16": False}}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, quick: dict[str, dict[str, Any]]) -> dict[str, Weights]:
    """Each learner's weights, fitted once."""
    if any(learner(name).EXTRA == "train" for name in LIGHT):
        pytest.importorskip("torch")
    return {
        name: learner(name).fit(
            LESSONS[EATS[name]](),
            learner(name).Options(**quick.get(name, {})),
            tmp_path_factory.mktemp(name),
            seed=0,
            progress=silent,
        )
        for name in LIGHT
    }


@pytest.mark.parametrize("name", LIGHT)
class TestEveryLearnerAndItsEngine:
    def test_options_and_forecast(self, name: str, quick: dict[str, dict[str, Any]]) -> None:
        module = learner(name)
        options = module.Options(**quick.get(name, {}))
        assert issubclass(module.Options, BaseModel) and 0 < module.forecast(LESSONS[EATS[name]](), options) < 600
        with pytest.raises(ValidationError):
            module.Options(no_such_option=1)

    def test_safe_files_of_a_known_format(self, name: str, made: dict[str, Weights]) -> None:
        weights = made[name]
        assert weights.format in READS and weights.form == EATS[name]
        assert {p.suffix for p in weights.folder.rglob("*") if p.is_file()} <= SAFE

    def test_the_same_lessons_make_the_same_weights(
        self, name: str, made: dict[str, Weights], quick: dict[str, dict[str, Any]], tmp_path: Path
    ) -> None:
        options = learner(name).Options(**quick.get(name, {}))
        learner(name).fit(LESSONS[EATS[name]](), options, tmp_path, seed=0, progress=silent)
        for path in sorted(tmp_path.rglob("*.safetensors")):
            assert path.read_bytes() == (made[name].folder / path.relative_to(tmp_path)).read_bytes()

    def test_nothing_in_nothing_out_and_no_row_depends_on_its_neighbours(
        self, name: str, made: dict[str, Weights]
    ) -> None:
        session, forms = engine_for(made[name].format).load(made[name]), forms_of(name)
        assert list(session.run([])) == []
        assert list(session.run(forms)) == [session.run([form])[0] for form in forms]

    def test_outputs_are_kept_as_they_are(self, name: str, made: dict[str, Weights], tmp_path: Path) -> None:
        raw = engine_for(made[name].format).load(made[name]).run(forms_of(name))
        keep_raw(raw, tmp_path)
        assert [dict(r) if isinstance(r, dict) else r for r in kept_raw(tmp_path)] == [
            dict(r) if isinstance(r, dict) else r for r in raw
        ]

    def test_damaged_files_are_an_error_of_ours(self, name: str, made: dict[str, Weights], tmp_path: Path) -> None:
        weights = made[name]
        for victim in sorted(str(p.relative_to(weights.folder)) for p in weights.folder.rglob("*") if p.is_file()):
            copy = tmp_path / victim.replace("/", "-")
            shutil.copytree(weights.folder, copy)
            (copy / victim).write_bytes(b"\x80\x04nonsense")
            with pytest.raises(ShokuninError):
                engine_for(weights.format).load(Weights(copy, weights.form, weights.format, facts=weights.facts)).run(
                    forms_of(name)
                )


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_gives_forms_that_a_learner_eats(name: str) -> None:
    assert set(kind(name).FORMS) & set(EATS.values())
    kind(name).check(Task("any", name, options={"fields": {"a": "text"}} if name == "extract_fields" else {}))
