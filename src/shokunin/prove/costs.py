"""What a thousand answers cost, in the words of the page, the terminal and the card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shokunin.cost import Currency
from shokunin.prove.wording import printable

ITEMS = {"escalations": "passed on", "audits": "checked against the large model", "energy": "energy"}


def cost_in_line(cost: Mapping[str, Any]) -> str:
    """Both ways side by side in one sentence, or why that is not known."""
    if "missing" in cost:
        return printable(cost["missing"], 600)
    rented, owned = per_1000(cost)
    parts = ", ".join(f"{name} {amount}" for name, amount in items_per_1000(cost))
    return f"1,000 answers: {rented} by {printable(cost['model'], 60)}, {owned} with the specialist ({parts})"


def per_1000(cost: Mapping[str, Any]) -> tuple[str, str]:
    """A thousand answers of the large model, and of the specialist with what it passes on."""
    show, figures = _show(cost), cost["per_1000"]
    return show(figures["rented"]), show(figures["owned_total"])


def items_per_1000(cost: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the specialist's thousand is made of."""
    show = _show(cost)
    return [(ITEMS[name], show(amount)) for name, amount in cost["per_1000"]["owned"].items()]


def basis(cost: Mapping[str, Any]) -> str:
    """What the amounts rest on: the price with its day, and the tokens."""
    price, tokens = cost["price"], cost["tokens"]
    rate = Currency(**cost["currency"])
    converted = "" if rate.code == "USD" else f", at {rate.per_usd:g} {rate.code} for a US dollar"
    return (
        f"{printable(cost['model'], 60)} at ${price['input']:g} and ${price['output']:g} per million tokens read and written "
        f"({printable(price['origin'], 60)}){converted}; {tokens['input']:,.0f} tokens a request and {tokens['output']:,.0f} "
        f"an answer ({printable(tokens['from'], 120)})."
    )


def _show(cost: Mapping[str, Any]) -> Any:
    return Currency(**cost["currency"]).show
