"""What recorded replies are, told from the replies: labels, fields, numbers, SQL or other text."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shokunin.discover.answers import Answers, answers_of, closed_set, json_of, schema_of
from shokunin.discover.numbers import number_of

SORRY = "I am sorry, but I cannot help with that request."


def labels_of(replies: list[str], said: str = "") -> dict[str, int]:
    """The labels of a closed set, and how many of the replies are each."""
    found = answers_of(replies, said)
    assert found.kind == "classify_text", found
    read = found.reader()
    return dict(Counter(label for reply in replies if (label := read(reply)) is not None))


# -- labels -----------------------------------------------------------------------------------------------------------


def test_spelling_variants_are_one_label_in_its_commonest_spelling() -> None:
    replies = ["Card_Arrival"] * 20 + ["card arrival"] * 5 + ["card_arrival."] * 3 + ['"Card-Arrival"'] * 2
    replies += ["lost card"] * 25 + ["Lost card"] * 4 + ["LOST CARD\n"]
    assert labels_of(replies) == {"Card_Arrival": 30, "lost card": 30}


def test_a_sentence_that_names_one_label_is_that_label() -> None:
    replies = ["card arrival"] * 30 + ["lost card"] * 30 + ["The intent is card arrival."] * 2
    assert labels_of(replies) == {"card arrival": 32, "lost card": 30}


def test_a_sentence_that_names_two_labels_is_none() -> None:
    found = answers_of(["card arrival"] * 30 + ["lost card"] * 30)
    assert found.read("card arrival or lost card") is None
    assert found.read("something else") is None


def test_refusals_and_what_a_model_made_up_once_are_no_labels() -> None:
    replies = ["yes"] * 150 + ["no"] * 140 + [SORRY] * 3 + ["perhaps"] * 2
    assert set(labels_of(replies)) == {"yes", "no"}
    assert answers_of(replies).readable == pytest.approx(290 / 295)
    refused = [f"I cannot tell whether {'abcdefghij'[i % 10] * (i + 1)} is meant here." for i in range(150)]
    assert answers_of([*replies, *refused]).kind != "classify_text"  # then it is no closed set
    often = "no, the customer has to call the branch first"
    assert set(labels_of(["yes"] * 50 + ["no"] * 40 + [often] * 30)) == {"yes", "no", often}


def test_a_rare_label_that_the_prompt_lists_is_one() -> None:
    replies = ["yes"] * 500 + ["no"] * 400 + ["maybe"]
    assert set(labels_of(replies)) == {"yes", "no"}
    assert set(labels_of(replies, "Answer yes, no or maybe.")) == {"yes", "no", "maybe"}


def test_a_rare_label_with_another_inside_it_is_its_own_if_the_prompt_lists_it() -> None:
    replies = ["refund"] * 200 + ["late refund"] * 20 + ["other"] * 100
    assert labels_of(replies) == {"refund": 220, "other": 100}
    assert labels_of(replies, "One of: refund, late refund or other.") == {
        "refund": 200,
        "late refund": 20,
        "other": 100,
    }
    said = "Sentiment: positive or negative?"
    framed = ["positive"] * 200 + ["negative"] * 180 + ["Sentiment: positive"] * 10
    assert labels_of(framed, said) == {"positive": 210, "negative": 180}


@pytest.mark.parametrize(
    ("frame", "pattern"),
    [
        ("{}", "{{answer}}"),
        ("Sentiment: {}", "Sentiment: {{answer}}"),
        ('{"intent": "{}"}', '{"intent": "{{answer}}"}'),
        ('{"intent": "{}", "version": 2}', '{"intent": "{{answer}}", "version": 2}'),
        ('```json\n{"intent": "{}"}\n```', '```json\n{"intent": "{{answer}}"}\n```'),
    ],
)
def test_the_shape_of_the_replies_is_kept(frame: str, pattern: str) -> None:
    replies = [frame.replace("{}", label) for label in ["good", "bad", "fair"] for _ in range(10)]
    found = answers_of(replies)
    assert (found.kind, found.reply, sorted(found.labels)) == ("classify_text", pattern, ["bad", "fair", "good"])
    assert {found.read(reply) for reply in replies} == {"bad", "fair", "good"}


def test_many_different_short_answers_are_no_closed_set_yet() -> None:
    assert answers_of([f"word {'abcdefghijklmnop'[i % 16]}{i}x" for i in range(30)]).kind == "short"


def test_a_thousand_labels_are_found() -> None:
    names = [f"code {a}{b}{c}" for a in "abcdefghij" for b in "klmnopqrst" for c in "uvwxyzabcd"]
    assert sorted(answers_of([name for name in names for _ in range(5)]).labels) == sorted(names)


@given(st.dictionaries(st.text(max_size=12), st.integers(1, 10_000), max_size=30), st.text(max_size=60))
def test_a_closed_set_is_of_what_was_said_the_commonest_first(counts: dict[str, int], said: str) -> None:
    forms = closed_set(counts, said)
    assert len(set(forms)) == len(forms) and set(forms) <= set(counts)
    assert [counts[form] for form in forms] == sorted((counts[form] for form in forms), reverse=True)


# -- fields, numbers, SQL, text ---------------------------------------------------------------------------------------


def test_one_field_within_a_closed_set_is_a_label_and_more_are_fields() -> None:
    rng = random.Random(1)
    one = [json.dumps({"mood": rng.choice(["good", "bad"]), "model": "v2"}) for _ in range(40)]
    assert answers_of(one).kind == "classify_text"
    several = [json.dumps({"mood": rng.choice(["good", "bad"]), "stars": rng.randint(1, 5)}) for _ in range(40)]
    assert answers_of(several).kind == "extract_fields"
    assert json.loads(answers_of(several).read('{"stars": 4, "mood": "good"}') or "") == {"mood": "good", "stars": 4}


def test_a_schema_leaves_slips_aside_and_says_what_is_always_there() -> None:
    objects = [{"total": 1.5, "date": "x", "tip": None}] * 60 + [{"total": 2, "date": None}] * 39 + [{"totl": 3}]
    assert schema_of(objects) == {
        "type": "object",
        "properties": {
            "total": {"type": "number"},
            "date": {"type": ["null", "string"]},
            "tip": {"type": "null"},
        },
        "required": ["total", "date"],
    }


def test_text_that_begins_as_json_is_none() -> None:
    assert json_of("{" * 100_000) is None
    assert json_of('{"a": 1} and more') is None
    assert json_of("[1]") is None
    assert json_of('```json\n{"a": 1}\n```') == {"a": 1}


@pytest.mark.parametrize(
    ("written", "number"),
    [
        *(("7", 7), ("-7", -7), ("−7", -7), ("+7", 7), ("7.", 7), (".5", 0.5), ("0.5", 0.5), ("1e5", None)),
        *(("1,234.56", 1234.56), ("1.234,56", 1234.56), ("1 234,56", 1234.56), ("1'234.5", 1234.5)),
        *(("12,5", 12.5), ("0,125", 0.125), ("1,234", 1234), ("1.234", 1.234), ("1.234.567", 1234567)),
        *(("12,34,567", 1234567), ("1,2,3", None), ("1.2.3", None), ("5 3", None), ("1,23.4", None)),
        *(("$1,200", 1200), ("-$5", -5), ("$-5", -5), ("about 1,200 EUR", 1200), ("5 %", 5), ("120 m²", 120)),
        *(("250k", 250_000), ("$1.5M", 1_500_000), ("2 million", 2_000_000), ("3 stars", 3)),
        *(("３００", 300), ("300円", 300), ("約1,234円。", 1234), ("500万", 5_000_000), ("3万5千円", 35_000)),
        *(("1億2,000万円", 120_000_000), ("約1.5億円", 150_000_000), ("-3万", -30_000), ("￥1,500", 1500)),
        *(("3/5", None), ("10-20", None), ("2024-05-01", None), ("", None), ("$", None), ("twelve", None)),
        *(("`42`", 42), ("9" * 41, None), ("version 2", None)),
    ],
)
def test_numbers(written: str, number: float | None) -> None:
    assert number_of(written) == (None if number is None else pytest.approx(number))


@given(st.floats(-1e9, 1e9).map(lambda x: round(x, 2)))
def test_a_number_is_read_as_it_was_written_here_and_elsewhere(number: float) -> None:
    english = f"{number:,.2f}"
    european = english.translate(str.maketrans(",.", ".,"))
    assert number_of(english) == number_of(european) == pytest.approx(number)


@given(st.text(max_size=45))
def test_no_text_breaks_the_reading_of_numbers(text: str) -> None:
    found = number_of(text)
    assert found is None or (isinstance(found, float) and any(c.isnumeric() for c in text))


def test_many_numbers_are_estimated_and_a_few_are_labels() -> None:
    assert answers_of([f"{n * 37 % 991}.50 €" for n in range(60)]).kind == "estimate_values"
    assert answers_of([f"約{n * 13}万円" for n in range(1, 60)]).kind == "estimate_values"
    stars = answers_of([str(n % 5 + 1) for n in range(60)])
    assert (stars.kind, sorted(stars.labels)) == ("classify_text", ["1", "2", "3", "4", "5"])
    framed = answers_of([f"Price: {n * 37} dollars" for n in range(60)])
    assert framed.kind == "estimate_values" and framed.read("Price: 120 dollars") == "120.0"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT name FROM cars WHERE price > {}",
        "```sql\nselect count(*) from cars where id = {};\n```",
        "WITH t AS (SELECT * FROM cars LIMIT {}) SELECT * FROM t",
        "INSERT INTO cars VALUES ({})",
        "UPDATE cars SET price = {}",
        "DELETE FROM cars WHERE id = {}",
        "CREATE TABLE t{} (id INTEGER)",
    ],
)
def test_sql(query: str) -> None:
    found = answers_of([query.replace("{}", str(n)) for n in range(20)])
    assert (found.kind, found.sql, found.readable) == ("generate_text", True, 1.0)


def test_labels_that_begin_as_sql_are_labels() -> None:
    assert set(
        labels_of(["update address", "delete account", "create ticket", "select a plan from the list"] * 10)
    ) == {*("update address", "delete account", "create ticket", "select a plan from the list")}


def test_text_and_nothing() -> None:
    rng = random.Random(2)
    long = [" ".join("".join(rng.choices("abcdefgh", k=5)) for _ in range(15)) for _ in range(12)]
    assert answers_of(long).kind == "chat"
    assert answers_of([]) == answers_of(["", " \n"]) == Answers("chat", readable=0.0)


@given(st.lists(st.text(max_size=30) | st.sampled_from(["yes", '{"a": 1}', "{}", "[]", "7", "select 1"]), max_size=20))
@settings(deadline=None)
def test_no_replies_break_it_and_what_is_labelled_is_readable(replies: list[str]) -> None:
    found = answers_of(replies, "yes or no")
    read = found.reader()
    assert 0 <= found.readable <= 1
    if found.kind == "classify_text":
        assert all(read(label) == label for label in found.labels)
        assert sum(read(reply) is not None for reply in replies) >= 0.8 * sum(bool(r.strip()) for r in replies)


def test_labels_that_the_prompt_lists_are_a_closed_set_from_few_answers() -> None:
    labels = [f"{first} {second}" for first in ("card", "cash", "top up", "transfer") for second in "abcdefghijklmnop"]
    said = "Choose one of: " + ", ".join(labels)
    few = labels[::2] + labels[:40]
    assert answers_of(few, said).kind == "classify_text"
    assert answers_of(few).kind != "classify_text", "without the list one cannot tell"
