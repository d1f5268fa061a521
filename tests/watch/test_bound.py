"""The bound on unseen disagreements: against every way the coins can fall, and what must and must not move it."""

from __future__ import annotations

import itertools
import json
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shokunin.watch.bound import BETS, AuditBound

RATES = (0.1, 0.3, 0.5, 0.9, 1.0)
answers = st.lists(
    st.tuples(st.sampled_from(RATES), st.booleans(), st.sampled_from(["agrees", "wrong", "lost", "pending"])),
    max_size=40,
)


def counted(history: list[tuple[float, bool, str]], delta: float = 0.05) -> AuditBound:
    bound = AuditBound(delta)
    for rate, coin, outcome in history:
        audit = coin or rate == 1
        bound.give(bound.level(rate), audit)
        if audit and outcome != "pending":
            bound.resolve(rate, {"agrees": True, "wrong": False, "lost": None}[outcome])
    return bound


@pytest.mark.parametrize("delta", [0.05, 0.2, 0.5])
@pytest.mark.parametrize(
    "wrong",
    ["1111111111", "1010101010", "0000011111", "1100000011"],
)
@pytest.mark.parametrize(
    "rates",
    [(0.5,), (0.3,), (0.9, 0.5, 0.2), (1.0, 0.25)],
)
def test_over_all_coins_the_bound_is_ever_broken_with_probability_delta_at_most(
    delta: float, wrong: str, rates: tuple[float, ...]
) -> None:
    broken = 0.0
    q = [rates[i % len(rates)] for i in range(len(wrong))]
    for coins in itertools.product([True, False], repeat=len(wrong)):
        chance = math.prod(rate if coin else 1 - rate for rate, coin in zip(q, coins, strict=True))
        if chance == 0:
            continue
        bound, disagreements = AuditBound(delta), 0
        for rate, coin, digit in zip(q, coins, wrong, strict=True):
            bound.give(bound.level(rate), coin)
            if coin:
                bound.resolve(rate, digit == "0")
            disagreements += digit == "1"
            if disagreements > bound.count():
                broken += chance
                break
    assert broken <= delta + 1e-12


def test_it_is_not_so_cautious_that_it_could_never_be_broken() -> None:
    bound = AuditBound(0.05)
    for _ in range(100):
        bound.give(bound.level(0.3), audit=False)
    assert bound.count() < 15


def test_an_enemy_who_sees_every_coin_and_chooses_rates_breaks_it_no_more_often() -> None:
    broken, trials, delta = 0, 500, 0.1
    for seed in range(trials):
        rng = random.Random(seed)
        bound, disagreements, seen = AuditBound(delta), 0, 0
        for i in range(150):
            # Errs until found out, then is good for a while; rates follow what was seen.
            wrong, rate = seen <= i // 25, (0.5, 0.2, 0.1)[min(2, i // 40)] if seen < 3 else 0.5
            coin = rng.random() < rate
            bound.give(bound.level(rate), coin)
            if coin:
                bound.resolve(rate, not wrong)
            seen, disagreements = seen + (coin and wrong), disagreements + wrong
            if bound.excludes(disagreements):
                broken += 1
                break
    assert 0 < broken < trials * delta * 1.3


def test_each_factor_is_a_fair_bet() -> None:
    bound = AuditBound(0.05)
    for rate in (0.01, 0.1, 0.5, 0.99):
        level = bound.level(rate)
        for (bet, _), gain, cost in zip(BETS, level.gains, level.costs, strict=True):
            won, lost = math.exp(gain), math.exp(gain) * (1 - bet)
            assert math.isclose((1 - rate) * won + rate * lost, 1.0)
            assert math.isclose(lost, math.exp(cost), abs_tol=1e-15)
    assert math.isclose(sum(weight for _, weight in BETS), 1.0)


def test_with_every_answer_audited_it_counts() -> None:
    bound = counted([(1.0, True, outcome) for outcome in ["agrees", "wrong", "agrees", "lost", "pending", "wrong"]])
    assert bound.count() == 4
    assert bound.known == 4 and bound.pending == 1


def test_an_answer_that_could_not_be_audited_counts_as_wrong() -> None:
    bound = counted([(1.0, True, "agrees")] * 100 + [(0.0, False, "")] * 7)
    assert bound.count() == 7


@given(answers)
def test_the_count_is_the_largest_number_that_is_not_excluded(history: list[tuple[float, bool, str]]) -> None:
    bound = counted(history)
    count = bound.count()
    assert bound.excludes(count + 1) and not bound.excludes(count)
    assert bound.known <= count <= len(history)
    assert [bound.excludes(n) for n in range(len(history) + 2)] == [n > count for n in range(len(history) + 2)]


@given(answers, st.sampled_from(RATES))
def test_what_an_answer_can_become_stays_below_what_was_checked_before(
    history: list[tuple[float, bool, str]], rate: float
) -> None:
    bound = counted(history)
    checked = next(n for n in range(len(history) + 3) if bound.excludes(n, giving=bound.level(rate)))
    for coin, outcome in ((False, ""), (True, "agrees"), (True, "wrong"), (True, "lost"), (True, "pending")):
        if rate < 1 or coin:
            assert counted([*history, (rate, coin, outcome)]).excludes(checked)


@given(answers)
def test_an_outcome_that_comes_in_never_raises_the_bound(history: list[tuple[float, bool, str]]) -> None:
    bound = counted(history)
    for level in bound.levels:
        while level.pending:
            before = bound.count()
            bound.resolve(level.rate, random.Random(before).choice([True, False, None]))
            assert bound.count() <= before


@given(answers)
def test_agreement_lowers_it_most_and_order_does_not_matter(history: list[tuple[float, bool, str]]) -> None:
    assert counted(history).count() == counted(history[::-1]).count()
    better = [(r, c, "agrees" if o == "wrong" else o) for r, c, o in history]
    assert counted(better).count() <= counted(history).count()


@given(answers)
def test_no_matter_how_many_more_answers_no_seen_disagreement_no_higher_bound(
    history: list[tuple[float, bool, str]],
) -> None:
    bound = counted(history)
    level = bound.level(0.3)
    total = next(n for n in itertools.count() if bound.excludes(n, unlimited=level))
    for _ in range(300):
        bound.give(bound.level(0.3), audit=False)
    assert bound.excludes(total)


@given(answers)
def test_saved_and_put_back_it_is_the_same(history: list[tuple[float, bool, str]]) -> None:
    bound, again = counted(history), AuditBound(0.05)
    again.restore(json.loads(json.dumps(bound.to_dict())))
    assert again.count() == bound.count()
    assert again.to_dict() == bound.to_dict()


def test_without_outstanding_audits_it_says_what_would_be_known() -> None:
    history = [(0.5, True, "wrong")] * 2 + [(0.5, False, "")] * 30
    bound = counted([*history, *[(0.5, True, "pending")] * 5])
    settled = counted([*history, *[(0.5, True, "agrees")] * 5])
    for total in range(40):
        assert bound.excludes(total, pending=False) == settled.excludes(total)


def test_an_outcome_without_an_audit_is_refused() -> None:
    bound = AuditBound(0.05)
    bound.give(bound.level(0.5), audit=True)
    bound.resolve(0.5, True)
    with pytest.raises(ValueError, match=r"no audit with probability 0\.5 is outstanding"):
        bound.resolve(0.5, True)


@settings(max_examples=20)
@given(st.integers(1, 10**6))
def test_large_numbers_do_not_overflow(unseen: int) -> None:
    bound = AuditBound(0.05)
    bound.restore([{"rate": 0.1, "unseen": unseen, "agreed": 0, "wrong": unseen // 10, "lost": 0, "pending": 0}])
    assert bound.known <= bound.count() <= bound.known + unseen
