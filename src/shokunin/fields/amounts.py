"""Amounts and numbers in the spellings of many countries, found in a text and read as decimals."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from shokunin.fields.spelling import fold

Mark = Literal[".", ","]
CURRENCY = (
    r"(?:RM|US\$|HK\$|NT\$|S\$|A\$|C\$|R\$|[$€£¥₹₩₽฿₫₺₱₪₴￥円元]|kr\.?|zł|Kč|Fr\.?|CHF|EUR|USD|GBP|JPY|MYR|CNY|SGD|AUD|"
    r"CAD|NZD|HKD|TWD|KRW|INR|IDR|THB|PHP|VND|SEK|NOK|DKK|PLN|CZK|HUF|RON|BGN|TRY|ZAR|BRL|MXN|AED|ILS|Rs\.?)"
)
_DIGITS = (
    r"(?:\d{1,3}(?:[,.'\u00a0\u202f\u2009]\d{3}){1,6}(?:[.,]\d{1,4})?|\d{1,3}(?: \d{3}){1,4},\d{1,2}"
    r"|\d+(?:[.,]\d+)?|[.,]\d{2})"
)
TRIANGLES, YEN = "▲△", "¥円"
"""In Japanese accounts a triangle before an amount is a minus; a dash behind an amount in yen only closes it: ¥1,234-."""
_SIGN = rf"(?:[-+]|(?<![{TRIANGLES}])[{TRIANGLES}])"
_AMOUNT = re.compile(
    rf"(?P<open>\()?(?P<sign>{_SIGN})? ?(?:(?<![^\W\d_])(?P<before>{CURRENCY}) ?)?(?P<sign2>{_SIGN})? ?"
    rf"(?<![\d])(?<!\d[.,'])(?P<digits>{_DIGITS})(?![\d])"
    rf"(?: ?(?P<after>{CURRENCY})(?![^\W_]))?(?P<minus>-(?![\w]))?(?P<close>\))?(?P<percent> ?%)?",
    re.IGNORECASE,
)
LONGEST = 26
"""Characters of a number; what is longer is no amount."""
_ANY = re.compile(r"\d")


@dataclass(frozen=True, slots=True)
class AmountAt:
    """An amount in a text.

    Attributes:
        start, end: its place, currency and sign included.
        inner_start, inner_end: the place of its digits.
        value: what it says.
        decimals: how many digits stand after the decimal mark.
        currency: the sign or code beside it, upper case; "" where there is none.
        percent: a percent sign follows.
    """

    start: int
    end: int
    inner_start: int
    inner_end: int
    value: Decimal
    decimals: int
    currency: str
    percent: bool


def find_amounts(text: str, mark: Mark | None = None, *, money: bool = True) -> list[AmountAt]:
    """All numbers in a text, left to right.

    Args:
        text: where to look.
        mark: the decimal mark, where it is known; it decides about "1.234".
        money: without a known mark, three digits after the only mark are thousands in money; in a number only a comma is.
    """
    if not _ANY.search(text):
        return []
    found = []
    for match in _AMOUNT.finditer(fold(text)):
        part = match.groupdict()
        if len(part["digits"]) > LONGEST:
            continue
        value, decimals = _value(part["digits"], mark, money)
        start, end = match.span()
        closed = bool(part["open"] and part["close"])
        if not closed:  # a bracket that is not of the number
            start += len(part["open"] or "")
            end = match.start("close") if part["close"] and not part["percent"] else end
        before = part["before"] or ""
        signs = (part["sign"] or "") + (part["sign2"] or "")
        owed = any(sign in TRIANGLES for sign in signs)
        # A dash between two words or numbers is no sign.
        leading = "-" in signs and not owed
        glued = leading and match.start() > 0 and text[match.start() - 1].isalnum()
        ahead = match.string[max(0, match.start() - 1) : match.start("digits")]  # ¥ behind a letter, too: 合計¥1,234-
        yen = "¥" in ahead or (before or part["after"]) in tuple(YEN)
        credited = bool(part["minus"]) and not yen
        negative = closed or owed or credited or (leading and not glued)
        while start < end and text[start].isspace():
            start += 1
        if glued:
            start = match.start("before") if before else match.start("digits")
        currency = (before or part["after"] or "").upper().rstrip(".")
        found.append(
            AmountAt(
                start,
                end,
                *match.span("digits"),
                -value if negative else value,
                decimals,
                currency,
                bool(part["percent"]),
            )
        )
    return found


def read_amount(text: str, mark: Mark | None = None, *, money: bool = True) -> Decimal | None:
    """The one number that the text is, other words beside it allowed; None: there is none, or there are several."""
    joined = re.sub(r"(?<=\d) (?=\d{3}(?!\d))", "", fold(text))
    found = find_amounts(joined, mark, money=money)
    return found[0].value if len(found) == 1 else None


def plain(value: Decimal) -> str:
    """The number as plain text without needless zeros: "1234.5", "-3", "0"."""
    if value == 0:
        return "0"
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _value(digits: str, mark: Mark | None, money: bool) -> tuple[Decimal, int]:
    compact = re.sub(r"[^\d.,]", "", digits)
    last = max(compact.rfind("."), compact.rfind(","))
    if last < 0:
        return Decimal(compact), 0
    sign, behind = compact[last], len(compact) - last - 1
    if compact.count(sign) > 1:
        decimal = False
    elif (("," if sign == "." else ".") in compact) or behind != 3:
        decimal = True
    elif mark is not None:
        decimal = sign == mark
    else:
        decimal = sign == "." and not money
    if not decimal:
        return Decimal(re.sub(r"[.,]", "", compact)), 0
    whole = re.sub(r"[.,]", "", compact[:last]) or "0"
    return Decimal(f"{whole}.{compact[last + 1 :]}"), behind
