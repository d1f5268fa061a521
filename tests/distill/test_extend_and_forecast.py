"""New inputs are sifted; what calls will take is foreseen from texts, and better from calls that were measured."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from distill_fakes import Scripted, TwoLabels
from hypothesis import given
from hypothesis import strategies as st

from shokunin.cost import Price
from shokunin.dataset import Example
from shokunin.distill.extend import LEAK, LENGTH, NEAR, NOT_READ, Extension, extend, read_inputs, requests
from shokunin.distill.forecast import Measured, Range, forecast
from shokunin.distill.journal import open_journal
from shokunin.distill.label import Desk, Options
from shokunin.distill.purse import Purse
from shokunin.distill.teacher import Question
from shokunin.pipeline.likeness import Likeness
from shokunin.progress import silent

ROWS = [
    Example({"text": f"where is my parcel number {i} please"}, "delivery" if i % 2 else "refund", f"r:{i}")
    for i in range(20)
]


def extended(
    teacher: Scripted, wanted: int, folder: Path, *, sealed: list[str] | None = None, budget: float = 1e9
) -> Extension:
    with open_journal(folder) as journal:
        desk = Desk(TwoLabels(), [teacher], Purse(journal, budget), Options(concurrency=2))
        known = Likeness(e.inputs["text"] for e in ROWS)
        return extend(
            ROWS, wanted, desk, names=["text"], known=known, sealed=Likeness(sealed or []), seed=0, progress=silent
        )


def fresh(question: Question) -> str:
    chance = random.Random(question.draw)
    words = ["".join(chance.choices("abcdefghijklmnop", k=6)) for _ in range(16)]
    return json.dumps([{"text": " ".join(words[4 * i : 4 * i + 4])} for i in range(4)])


def test_as_many_as_are_wanted_all_different(tmp_path: Path) -> None:
    teacher = Scripted(fresh)
    made = extended(teacher, 10, tmp_path)
    texts = [i["text"] for i in made.inputs]
    assert len(set(texts)) == 10 and made.written == 12 and made.calls == 3
    assert made.written == len(made.inputs) + made.dropped.total()
    assert extended(teacher, 10, tmp_path).inputs == made.inputs and len(teacher.asked) == 3, (
        "found in the journal again"
    )


def test_what_is_dropped_has_a_reason(tmp_path: Path) -> None:
    told = [
        "where is my parcel number 3 please!",  # as a real row
        "a test row that nobody may see, about lost keys",
        "short",
        "when will the courier come to my house today",
    ]
    made = extended(
        Scripted(json.dumps(told)), 4, tmp_path, sealed=["A test row that nobody may see, about lost keys."]
    )
    assert [i["text"] for i in made.inputs] == [told[3]]
    calls = made.calls
    assert calls == 3
    assert made.dropped == {NEAR: 2 * calls - 1, LEAK: calls, LENGTH: calls}


def test_a_list_that_cannot_be_read_counts_as_dropped(tmp_path: Path) -> None:
    made = extended(Scripted("I would rather not."), 4, tmp_path)
    assert made.inputs == [] and made.dropped == {NOT_READ: made.written} and made.written == 12


def test_an_empty_purse_ends_it(tmp_path: Path) -> None:
    made = extended(Scripted(fresh, price=Price(1.0, 1.0)), 8, tmp_path, budget=0.0)
    assert made.inputs == []


def test_examples_of_one_label_are_shown_and_the_label_is_named(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        desk = Desk(TwoLabels(), [Scripted("")], Purse(journal), Options())
        asks = list(requests(ROWS, 8, desk, ["text"], seed=0))
    assert len(asks) == 6
    for number, ask in enumerate(asks):
        label = ("delivery", "refund")[number % 2]
        assert f'"{label}"' in ask.question.messages[0]["content"]
        shown = [one["text"] for one in json.loads(ask.question.messages[1]["content"])]
        assert {e.expected for e in ROWS if e.inputs["text"] in shown} == {label} and len(shown) == 4


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ('["a", "b"]', ["a", "b"]),
        ('```json\n[{"text": "a"}, {"text": 3}, {"x": "b"}]\n```', ["a"]),
        ('Here they are: [{"text": " a "}] Enjoy!', ["a"]),
        ("[" * 100_000, []),
        ('{"text": "a"}', []),
        ("[1, null]", []),
    ],
)
def test_reading_lists(reply: str, found: list[str]) -> None:
    assert [i["text"] for i in read_inputs(reply, ["text"])] == found


@given(st.text(max_size=200))
def test_reading_never_fails(reply: str) -> None:
    assert all(set(one) == {"a", "b"} for one in read_inputs(reply, ["a", "b"]))


@given(st.lists(st.text("abc ", min_size=1, max_size=30), max_size=20), st.text("abc ", min_size=1, max_size=30))
def test_likeness_knows_what_it_was_told(texts: list[str], other: str) -> None:
    memory = Likeness(texts)
    assert all(memory.repeats(t) and memory.is_there(t) for t in texts)
    if not memory.repeats(other):
        assert not memory.is_there(other)
        memory.add(other)
        assert memory.repeats(other)


def test_likeness_finds_small_changes_and_nothing_else() -> None:
    memory = Likeness(["please cancel the order that I placed yesterday evening, it has the wrong size"])
    assert memory.repeats("Please cancel the order that I placed yesterday evening; it has the wrong size")
    assert not memory.repeats("my parcel has not come although the courier says that he was here yesterday evening")


def question(size: int) -> Question:
    return Question(({"content": "x" * size},), max_tokens=100)


def test_what_was_measured_is_carried_over_by_the_prompts_length() -> None:
    measured = [Measured(400, 100, 3), Measured(800, 200, 5), Measured(1200, 300, 4)]
    one = forecast("large", [question(2000)], Range.exactly(10), Price(2.0, 5.0), measured=measured)
    assert one.measured == 3
    assert one.tokens_in == Range(5000, 5000, 5000), "four bytes a token, every time"
    assert one.tokens_out.likely == 40 and one.tokens_out.low < 40 < one.tokens_out.high
    assert one.usd is not None and one.usd.likely == pytest.approx((5000 * 2 + 40 * 5) / 1e6)


def test_without_measurements_the_range_is_wide_and_ordered() -> None:
    one = forecast("large", [question(2000)], Range.exactly(10), Price(2.0, 5.0), answers=["refund"])
    assert one.usd is not None and 0 < one.usd.low < one.usd.likely < one.usd.high and one.measured == 0
    assert one.tokens_in == Range(5000, 4000, 8000)


def test_without_a_price_tokens_are_foreseen_all_the_same() -> None:
    one = forecast("large", [question(400)], Range.exactly(3), None)
    assert one.usd is None and one.tokens_in.likely == 300


@given(
    st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 2000), st.integers(0, 500)), max_size=20),
    st.integers(0, 1000),
)
def test_ranges_are_always_ordered(calls: list[tuple[int, int, int]], wanted: int) -> None:
    one = forecast("m", [question(100)], Range.exactly(wanted), Price(1, 1), measured=[Measured(*c) for c in calls])
    assert one.usd is not None
    for part in (one.tokens_in, one.tokens_out, one.usd):
        assert 0 <= part.low <= part.likely + 1e-9 and part.likely <= part.high + 1e-9
