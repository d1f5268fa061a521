"""What a comparison of rented and owned comes to, in a sentence for people."""

from __future__ import annotations

from shokunin.cost.breakeven import Comparison, Plan
from shokunin.cost.money import US_DOLLARS, Currency


def in_words(plan: Plan, result: Comparison, currency: Currency = US_DOLLARS) -> str:
    """When owning pays, or why it never does, with the figures that decide."""
    if not result.rent:
        return "Nothing is paid to the large model, so owning can save nothing."
    if not result.kept:
        return "The large model would be asked about every request all the same, so owning saves nothing."
    return f"{_when(plan, result, currency)} {_volume(result)}"


def _when(plan: Plan, result: Comparison, currency: Currency) -> str:
    show = currency.show
    once, left = show(result.once_total), show(result.kept - result.running)
    at_first = " at first" if plan.growth else ""
    if result.month is not None:
        when = "within the first month" if result.month == 1 else f"after {result.month} months"
        return (
            f"Owning has paid for itself {when}: it leaves {left} a month{at_first}, against {once} paid at the start."
        )
    if result.kept <= result.running:
        return (
            f"Owning does not pay: running it costs {show(result.running)} a month, and {show(result.kept)} of rent is "
            f"saved{at_first}."
        )
    return (
        f"Owning does not pay within {result.horizon} months: {left} a month{at_first} does not earn back the {once} paid at "
        "the start."
    )


def _volume(result: Comparison) -> str:
    if result.break_even_requests is None:
        return "However many requests come, a month of owning is not the cheaper one."
    needed = max(1, round(result.break_even_requests))
    return f"From {needed:,} requests a month on, a month of owning is the cheaper one."
