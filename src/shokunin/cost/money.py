"""Money: the currency in which amounts are given and shown, and the one place where they are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor, log10

SIGNS: Mapping[str, tuple[str, int]] = {"USD": ("$", 2), "EUR": ("€", 2), "JPY": ("¥", 0)}
"""Of each currency its sign and its decimals."""
LEADING = 2
"""Digits that are shown of an amount that is less than one unit: 0.0042, not 0.00."""


@dataclass(frozen=True)
class Currency:
    """A currency and its rate; amounts inside the program are US dollars.

    Attributes:
        code: `USD`, `EUR` or `JPY`.
        per_usd: how many units of it one US dollar is; 1 for US dollars.
    """

    code: str = "USD"
    per_usd: float = 1.0

    def __post_init__(self) -> None:
        if self.code not in SIGNS:
            raise ValueError(f"`currency` is one of {', '.join(map(repr, SIGNS))}, not {self.code!r}")
        if not 0 < self.per_usd < float("inf"):
            raise ValueError(f"`per_usd` is how many {self.code} one US dollar is, more than 0, not {self.per_usd!r}")
        if self.code == "USD" and self.per_usd != 1:
            raise ValueError(
                f"`per_usd` is 1 for US dollars, not {self.per_usd!r}; name the `currency` it is meant for"
            )

    def of(self, usd: float) -> float:
        """US dollars in this currency."""
        return usd * self.per_usd

    def to_usd(self, amount: float) -> float:
        """An amount of this currency in US dollars."""
        return amount / self.per_usd

    def show(self, usd: float) -> str:
        """US dollars as people read them in this currency: `$1,234.50`, `¥185,175`, `€0.0042`, `-$3.00`.

        Amounts of at least one unit have the currency's decimals (yen have none); smaller ones two leading digits, so
        that what is little is not shown as nothing.
        """
        amount = self.of(usd)
        sign, decimals = SIGNS[self.code]
        size = abs(amount)
        if 0 < size < 1:
            decimals = max(decimals, LEADING - 1 - floor(log10(size)))
        text = f"{size:,.{decimals}f}"
        return f"-{sign}{text}" if amount < 0 and text.strip("0,.") else f"{sign}{text}"


US_DOLLARS = Currency()


def currency(code: str, per_usd: float | None = None) -> Currency:
    """The currency of that code; its rate is asked for, never guessed.

    Raises:
        ValueError: the code is unknown, or the rate is missing or wrong.
    """
    if per_usd is None and code in SIGNS and code != US_DOLLARS.code:
        raise ValueError(
            f"`per_usd` is missing: how many {code} one US dollar is, which is never guessed; prices of rented models are "
            "in US dollars"
        )
    return Currency(code, 1.0 if per_usd is None else per_usd)
