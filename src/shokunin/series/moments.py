"""Times of a sensor table as seconds or cycles, and the mistakes that only show over a whole table.

A table whose times carry a zone here and none there is refused: the same moment would fall on two days. Times that
all carry zones may mix them; they are moved to UTC.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shokunin.errors import DataError

BOTH_ZONES = "times with and without a time zone"
_FORMATS = (
    "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y",
)  # fmt: skip
_SLASHED = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})(?: (\d{1,2}):(\d{2})(?::(\d{2}))?)?")
REMEMBERED = 200_000
_EARLIEST, _LATEST = datetime(1900, 1, 1, tzinfo=UTC).timestamp(), datetime(2200, 1, 1, tzinfo=UTC).timestamp()


class Moments:
    """Reads one column of times.

    `3/1/2024` is March in one country and January in another, so such a column is refused until its order is said,
    and refused when a thirteenth month proves that order wrong.
    """

    def __init__(
        self, cycles: bool, timezone: str | None, date_order: Literal["month_first", "day_first"] | None = None
    ) -> None:
        """Read cycles, or times; `timezone` is that of times that carry none.

        Raises:
            DataError: there is no such time zone.
        """
        self._cycles, self._order = cycles, date_order
        try:
            self._zone = ZoneInfo(timezone) if timezone else None
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise DataError(
                f"there is no time zone {timezone!r}; write one as 'Europe/Berlin' or 'Asia/Tokyo'"
            ) from error
        self._known: dict[Any, float | None] = {}
        self._with: str | None = None
        self._without: str | None = None

    def read(self, cell: Any, origin: str) -> float | None:
        """Seconds since 1970, or the number of the cycle; None: no time.

        Raises:
            DataError: the column mixes times with and without zones.
        """
        try:
            return self._known[cell]
        except KeyError:
            pass
        except TypeError:
            return None
        value = self._cycle(cell) if self._cycles else self._moment(cell, origin)
        if len(self._known) > REMEMBERED:
            self._known.clear()
        self._known[cell] = value
        return value

    def facts(self) -> dict[str, Any]:
        """What a reader of the table should know of its times: `with_zone` and `without_zone` are the first of each sort."""
        zone = "cycles" if self._cycles else "UTC" if self._with else str(self._zone or "as written")
        return {
            "zone": zone, "date_order": self._order, "with_zone": self._with, "without_zone": self._without,
        }  # fmt: skip

    def _cycle(self, cell: Any) -> float | None:
        try:
            value = float(cell)
        except (TypeError, ValueError, OverflowError):
            return None
        return value if math.isfinite(value) and abs(value) < 2**53 else None

    def _moment(self, cell: Any, origin: str) -> float | None:
        moment = cell if isinstance(cell, datetime) else _iso(cell)
        if moment is None:
            text = re.sub(r"(\d+)年(\d+)月(\d+)日", r"\1/\2/\3", str(cell if cell is not None else "")).strip()
            seconds = _epoch(text)
            if seconds is not None:
                return seconds
            moment = self._written(text, origin)
        if moment is None:
            return None
        if moment.tzinfo is None:
            self._without = self._without or f"{origin}: {cell!r}"
            moment = moment.replace(tzinfo=self._zone or UTC)
        else:
            self._with = self._with or f"{origin}: {cell!r}"
        if self._with and self._without and self._zone is None:
            raise DataError(
                f"the column has {BOTH_ZONES} ({self._with}; {self._without}); "
                "say which zone those without one are in (--option timezone=Europe/Berlin)"
            )
        try:
            seconds = moment.timestamp()
        except (OverflowError, ValueError):
            return None
        return seconds if _EARLIEST <= seconds <= _LATEST else None

    def _written(self, text: str, origin: str) -> datetime | None:
        if slashed := _SLASHED.fullmatch(text):
            return self._slash(slashed, origin)
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass
        for form in _FORMATS:
            try:
                return datetime.strptime(text, form)
            except ValueError:
                continue
        return None

    def _slash(self, parts: re.Match[str], origin: str) -> datetime | None:
        if self._order is None:
            raise DataError(
                f"{parts[0]!r} ({origin}) is March in one country and January in another; "
                "say which: --option date_order=month_first or --option date_order=day_first"
            )
        first, second, year = int(parts[1]), int(parts[2]), int(parts[3])
        month, day = (first, second) if self._order == "month_first" else (second, first)
        if month > 12 and day <= 12:
            raise DataError(
                f"{parts[0]!r} ({origin}) has no month {month}: the dates are not {self._order!r}; say the other order"
            )
        try:
            hour, minute, second = (int(parts[i] or 0) for i in (4, 5, 6))
            return datetime(year + 2000 if year < 100 else year, month, day, hour, minute, second)
        except ValueError:
            return None


def _iso(cell: Any) -> datetime | None:
    """Most times are written `2024-03-01…`, and a window's are read while somebody waits."""
    if isinstance(cell, str) and cell[4:5] == "-":
        try:
            return datetime.fromisoformat(cell)
        except ValueError:
            pass
    return None


def moment_text(seconds: float, step: str) -> str:
    """A moment as `2024-03-01`, with the time of day where steps are shorter than a day."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%d" if step == "day" else "%Y-%m-%d %H:%M")


def _epoch(text: str) -> float | None:
    """Seconds or milliseconds since 1970 written as a number; eight digits alone are a date."""
    if re.fullmatch(r"\d{8}", text) or not re.fullmatch(r"\d{9,13}(\.\d+)?", text):
        return None
    value = float(text)
    return value / 1000 if value > 1e11 else value
