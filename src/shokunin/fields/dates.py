"""Dates in the spellings of many countries, found in a text and read as year, month, day."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from shokunin.fields.spelling import fold

Order = Literal["dmy", "mdy", "ymd"]
"""Which number comes first where only numbers are written and no year of four digits leads."""
ORDERS: tuple[Order, ...] = ("dmy", "mdy", "ymd")

# English, German, French, Dutch, Spanish, Italian, Portuguese and Polish, by how they begin; the longest fit is taken.
_MONTHS = {
    1: "january jan januar jänner janvier janv januari enero ene gennaio gen janeiro stycznia styczeń sty",
    2: "february feb februar februari février fevrier févr fevr febrero febbraio fevereiro fev lutego luty lut",
    3: "march mar märz maerz mär mars maart mrt marzo março marca marzec",
    4: "april apr avril avr abril abr aprile kwietnia kwiecień kwi",
    5: "may mai mei mayo maggio mag maio maja maj",
    6: "june jun juni juin junio giugno giu junho czerwca czerwiec cze",
    7: "july jul juli juillet juil julio luglio lug julho lipca lipiec lip",
    8: "august aug août aout augustus agosto ago sierpnia sierpień sie",
    9: "september sep sept septembre septiembre settembre set setembro września wrzesień wrz",
    10: "october oct oktober okt octobre octubre ottobre ott outubro out października październik paź",
    11: "november nov novembre noviembre novembro listopada listopad lis",
    12: "december dec dezember dez décembre decembre déc diciembre dic dicembre dezembro grudnia grudzień gru",
}
MONTHS = {name: number for number, names in _MONTHS.items() for name in names.split()}
_NAME = "(?P<name>" + "|".join(sorted(map(re.escape, MONTHS), key=len, reverse=True)) + r")\.?"
_ERAS = {
    "令和": 2018,
    "㋿": 2018,
    "R": 2018,
    "平成": 1988,
    "㍻": 1988,
    "H": 1988,
    "昭和": 1925,
    "㍼": 1925,
    "S": 1925,
    "大正": 1911,
}

_YEAR_FIRST = r"(?P<y>[12]\d{3}) ?(?P<s>年|[-/. ]) ?(?P<m>\d{1,2}) ?(?:月|(?P=s)) ?(?P<d>\d{1,2})(?: ?日)?"
_ERA = (
    r"(?P<era>令和|平成|昭和|大正|[㋿㍻㍼]|(?<![A-Za-z])[RHS](?= ?[\d元])) ?(?P<y>元|\d{1,2}) ?(?:年|[-/.]) ?"
    r"(?P<m>\d{1,2}) ?(?:月|[-/.]) ?(?P<d>\d{1,2})(?: ?日)?"
)
_NUMBERS = r"(?P<a>\d{1,2}) ?(?P<s>[-/.]) ?(?P<b>\d{1,2}) ?(?P=s) ?(?P<c>\d{4}|'?\d{2})"
_DAY_NAME = (
    rf"(?P<d>\d{{1,2}})(?:st|nd|rd|th|er|\.)?[ ,./-]{{0,3}}(?:(?:of|de|di) )?"
    rf"{_NAME}[ ,./'-]{{0,3}}(?:de )?(?P<y>\d{{4}}|\d{{2}})"
)
_NAME_DAY = rf"(?<![^\W_]){_NAME}[ ./-]{{0,2}}(?P<d>\d{{1,2}})(?:st|nd|rd|th)?[ ,./'-]{{1,3}}(?P<y>\d{{4}})"
_COMPACT = r"(?P<compact>\d{8})"
_EDGE_LEFT, _EDGE_RIGHT = r"(?<![\d])(?<!\d[.,/-])", r"(?!\d)(?![-/]\d)"
_PATTERNS = tuple(
    re.compile(_EDGE_LEFT + pattern + _EDGE_RIGHT, re.IGNORECASE)
    for pattern in (_ERA, _YEAR_FIRST, _DAY_NAME, _NAME_DAY, _NUMBERS, _COMPACT)
)
_ANY = re.compile(r"\d")


@dataclass(frozen=True, slots=True)
class DateAt:
    """A date in a text.

    Attributes:
        start, end: its place.
        readings: the date that it is in each order of its numbers in which it is one.
        numeric: only numbers are written, and which of them is the day is not sure.
    """

    start: int
    end: int
    readings: Mapping[Order, datetime.date]
    numeric: bool

    def read(self, order: Order) -> datetime.date:
        """The date in that order; where that is no date, in the first that is."""
        return self.readings.get(order) or next(iter(self.readings.values()))


def find_dates(text: str) -> list[DateAt]:
    """All dates in a text, left to right, none inside another."""
    if not _ANY.search(text):
        return []
    plain = fold(text)
    found: list[DateAt] = []
    taken = bytearray(len(plain))
    for pattern in _PATTERNS:
        for match in pattern.finditer(plain):
            start, end = match.span()
            if any(taken[start:end]):
                continue
            readings = _readings(match)
            if readings:
                taken[start:end] = b"\1" * (end - start)
                found.append(DateAt(start, end, readings, match.groupdict().get("a") is not None))
    return sorted(found, key=lambda date: date.start)


def read_date(text: str, order: Order = "dmy") -> datetime.date | None:
    """The one date that the text is, a time of day beside it allowed; None: it is none."""
    found = find_dates(text)
    return found[0].read(order) if len(found) == 1 else None


def usual_order(dates: Iterable[DateAt]) -> Order | None:
    """The order in which most dates make sense, told by those that make sense in fewer than all; None: nothing tells."""
    votes: dict[Order, float] = {}
    for date in dates:
        if date.numeric and not {"dmy", "mdy"} <= date.readings.keys():
            for which in date.readings:
                votes[which] = votes.get(which, 0.0) + 1 / len(date.readings)
    if not votes:
        return None
    return max(ORDERS, key=lambda which: votes.get(which, 0.0))


def _readings(match: re.Match[str]) -> dict[Order, datetime.date]:
    part = match.groupdict()
    if part.get("a") is not None:
        a, b, c = part["a"], part["b"], part["c"].lstrip("'")
        tried: dict[Order, datetime.date | None] = {"dmy": _date(c, b, a), "mdy": _date(c, a, b)}
        if len(c) == 2 and len(a) == 2:
            tried["ymd"] = _date(a, b, c)
        return {order: date for order, date in tried.items() if date is not None}
    only = _compact(part["compact"]) if part.get("compact") else _date(_year(part), _month(part), part["d"])
    return {} if only is None else dict.fromkeys(ORDERS, only)


def _compact(digits: str) -> datetime.date | None:
    """Eight digits are a date only if they are one of our times: they are a number of something far more often."""
    for date in (_date(digits[:4], digits[4:6], digits[6:]), _date(digits[4:], digits[2:4], digits[:2])):
        if date is not None and 1970 <= date.year <= 2069:
            return date
    return None


def _year(part: Mapping[str, str]) -> str:
    if not part.get("era"):
        return part["y"]
    return str(_ERAS[part["era"].upper()] + (1 if part["y"] == "元" else int(part["y"])))


def _month(part: Mapping[str, str]) -> str:
    return str(MONTHS[part["name"].lower()]) if part.get("name") else part["m"]


def _date(year: str, month: str, day: str) -> datetime.date | None:
    number = int(year)
    if len(year) <= 2:
        number += 2000 if number < 70 else 1900
    try:
        return datetime.date(number, int(month), int(day))
    except ValueError:
        return None
