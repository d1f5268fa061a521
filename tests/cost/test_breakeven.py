"""Rented beside owned: the formulas by hand, what must rise and fall with what, the limits, and the three cases."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shokunin.cost import Plan, Price, compare, in_words, saving_per_month, scenarios
from shokunin.cost.breakeven import LOOKED_AHEAD
from shokunin.cost.scenarios import SPREAD
from shokunin.errors import UsageError

PLAN = Plan(price=Price(2.0, 10.0), requests=100_000, input_tokens=500, output_tokens=50, local_share=0.9)
FREE = {
    "machine_price": 0.0, "watts": 0.0, "upkeep_hours": 0.0, "setup_hours": 0.0, "training_hours": 0.0,
}  # fmt: skip
amounts = st.floats(min_value=0, max_value=1e6, allow_subnormal=False)
shares = st.floats(min_value=0, max_value=1, allow_subnormal=False)
plans = st.builds(
    Plan,
    price=st.builds(Price, amounts, amounts),
    requests=amounts,
    input_tokens=amounts,
    output_tokens=amounts,
    local_share=shares,
    audit_share=shares,
    growth=st.floats(min_value=-0.5, max_value=0.5),
    machine_price=amounts,
    machine_months=st.floats(min_value=0.5, max_value=120),
    machine_share=shares,
    machine_per_month=amounts,
    watts=amounts,
    energy_price=st.floats(min_value=0, max_value=10),
    training_hours=st.floats(min_value=0, max_value=100),
    trainings_per_year=st.floats(min_value=0, max_value=365),
    busy_watts=amounts,
    training_per_hour=st.floats(min_value=0, max_value=100),
    setup_hours=amounts,
    upkeep_hours=amounts,
    hourly_rate=st.floats(min_value=0, max_value=1000),
)


def test_a_month_by_hand() -> None:
    found = compare(PLAN)
    one = (500 * 2 + 50 * 10) / 1e6
    assert found.rent == pytest.approx(100_000 * one) == pytest.approx(150)
    assert dict(found.own) == pytest.approx(
        {
            "escalations": 15.0,  # a tenth of the rent
            "audits": 6.75,  # a twentieth of the other nine tenths
            "machine": 1000 / 48,
            "energy": 0.040 * 730.5 * 0.25,
            "training": 4 / 12 * 0.5 * 0.1 * 0.25,
            "upkeep": 60.0,
        }
    )
    assert dict(found.once) == pytest.approx({"machine": 1000, "training": 0.5 * 0.1 * 0.25, "setup": 240})
    assert found.kept == pytest.approx(150 * 0.9 * 0.95)
    assert found.saving == pytest.approx(150 - found.own_total)
    assert found.running == pytest.approx(found.own["energy"] + found.own["training"] + 60)
    assert found.month == 21  # 1240.0125 / (128.25 - 67.3092) = 20.3
    assert found.break_even_requests == pytest.approx((found.running + 1000 / 48) / (one * 0.9 * 0.95))
    assert (found.rent_per_1000, found.own_per_1000) == pytest.approx((1.5, found.own_total / 100))


def test_growth_brings_the_month_nearer_by_hand() -> None:
    plan = replace(PLAN, **{**FREE, "setup_hours": 10}, hourly_rate=60, growth=0.1)  # 600 once, nothing a month
    kept, paid, month = 128.25, 0.0, 0
    while paid < 600:
        paid, month, kept = paid + kept, month + 1, kept * 1.1
    assert compare(plan).month == month == 5


def test_cached_tokens_and_batches_have_their_own_price() -> None:
    price = Price(2.0, 10.0, cached_input=0.2, batch_input=1.0, batch_output=5.0)
    assert compare(replace(PLAN, price=price, cached_share=0.5)).rent == pytest.approx(0.1 * (500 * 1.1 + 500))
    assert compare(replace(PLAN, price=price, batch=True)).rent == pytest.approx(75)
    with pytest.raises(UsageError, match="exclude each other"):
        replace(PLAN, price=price, batch=True, cached_share=0.1)
    with pytest.raises(UsageError, match="price in batches is not known"):
        replace(PLAN, batch=True)
    with pytest.raises(UsageError, match="price of cached tokens is not known"):
        replace(PLAN, cached_share=0.1)


@given(plans)
def test_nothing_is_negative_and_the_parts_are_the_whole(plan: Plan) -> None:
    found = compare(plan)
    everything = [found.rent, found.kept, found.rent_per_1000, *found.own.values(), *found.once.values()]
    assert all(0 <= amount < float("inf") for amount in everything)
    assert found.running >= 0
    assert found.own["escalations"] + found.own["audits"] + found.kept == pytest.approx(found.rent)
    assert found.saving == pytest.approx(found.rent - found.own_total)
    assert found.month is None or 1 <= found.month <= found.horizon
    assert in_words(plan, found).endswith(".")


@given(
    plans,
    st.sampled_from(["watts", "energy_price", "upkeep_hours", "hourly_rate", "machine_per_month", "training_hours"]),
)
def test_what_owning_costs_never_makes_it_better(plan: Plan, name: str) -> None:
    more = replace(plan, **{name: getattr(plan, name) * 1.5 + 1})
    before, after = compare(plan), compare(more)
    assert after.saving <= before.saving + 1e-9 * (1 + abs(before.saving))
    assert after.rent == before.rent
    if before.month is None:
        assert after.month is None
    else:
        assert after.month is None or after.month >= before.month


@given(plans, st.floats(min_value=1, max_value=10))
def test_more_requests_and_a_dearer_model_make_owning_better(plan: Plan, factor: float) -> None:
    before = compare(plan)
    for more in (replace(plan, requests=plan.requests * factor), replace(plan, price=plan.price.times(factor))):
        after = compare(more)
        slack = 1e-9 * (1 + abs(before.saving) + abs(after.saving) + before.rent + after.rent)
        assert after.saving >= before.saving - slack
        if before.month is not None:
            assert after.month is not None and after.month <= before.month


@given(plans, shares)
def test_a_larger_local_share_saves_more_and_audits_save_less(plan: Plan, share: float) -> None:
    low, high = sorted((plan.local_share, share))
    assert compare(replace(plan, local_share=high)).kept >= compare(replace(plan, local_share=low)).kept
    low, high = sorted((plan.audit_share, share))
    assert compare(replace(plan, audit_share=high)).kept <= compare(replace(plan, audit_share=low)).kept


@given(plans)
def test_at_the_break_even_volume_both_cost_the_same(plan: Plan) -> None:
    needed = compare(plan).break_even_requests
    assume(needed is not None and 1e-3 < needed < 1e9 and compare(plan).rent_per_1000 > 1e-6)
    assert needed is not None
    there = compare(replace(plan, requests=needed))
    assert there.saving == pytest.approx(0, abs=1e-6 * (1 + there.rent))


@given(plans)
def test_the_saving_alone_is_the_plan_without_machine_and_people(plan: Plan) -> None:
    bare = replace(plan, **FREE, machine_per_month=0.0)
    alone = saving_per_month(
        requests=plan.requests,
        price=plan.price,
        input_tokens=plan.input_tokens,
        output_tokens=plan.output_tokens,
        local_share=plan.local_share,
        audit_share=plan.audit_share,
    )
    assert compare(bare).saving == pytest.approx(alone, rel=1e-6, abs=1e-6 * (1 + compare(bare).rent))


def test_the_limits() -> None:
    nothing = compare(replace(PLAN, requests=0))
    assert (nothing.rent, nothing.month, nothing.own_per_1000) == (0, None, None)
    assert nothing.saving == pytest.approx(-nothing.running - 1000 / 48)
    assert "Nothing is paid to the large model" in in_words(PLAN, nothing)
    free = compare(replace(PLAN, price=Price(0, 0)))
    assert (free.rent, free.month, free.break_even_requests) == (0, None, None)
    unsure = replace(PLAN, local_share=0.0)
    assert compare(unsure).own["escalations"] == compare(unsure).rent
    assert "asked about every request all the same" in in_words(unsure, compare(unsure))
    checked = replace(PLAN, audit_share=1.0)
    assert compare(checked).kept == 0 and compare(checked).month is None
    everything = replace(PLAN, local_share=1.0, audit_share=0.0, machine_per_month=0, **FREE)
    assert compare(everything).saving == compare(everything).rent
    assert (compare(everything).month, compare(everything).horizon) == (1, LOOKED_AHEAD)
    assert "within the first month" in in_words(everything, compare(everything))


def test_a_machine_that_wears_out_first_never_pays() -> None:
    short = replace(PLAN, machine_months=12)
    found = compare(short)
    assert found.month is None and found.horizon == 12 and found.kept > found.running
    assert (
        "does not pay within 12 months: $60.94 a month does not earn back the $1,240.01 paid at the start"
        in in_words(short, found)
    )
    costly = replace(PLAN, requests=10_000)
    assert "running it costs $67.31 a month, and $12.82 of rent is saved" in in_words(costly, compare(costly))
    growing = replace(costly, growth=0.01)
    assert "is saved at first" in in_words(growing, compare(growing))


@given(plans)
def test_the_best_case_is_no_worse_and_the_worst_no_better(plan: Plan) -> None:
    best, likely, worst = scenarios(plan)
    assert [best.name, likely.name, worst.name] == ["best", "likely", "worst"]
    assert likely.plan == plan and likely.result == compare(plan)
    slack = 1e-9 * (1 + sum(abs(one.result.saving) + one.result.rent for one in (best, likely, worst)))
    assert best.result.saving >= likely.result.saving - slack
    assert likely.result.saving >= worst.result.saving - slack


def test_the_cases_change_what_is_documented_and_nothing_else() -> None:
    best, likely, worst = (one.plan for one in scenarios(PLAN))
    for name, (up, down) in SPREAD.items():
        if name != "price":
            assert getattr(best, name) == getattr(likely, name) * up, name
            assert getattr(worst, name) == getattr(likely, name) * down, name
    assert (best.price, worst.price) == (likely.price, Price(1.0, 5.0))
    assert (best.local_share, worst.local_share) == pytest.approx((0.95, 0.8))
    for field in fields(Plan):
        if field.name not in (*SPREAD, "local_share"):
            assert getattr(best, field.name) == getattr(worst, field.name) == getattr(likely, field.name)
    assert scenarios(replace(PLAN, local_share=0.02))[2].plan.local_share == 0.0
    assert scenarios(replace(PLAN, local_share=0.99))[0].plan.local_share == 1.0


def test_a_case_can_be_given() -> None:
    best, _, worst = scenarios(PLAN, best={"requests": 7, "price": 2}, worst={"local_share": 0.5, "watts": 90})
    assert (best.plan.requests, best.plan.price) == (7, Price(4.0, 20.0))
    assert (worst.plan.local_share, worst.plan.watts) == (0.5, 90)
    with pytest.raises(UsageError, match=r"'request' is no input of a case \(did you mean 'requests'\?\)"):
        scenarios(PLAN, best={"request": 1})
    with pytest.raises(UsageError, match="'price' of a case is a factor"):
        scenarios(PLAN, worst={"price": -1})
    with pytest.raises(UsageError, match="'local share' is a share from 0 to 1, not 5"):
        scenarios(PLAN, worst={"local_share": 5})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"requests": -1}, "'requests' is a number, 0 or more, not -1"),
        ({"input_tokens": float("nan")}, "'input tokens' is a number, 0 or more, not nan"),
        ({"hourly_rate": float("inf")}, "'hourly rate' is a number, 0 or more, not inf"),
        ({"local_share": 90}, "'local share' is a share from 0 to 1, not 90; 90 % is 0.9"),
        ({"audit_share": -0.1}, "'audit share' is a share from 0 to 1"),
        ({"growth": -1}, "'growth' is a share a month, more than -1 and at most 1"),
        ({"growth": 5}, "'growth' is a share a month"),
        ({"machine_months": 0}, "'machine months' is more than 0 and at most 1200"),
        ({"machine_months": 1e9}, "'machine months' is more than 0 and at most 1200"),
    ],
)
def test_impossible_inputs_are_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        replace(PLAN, **changed)


def test_the_saving_refuses_impossible_inputs_too() -> None:
    known: dict[str, Any] = {
        "requests": 1000, "price": Price(1, 1), "input_tokens": 10, "output_tokens": 1, "local_share": 0.5,
    }  # fmt: skip
    assert saving_per_month(**known) == pytest.approx(1000 * 11e-6 * 0.5)
    for name, value in (("requests", -1), ("output_tokens", float("nan")), ("local_share", 1.1), ("audit_share", -1)):
        with pytest.raises(UsageError, match=name.replace("_", " ")):
            saving_per_month(**{**known, name: value})
