from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shokunin.language.answer_shapes import (
    Shape,
    fill,
    one_spelling,
    sql_lexicon,
    sql_places,
    sql_shaped,
    text_lexicon,
    text_shaped,
)
from shokunin.language.mentions import Lexicon, Mention, masked, readings
from shokunin.language.new_shapes import new_shapes

CAPITAL = 'SELECT s.capital FROM state AS s WHERE s.name = "{}"'


def test_a_query_without_its_values_is_filled_with_others() -> None:
    lexicon, sorts = sql_lexicon([CAPITAL.format("texas"), CAPITAL.format("new york")], {})
    first = "What is the capital of Texas?"
    shaped = sql_shaped(CAPITAL.format("texas"), lexicon.find(first), sorts)
    assert shaped.shape == Shape(CAPITAL.format("{0:state.name}"), ("state.name",))
    (mention,) = lexicon.find("the capital of New  York, please")
    assert fill(shaped.shape, [mention], sql=True) == CAPITAL.format("new york")


def test_numbers_are_mentions_and_values_nobody_mentioned_stay() -> None:
    lexicon, sorts = sql_lexicon([], {})
    sql = "SELECT name FROM town WHERE people > 5000 AND land = 'fr' LIMIT 3"
    shaped = sql_shaped(sql, lexicon.find("3 towns of France with more than 5000 people"), sorts)
    assert shaped.shape.text == "SELECT name FROM town WHERE people > {1:number} AND land = 'fr' LIMIT {0:number}"
    assert fill(shaped.shape, shaped.mentions, sql=True) == sql


def test_columns_that_hold_the_same_values_are_one_sort() -> None:
    lands = ["fr", "de", "it", "es"]
    _, sorts = sql_lexicon(
        [], {"land.code": lands, "town.land": lands[:3], "town.name": ["Nice", "Bonn", "Rome", "fr"]}
    )
    assert sorts["town.land"] == sorts["land.code"] != sorts["town.name"]


def test_a_quote_in_a_value_cannot_end_it() -> None:
    shape = Shape("SELECT 1 WHERE name = '{0:a.b}'", ("a.b",))
    assert fill(shape, [Mention(0, 1, "a.b", "x' OR '1")], sql=True) == "SELECT 1 WHERE name = 'x'' OR ''1'"


def test_queries_of_one_meaning_have_one_spelling() -> None:
    a = one_spelling(Shape(CAPITAL.format("{0:state.name}"), ("state.name",)))
    b = one_spelling(Shape("select capital from STATE where name = '{0:state.name}'", ("state.name",)))
    assert a == b == Shape("SELECT state.capital FROM state WHERE state.name = '{0:state.name}'", ("state.name",))


def test_the_places_know_the_column_that_a_value_is_compared_with() -> None:
    sql = "SELECT a.x FROM t AS a WHERE a.y IN ('p', \"q r\") AND a.z BETWEEN 3 AND 5"
    assert [(sql[p.start : p.end], p.sort) for p in sql_places(sql)] == [
        ("'p'", "t.y"),
        ('"q r"', "t.y"),
        ("3", "number"),
        ("5", "number"),
    ]


def test_replies_lose_what_differs_between_them() -> None:
    prompts = [
        f"Hello, this is {n}. Where is order {o}?" for n, o in (("Mori", "A-17"), ("Sato", "B-29"), ("Ueda", "C-3"))
    ]
    answers = [f"Dear {n}, order {o} left {{today}}." for n, o in (("Mori", "A-17"), ("Sato", "B-29"), ("Ueda", "C-3"))]
    lexicon = text_lexicon(prompts, answers)
    shaped = text_shaped(answers, [lexicon.find(p) for p in prompts])
    assert len({s.shape for s in shaped}) == 1 and len(shaped[0].mentions) == 2
    assert [fill(s.shape, s.mentions, sql=False) for s in shaped] == answers


def test_an_answer_that_copies_nothing_is_its_own_shape() -> None:
    prompts, answers = ["may I pay by card?", "is there parking?"], ["Yes, you may.", "Yes, behind the house."]
    lexicon = text_lexicon(prompts, answers)
    shaped = text_shaped(answers, [lexicon.find(p) for p in prompts])
    assert [s.shape.text for s in shaped] == answers


@given(st.lists(st.text(alphabet="ab {}17\"'-:Ü", max_size=25), min_size=1, max_size=4))
def test_whatever_is_taken_apart_can_be_put_together(texts: list[str]) -> None:
    lexicon = text_lexicon(texts, texts)
    for text, shaped in zip(texts, text_shaped(texts, [lexicon.find(t) for t in texts]), strict=True):
        assert fill(shaped.shape, shaped.mentions, sql=False) == text


def test_readings_do_not_overlap_and_their_chances_add_up_to_one() -> None:
    lexicon = Lexicon({"new york": {"city": "New York", "state": "New York"}, "york": {"city": "York"}})
    found = lexicon.find("from york to new york")
    read = readings("from york to new york", found, {"city": 1.0, "state": -1.0}, most=50)
    assert abs(sum(2.718281828459045**r.logprob for r in read) - 1) < 1e-6
    assert all(a.end <= b.start for r in read for a, b in zip(r.mentions, r.mentions[1:], strict=False))
    assert [m.value for m in read[0].mentions] == ["York", "New York"]
    assert masked("to york!", lexicon.find("to york!"), {"city": 0}) == "to  xx0xx !"


def test_a_substitution_that_lessons_show_makes_a_query_that_none_has() -> None:
    base = "SELECT {c}.name FROM {c} WHERE {c}.{x} = (SELECT {f}({c}.{x}) FROM {c})"
    seen = [(c, x, f) for c in ("town", "river", "land") for x in ("size", "age") for f in ("MAX", "MIN")]
    missing = ("land", "age", "MIN")
    shapes = [Shape(base.format(c=c, x=x, f=f)) for c, x, f in seen if (c, x, f) != missing]
    made = [s.text for s in new_shapes(shapes, most=50)]
    assert base.format(c="land", x="age", f="MIN") in made
    assert not {s.text for s in shapes} & set(made)
    # The columns of a made query are those of its tables.
    assert all(text.count("town.") == 0 or " town" in text for text in made)
    assert new_shapes(shapes, most=50, runs=lambda query: "land" not in query) != made


def test_what_a_value_may_look_like() -> None:
    found = Lexicon({}, ("mail", "number", "code", "quoted", "name")).find(
        'Ask Ms Ito-Vega at ito.v@shop.example about "blue lamp", order AB-12/7, 3 for 1,250.50 in 2024'
    )
    values = {(m.sort, m.value) for m in found}
    assert {
        ("mail", "ito.v@shop.example"),
        ("quoted", "blue lamp"),
        ("code", "AB-12/7"),
        ("number", "3"),
        ("number", "1,250.50"),
        ("number", "2024"),
        ("name", "Ms Ito-Vega"),
        ("name", "Ito-Vega"),
    } <= values
    assert not any(sort == "code" and value == "AB-12" for sort, value in values)


def test_a_hostile_prompt_is_gone_through_once() -> None:
    lexicon = Lexicon({"a": {"value": "a"}}, ("mail", "number", "code", "quoted", "name"))
    for text in ("a-" * 15_000, "a" * 60_000, "1," * 15_000, 'A "' * 10_000):
        assert len(lexicon.find(text)) <= 60
