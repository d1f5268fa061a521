"""A learner that cannot learn from the rows is left out with its reason; where none is left, every reason is said."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import shokunin
from rows import rows
from shokunin import pipeline
from shokunin.dataset import Dataset, SealedRows
from shokunin.encoders.tiny_model import write_tiny_model
from shokunin.engines.cascade import Scale
from shokunin.errors import LessonsError, UsageError
from shokunin.pipeline import ladder as module_under_test
from shokunin.pipeline.cascading import Cascade
from shokunin.pipeline.ladder import Ladder, climb
from shokunin.pipeline.rungs import too_long
from shokunin.progress import silent
from shokunin.prove.render import report_json, report_terminal
from shokunin.task import Task
from shokunin.tasks import kind
from shokunin.train import learner
from shokunin.weights import Weights


def slips(count: int, answer: Callable[[int], dict[str, Any]] | None = None) -> list[dict[str, str]]:
    """Documents, and by default the total that stands in them."""
    made = []
    for n in range(count):
        draw = random.Random(n)
        words = " ".join("".join(draw.choices("abcdefghij", k=6)) for _ in range(6))
        text = f"SLIP {n * 37:05d}\n{words}\nTOTAL {n * 7 + 12}.50\nCASH {n * 11 + 300}.00"
        told = {"total": f"{n * 7 + 12}.50"} if answer is None else answer(n)
        made.append({"document": text, "answer": json.dumps(told)})
    return made


def climbed(task: Task, given: Sequence[dict[str, str]], work: Path, **options: Any) -> Ladder:
    the_kind = kind(task.kind)
    task = the_kind.settle(task, list(given))
    gathered = the_kind.gather(task, ((f"rows:{i}", row) for i, row in enumerate(given)))
    examples = tuple(replace(e, group=i) for i, e in enumerate(gathered))
    labels = tuple(sorted({e.expected or "" for e in examples})) if the_kind.LABELS else ()
    held = len(examples) // 5
    dataset = Dataset(task, labels, examples[held:], examples[:held], (), {}, SealedRows(0, ()), "0" * 64)
    side_files = work / "side_files"
    side_files.mkdir(parents=True, exist_ok=True)
    the_kind.prepare(task, dataset.train, side_files)
    asked: dict[str, Any] = {"bases": {}, "budget_seconds": 600, "seed": 0, "progress": silent}
    asked["shaping"] = lambda n: np.arange(n) % 4 == 0
    return climb(dataset, the_kind.codec(task, side_files), work, **{**asked, **options})


def notes(ladder: Ladder) -> dict[str, str]:
    return {rung.learner: rung.note for rung in ladder.rungs if rung.note}


FIELDS = Task("slips", "extract_fields", ("document",), "answer")
READERS = ["field_candidates", "field_tagger"]


@pytest.mark.torch
class TestDocuments:
    @pytest.fixture(autouse=True)
    def _torch(self) -> None:
        pytest.importorskip("torch")
        pytest.importorskip("peft")

    def test_only_a_list_to_find(self, tmp_path: Path) -> None:
        given = slips(40, lambda n: {"paid": [{"sum": f"{n * 7 + 12}.50"}, {"sum": f"{n * 11 + 300}.00"}]})
        ladder = climbed(FIELDS, given, tmp_path, learners=READERS)
        assert [c.name for c in ladder.climbs] == ["field_candidates"]
        assert "every field to find here is a list" in notes(ladder)["field_tagger"]
        with pytest.raises(UsageError, match=r"nothing could be fitted \(field_tagger: left out: .* is a list"):
            climbed(FIELDS, given, tmp_path, learners=["field_tagger"])

    def test_no_document_holds_the_value(self, tmp_path: Path) -> None:
        given = slips(60, lambda n: {"mood": "glad" if n % 3 else "cross"})
        (tmp_path / "tiny").mkdir()
        write_tiny_model(tmp_path / "tiny")
        bases = {str(tmp_path / "tiny"): "encoder"}
        ladder = climbed(FIELDS, given, tmp_path, learners=READERS, bases=bases)
        assert [c.name for c in ladder.climbs] == ["field_candidates"]
        assert notes(ladder)["field_tagger"].startswith("left out: none of the 48 documents holds the value")

    def test_too_few_documents_and_where_that_is_shown(self, tmp_path: Path) -> None:
        given = slips(14)
        specialist = shokunin.train(
            given, name="slips", kind="extract_fields", learners=READERS, project=tmp_path, replayed=False
        )
        report = pipeline.read_report(specialist)
        [rung] = [rung for rung in report.ladder if rung.learner == "field_tagger"]
        assert rung.score is None and "too few to tune an encoder" in (rung.note or "")
        assert rung.note in [one["note"] for one in report_json(report)["ladder"]]
        out = StringIO()
        report_terminal(report, Console(file=out, width=400))
        page = (specialist.folder / "report.html").read_text(encoding="utf-8")
        for shown in (out.getvalue(), page):
            assert "too few to tune an encoder" in shown
        every = (
            r"nothing could be fitted \(field_tagger: left out: .*too few.*\); add another learner: field_candidates"
        )
        with pytest.raises(UsageError, match=every):
            shokunin.train(given, name="again", kind="extract_fields", learners=["field_tagger"], project=tmp_path)

    def test_every_document_is_too_long_for_the_language_model(self, tmp_path: Path) -> None:
        pytest.importorskip("gguf")
        from tiny_decoder import tiny_decoder

        asked = Task("replies", "generate_text", ("text",), "reply")
        given = [{"text": f"{'river ' * 200} {n}", "reply": ("yes", "no")[n % 2]} for n in range(60)]
        bases = {str(tiny_decoder(tmp_path / "tiny")): "language"}
        ladder = climbed(asked, given, tmp_path, learners=["nearest_answer", "causal_lora"], bases=bases)
        assert [c.name for c in ladder.climbs] == ["nearest_answer"]
        assert notes(ladder)["causal_lora"].startswith("left out: all 48 lessons are longer than max_length 256")
        with pytest.raises(UsageError, match=r"nothing could be fitted \(causal_lora: left out: all 48 lessons"):
            climbed(asked, given, tmp_path, learners=["causal_lora"], bases=bases)


class TestLabels:
    """encoder_lora is stood in for by text_linear, which needs no torch."""

    def learner_that(self, monkeypatch: pytest.MonkeyPatch, fit: Callable[..., Weights]) -> None:
        true = learner("text_linear")
        other = SimpleNamespace(
            EATS="labelled_text", EXTRA=None, Options=true.Options, forecast=lambda *_: 0.1, fit=fit
        )
        monkeypatch.setattr(module_under_test, "learner", lambda n: other if n == "encoder_lora" else learner(n))

    def refuses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fit(*_: Any, **__: Any) -> Weights:
            raise LessonsError("these rows teach nothing")

        self.learner_that(monkeypatch, fit)

    def test_others_are_chosen_from(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refuses(monkeypatch)
        ladder = climbed(Task("inquiries"), rows(90), tmp_path, learners=["baseline", "text_linear", "encoder_lora"])
        assert ladder.chosen.name == "text_linear"
        assert notes(ladder) == {"encoder_lora": "left out: these rows teach nothing"}

    def test_the_baseline_alone_is_no_choice(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refuses(monkeypatch)
        with pytest.raises(
            UsageError, match=r"nothing but the baseline could be fitted \(encoder_lora: left out: these"
        ):
            climbed(Task("inquiries"), rows(90), tmp_path, learners=["baseline", "encoder_lora"])

    def test_an_option_that_does_not_fit_still_ends_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fit(*_: Any, **__: Any) -> Weights:
            raise UsageError("unknown target_modules")

        self.learner_that(monkeypatch, fit)
        with pytest.raises(UsageError, match="unknown target_modules"):
            climbed(Task("inquiries"), rows(90), tmp_path, learners=["text_linear", "encoder_lora"])

    def test_lessons_too_long_are_counted_beside_the_score(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        true = learner("text_linear")

        def fit(*arguments: Any, **options: Any) -> Weights:
            made = true.fit(*arguments, **options)
            return replace(made, facts={**made.facts, "rows": 42, "rows_too_long": 30, "max_length": 2048})

        self.learner_that(monkeypatch, fit)
        ladder = climbed(Task("inquiries"), rows(90), tmp_path, learners=["baseline", "encoder_lora"])
        said = "30 of 72 lessons are longer than 2,048 tokens and were left out"
        assert notes(ladder) == {"encoder_lora": said}
        assert next(r for r in ladder.rungs if r.learner == "encoder_lora").score is not None


def test_two_settings_do_not_share_what_was_fitted(tmp_path: Path) -> None:
    told: list[dict[str, dict[str, float]]] = [{}, {"text_linear": {"C": 7.0}}, {}]
    ladders = [
        climbed(Task("inquiries"), rows(90), tmp_path, learners=["text_linear"], learner_options=one) for one in told
    ]
    assert [ladder.climbs[0].weights.facts["options"]["C"] for ladder in ladders] == [1.0, 7.0, 1.0]  # type: ignore[union-attr]
    assert len(list(tmp_path.glob("text_linear-0-*"))) == 2, "the third time the first is found again"


def test_what_is_made_of_several_says_which_member_left_lessons_out(tmp_path: Path) -> None:
    small = Weights(tmp_path, "conversation", "nearest_answer", facts={"parameters": 3})
    cut = {"rows": 10, "rows_too_long": 2, "max_length": 64}
    large = Weights(tmp_path, "conversation", "gguf", facts=cut)
    scales = (Scale(1.0, 0.0), Scale(1.0, 0.0))
    both = Cascade((("nearest_answer", small), ("causal_lora", large)), scales, 0.9)
    assert too_long(both) == "causal_lora: 2 of 12 lessons are longer than 64 tokens and were left out"
    assert too_long(replace(both, members=(both.members[0], both.members[0]))) is None
    assert too_long(replace(large, facts={**cut, "rows_too_long": 0})) is None
