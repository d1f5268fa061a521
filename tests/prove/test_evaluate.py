"""Every row is a case; scores, confusions, scope and verdict follow from the cases alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prove_fakes import NONE, TASK, Scripted, examples, judge

from shokunin.answer import Answer
from shokunin.calibration import Calibration, Promise
from shokunin.dataset import Example
from shokunin.metrics import wilson
from shokunin.prove.evaluate import baseline_scores, evaluate, threshold, verdict
from shokunin.task import Task

ROWS = [("a", "refund"), ("b", "refund"), ("c", "parcel"), ("d", "parcel"), ("e", "oos"), ("f", "oos")]
TABLE: dict[str, tuple[str, float] | str] = {
    "a": ("refund", 0.9),
    "b": ("parcel", 0.8),
    "c": "the text is empty",
    "d": ("parcel", 0.4),
    "e": ("none_of_these", 0.3),
    "f": ("parcel", 0.7),
}


def test_every_row_is_kept_and_a_problem_is_a_wrong_answer() -> None:
    found = evaluate(Scripted(TABLE), examples(ROWS), judge=judge(), none_labels=NONE)
    assert [(c.value, c.correct, c.sure, c.problem) for c in found.cases] == [
        ("refund", True, True, None),
        ("parcel", False, True, None),
        (None, False, False, "the text is empty"),
        ("parcel", True, False, None),
        ("none_of_these", True, False, None),
        ("parcel", False, True, None),
    ]
    assert found.cases[2].confidence == 0.0
    assert found.cases[0].origin == "rows.csv:2"
    assert found.scores["accuracy"] == wilson(3, 6)
    # refund: 2 rows, 1 found, never claimed wrongly; parcel: 2 rows, 1 found, claimed 3 times; none: 2 rows, 1 found
    assert found.scores["macro_f1"].value == pytest.approx((2 / 3 + 2 / 5 + 2 / 3) / 3)
    assert found.worst_pairs == [
        {"expected": "oos", "given": "parcel", "count": 1},
        {"expected": "parcel", "given": None, "count": 1},
        {"expected": "refund", "given": "parcel", "count": 1},
    ]
    assert found.given["coverage_here"] == 0.5
    assert found.given["error_here"] == pytest.approx(2 / 3)
    assert found.given["error_here_low"] < 2 / 3 < found.given["error_here_high"]
    assert sum(b["rows"] for b in found.calibration["bins"]) == 6
    assert found.risk_coverage[-1] == (1.0, 0.5)


def test_scope_is_scored_where_rows_belong_to_nothing() -> None:
    found = evaluate(Scripted(TABLE), examples(ROWS), judge=judge(), none_labels=NONE)
    assert found.scope is not None
    # What speaks for a label: a 0.9, b 0.8, c 0, d 0.4 against e 0.7 (left over) and f 0.7: of 8 pairs 4 are the right way round.
    assert found.scope["auroc"]["value"] == pytest.approx(0.5)
    assert (found.scope["rows"], found.scope["declined"], found.scope["lost"]) == (2, 0.5, 0.0)
    assert evaluate(Scripted(TABLE), examples(ROWS[:4]), judge=judge(), none_labels=NONE).scope is None


def test_batches_are_bounded_and_progress_is_told() -> None:
    rows = [(str(i), "refund") for i in range(150)]
    predictor = Scripted({t: ("refund", 0.9) for t, _ in rows})
    told: list[tuple[str, float, float | None]] = []
    evaluate(predictor, examples(rows), judge=judge(), progress=lambda *what: told.append(what))
    assert predictor.batches == [64, 64, 22]
    assert [(done, total) for _, done, total in told] == [(64, 150), (128, 150), (150, 150)]


def test_a_predictor_that_loses_rows_is_found_out() -> None:
    class Forgetful(Scripted):
        def predict(self, batch: object) -> list[Answer]:
            return super().predict(batch)[1:]  # type: ignore[arg-type]

    with pytest.raises(ValueError, match="gave 5 answers to 6 inputs"):
        evaluate(Forgetful(TABLE), examples(ROWS), judge=judge())


def test_a_row_without_an_answer_cannot_be_scored() -> None:
    with pytest.raises(ValueError, match=r"rows\.csv:9 has no expected answer"):
        evaluate(Scripted(TABLE), [Example({"text": "a"}, None, "rows.csv:9")], judge=judge())


def many(right: int, wrong: int) -> list[tuple[str, str]]:
    return [(f"r{i}", "refund" if i % 2 else "parcel") for i in range(right)] + [
        (f"w{i}", "parcel") for i in range(wrong)
    ]


@pytest.mark.parametrize(
    ("right", "wrong", "target", "outcome"),
    [(190, 10, None, "pass"), (190, 10, 0.9, "pass"), (190, 10, 0.95, "fail"), (80, 120, None, "fail")],
)
def test_the_verdict_needs_the_lower_end_and_a_measured_lead(
    right: int, wrong: int, target: float | None, outcome: str
) -> None:
    rows = many(right, wrong)
    table = {t: (label if t[0] == "r" else "refund", 0.9) for t, label in rows}
    found = evaluate(Scripted(table), examples(rows), judge=judge())
    task = replace(TASK, target_score=target)
    trivial = baseline_scores("parcel", found, judge=judge(task.metric))
    said, reasons = verdict(found, trivial, task)
    assert said == outcome
    assert (trivial["p"] < 0.05) == (right == 190)
    assert ("is not measurably better" in reasons[0]) == (right == 80)
    if target is not None:
        low = found.scores["accuracy"].low
        assert f"{100 * low:.1f} %" in reasons[1]
        assert ("does not reach" in reasons[1]) == (low < target)


def test_an_equal_score_does_not_beat_the_baseline() -> None:
    rows = [(str(i), "refund") for i in range(100)]
    found = evaluate(Scripted({t: ("refund", 0.9) for t, _ in rows}), examples(rows), judge=judge())
    said, reasons = verdict(found, baseline_scores("refund", found, judge=judge()), TASK)
    assert said == "fail"
    assert "not measurably better" in reasons[0]


def test_macro_f1_decides_where_the_task_says_so() -> None:
    rows = [(f"m{i}", "refund") for i in range(190)] + [(f"p{i}", "parcel") for i in range(10)]
    found = evaluate(Scripted({t: ("refund", 0.9) for t, _ in rows}), examples(rows), judge=judge())
    task = Task("inquiries", metric="macro_f1", target_score=0.9)
    said, reasons = verdict(found, baseline_scores("parcel", found, judge=judge(task.metric)), task)
    assert found.scores["accuracy"].value == 0.95
    assert said == "fail"
    assert "macro-F1" in reasons[1]


def test_the_baseline_may_be_none_of_these() -> None:
    found = evaluate(Scripted(TABLE), examples(ROWS), judge=judge(), none_labels=NONE)
    trivial = baseline_scores("none_of_these", found, judge=judge())
    assert trivial["scores"]["accuracy"]["value"] == pytest.approx(2 / 6)  # also where the row says "oos"


def test_threshold_joins_the_promise_and_what_came_out() -> None:
    found = evaluate(Scripted(TABLE), examples(ROWS), judge=judge(), none_labels=NONE)
    made = Promise(0.5, 0.8, 0.05, 0.95, 300, True, None, 240, 5)
    joined = threshold(Calibration(promise=made), found)
    assert (joined["value"], joined["coverage"], joined["bound"], joined["confidence"]) == (0.5, 0.8, 0.05, 0.95)
    assert (joined["rows"], joined["given"], joined["errors"], joined["coverage_here"]) == (300, 240, 5, 0.5)
    nothing = threshold(Calibration(), found)
    assert nothing["value"] is None
    assert nothing["reason"] == "no threshold was chosen"


def test_no_sure_answer_has_no_error_rate() -> None:
    found = evaluate(Scripted(TABLE, sure_from=2.0), examples(ROWS), judge=judge(), none_labels=NONE)
    assert found.given == {"coverage_here": 0.0, "error_here": None, "error_here_low": None, "error_here_high": None}


SAID = st.one_of(st.just("a problem"), st.tuples(st.sampled_from(["x", "y", "none_of_these"]), st.floats(0, 1)))


@given(st.lists(st.tuples(st.sampled_from(["x", "y", "oos"]), SAID), min_size=1, max_size=30))
@settings(max_examples=30, deadline=None)
def test_any_answers_give_consistent_figures(rows: list[tuple[str, tuple[str, float] | str]]) -> None:
    table = {str(i): said for i, (_, said) in enumerate(rows)}
    asked = examples([(str(i), label) for i, (label, _) in enumerate(rows)])
    found = evaluate(Scripted(table), asked, judge=judge(), none_labels=NONE)
    right = sum(c.correct for c in found.cases)
    assert len(found.cases) == len(rows)
    assert found.scores["accuracy"].value == pytest.approx(right / len(rows))
    assert sum(p["count"] for p in found.worst_pairs) == len(rows) - right
    for interval in found.scores.values():
        assert 0 <= interval.low <= interval.value <= interval.high <= 1
    assert found.risk_coverage[-1][1] == pytest.approx(1 - right / len(rows))
