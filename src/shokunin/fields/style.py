"""How the owner's rows write a field, learned from them, so that answers are written the same way."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from shokunin.fields.amounts import find_amounts, plain
from shokunin.fields.dates import Order, find_dates
from shokunin.fields.spelling import fold, tidy
from shokunin.forms import Field

_ENGLISH = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DATE_FORMS = (
    "YYYY-MM-DD", "DD/MM/YYYY", "MM/DD/YYYY", "DD.MM.YYYY", "DD-MM-YYYY", "YYYY/MM/DD", "YYYYMMDD", "D.M.YYYY", "D/M/YYYY",
    "M/D/YYYY", "YYYY/M/D", "YYYY年M月D日", "YYYY年MM月DD日", "ERAY年M月D日", "DD/MM/YY", "MM/DD/YY", "DD-MM-YY", "YY/MM/DD",
    "DD MON YYYY", "D MON YYYY", "MON D, YYYY", "MONTH D, YYYY", "D MONTH YYYY", "DD-MON-YYYY", "DD-MON-YY", "DDMMYYYY",
)  # fmt: skip
_ERAS = (
    (datetime.date(2019, 5, 1), "令和", 2018),
    (datetime.date(1989, 1, 8), "平成", 1988),
    (datetime.date(1926, 12, 25), "昭和", 1925),
)
_JOINERS = (" ", ", ", "\n", "")


@dataclass(frozen=True)
class Style:
    """How values are written.

    Attributes:
        form: `as_written`, the way the document writes it, or one of the forms of the field's type.
        joiner: what stands between the lines of a text.
        upper: texts and month names are upper case.
        trimmed: texts lose punctuation at their ends.
    """

    form: str = "as_written"
    joiner: str = " "
    upper: bool = False
    trimmed: bool = True


def learn_style(field: Field, pairs: Iterable[tuple[str, Any]], order: Order) -> Style:
    """The style that writes most values exactly as the rows have them; the first of `styles` among equals.

    Args:
        field: whose values.
        pairs: how the document writes a value (its span), and how the row has it; both mean the same.
        order: of numbers in a date.
    """
    known = list(pairs)[:2_000]
    return max(
        styles(field), key=lambda style: sum(_equal(write(style, field, raw, order), value) for raw, value in known)
    )


def styles(field: Field) -> Sequence[Style]:
    """All styles of a field's type, the likeliest first."""
    if field.type == "date":
        written = [Style("as_written"), Style("as_written", upper=True)]
        return written + [Style(form, upper=upper) for form in _DATE_FORMS for upper in (False, True)]
    if field.type in ("money", "number"):
        return [Style(form) for form in ("as_written", "digits", *_AMOUNT_FORMS)]
    if field.type == "id":
        return [Style("as_written"), Style("as_written", upper=True), Style("compact")]
    return [
        Style("as_written", joiner, upper, trim)
        for joiner in _JOINERS
        for upper in (False, True)
        for trim in (True, False)
    ]


def write(style: Style, field: Field, raw: str, order: Order) -> Any:
    """The value in the owner's style.

    Args:
        style: of the field.
        field: whose value it is.
        raw: how the document writes it, line breaks included.
        order: of numbers in a date.
    """
    if field.type == "date":
        return _write_date(style, raw, order)
    if field.type in ("money", "number"):
        return _write_amount(style, field, raw)
    text = re.sub(r"[ \t]+", " ", raw).strip()
    if field.type == "id":
        text = re.sub(r"\s+", " ", text)
        return (
            re.sub(r"[\s-]", "", fold(text)).upper()
            if style.form == "compact"
            else text.upper()
            if style.upper
            else text
        )
    lines = [line.strip() for line in text.split("\n")]
    if style.joiner.startswith(","):
        lines = [line.rstrip(" ,") for line in lines[:-1]] + lines[-1:]
    text = style.joiner.join(lines)
    if style.trimmed:
        text = tidy(text) if style.joiner != "\n" else text.strip(" ,;:|")
    return text.upper() if style.upper else text


def _write_date(style: Style, raw: str, order: Order) -> str:
    dates = find_dates(raw)
    text = re.sub(r"\s+", " ", raw).strip()
    if style.form == "as_written" or not dates:
        return text.upper() if style.upper else text
    return format_date(dates[0].read(order), style)


def format_date(date: datetime.date, style: Style) -> str:
    """A date in one of the forms above; for a date before the eras the western year."""
    if style.form.startswith("ERA"):
        era = next(((name, date.year - zero) for start, name, zero in _ERAS if date >= start), ("", date.year))
        return f"{era[0]}{era[1] if era[1] != 1 else '元'}年{date.month}月{date.day}日"
    month = _ENGLISH[date.month - 1]
    parts = {
        "YYYY": f"{date.year:04}", "YY": f"{date.year % 100:02}", "MONTH": month, "MON": month[:3], "MM": f"{date.month:02}",
        "DD": f"{date.day:02}", "M": str(date.month), "D": str(date.day),
    }  # fmt: skip
    text = re.sub(r"YYYY|YY|MONTH|MON|MM|DD|M|D", lambda m: parts[m.group()], style.form)
    return text.upper() if style.upper else text


_AMOUNT_FORMS: dict[str, Callable[[Decimal], Any]] = {
    "float": float,
    "int": lambda v: int(v) if v == int(v) else float(v),
    "plain": plain,
    "0.00": lambda v: f"{v:.2f}",
    "0,000.00": lambda v: f"{v:,.2f}",
    "0,00": lambda v: f"{v:.2f}".replace(".", ","),
    "0.000,00": lambda v: f"{v:,.2f}".translate(str.maketrans(".,", ",.")),
    "0,000": lambda v: f"{v:,.0f}" if v == int(v) else f"{v:,}",
    "0.0": lambda v: f"{v:.1f}",
    "0.000": lambda v: f"{v:.3f}",
}


def _write_amount(style: Style, field: Field, raw: str) -> Any:
    found = find_amounts(raw, money=field.type == "money")
    text = re.sub(r"\s+", " ", raw).strip()
    if style.form == "as_written" or not found:
        return text
    if style.form == "digits":
        digits = raw[found[0].inner_start : found[0].inner_end]
        return f"-{digits}" if found[0].value < 0 else digits
    return _AMOUNT_FORMS[style.form](found[0].value)


def _equal(written: Any, value: Any) -> bool:
    if isinstance(value, bool) or isinstance(written, str) != isinstance(value, str):
        return False
    return bool(written == value) and (isinstance(written, str) or isinstance(written, int) == isinstance(value, int))
