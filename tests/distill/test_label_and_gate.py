"""What becomes of each row, and what a teacher is worth."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from distill_fakes import Refusing, Scripted, TwoLabels, text_in
from hypothesis import given
from hypothesis import strategies as st

from shokunin.cost import Price
from shokunin.dataset import Example
from shokunin.distill.gate import draw, judge_teacher
from shokunin.distill.journal import open_journal
from shokunin.distill.label import CUT_OFF, NO_BUDGET, UNREADABLE, Desk, Labelled, Options, in_order, label
from shokunin.distill.purse import Purse
from shokunin.distill.teacher import Question, Reply
from shokunin.errors import DataError


def examples(*texts: str) -> list[Example]:
    return [Example({"text": t}, None, f"rows:{i}") for i, t in enumerate(texts)]


def labelled(
    teachers: list[Any], rows: list[Example], folder: Path, budget: float = 1e9, **more: Any
) -> list[Labelled]:
    judge, codec = more.pop("judge", None), more.pop("codec", TwoLabels())
    with open_journal(folder) as journal:
        desk = Desk(codec, teachers, Purse(journal, budget), Options(**more), judge=judge)
        return list(label(rows, desk, "label"))


def obvious(question: Question) -> str:
    return "refund" if "money" in text_in(question) else "delivery"


def test_rows_keep_their_order_and_say_who_answered(tmp_path: Path) -> None:
    rows = examples(*(f"{'money' if i % 3 else 'parcel'} {i}" for i in range(40)))
    teacher = Scripted(obvious)
    got = labelled([teacher], rows, tmp_path, concurrency=5)
    assert [one.example.origin for one in got] == [e.origin for e in rows]
    assert [one.example.expected for one in got] == ["refund" if i % 3 else "delivery" for i in range(40)]
    assert {one.example.labelled_by for one in got} == {"large"} and {one.agreement for one in got} == {1.0}
    assert teacher.most_at_once <= 5
    assert all(q.temperature == 0 for q in teacher.asked)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [("hm", UNREADABLE), ("", UNREADABLE), ("delivery or refund", UNREADABLE), (Reply("refund", 1, 1, False), CUT_OFF)],
)
def test_a_reply_that_is_no_answer_is_dropped_with_its_reason(reply: str | Reply, reason: str, tmp_path: Path) -> None:
    [one] = labelled([Scripted(lambda question: reply)], examples("money"), tmp_path)
    assert (one.example.expected, one.reason) == (None, reason)


def test_best_of_several_draws(tmp_path: Path) -> None:
    said = {
        "sure": ["refund"] * 5,
        "mostly": ["refund", "delivery", "refund", "refund", "hm"],
        "torn": ["refund", "delivery", "hm", "hm", "hm"],
    }
    teacher = Scripted(lambda question: said[text_in(question)][question.draw])
    sure, mostly, torn = labelled([teacher], examples(*said), tmp_path, best_of=5)
    assert (sure.example.expected, sure.agreement) == ("refund", 1.0)
    assert (mostly.example.expected, mostly.agreement) == ("refund", 0.6)
    assert torn.example.expected is None
    assert {q.temperature for q in teacher.asked} == {0.7} and len(teacher.asked) == 15


def test_a_committee_votes(tmp_path: Path) -> None:
    teachers = [Scripted("refund", name="a"), Scripted("delivery", name="b"), Scripted("refund", name="c")]
    [one] = labelled(teachers, examples("money"), tmp_path)
    assert (one.example.expected, one.example.labelled_by, round(one.agreement, 2)) == ("refund", "a + c", 0.67)


def test_a_verifier_of_the_kind_throws_answers_out(tmp_path: Path) -> None:
    class Verified(TwoLabels):
        def verify(self, inputs: Any, value: str) -> str | None:
            return "refunds are over" if value == "refund" else None

    rows = examples("money", "parcel")
    no, yes = labelled([Scripted(obvious)], rows, tmp_path, codec=Verified())
    assert no.reason == "the answer does not stand up: refunds are over" and yes.example.expected == "delivery"


def test_a_judge_decides_where_free_texts_differ(tmp_path: Path) -> None:
    class Free(TwoLabels):
        def read_reply(self, reply: str) -> str | None:
            return reply or None

    teacher = Scripted(lambda question: f"answer {question.draw}")

    def prefers_two(question: Question) -> str:
        return "A" if text_in(question).index("answer 2") < text_in(question).index("answer B") else "B"

    def judging(question: Question) -> str:
        return prefers_two(question) if "answer 2" in text_in(question) else "T"

    [one] = labelled([teacher], examples("x"), tmp_path, codec=Free(), judge=Scripted(judging, name="judge"), best_of=3)
    assert (one.example.expected, one.agreement) == ("answer 2", 1.0)
    [one] = labelled([teacher], examples("x"), tmp_path, codec=Free(), judge=Scripted("A", name="biased"), best_of=3)
    assert one.example.expected is None and one.reason is not None and "judge" in one.reason


def test_what_was_bought_is_kept_when_the_budget_is_spent_and_the_rest_costs_nothing_again(tmp_path: Path) -> None:
    price = Price(input=1000.0, output=0.0)  # a cent for each reply of 10 tokens
    rows = examples(*(f"money {i}" for i in range(30)))
    teacher = Scripted(obvious, price=price)
    most = (
        max(
            q.most_tokens
            for q in [
                Question(
                    ({"role": "system", "content": "delivery or refund?"}, {"role": "user", "content": "money 29"})
                )
            ]
        )
        * 1e-3
    )
    first = labelled([teacher], rows, tmp_path, budget=0.05 + most, concurrency=1)
    bought = [one for one in first if one.reason is None]
    assert 0 < len(bought) < 30 and {one.reason for one in first if one.reason} == {NO_BUDGET}
    assert len(teacher.asked) == len(bought)
    second = labelled([teacher], rows, tmp_path, budget=10.0)
    assert all(one.reason is None for one in second) and len(teacher.asked) == 30


def test_a_teacher_that_never_answers_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="'large' answered none of the first 8 rows; the teacher gave no reply: no answer"
    ):
        labelled([Refusing(refused=True)], examples(*map(str, range(50))), tmp_path)


def test_an_empty_row_is_not_asked_about(tmp_path: Path) -> None:
    teacher = Scripted("refund")
    [one] = labelled([teacher], examples(" "), tmp_path)
    assert one.reason == "the text is empty" and teacher.asked == []


@given(count=st.integers(0, 60), at_a_time=st.integers(1, 8))
def test_in_order_and_never_far_ahead(count: int, at_a_time: int) -> None:
    begun: list[int] = []
    for done, value in enumerate(in_order(lambda i: begun.append(i) or i, range(count), at_a_time)):  # type: ignore[func-returns-value]
        assert value == done and len(begun) <= done + 4 * at_a_time
    assert sorted(begun) == list(range(count))


def known(count: int, answers: tuple[str, ...] = ("delivery", "refund")) -> list[Example]:
    return [Example({"text": str(i)}, answers[i % len(answers)], f"r:{i}", group=i) for i in range(count)]


@given(count=st.integers(1, 80), wanted=st.integers(1, 60), seed=st.integers(0, 5))
def test_the_gate_s_rows_are_spread_over_the_answers(count: int, wanted: int, seed: int) -> None:
    rows = [*known(count, ("a",)), *known(10, ("b", "c"))]
    drawn = draw(rows, wanted, seed)
    assert len(drawn) == min(wanted, len(rows)) and drawn == draw(rows, wanted, seed)
    assert len({id(e) for e in drawn}) == len(drawn)
    counts = Counter(e.expected for e in drawn)
    if wanted >= 3:
        assert set(counts) == {"a", "b", "c"} and counts["b"] >= min(5, wanted // 3)


@pytest.mark.parametrize(
    ("right", "of", "verdict"), [(13, 16, "improve"), (15, 16, "go"), (4, 4, "improve"), (6, 6, "go")]
)
def test_a_few_lucky_rows_are_no_go(right: int, of: int, verdict: str) -> None:
    asked = known(of)
    got = [Labelled(Example(e.inputs, e.expected if i < right else "?", e.origin)) for i, e in enumerate(asked)]
    gate = judge_teacher(asked, got, TwoLabels(), "accuracy", 0)
    assert gate.verdict == verdict
    assert (f"{of} rows are too few to tell" in gate.sentence) == (verdict == "improve")


@pytest.mark.parametrize(
    ("right", "verdict"), [(40, "go"), (39, "improve"), (30, "improve"), (29, "rethink"), (0, "rethink")]
)
def test_verdicts(right: int, verdict: str) -> None:
    asked = known(50)
    got = [Labelled(Example(e.inputs, e.expected if i < right else "?", e.origin)) for i, e in enumerate(asked)]
    gate = judge_teacher(asked, got, TwoLabels(), "accuracy", 0)
    assert (
        gate.verdict == verdict and gate.score.value == right / 50 and gate.score.low <= right / 50 <= gate.score.high
    )
    assert gate.kept == 1.0 and len(gate.wrong) == min(10, 50 - right)


def test_rows_without_an_answer_count_against_the_teacher() -> None:
    asked = known(10)
    got = [Labelled(e) if i < 5 else Labelled(e, reason="tied") for i, e in enumerate(asked)]
    gate = judge_teacher(asked, got, TwoLabels(), "accuracy", 0)
    assert gate.score.value == 0.5 and gate.kept == 0.5
    assert gate.right_of_kept is not None and gate.right_of_kept.value == 1.0
