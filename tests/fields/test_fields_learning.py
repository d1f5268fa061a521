from __future__ import annotations

import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin.fields.candidates import mentions, segments
from shokunin.fields.learning import folds_of, order_of
from shokunin.fields.line_items import _odds
from shokunin.fields.memory import Memory
from shokunin.fields.places import Places
from shokunin.fields.proposals import propose_blocks, propose_values
from shokunin.fields.scalar import Judgement, decide
from shokunin.forms import Document, Field, FieldLessons, Line

DAY = (Field("day", "date"),)
NOTHING = Memory({}, {})


@given(st.lists(st.integers(0, 12), min_size=2, max_size=60), st.integers(0, 5))
def test_groups_stay_whole_and_folds_are_about_equal(groups: list[int], seed: int) -> None:
    folds = folds_of(np.asarray(groups), seed)
    of = {}
    for group, fold in zip(groups, folds.tolist(), strict=True):
        assert of.setdefault(group, fold) == fold
    sizes = np.bincount(folds)
    assert sizes.max() - sizes.min() <= np.bincount(groups).max()
    assert (folds == folds_of(np.asarray(groups), seed)).all()


@pytest.mark.parametrize(("form", "order"), [("%d/%m/%Y", "dmy"), ("%m/%d/%Y", "mdy")])
def test_answers_tell_which_number_is_the_day(form: str, order: str) -> None:
    days = [datetime.date(2018, 3, n) for n in range(4, 9)]
    documents = tuple(Document((Line(f"of {day.strftime(form)}"),)) for day in days)
    lessons = FieldLessons(documents, tuple({"day": day.isoformat()} for day in days), DAY, np.arange(5))
    assert order_of(lessons, [Places(d) for d in documents]) == order


def test_without_such_answers_the_documents_tell() -> None:
    documents = (Document((Line("04/03/2018"),)), Document((Line("12/25/2018"),)))
    lessons = FieldLessons(documents, ({"day": "04/03/2018"}, {"day": None}), DAY, np.arange(2))
    assert order_of(lessons, [Places(d) for d in documents]) == "mdy"


def test_the_likelier_of_best_value_and_absence_is_the_answer() -> None:
    judgement = Judgement((1.0, 0.0, 0.0), (-1.0, 0.0, 0.5), -3.0)
    assert decide(judgement, np.array([-2.0, 4.0])) == (1, 4.0)
    assert decide(judgement, np.array([-2.0, -4.0])) == (None, 2.5)
    assert decide(judgement, np.zeros(0)) == (None, -3.0)


def test_each_value_is_proposed_once_where_it_is_likeliest() -> None:
    page = Places(Document((Line("9.00"), Line("TOTAL 9.00"), Line("CASH 10.00"), Line("CHANGE 1.00"))))
    found = mentions(page, "money")
    proposals = propose_values(page, found, np.array([[0.0, 2.0, 1.0, -1.0]], np.float32), NOTHING)
    assert proposals.keys == ("9", "10", "1")
    assert page.text[slice(*proposals.spans[0])] == "9.00" and proposals.spans[0][0] > 5
    # 10 less 1 is 9, and 9 and 1 are 10.
    assert proposals.numbers[:, 26].tolist() == [1, 0, 1] and proposals.numbers[:, 27].tolist() == [0, 1, 0]


def test_blocks_run_over_lines_and_are_ordered_by_what_the_heads_say() -> None:
    page = Places(Document((Line("ACME"), Line("1 BIG ROAD"), Line("LONDON"), Line("TEL 5"))))
    pieces = segments(page)
    logits = np.full((3, 4), -5.0, np.float32)
    logits[0, 1] = logits[1, 2] = 5.0
    logits[2, 1:3] = 5.0
    proposals = propose_blocks(page, pieces, logits, NOTHING, most_lines=3)
    assert page.text[slice(*proposals.spans[0])] == "1 BIG ROAD\nLONDON" and proposals.keys[0] == "1BIGROADLONDON"
    assert all(page.text[a:b].count("\n") < 3 for a, b in proposals.spans)


@given(st.floats(-1e6, 0.0))
def test_log_odds_of_any_probability_are_finite(log_probability: float) -> None:
    odds = _odds(log_probability)
    assert np.isfinite(odds)
    if -20 < log_probability < -1e-4:
        assert 1 / (1 + np.exp(-odds)) == pytest.approx(np.exp(log_probability))
