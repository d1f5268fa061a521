"""Best, likely and worst: three plans with their inputs written out; nothing is drawn at random.

`likely` is the plan as given. The others change, from the point of view of owning, what nobody knows beforehand (`SPREAD`);
each value can be given instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from shokunin.cost.breakeven import Comparison, Plan, compare
from shokunin.errors import UsageError

SPREAD: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "requests": (1.25, 0.75),
        "price": (1.0, 0.5),
        "energy_price": (0.8, 1.5),
        "trainings_per_year": (0.5, 2.0),
        "setup_hours": (0.5, 2.0),
        "upkeep_hours": (0.5, 2.0),
    }
)
"""By what the likely value is multiplied in the best and in the worst case. Rented models have become cheaper again and again,
hence half the price in the worst."""
LOCAL_SHARE = (0.05, -0.10)
"""What is added to the share answered locally in the best and in the worst case, within 0 and 1."""
NAMES = ("best", "likely", "worst")


@dataclass(frozen=True)
class Scenario:
    """One of the three: its name, its inputs, and what comes out."""

    name: str
    plan: Plan
    result: Comparison


def scenarios(
    plan: Plan, *, best: Mapping[str, float] | None = None, worst: Mapping[str, float] | None = None
) -> tuple[Scenario, Scenario, Scenario]:
    """The best, the likely and the worst case.

    Args:
        plan: the likely one.
        best: inputs of the best case that are given instead, by the names of `Plan`; `price` is a factor.
        worst: likewise of the worst.

    Raises:
        UsageError: a name is not one of an input, or a value does not fit.
    """
    plans = (_shifted(plan, 0, best or {}), plan, _shifted(plan, 1, worst or {}))
    first, second, third = (Scenario(name, one, compare(one)) for name, one in zip(NAMES, plans, strict=True))
    return first, second, third


def _shifted(plan: Plan, which: int, given: Mapping[str, float]) -> Plan:
    known = [f.name for f in fields(Plan) if f.name != "batch"]
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise UsageError(f"{name!r} is no input of a case{hint}; known: {', '.join(known)}")
    values: dict[str, Any] = {
        name: getattr(plan, name) * factors[which] for name, factors in SPREAD.items() if name != "price"
    }
    values["local_share"] = min(1.0, max(0.0, plan.local_share + LOCAL_SHARE[which]))
    values |= {name: value for name, value in given.items() if name != "price"}
    factor = given.get("price", SPREAD["price"][which])
    if not 0 <= factor < float("inf"):
        raise UsageError(f"'price' of a case is a factor of the large model's price, 0 or more, not {factor!r}")
    return replace(plan, price=plan.price.times(factor), **values)
