"""Amounts as people read them, in three currencies, and a rate that is never guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin.cost import US_DOLLARS, Currency, currency

EURO, YEN = Currency("EUR", 0.92), Currency("JPY", 150)


@pytest.mark.parametrize(
    ("usd", "dollars", "euros", "yen"),
    [
        (0, "$0.00", "€0.00", "¥0"),
        (1, "$1.00", "€0.92", "¥150"),
        (1234.5, "$1,234.50", "€1,135.74", "¥185,175"),
        (1_000_000, "$1,000,000.00", "€920,000.00", "¥150,000,000"),
        (-3, "-$3.00", "-€2.76", "-¥450"),
        (0.5, "$0.50", "€0.46", "¥75"),
        (0.0042, "$0.0042", "€0.0039", "¥0.63"),
        (0.000102, "$0.00010", "€0.000094", "¥0.015"),
        (0.09999, "$0.100", "€0.092", "¥15"),
        (-0.0042, "-$0.0042", "-€0.0039", "-¥0.63"),
        (-0.0, "$0.00", "€0.00", "¥0"),
    ],
)
def test_amounts_as_they_are_shown(usd: float, dollars: str, euros: str, yen: str) -> None:
    assert (US_DOLLARS.show(usd), EURO.show(usd), YEN.show(usd)) == (dollars, euros, yen)


@given(st.floats(min_value=1e-12, max_value=1e12), st.sampled_from([US_DOLLARS, EURO, YEN]))
def test_what_is_shown_is_near_and_never_nothing(usd: float, unit: Currency) -> None:
    shown = unit.show(usd)
    read = float(shown.lstrip("$€¥").replace(",", ""))
    assert read > 0
    assert read == pytest.approx(unit.of(usd), rel=0.05 if unit.of(usd) < 1 else 0.34)
    assert unit.show(-usd) == f"-{shown}"
    assert unit.to_usd(unit.of(usd)) == pytest.approx(usd)


def test_a_rate_is_never_guessed() -> None:
    assert currency("USD") == US_DOLLARS and currency("JPY", 150) == YEN
    with pytest.raises(ValueError, match="`per_usd` is missing: how many JPY one US dollar is"):
        currency("JPY")
    with pytest.raises(ValueError, match="`currency` is one of 'USD', 'EUR', 'JPY', not 'yen'"):
        currency("yen")
    with pytest.raises(ValueError, match="`per_usd` is 1 for US dollars, not 2"):
        currency("USD", 2)
    for rate in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="more than 0"):
            currency("EUR", rate)
