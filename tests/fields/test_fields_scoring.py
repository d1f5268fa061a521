from __future__ import annotations

import pytest

from shokunin.fields.scoring import f1, field_scores
from shokunin.forms import Field

FIELDS = (Field("company"), Field("total", "money"), Field("lines", "list", (Field("what"), Field("price", "money"))))


def test_right_wrong_and_missed_are_counted_by_document() -> None:
    expected = [
        {"company": "A", "total": "9.00", "lines": None},
        {"company": "B", "total": None, "lines": [{"what": "nut", "price": 1}, {"what": "bolt", "price": 2}]},
        {"company": "C", "total": "3", "lines": None},
    ]
    given = [
        {"company": "a.", "total": "9", "lines": None},
        {"company": "X", "total": "5", "lines": [{"what": "bolt", "price": "2.00"}, {"what": "saw", "price": 1}]},
        {"company": "C"},
    ]
    scores = field_scores(FIELDS, expected, given)
    assert scores.counts["company"].tolist() == [[1, 0, 0], [0, 1, 1], [1, 0, 0]]
    assert scores.counts["total"].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert scores.counts["lines"].tolist() == [[0, 0, 0], [1, 1, 1], [0, 0, 0]]
    assert scores.exact.tolist() == [True, False, False]
    assert scores.f1("company") == pytest.approx(2 / 3)
    assert scores.mean_f1 == pytest.approx((2 / 3 + 1 / 2 + 1 / 2) / 3)


def test_a_row_given_twice_is_right_once() -> None:
    row = {"what": "nut", "price": 1}
    scores = field_scores(FIELDS[2:], [{"lines": [row]}], [{"lines": [row, row]}])
    assert scores.counts["lines"].tolist() == [[1, 1, 0]] and not scores.exact[0]


def test_nothing_to_find_and_nothing_found_is_perfect() -> None:
    scores = field_scores(FIELDS, [{}], [{}])
    assert scores.mean_f1 == 1.0 and scores.exact.all() and f1(scores.counts["total"].sum(0)) == 1.0


def test_as_many_answers_as_documents() -> None:
    with pytest.raises(ValueError, match="1 answers to 2"):
        field_scores(FIELDS, [{}, {}], [{}])
