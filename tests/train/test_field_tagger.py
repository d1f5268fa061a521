# ruff: noqa: E402  (torch may be absent: the file is then skipped before it imports anything that needs it)
"""field_tagger learns where values stand from the tokens around them, and leaves nothing of a long document out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from pydantic import ValidationError
from scipy.special import logsumexp

from shokunin.encoders.tiny_model import write_tiny_model
from shokunin.engines.field_tagger import load
from shokunin.errors import ArtefactError, UsageError
from shokunin.fields.one_span import score, spans_of
from shokunin.fields.scoring import field_scores
from shokunin.files import read_json, write_json
from shokunin.forms import Document, Field, FieldLessons, Line, TextLessons
from shokunin.progress import silent
from shokunin.train.field_tagger import Options, _held_back, _Lessons, _Tuner, fit, forecast
from shokunin.train.one_span_loss import one_span_loss
from shokunin.train.tagger_rows import Wanted
from shokunin.weights import Weights

pytestmark = pytest.mark.torch

FIELDS = (Field("code"), Field("sum", "money"), Field("day", "date"))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads only wait for each other on models this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tiny")
    write_tiny_model(folder, layers=2)
    return str(folder)


def slips(count: int, seed: int = 0, padding: int = 0) -> FieldLessons:
    """A code of early letters and one of late ones, a sum with .50 and one with .99, a day that every third slip lacks."""
    random = np.random.default_rng(seed)
    documents, expected = [], []
    for row in range(count):
        code = "".join(random.choice(list("abcdefgh"), 3))
        other = "".join(random.choice(list("jklmnopq"), 3))
        total, cash = f"{random.integers(10, 99)}.50", f"{random.integers(10, 99)}.99"
        day = f"{random.integers(10, 28)}.0{random.integers(1, 9)}.2{random.integers(0, 9)}" if row % 3 else None
        lines = [f"o {other}", f"x {code}", f"s {total}", f"v {cash}", *([f"d {day}"] if day else [])]
        random.shuffle(lines)
        lines[1:1] = ["qr"] * padding
        documents.append(Document(tuple(map(Line, lines))))
        date = f"20{day[6:]}-{day[3:5]}-{day[:2]}" if day else None
        expected.append({"code": code.upper(), "sum": float(total), "day": date})
    return FieldLessons(tuple(documents), tuple(expected), FIELDS, np.arange(count))


def options(base: str, **more: Any) -> Options:
    return Options(**{"base": base, "bf16": False, "trained_layers": 2, **more})


def made(tmp_path: Path, name: str = "out") -> Path:
    (tmp_path / name).mkdir()
    return tmp_path / name


@pytest.fixture(scope="module")
def trained(base: str, tmp_path_factory: pytest.TempPathFactory) -> Weights:
    chosen = options(base, num_train_epochs=8, learning_rate=5e-3, head_learning_rate=1e-2)
    return fit(slips(200), chosen, tmp_path_factory.mktemp("trained"), seed=0, progress=silent)


def right(weights: Weights, held: FieldLessons) -> dict[str, float]:
    found = load(weights).run(held.documents)
    scores = field_scores(held.fields, held.expected, [{k: v.value for k, v in row.items()} for row in found])
    return {name: scores.f1(name) for name in scores.counts}


class TestWhatItLearns:
    def test_values_of_documents_it_has_not_seen(self, trained: Weights) -> None:
        assert min(right(trained, slips(60, seed=1)).values()) > 0.9

    def test_values_are_spelled_as_the_rows_spell_them_and_stand_where_it_says(self, trained: Weights) -> None:
        held = slips(12, seed=2)
        agreed = 0
        for document, wanted, found in zip(
            held.documents, held.expected, load(trained).run(held.documents), strict=True
        ):
            for name, told in found.items():
                assert (told.value is None) == (told.span is None)
                if told.span is not None and told.value == wanted[name]:
                    agreed += 1
                    written = document.text[slice(*told.span)]
                    if name == "sum":
                        assert float(written) == told.value
                    elif name == "code":
                        assert written.upper() == told.value
                    else:
                        assert f"20{written[6:]}-{written[3:5]}-{written[:2]}" == told.value
        assert agreed > 24

    def test_what_is_not_there_is_null(self, trained: Weights) -> None:
        held = slips(30, seed=3)
        for wanted, found in zip(held.expected, load(trained).run(held.documents), strict=True):
            if wanted["day"] is None:
                assert found["day"].value is None
        nothing = load(trained).run([Document(()), Document((Line(""),))])
        assert [row["sum"].value for row in nothing] == [None, None]

    def test_nothing_of_a_document_of_many_windows_is_left_out(self, trained: Weights) -> None:
        """The values stand before, between and behind some 700 tokens of padding; a window has 64."""
        session, held = load(trained), slips(20, seed=4, padding=250)
        for document in held.documents:
            assert len("".join(line.text for line in document.lines)) > 500
        found = session.run(held.documents)
        scores = field_scores(held.fields, held.expected, [{k: v.value for k, v in r.items()} for r in found])
        assert scores.f1("code") > 0.7 and scores.f1("day") > 0.7

    def test_what_it_did_is_told(self, trained: Weights) -> None:
        facts = trained.facts
        assert facts["held_back"]["documents"] == 30 and facts["held_back"]["right"] > 0.9
        assert facts["not_in_the_document"] == {"code": 0, "sum": 0, "day": 0}
        assert facts["never_found"] == facts["lists_left_out"] == []


class TestLessonsThatAreHard:
    def test_a_value_that_no_document_holds_is_counted_and_not_learned_as_missing(
        self, base: str, tmp_path: Path
    ) -> None:
        given = slips(40)
        rows = [{**row, "code": "elsewhere" if i < 10 else row["code"]} for i, row in enumerate(given.expected)]
        weights = fit(
            replace(given, expected=tuple(rows)),
            options(base, num_train_epochs=1),
            made(tmp_path),
            seed=0,
            progress=silent,
        )
        assert weights.facts["not_in_the_document"]["code"] == 10
        tuner = _Tuner(_Lessons(replace(given, expected=tuple(rows)), options(base)), options(base))
        assert tuner._wanted(0)[0] is None and tuner._wanted(39)[0] is not None

    def test_lists_are_left_to_others_and_lists_alone_refused(self, base: str, tmp_path: Path) -> None:
        given = slips(30)
        items = Field("items", "list", (Field("name"),))
        mixed = replace(given, fields=(items, *FIELDS))
        weights = fit(mixed, options(base, num_train_epochs=1), made(tmp_path), seed=0, progress=silent)
        assert weights.facts["lists_left_out"] == ["items"]
        found = load(weights).run(given.documents[:2])
        assert list(found[0]) == ["items", "code", "sum", "day"]
        assert found[0]["items"].value is None and found[0]["items"].score < 0
        with pytest.raises(UsageError, match="field_candidates"):
            fit(replace(given, fields=(items,)), options(base), tmp_path, seed=0, progress=silent)

    def test_a_field_that_nobody_ever_gave_is_never_found(self, base: str, tmp_path: Path) -> None:
        given = slips(30)
        more = replace(given, fields=(*FIELDS, Field("never")))
        weights = fit(more, options(base, num_train_epochs=1), made(tmp_path), seed=0, progress=silent)
        assert weights.facts["never_found"] == ["never"]
        found = load(weights).run(given.documents[:1])[0]["never"]
        assert found.value is None and found.score > 0

    def test_too_few_or_valueless_documents_are_refused(self, base: str, tmp_path: Path) -> None:
        given = slips(30)
        with pytest.raises(UsageError, match="too few"):
            fit(given.take(np.arange(4)), options(base), tmp_path, seed=0, progress=silent)
        with pytest.raises(UsageError, match="copies"):
            fit(replace(given, groups=np.zeros(30, np.int64)), options(base), tmp_path, seed=0, progress=silent)
        with pytest.raises(UsageError, match="no document has a value"):
            fit(replace(given, expected=({},) * 30), options(base), tmp_path, seed=0, progress=silent)
        elsewhere = tuple({"code": "zzz", "sum": 7.77, "day": "1999-01-01"} for _ in range(30))
        with pytest.raises(UsageError, match="belong together"):
            fit(replace(given, expected=elsewhere), options(base), tmp_path, seed=0, progress=silent)
        held = _held_back(given.groups, 0.15, 0)
        blank = tuple(d if h else Document(()) for d, h in zip(given.documents, held, strict=True))
        with pytest.raises(UsageError, match="empty"):
            fit(replace(given, documents=blank), options(base), tmp_path, seed=0, progress=silent)
        texts = TextLessons(("a",), np.zeros(1, np.int64), ("x",), np.zeros(1, np.int64))
        with pytest.raises(UsageError, match="labelled_text"):
            fit(texts, options(base), tmp_path, seed=0, progress=silent)
        assert list(tmp_path.iterdir()) == []

    def test_unknown_options_and_modules_are_refused(self, base: str, tmp_path: Path) -> None:
        with pytest.raises(ValidationError):
            Options(no_such_option=1)  # type: ignore[call-arg]
        with pytest.raises(UsageError, match="target_modules"):
            fit(slips(20), options(base, target_modules=("q_proj",)), tmp_path, seed=0, progress=silent)


class TestHowItTrains:
    def test_minutes_cap_the_steps_but_not_the_forecast(self, base: str, tmp_path: Path) -> None:
        capped = options(base, num_train_epochs=1e6, minutes=0.06)
        weights = fit(slips(20), capped, made(tmp_path), seed=0, progress=silent)
        assert weights.facts["shortened"] and 1 <= weights.facts["steps"] < 5000
        assert forecast(slips(20), capped) > 3600

    def test_it_ends_when_nothing_is_gained(self, base: str, tmp_path: Path) -> None:
        still = options(base, num_train_epochs=50, learning_rate=1e-9, head_learning_rate=1e-12, patience=2)
        weights = fit(slips(20), still, made(tmp_path), seed=0, progress=silent)
        assert weights.facts["epochs"] < 50

    def test_the_same_seed_gives_the_same_answers(self, base: str, tmp_path: Path) -> None:
        given = slips(24)
        runs = [
            fit(given, options(base, num_train_epochs=2), made(tmp_path, name), seed=5, progress=silent)
            for name in "ab"
        ]
        assert load(runs[0]).run(given.documents) == load(runs[1]).run(given.documents)

    def test_stopping_passes_through_and_leaves_nothing(self, base: str, tmp_path: Path) -> None:
        seen = []

        def stop(what: str, done: float, total: float | None) -> None:
            if what == "tuning the encoder":
                seen.append((done, total))
                if done == 2:
                    raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fit(slips(40), options(base, num_train_epochs=3), made(tmp_path), seed=0, progress=stop)
        assert [done for done, _ in seen] == [1, 2] and seen[0][1] is not None
        assert list((tmp_path / "out").iterdir()) == []

    def test_whole_groups_are_held_back_and_never_all(self) -> None:
        groups = np.repeat(np.arange(6), 5)
        held = _held_back(groups, 0.15, 0)
        assert held.sum() == 5 and len(np.unique(groups[held])) == 1
        assert _held_back(np.array([0, 0, 1]), 0.9, 1).sum() < 3

    def test_what_is_served_is_what_was_trained(self, base: str, tmp_path: Path) -> None:
        given = slips(20, padding=30)
        tuner = _Tuner(_Lessons(given, options(base)), options(base))
        with torch.no_grad():
            for name, parameter in tuner.encoder.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(0, 0.1)
            tuner.weight.normal_(0, 1.0)
        weights = fit(given, options(base, num_train_epochs=1), made(tmp_path), seed=0, progress=silent)
        from shokunin.encoders.graph import write_token_encoder

        write_token_encoder(tuner.base.folder, weights.folder / "model.onnx", tuner.head(), tensors=tuner.merged())
        session = load(weights)
        for reading, scores in zip(tuner.lessons.readings, tuner.numbers(range(20), silent), strict=True):
            assert np.abs(session._numbers(reading.tokens) - scores).max() < 1e-3


class TestTheLoss:
    numbers = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    spans = spans_of([(i, j) for i in range(6) for j in range(i, 6)])

    @pytest.mark.parametrize("gold", [[], [3], [0, 7, 20]])
    def test_it_is_that_of_the_right_spans_among_all(self, gold: list[int]) -> None:
        flags = np.zeros(len(self.spans), bool)
        flags[gold] = True
        scores = score(self.numbers, self.spans)
        wanted = logsumexp([0.0, *scores]) - (logsumexp(scores[flags]) if gold else 0.0)
        assert float(one_span_loss(torch.from_numpy(self.numbers), Wanted(self.spans, flags))) == pytest.approx(
            wanted, abs=1e-4
        )

    def test_a_window_without_any_span_costs_nothing(self) -> None:
        empty = Wanted(spans_of([]), np.zeros(0, bool))
        assert float(one_span_loss(torch.from_numpy(self.numbers), empty)) == pytest.approx(0.0, abs=1e-6)


class TestDamage:
    @pytest.mark.parametrize(
        "change",
        [
            {"version": 9},
            {"room": 0},
            {"overlap": 9999},
            {"fields": [{}]},
            {"fields": []},
            {"fields": 3},
        ],
    )
    def test_a_tagger_that_cannot_be_is_an_error_of_ours(
        self, trained: Weights, tmp_path: Path, change: dict[str, Any]
    ) -> None:
        copy = tmp_path / "copy"
        shutil.copytree(trained.folder, copy)
        write_json(copy / "tagger.json", {**read_json(copy / "tagger.json"), **change})
        with pytest.raises(ArtefactError):
            load(replace(trained, folder=copy))
