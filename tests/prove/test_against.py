"""The large model beside the specialist: the same rows, pair by pair, recorded or live."""

from __future__ import annotations

import pytest
from prove_fakes import NONE, TASK, Scripted, examples, judge

from shokunin.answer import Answer
from shokunin.errors import DataError
from shokunin.metrics import mcnemar, wilson
from shokunin.prove.against import compare_against, live_answers, recorded_answers
from shokunin.prove.evaluate import evaluate

ROWS = [(f"t{i}", ("refund", "parcel")[i % 2]) for i in range(40)]
ASKED = examples(ROWS)


def ours(wrong: range) -> Scripted:
    return Scripted(
        {t: (label if i not in wrong else "other", 0.9 if i % 4 else 0.2) for i, (t, label) in enumerate(ROWS)}
    )


def test_recorded_answers_by_origin_by_row_and_in_order() -> None:
    in_order = recorded_answers([label for _, label in ROWS], ASKED, name="large")
    by_origin = recorded_answers({f"rows.csv:{i}": label for i, (_, label) in enumerate(ROWS, 2)}, ASKED, name="large")
    by_row = recorded_answers({str(i): label for i, (_, label) in enumerate(ROWS, 2)}, ASKED, name="large")
    assert (
        [a.value for a in in_order] == [a.value for a in by_origin] == [a.value for a in by_row] == [b for _, b in ROWS]
    )


def test_a_missing_answer_is_a_problem_and_no_answer_at_all_an_error() -> None:
    some = recorded_answers({"rows.csv:2": "refund", "rows.csv:3": ""}, ASKED, name="large")
    assert some[0].value == "refund"
    assert [a.problem for a in some[1:]] == ["no answer was recorded"] * 39
    with pytest.raises(
        DataError, match=r"none of the 1 recorded answers of 'large' belongs .* expected keys like 'rows.csv:2'"
    ):
        recorded_answers(
            {
                "other.csv:2": "refund",
            },
            ASKED,
            name="large",
        )
    with pytest.raises(DataError, match="3 recorded answers of 'large' for 40 rows"):
        recorded_answers(["refund"] * 3, ASKED, name="large")


def test_the_comparison_is_paired() -> None:
    evaluation = evaluate(ours(range(0, 4)), ASKED, judge=judge())
    theirs = [label if i not in range(2, 12) else "other" for i, (_, label) in enumerate(ROWS)]
    answers = recorded_answers(theirs, ASKED, name="large")
    about, cases = compare_against(evaluation.cases, answers, name="large", task=TASK, judge=judge(), live=False)
    a, b = [i not in range(0, 4) for i in range(40)], [i not in range(2, 12) for i in range(40)]
    assert about["p"] == mcnemar(a, b)
    assert about["difference"]["value"] == pytest.approx((36 - 30) / 40)
    assert about["scores"]["accuracy"]["low"] == wilson(30, 40).low
    assert about["agreement"]["value"] == pytest.approx(30 / 40)  # 28 both right, and two times the same wrong answer
    assert [c.against for c in cases] == theirs
    assert (about["rows"], about["answered"], about["live"], about["p50_ms"]) == (40, 40, False, None)


def test_together_keeps_sure_answers_and_passes_the_rest_on() -> None:
    evaluation = evaluate(ours(range(0, 4)), ASKED, judge=judge())  # row 0 is wrong and unsure, 1 to 3 wrong and sure
    answers = recorded_answers([label for _, label in ROWS], ASKED, name="large")
    about, _ = compare_against(evaluation.cases, answers, name="large", task=TASK, judge=judge(), live=False)
    assert about["together"]["passed_on"] == 0.25
    assert about["together"]["scores"]["accuracy"]["value"] == pytest.approx(37 / 40)
    assert about["together"]["difference"]["value"] == pytest.approx(-3 / 40)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (range(0, 30), "measurably better than large"),
        (range(0, 0), "measurably worse than large"),
        (range(0, 9), "cannot be told apart"),
    ],
)
def test_the_sentence_says_what_was_measured(wrong: range, words: str) -> None:
    evaluation = evaluate(ours(range(0, 10)), ASKED, judge=judge())
    answers = recorded_answers(
        [label if i not in wrong else "x" for i, (_, label) in enumerate(ROWS)], ASKED, name="large"
    )
    about, _ = compare_against(evaluation.cases, answers, name="large", task=TASK, judge=judge(), live=False)
    assert words in about["sentence"]
    assert (about["p"] < 0.05) == ("measurably" in about["sentence"])


def test_live_answers_bring_time_cost_and_problems() -> None:
    class Large:
        def predict(self, batch: list[dict[str, str]]) -> list[Answer]:
            return [
                Answer("refund", 1.0, "large", seconds=0.2, cost=0.001)
                if b["text"] != "t3"
                else Answer(None, 0.0, "large", problem="too busy", sure=False)
                for b in batch
            ]

    evaluation = evaluate(ours(range(0)), ASKED, judge=judge())
    answers = live_answers(Large(), ASKED)  # type: ignore[arg-type]
    about, cases = compare_against(evaluation.cases, answers, name="large", task=TASK, judge=judge(), live=True)
    assert about["p50_ms"] == pytest.approx(200)
    assert about["cost"] == pytest.approx(0.039)
    assert about["answered"] == 39
    assert about["scores"]["accuracy"]["value"] == pytest.approx(20 / 40)
    assert cases[3].against is None


def test_spellings_of_none_agree() -> None:
    rows = examples([("a", "oos"), ("b", "refund")])
    evaluation = evaluate(
        Scripted({"a": ("none_of_these", 0.9), "b": ("refund", 0.9)}), rows, judge=judge(), none_labels=NONE
    )
    answers = recorded_answers(["oos", "refund"], rows, name="large")
    about, _ = compare_against(evaluation.cases, answers, name="large", task=TASK, judge=judge(), live=False)
    assert about["agreement"]["value"] == 1.0
    assert about["scores"]["macro_f1"]["value"] == 1.0
