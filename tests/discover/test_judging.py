"""What is counted of a task, how patterned it is, how it is called, and the verdict over it."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin.discover import tally as tally_module
from shokunin.discover.answers import Answers, answers_of
from shokunin.discover.found import Money, Rehearsal
from shokunin.discover.naming import LONGEST, distinct, name_of, slug, words_of
from shokunin.discover.patterned import patternedness
from shokunin.discover.tally import LONGEST_TEXT, ROWS, TIMES, Row, Tally
from shokunin.discover.verdict import verdict_of
from shokunin.metrics import Interval
from shokunin.recorded.call import Call

WORDS = [f"{a}{b}{c}" for a in ("ba", "ce", "di", "fo") for b in ("gu", "ha", "je") for c in ("ki", "lo", "mu")]


def call(number: int = 0, **more: Any) -> Call:
    known: dict[str, Any] = {"messages": (("user", "x" * 40),), "reply": "yes", "model": "m", **more}
    return Call(id=f"r{number}", **known)


# -- counting ---------------------------------------------------------------------------------------------------------


def test_what_is_counted() -> None:
    tally = Tally()
    tally.count(call(1, prompt_tokens=10, completion_tokens=2, client="shop", workload="sort"))
    tally.count(call(2, model="n", prompt_tokens=20, completion_tokens=4, cost=0.5, reply=" yes\n"))
    tally.count(call(3, local=True, reply=None))
    assert (tally.records, tally.local, tally.estimated, tally.ids) == (3, 1, 1, ["r1", "r2", "r3"])
    assert tally.prompt_tokens == pytest.approx((10 + 20 + 10) / 3)
    assert tally.completion_tokens == pytest.approx((2 + 4 + 0) / 3)
    assert (tally.clients, tally.workloads, tally.said) == ({"shop": 1}, {"sort": 1}, {"yes": 2})
    one, other = tally.by_model["m"], tally.by_model["n"]
    assert (one.calls, one.priced, one.cost, one.unpriced_prompt, one.unpriced_completion) == (2, 1, 0, 10, 2)
    assert (other.calls, other.priced, other.cost, other.unpriced_prompt) == (1, 1, 0.5, 0)


def test_rows_and_times_are_an_even_sample_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally_module, "ROWS", 200)
    monkeypatch.setattr(tally_module, "TIMES", 100)
    rng, tally, count = random.Random(1), Tally(), 4000
    for number in range(count):
        tally.count(call(number))
        tally.time(float(number), rng)
        if (at := tally.place_of_row(rng)) is not None:
            tally.keep(at, Row(f"r{number}", {"text": "x"}, "yes"))
    assert (len(tally.rows), len(tally.seconds)) == (200, 100)
    numbers = [int(row.id[1:]) for row in tally.rows]
    assert len(set(numbers)) == 200
    for places in (numbers, tally.seconds):
        assert abs(sum(place < count / 2 for place in places) / len(places) - 0.5) < 0.15
    assert (ROWS, TIMES) == (6000, 4000)


def test_memory_does_not_grow_with_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally_module, "SPELLINGS", 50)
    monkeypatch.setattr(tally_module, "NAMES", 20)
    tally = Tally()
    for number in range(300):
        tally.count(call(number, reply=f"answer {number}", client=f"c{number}", workload=f"w{number}"))
        tally.count(call(number, reply="usual" if number else "z" * 10_000))
    assert (len(tally.said), len(tally.clients), len(tally.workloads)) == (50, 20, 20)
    assert tally.said["usual"] == 299 and tally.records == 600
    tally.keep(0, Row("r", {"text": "y" * 1_000_000, "title": "short"}, "z" * 1_000_000))
    (row,) = tally.rows
    assert row.inputs is not None
    assert [len(row.inputs["text"]), len(row.inputs["title"]), len(row.reply or "")] == [LONGEST_TEXT, 5, LONGEST_TEXT]


# -- patternedness ----------------------------------------------------------------------------------------------------


def replies_to(texts: list[str], kind: str, patterned: bool) -> list[str]:
    rng = random.Random(5)
    made = []
    for text in texts:
        words = text.split() if patterned else rng.sample(WORDS, 5)
        if kind == "numbers":
            made.append(str(100 * WORDS.index(words[0]) + rng.randint(0, 9)))
        elif kind == "fields":
            made.append(
                json.dumps({"first": words[0], "second": f"{words[1]} {words[2]}", "n": rng.randint(0, 99) % 2})
            )
        else:
            made.append(f"About {words[0]} and {words[1]}: it is {words[2]} {words[3]}.")
    return made


@pytest.mark.parametrize("kind", ["numbers", "fields", "text"])
def test_replies_that_follow_from_the_request_are_patterned_and_others_are_not(kind: str) -> None:
    rng = random.Random(4)
    texts = [" ".join([rng.choice(WORDS[:12]), *rng.sample(WORDS[12:], 4)]) for _ in range(250)]
    if kind == "text":
        texts = texts[:50] * 5  # text is foretold by the reply to the most similar request
    told = []
    for patterned in (True, False):
        replies = replies_to(texts, kind, patterned)
        found = patternedness(texts, replies, Answers("chat") if kind == "text" else answers_of(replies))
        assert 0 <= found.low <= found.value <= found.high <= 1
        assert all(type(end) is float for end in (found.low, found.value, found.high))
        told.append(found)
    assert told[0].low > 0.5 > told[1].value and told[0].low > told[1].high


def test_of_a_handful_nothing_is_known() -> None:
    assert patternedness(["a"] * 3, ["b"] * 3, Answers("chat")) == Interval(0.0, 0.0, 1.0)
    assert patternedness(["a"] * 20, [""] * 20, Answers("chat")) == Interval(0.0, 0.0, 1.0)


@pytest.mark.parametrize("kind", ["chat", "estimate_values", "extract_fields"])
def test_requests_and_replies_that_are_all_alike_or_empty(kind: str) -> None:
    reply = {"chat": "the same", "estimate_values": "7", "extract_fields": '{"a": null}'}[kind]
    for text in ("the same", ""):
        found = patternedness([text] * 30, [reply] * 30, Answers(kind))
        assert 0 <= found.low <= found.value <= found.high <= 1


# -- names ------------------------------------------------------------------------------------------------------------


def named(said: str, labels: tuple[str, ...] = (), workload: str = "", others: tuple[str, ...] = ()) -> str:
    rare: Counter[str] = Counter()
    for text in (said, *others):
        rare.update(words_of(text))
    return name_of(said, "classify_text", labels, workload, rare, 1 + len(others))


def test_names_are_telling_words_of_the_prompt_in_their_order() -> None:
    said = "You are a helpful assistant. Classify the customer's inquiry about banking cards."
    assert named(said) == "customer-inquiry-banking"
    other = "Classify the customer's inquiry about parcels."
    assert set(named(said, others=(other,)).split("-")) >= {"banking", "cards"}
    assert named(said, workload="Card Inbox / v2") == "card-inbox-v2"


def test_names_where_the_prompt_says_nothing() -> None:
    assert named("Answer:", ("Good", "Bad")) == "good-bad"
    assert named("次の文を分類。", ("良い", "悪い")) == "classify-text-ja"
    assert named("", ()).startswith("classify-text-")


def test_names_that_come_twice_are_numbered() -> None:
    assert distinct(["a", "b", "a", "a", "a-2"]) == ["a", "b", "a-2", "a-3", "a-2-2"]


@given(st.lists(st.sampled_from(["a", "a-2", "b", "a-2-2", "a-3"]), max_size=12))
def test_distinct_names_are_distinct(names: list[str]) -> None:
    assert len(set(distinct(names))) == len(names)


@given(st.text(max_size=80), st.lists(st.text(max_size=12), max_size=4).map(tuple), st.text(max_size=50))
def test_every_name_is_fit_for_a_folder(said: str, labels: tuple[str, ...], workload: str) -> None:
    name = named(said, labels, workload)
    assert name and slug(name) == name and len(name) <= LONGEST
    assert not set(name) - set("abcdefghijklmnopqrstuvwxyz0123456789-")


# -- the verdict ------------------------------------------------------------------------------------------------------


def judged(**changes: Any) -> tuple[str, str]:
    tried = Rehearsal(
        share=0.8,
        error=0.01,
        accuracy=Interval(0.9, 0.88, 0.92),
        rows=900,
        rung="text_linear",
        promised=0.05,
        confidence=0.95,
    )
    usual: dict[str, Any] = {
        "kind": "classify_text",
        "trainable": True,
        "records": 1000,
        "recognised": 1.0,
        "patternedness": Interval(0.6, 0.5, 0.7),
        "rehearsal": tried,
        "money": Money(10.0, 6.0),
    }
    kind = {**usual, **changes}.pop("kind")
    rest = {key: value for key, value in {**usual, **changes}.items() if key != "kind"}
    if isinstance(rest["rehearsal"], dict):
        rest["rehearsal"] = Rehearsal(**{**tried.__dict__, **rest["rehearsal"]})
    return verdict_of(kind, **rest)


@pytest.mark.parametrize(
    ("changes", "verdict", "words"),
    [
        ({}, "TRAIN", "about 80 %"),
        ({"recognised": 0.5}, "TRAIN", "about 40 %"),
        ({"money": Money(None, None)}, "TRAIN", "about 80 %"),
        ({"money": Money(10.0, -1.0)}, "LEAVE", "saves nothing"),
        ({"recognised": 0.1}, "LEAVE", "10 % of the requests could be recognised"),
        ({"kind": "chat"}, "LEAVE", "free talk"),
        ({"served": 0.6}, "LEAVE", "60 % of it is answered by a specialist already"),
        ({"kind": "extract_fields", "trainable": False}, "LEAVE", "follow a pattern"),
        (
            {"kind": "extract_fields", "trainable": False, "patternedness": Interval(0.4, 0.1, 0.7)},
            "LEAVE",
            "little pattern",
        ),
        ({"rehearsal": None}, "COLLECT MORE", "1,000 calls are too few"),
        ({"rehearsal": {"share": 0.1, "lacking": 1200}}, "COLLECT MORE", "about 1,200 more rows"),
        ({"rehearsal": {"share": 0.1, "lacking": None}}, "LEAVE", "not even sixteen times the rows would change that"),
    ],
)
def test_verdicts(changes: dict[str, Any], verdict: str, words: str) -> None:
    found, reason = judged(**changes)
    assert found == verdict and words in reason and not reason.endswith(".")
