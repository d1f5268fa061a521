"""The sum behind `shokunin cost`: a plan from what is given, measured and settled, with the origin of every input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shokunin import registry
from shokunin.cost import (
    AMOUNTS,
    Currency,
    Plan,
    Price,
    Quote,
    Scenario,
    currency,
    scenarios,
    unknown_prices,
)
from shokunin.errors import UsageError
from shokunin.pipeline.costing import Known, measured_of, models_of, quoted_of, recorded_of, samples_of, settings_of
from shokunin.pipeline.publish import read_report
from shokunin.project import Project, open_project

GIVEN = "given"
DEFAULT = "default"
PRICE_OPTION = "--price INPUT OUTPUT"
ASKED = ("requests", "input_tokens", "output_tokens", "local_share")
"""What has no default."""


@dataclass(frozen=True)
class Reckoning:
    """Renting beside owning, in three cases.

    Attributes:
        model: the large model; None where only a price was given.
        quoted: its price and where that is from; without a day where it was given or is the owner's.
        price_origin: the same in words.
        unit: the currency to show amounts in.
        cases: best, likely, worst.
        origins: of every input of the plan, where it is from.
    """

    model: str | None
    quoted: Quote
    price_origin: str
    unit: Currency
    cases: tuple[Scenario, Scenario, Scenario]
    origins: Mapping[str, str]


def reckon(
    name: str | None = None,
    *,
    model: str | None = None,
    price: tuple[float, float] | None = None,
    given: Mapping[str, float] | None = None,
    batch: bool = False,
    best: Mapping[str, float] | None = None,
    worst: Mapping[str, float] | None = None,
    code: str | None = None,
    per_usd: float | None = None,
    project: str | Path | None = None,
) -> Reckoning:
    """What a month costs rented and owned.

    Args:
        name: a specialist whose volume, tokens and shares are taken as they were measured.
        model: the large model; by default the one that the specialist stands for.
        price: US dollars per million tokens read and written, instead of the price that is known.
        given: inputs of the plan, amounts in the currency; they go before what is measured and settled.
        batch: whether requests may wait and are sent in batches.
        best: inputs of the best case, likewise; `price` is a factor.
        worst: inputs of the worst case.
        code: the currency; by default that of `[money]`.
        per_usd: how many units of it one US dollar is.
        project: the project's folder; by default the current one.

    Raises:
        UsageError: an input is missing or impossible, the price of the model or the currency's rate is not known.
        ProjectError: there is no such specialist.
    """
    place = open_project(None if project is None else Path(project))
    unit = _unit(place, code, per_usd)
    measured, models = (Known({}, {}), []) if name is None else _measured(name, place)
    own = _in_usd(given or {}, unit)
    known = settings_of(place) | measured | Known(own, dict.fromkeys(own, GIVEN))
    known = _rented_machine(known)
    if missing := [wanted for wanted in ASKED if wanted not in known.values]:
        options = ", ".join("--" + wanted.replace("_", "-") for wanted in missing)
        why = "it cannot be measured here" if name is None else f"nothing that is recorded of {name!r} says it"
        raise UsageError(f"give {options}: {why}, and it has no default")
    model, quoted, origin = _priced(model, models, price, place)
    plan = Plan(price=quoted.price, batch=batch, **known.values)
    cases = scenarios(plan, best=_in_usd(best or {}, unit), worst=_in_usd(worst or {}, unit))
    origins = {field: known.origins.get(field, DEFAULT) for field in Plan.__dataclass_fields__ if field != "price"}
    if batch:
        origins["batch"] = GIVEN
    return Reckoning(model, quoted, origin, unit, cases, origins)


def _unit(place: Project, code: str | None, per_usd: float | None) -> Currency:
    money = place.money
    try:
        if per_usd is None and code in (None, money.currency):
            return money.unit()
        return currency(code or money.currency, per_usd)
    except ValueError as error:
        raise UsageError(f"{error}; give --currency and --per-usd, or [money] in shokunin.toml") from None


def _measured(name: str, place: Project) -> tuple[Known, list[str]]:
    specialist = registry.read(place.specialists, name)
    report = read_report(specialist)
    recorded, unread = recorded_of(place, specialist.name)
    if unread is not None:
        raise UsageError(f"{unread}; the volume of {name!r} cannot be read: give --requests when it can be again")
    known = measured_of(
        specialist,
        place,
        texts=samples_of(specialist),
        local_share=report.threshold.get("coverage_here") or 0.0,
        ladder=report.ladder,
        recorded=recorded,
    )
    return known, models_of(specialist, place)


def _in_usd(values: Mapping[str, float], unit: Currency) -> dict[str, float]:
    return {name: unit.to_usd(value) if name in AMOUNTS else value for name, value in values.items()}


def _rented_machine(known: Known) -> Known:
    """Who rents a machine buys none and pays no electricity bill for it, unless they say so."""
    if not known.values.get("machine_per_month"):
        return known
    spared = {name: 0.0 for name in ("machine_price", "watts", "busy_watts") if name not in known.values}
    return Known(spared, dict.fromkeys(spared, "the machine is rented")) | known


def _priced(
    model: str | None, models: list[str], price: tuple[float, float] | None, place: Project
) -> tuple[str | None, Quote, str]:
    if price is not None:
        try:
            return model, Quote(model or "", Price(*price)), GIVEN
        except ValueError as error:
            raise UsageError(f"--price: {error}") from None
    asked = [model] if model else models
    if not asked:
        raise UsageError(
            f"which large model is it beside? Give --model MODEL, or {PRICE_OPTION}, US dollars per million tokens"
        )
    found = quoted_of(asked, place)
    if found is None:
        raise UsageError(unknown_prices(dict.fromkeys(asked, 0), place.prices, option=PRICE_OPTION))
    return found[0], found[1], found[1].origin
