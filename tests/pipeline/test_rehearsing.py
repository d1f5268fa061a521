"""What a training would come to, told by training on a sample; and how many answers a promise has checked."""

from __future__ import annotations

import random

import pytest

from rows import rows
from shokunin.pipeline import rehearsing
from shokunin.pipeline.rehearsing import ROWS, rehearse
from shokunin.task import Task

TASK = Task("inbox", max_error=0.05)
QUICK = ("baseline", "text_linear")
Rows = list[tuple[dict[str, str], str]]


def plain(count: int, wrong: float = 0.0, seed: int = 0) -> Rows:
    """Rows of which words tell the label; a share of the labels is drawn anew."""
    rng = random.Random(seed)
    labels = ["delivery", "invoice", "refund"]
    return [
        ({"text": row["text"]}, rng.choice(labels) if rng.random() < wrong else row["label"])
        for row in rows(count, seed=seed)
    ]


def test_easy_work_is_answered_here_and_work_without_a_pattern_is_not() -> None:
    easy = rehearse(plain(350), TASK, total=350, seconds=60, learners=QUICK)
    assert easy is not None
    assert easy.share > 0.9 and easy.error <= 0.05 and easy.accuracy.low > 0.9 and easy.lacking == 0
    assert (easy.rows, easy.rung, easy.promised, easy.confidence) == (350, "text_linear", 0.05, 0.95)
    assert easy.curve == ((350, easy.share),)
    hopeless = rehearse(plain(350, wrong=1.0), TASK, total=350, seconds=60, learners=QUICK)
    assert hopeless is not None
    assert hopeless.share < 0.1 and hopeless.accuracy.value < 0.5 and hopeless.lacking is None


def test_too_few_rows_for_a_promise_are_told_with_how_many_more_are_needed() -> None:
    few = rehearse(plain(45), TASK, total=45, seconds=60, learners=QUICK)
    assert few is not None and few.share < 0.2
    assert few.lacking is not None and 20 <= few.lacking <= 500


@pytest.mark.parametrize("given", [[], plain(4), [(inputs, "one") for inputs, _ in plain(60)]])
def test_rows_that_cannot_be_divided_are_told_as_none(given: Rows) -> None:
    assert rehearse(given, TASK, total=len(given), seconds=60, learners=QUICK) is None


def test_the_same_rows_and_seed_come_to_the_same() -> None:
    given = plain(120, wrong=0.1)
    first, again = (rehearse(given, TASK, total=120, seconds=60, learners=QUICK, seed=1) for _ in range(2))
    assert first == again and first is not None and 0.8 < first.accuracy.value < 1


def test_only_so_many_rows_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def none(part: Rows, *rest: object) -> None:
        tried.append(len(part))
        raise rehearsing.DataError("enough seen")

    monkeypatch.setattr(rehearsing, "_try", none)
    assert rehearse(plain(50) * 100, TASK, total=5000, seconds=1) is None
    assert tried == [ROWS]


def test_a_longer_log_of_the_same_questions_is_no_more_rows() -> None:
    few, many = plain(100) * 10, plain(1000)
    assert rehearsing._growth(few, 100_000) < 1.5
    assert rehearsing._growth(many, 100_000) == pytest.approx(100)
    assert 1.5 < rehearsing._growth(random.Random(1).choices(many, k=1000), 100_000) < 60
    assert rehearsing._growth(many, 1000) == rehearsing._growth(many[:1], 1) == 1
