"""What answers cost, rented or owned: pure arithmetic on prices, tokens, volumes, machines and energy.

`price` is the price of a rented model, `book` the dated list that ships and how a name is found in it, `money` the currency
and how amounts are written, `saving` what answering here saves, `breakeven` everything that renting and owning cost,
`scenarios` the same for better and worse, `wording` what comes of it in a sentence.
"""

from __future__ import annotations

from shokunin.cost.book import PriceBook, Quote, price_book, price_of, quote, unknown_prices
from shokunin.cost.breakeven import AMOUNTS, HOURS_PER_MONTH, Comparison, Plan, compare
from shokunin.cost.money import US_DOLLARS, Currency, currency
from shokunin.cost.price import Price
from shokunin.cost.saving import saving_per_month
from shokunin.cost.scenarios import Scenario, scenarios
from shokunin.cost.wording import in_words

__all__ = [
    "AMOUNTS",
    "HOURS_PER_MONTH",
    "US_DOLLARS",
    "Comparison",
    "Currency",
    "Plan",
    "Price",
    "PriceBook",
    "Quote",
    "Scenario",
    "compare",
    "currency",
    "in_words",
    "price_book",
    "price_of",
    "quote",
    "saving_per_month",
    "scenarios",
    "unknown_prices",
]
