"""Break-even: what a month costs rented and owned, item by item, and in which month owning has paid for itself.

All amounts are US dollars. With `r` requests a month, `c` the price of one at the large model, `l` the share answered locally
and `a` the share of those that is audited:

```
rent         r · c                                          everything is asked of the large model
escalations  r · c · (1 − l)                                what the specialist passes on
audits       r · c · l · a                                  local answers that the large model is asked about too
machine      share · (machine price / months + per month)   bought, spread over its life; or rented
energy       share · watts / 1,000 · 730.5 h · price of a kWh
training     trainings a year / 12 · hours · (busy watts / 1,000 · price of a kWh + price of an hour)
upkeep       hours · hourly rate                            people who look after it
saving       rent − all of these
```

What is paid once, at the start, is the machine (its share), the first training and the people's hours of setting it up. Owning
has paid for itself in the first month at whose end the rent that was not paid reaches what was paid once and until then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import ceil, inf, isfinite

from shokunin.cost.price import Price
from shokunin.cost.saving import is_share, not_negative, saving_per_month
from shokunin.errors import UsageError

HOURS_PER_MONTH = 365.25 * 24 / 12
"""730.5"""
LONGEST = 1200
"""Months that a machine can be said to last."""
LOOKED_AHEAD = 120
"""Months that are looked at where nothing is bought that wears out."""
AMOUNTS = ("machine_price", "machine_per_month", "energy_price", "training_per_hour", "hourly_rate")
"""The inputs that are money."""
SHARES = ("local_share", "audit_share", "cached_share", "machine_share")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is asked, what the large model takes for it, and what owning takes. Amounts in US dollars.

    Attributes:
        price: of the large model.
        requests: a month, in the first month.
        input_tokens: of one request, prompt and all.
        output_tokens: of one answer.
        local_share: share of requests that the specialist answers itself; the rest is escalated.
        growth: by which share requests grow from month to month; 0.02 is 2 %. Negative where they become fewer.
        audit_share: share of local answers that the large model is asked about as well.
        cached_share: share of the input tokens that the provider has in its cache.
        batch: whether requests may wait and are sent in batches.
        machine_price: of a machine that is bought; 0: none is.
        machine_months: how long it lasts.
        machine_share: share of the machine that is for this work.
        machine_per_month: of a machine that is rented.
        watts: what the machine draws on average, around the clock.
        energy_price: of a kilowatt-hour.
        training_hours: how long one training takes.
        trainings_per_year: how often it is trained anew.
        busy_watts: what the machine draws more than that while it works at full load, as in a training.
        training_per_hour: of a machine that is rented to train on.
        setup_hours: people's hours, once.
        upkeep_hours: people's hours, every month.
        hourly_rate: of such an hour.
    """

    price: Price
    requests: float
    input_tokens: float
    output_tokens: float
    local_share: float
    growth: float = 0.0
    audit_share: float = 0.05
    cached_share: float = 0.0
    batch: bool = False
    machine_price: float = 1000.0
    machine_months: float = 48.0
    machine_share: float = 1.0
    machine_per_month: float = 0.0
    watts: float = 40.0
    energy_price: float = 0.25
    training_hours: float = 0.5
    trainings_per_year: float = 4.0
    busy_watts: float = 100.0
    training_per_hour: float = 0.0
    setup_hours: float = 4.0
    upkeep_hours: float = 1.0
    hourly_rate: float = 60.0

    def __post_init__(self) -> None:
        for one in fields(self):
            if one.name in SHARES:
                is_share(one.name, getattr(self, one.name))
            elif one.name not in ("price", "batch", "growth"):
                not_negative(one.name, getattr(self, one.name))
        if not -1 < self.growth <= 1:
            raise UsageError(
                f"'growth' is a share a month, more than -1 and at most 1, not {self.growth!r}; 2 % is 0.02"
            )
        if not 0 < self.machine_months <= LONGEST:
            raise UsageError(f"'machine months' is more than 0 and at most {LONGEST}, not {self.machine_months!r}")
        self.rented()  # a price that the plan needs and the model does not have is said at once

    def rented(self) -> Price:
        """The price of the large model for the way in which this plan asks it.

        Raises:
            UsageError: it has no price for batches or cached tokens, or both are asked for, which providers count differently.
        """
        if self.batch and self.cached_share:
            raise UsageError(
                "'batch' and 'cached share' exclude each other: providers differ in what they take for both"
            )
        if self.batch:
            if self.price.batch_input is None or self.price.batch_output is None:
                raise UsageError(
                    "the large model's price in batches is not known; add `batch_input` and `batch_output` to its [prices]"
                )
            return Price(self.price.batch_input, self.price.batch_output)
        if self.cached_share:
            if self.price.cached_input is None:
                raise UsageError(
                    "the large model's price of cached tokens is not known; add `cached_input` to its [prices]"
                )
            mixed = (1 - self.cached_share) * self.price.input + self.cached_share * self.price.cached_input
            return Price(mixed, self.price.output)
        return self.price


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Rented beside owned. Amounts in US dollars, those a month of the first month.

    Attributes:
        rent: a month, when the large model answers everything.
        own: a month, by item: `escalations`, `audits`, `machine`, `energy`, `training`, `upkeep`.
        once: paid at the start, by item: `machine`, `training`, `setup`.
        kept: a month's rent that is not paid any more.
        running: what owning costs a month besides what the large model gets and what was paid once.
        month: the month at whose end owning has paid for itself; None: never.
        horizon: how many months were looked at: as long as the machine lasts.
        break_even_requests: requests a month from which on owning is cheaper; None: however many there are, it is not.
        rent_per_1000: of a thousand answers, rented.
        own_per_1000: of a thousand answers, owned; None where there are none.
    """

    rent: float
    own: Mapping[str, float]
    once: Mapping[str, float]
    kept: float
    running: float
    month: int | None
    horizon: int
    break_even_requests: float | None
    rent_per_1000: float
    own_per_1000: float | None

    @property
    def own_total(self) -> float:
        """What owning costs a month, all items together."""
        return sum(self.own.values())

    @property
    def once_total(self) -> float:
        """What is paid at the start."""
        return sum(self.once.values())

    @property
    def saving(self) -> float:
        """A month; negative where owning costs more."""
        return self.rent - self.own_total


def compare(plan: Plan) -> Comparison:
    """Rented beside owned, by the formulas of this module."""
    one = plan.rented().of(plan.input_tokens, plan.output_tokens)
    rent = plan.requests * one
    kept_of_one = _kept(plan, 1.0)
    own = {
        "escalations": rent * (1 - plan.local_share),
        "audits": rent * plan.local_share * plan.audit_share,
        "machine": plan.machine_share * (plan.machine_price / plan.machine_months + plan.machine_per_month),
        "energy": plan.machine_share * plan.watts / 1000 * HOURS_PER_MONTH * plan.energy_price,
        "training": plan.trainings_per_year / 12 * _training(plan),
        "upkeep": plan.upkeep_hours * plan.hourly_rate,
    }
    once = {
        "machine": plan.machine_share * plan.machine_price,
        "training": _training(plan),
        "setup": plan.setup_hours * plan.hourly_rate,
    }
    running = plan.machine_share * plan.machine_per_month + own["energy"] + own["training"] + own["upkeep"]
    fixed = running + once["machine"] / plan.machine_months
    even = fixed / kept_of_one if kept_of_one else inf
    horizon = ceil(plan.machine_months) if once["machine"] else LOOKED_AHEAD
    return Comparison(
        rent=rent,
        own=own,
        once=once,
        kept=_kept(plan, plan.requests),
        running=running,
        month=_paid_back(plan, sum(once.values()), running, horizon),
        horizon=horizon,
        break_even_requests=even if isfinite(even) else None,
        rent_per_1000=1000 * one,
        own_per_1000=1000 * sum(own.values()) / plan.requests if plan.requests else None,
    )


def _kept(plan: Plan, requests: float) -> float:
    return saving_per_month(
        requests=requests,
        price=plan.rented(),
        input_tokens=plan.input_tokens,
        output_tokens=plan.output_tokens,
        local_share=plan.local_share,
        audit_share=plan.audit_share,
    )


def _training(plan: Plan) -> float:
    """One training."""
    return plan.training_hours * (plan.busy_watts / 1000 * plan.energy_price + plan.training_per_hour)


def _paid_back(plan: Plan, once: float, running: float, horizon: int) -> int | None:
    kept, balance = _kept(plan, plan.requests), -once
    if not kept:
        return None
    for month in range(1, horizon + 1):
        balance += kept - running
        if balance >= 0:
            return month
        kept *= 1 + plan.growth
    return None
