"""Several readers of one document: who is asked, and whose value is given."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin.fields.by_member import MOST, Plan, Scale, likeliest, read_by
from shokunin.forms import Found

VALUES = st.sampled_from(["9.50", "9,50", "10.00", None, ["a"]])
ODDS = st.floats(-MOST, MOST)


def plan(keep: float = 0.9, **fields: tuple[int, ...]) -> Plan:
    readers = 1 + max(n for mine in fields.values() for n in mine)
    return Plan(fields, tuple({name: Scale(1.0, 0.0) for name in fields} for _ in range(readers)), keep)


def probability(odds: float) -> float:
    return 1 / (1 + math.exp(-odds))


class TestTheLikeliestValue:
    def test_readers_that_agree_are_surer_than_each(self) -> None:
        both = likeliest([(Found("9.50", 0.0, (1, 5)), 1.0), (Found("9,50", 0.0, (7, 11)), 2.0)])
        assert both.score == pytest.approx(3.0) and both.span == (7, 11), "the surest says where it stands"

    def test_of_readers_that_differ_the_surer_is_believed_and_less_sure(self) -> None:
        found = likeliest([(Found("a", 0.0), 2.0), (Found("b", 0.0), 1.0)])
        assert found.value == "a" and found.score < 2.0

    def test_two_outvote_a_surer_one(self) -> None:
        found = likeliest([(Found("a", 0.0), 2.0), (Found("b", 0.0), 1.5), (Found("b", 0.0), 1.5)])
        assert found.value == "b"

    def test_null_is_a_value(self) -> None:
        assert likeliest([(Found(None, 0.0), 3.0), (Found("a", 0.0), 1.0)]).value is None

    @given(st.lists(st.tuples(VALUES, ODDS), min_size=1, max_size=4))
    def test_probabilities_are_those_of_readers_that_err_independently(self, told: list[tuple[object, float]]) -> None:
        found = likeliest([(Found(value, 0.0), odds) for value, odds in told])
        assert found.value in [value for value, _ in told] and -MOST <= found.score <= MOST
        spelled = {"9,50": "9.50"}
        weights: dict[str, float] = {}
        for meant in {spelled.get(str(v), str(v)) for v, _ in told}:
            right = [spelled.get(str(v), str(v)) == meant for v, _ in told]
            weights[meant] = math.prod(
                probability(o) if r else probability(-o) for r, (_, o) in zip(right, told, strict=True)
            )
        nothing = math.prod(probability(-o) for _, o in told)
        mine = weights[spelled.get(str(found.value), str(found.value))]
        assert mine == pytest.approx(max(weights.values()), rel=1e-6)
        wanted = mine / (sum(weights.values()) + nothing)
        assert probability(found.score) == pytest.approx(wanted, rel=1e-6, abs=1e-9)


class TestWhoIsAsked:
    def test_a_larger_reader_is_asked_only_where_a_smaller_one_is_unsure(self) -> None:
        sure, unsure = {"a": Found("x", 5.0)}, {"a": Found("x", 0.5)}
        larger = {"a": Found("y", 4.0)}
        assert read_by(plan(a=(0, 1)), [sure, larger].__getitem__) == (sure, (0,))
        found, asked = read_by(plan(a=(0, 1)), [unsure, larger].__getitem__)
        assert asked == (0, 1) and found["a"].value == "y"

    def test_each_field_by_its_own_readers(self) -> None:
        first, second = {"a": Found("a0", 9.0), "b": Found("b0", 9.0)}, {"a": Found("a1", 9.0), "b": Found("b1", -3.0)}
        found, asked = read_by(plan(a=(0,), b=(1,)), [first, second].__getitem__)
        assert {name: told.value for name, told in found.items()} == {"a": "a0", "b": "b1"} and asked == (0, 1)
        assert list(found) == ["a", "b"]

    def test_a_reader_without_a_say_is_not_asked(self) -> None:
        assert read_by(plan(a=(1,)), {1: {"a": Found("x", 0.0)}}.__getitem__)[1] == (1,)

    def test_log_odds_are_put_on_one_scale(self) -> None:
        boastful = Plan({"a": (0, 1)}, ({"a": Scale(4.0, -2.0)}, {"a": Scale(1.0, 0.0)}), 0.9)
        found, _ = read_by(boastful, [{"a": Found("loud", 8.0)}, {"a": Found("quiet", 1.0)}].__getitem__)
        assert found["a"].value == "quiet"
