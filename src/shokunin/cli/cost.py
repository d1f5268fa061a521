"""`shokunin cost [NAME]`: what a month costs rented and owned, and when owning pays, in the best, likely and worst case."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shokunin.cli.output import Output, emit, note, reporting, say, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from shokunin.cost import Comparison
    from shokunin.pipeline.reckoning import Reckoning

SHARES = ("local_share", "audit_share", "cached_share", "machine_share", "growth")
ITEMS = {
    "escalations": "passed on to it",
    "audits": "checked against it",
    "machine": "machine",
    "energy": "energy",
    "training": "training",
    "upkeep": "people",
}


def cost(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="A specialist, to reckon with what was measured of it.", show_default=False
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The large model; by default the one that the specialist stands for.")
    ] = None,
    price: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="INPUT OUTPUT", help="Its price instead, US dollars per million tokens read and written."),
    ] = None,
    requests: Annotated[float | None, typer.Option(help="Requests a month.")] = None,
    growth: Annotated[float | None, typer.Option(help="By which share they grow a month: 0.02 is 2 %.")] = None,
    input_tokens: Annotated[float | None, typer.Option(help="Tokens of one request, prompt and all.")] = None,
    output_tokens: Annotated[float | None, typer.Option(help="Tokens of one answer.")] = None,
    local_share: Annotated[float | None, typer.Option(help="Share answered here: 0.9 is 90 %.")] = None,
    audit_share: Annotated[float | None, typer.Option(help="Share of those that the large model checks.")] = None,
    cached_share: Annotated[float | None, typer.Option(help="Share of input tokens in its provider's cache.")] = None,
    batch: Annotated[bool, typer.Option("--batch", help="Requests may wait: take the price of batches.")] = False,
    machine_price: Annotated[float | None, typer.Option(help="Of a machine to buy; 0 if there is one.")] = None,
    machine_months: Annotated[float | None, typer.Option(help="How long it lasts.")] = None,
    machine_share: Annotated[float | None, typer.Option(help="Which share of it is for this work.")] = None,
    machine_per_month: Annotated[float | None, typer.Option(help="Of a machine that is rented, a month.")] = None,
    machine_per_hour: Annotated[float | None, typer.Option(help="Or an hour, around the clock.")] = None,
    watts: Annotated[float | None, typer.Option(help="What it draws on average.")] = None,
    busy_watts: Annotated[float | None, typer.Option(help="What it draws more while it trains.")] = None,
    energy_price: Annotated[float | None, typer.Option(help="Of a kilowatt-hour.")] = None,
    training_hours: Annotated[float | None, typer.Option(help="Hours of one training.")] = None,
    trainings_per_year: Annotated[float | None, typer.Option(help="How often it is trained anew.")] = None,
    training_per_hour: Annotated[float | None, typer.Option(help="Of a machine rented to train on.")] = None,
    setup_hours: Annotated[float | None, typer.Option(help="People's hours, once.")] = None,
    upkeep_hours: Annotated[float | None, typer.Option(help="People's hours, every month.")] = None,
    hourly_rate: Annotated[float | None, typer.Option(help="Of such an hour.")] = None,
    best: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="An input of the best case instead: requests=200000.")
    ] = None,
    worst: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Likewise of the worst case.")] = None,
    currency: Annotated[str | None, typer.Option(help="USD, EUR or JPY; by default as in [money].")] = None,
    per_usd: Annotated[float | None, typer.Option(help="How many units of it one US dollar is.")] = None,
    project: Annotated[Path | None, typer.Option(help="The project's folder; by default this one.")] = None,
    output: Annotated[Output, typer.Option(help="For people, or one JSON document.")] = Output.text,
) -> None:
    """Set a month of renting beside a month of owning.

    In the best, the likely and the worst case, with the month in which owning has paid for itself, or why it never does.
    Amounts other than --price are in the currency. What is not given is measured, else as in [money], else a default; each
    input is shown with where it is from.
    """
    options = {key: value for key, value in locals().items() if key in _inputs() and value is not None}
    with reporting(output):
        from shokunin.pipeline.reckoning import reckon

        found = reckon(
            name, model=model, price=price, given=_with_hourly(options, machine_per_hour), batch=batch, best=_pairs(best),
            worst=_pairs(worst), code=currency, per_usd=per_usd, project=project,
        )  # fmt: skip
    if output is Output.json:
        emit(_plain(found))
        return
    _show(found)


def _inputs() -> tuple[str, ...]:
    from shokunin.cost import Plan

    return tuple(name for name in Plan.__dataclass_fields__ if name not in ("price", "batch"))


def _with_hourly(options: dict[str, float], per_hour: float | None) -> dict[str, float]:
    from shokunin.cost import HOURS_PER_MONTH
    from shokunin.errors import UsageError

    if per_hour is None:
        return options
    if "machine_per_month" in options:
        raise UsageError("--machine-per-month and --machine-per-hour say the same twice; give one of them")
    return {**options, "machine_per_month": per_hour * HOURS_PER_MONTH}


def _pairs(given: list[str] | None) -> dict[str, float]:
    from shokunin.errors import UsageError

    found = {}
    for one in given or ():
        name, equals, value = one.partition("=")
        try:
            found[name.strip().replace("-", "_")] = float(value)
        except ValueError:
            equals = ""
        if not equals:
            raise UsageError(f"{one!r} is no NAME=VALUE with a number, such as requests=200000")
    return found


def _plain(found: Reckoning) -> dict[str, Any]:
    from shokunin.cost import in_words

    price = found.quoted.price
    return {
        "currency": found.unit.code,
        "per_usd": found.unit.per_usd,
        "model": found.model,
        "price": {"input": price.input, "output": price.output, "from": found.price_origin, "as_of": found.quoted.as_of},
        "from": dict(found.origins),
        "cases": {
            case.name: {
                "inputs": _inputs_of(found, case.plan),
                **_outcome(case.result, found.unit.of),
                "sentence": in_words(case.plan, case.result, found.unit),
            }
            for case in found.cases
        },
    }  # fmt: skip


def _inputs_of(found: Reckoning, plan: Any) -> dict[str, Any]:
    from shokunin.cost import AMOUNTS

    values = {name: getattr(plan, name) for name in found.origins}
    amounts = {name: found.unit.of(value) for name, value in values.items() if name in AMOUNTS}
    rate = plan.rented()
    return {**values, **amounts, "usd_per_million": {"input": rate.input, "output": rate.output}}


def _outcome(result: Comparison, of: Callable[[float], float]) -> dict[str, Any]:
    owned = result.own_per_1000
    return {
        "rent_per_month": of(result.rent),
        "own_per_month": {**{name: of(amount) for name, amount in result.own.items()}, "total": of(result.own_total)},
        "saving_per_month": of(result.saving),
        "paid_once": {**{name: of(amount) for name, amount in result.once.items()}, "total": of(result.once_total)},
        "break_even_month": result.month,
        "break_even_requests": result.break_even_requests,
        "per_1000": {"rented": of(result.rent_per_1000), "owned": None if owned is None else of(owned)},
    }


def _show(found: Reckoning) -> None:
    from shokunin.cost import in_words

    show, results = found.unit.show, [case.result for case in found.cases]
    named = "" if found.model is None else f"{found.model}, "
    say(f"  {named}{found.price_origin}", title="large model")
    rows = [
        ("rented, a month", *(show(r.rent) for r in results)),
        ("owned, a month", *(show(r.own_total) for r in results)),
    ]
    rows += [(f"  {words}", *(show(r.own[item]) for r in results)) for item, words in ITEMS.items()]
    rows += [
        ("saved, a month", *(show(r.saving) for r in results)),
        ("paid at the start", *(show(r.once_total) for r in results)),
        ("has paid for itself", *("never" if r.month is None else f"month {r.month}" for r in results)),
        ("1,000 answers rented", *(show(r.rent_per_1000) for r in results)),
        ("1,000 answers owned", *("–" if r.own_per_1000 is None else show(r.own_per_1000) for r in results)),
    ]
    say()
    table(("", *(case.name for case in found.cases)), rows)
    say()
    likely = found.cases[1]
    say(in_words(likely.plan, likely.result, found.unit))
    for case in (found.cases[0], found.cases[2]):
        note(f"{case.name} case: {in_words(case.plan, case.result, found.unit)}")
    say()
    table(("reckoned with", *(case.name for case in found.cases), "from"), _inputs_shown(found))


def _inputs_shown(found: Reckoning) -> list[tuple[str, ...]]:
    rates = [case.plan.rented() for case in found.cases]
    rows: list[tuple[str, ...]] = [
        ("$ per million tokens read", *(f"{rate.input:g}" for rate in rates), found.price_origin),
        ("$ per million tokens written", *(f"{rate.output:g}" for rate in rates), found.price_origin),
    ]
    for name, origin in found.origins.items():
        values = [_value(found, name, getattr(case.plan, name)) for case in found.cases]
        rows.append((name.replace("_", " "), *values, origin))
    return rows


def _value(found: Reckoning, name: str, value: Any) -> str:
    from shokunin.cost import AMOUNTS

    if isinstance(value, bool):
        return "yes" if value else "no"
    if name in AMOUNTS:
        return found.unit.show(value)
    return f"{100 * value:.4g} %" if name in SHARES else f"{value:,.6g}"
