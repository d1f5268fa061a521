"""What answers cost, rented or owned: pure arithmetic on prices, tokens, volumes, machines and energy.

`price` is the price of a rented model, `book` the dated list that ships and how a name is found in it, `money` the currency
and how amounts are written, `saving` what answering here saves.
"""

from __future__ import annotations

from shokunin.cost.book import PriceBook, Quote, price_book, price_of, quote, unknown_prices
from shokunin.cost.money import US_DOLLARS, Currency
from shokunin.cost.price import Price
from shokunin.cost.saving import saving_per_month

__all__ = [
    "US_DOLLARS",
    "Currency",
    "Price",
    "PriceBook",
    "Quote",
    "price_book",
    "price_of",
    "quote",
    "saving_per_month",
    "unknown_prices",
]
