"""Which column of a sensor table is the unit, which the time, which hold readings: guessed, shown, open to correction."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from shokunin.errors import DataError

UNIT = r"unit|machine|equipment|asset|device|engine|pump|serial|tag_?id|機器|設備|号機"
TIME = r"date_?time|timestamp|datum|zeit|date|time|day|cycle|日時|日付|時刻"
CHANNEL = r"channel|sensor|variable|measurement|item|parameter|check_?item|項目"
VALUE = r"value|reading|wert|値|測定値"
LABEL = r"label|anomaly|fault|fail|ground.?truth|rul|remaining|changepoint|broken|alarm|異常|故障"


class Columns(BaseModel):
    """What the columns mean.

    Attributes:
        unit: names the unit; None: the whole table is one unit.
        time: a time or the number of a cycle.
        channels: wide tables: the columns with readings; long tables: the channels to keep (none named: all).
        channel: long tables: the column that names the channel.
        value: long tables: the column with the reading.
        timezone: the zone of times that carry none, when others do.
        date_order: what `3/1/2024` means: March (`month_first`) or January (`day_first`); such dates are refused
            until it is said.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    unit: str | None = None
    time: str
    channels: tuple[str, ...] = ()
    channel: str | None = None
    value: str | None = None
    timezone: str | None = None
    date_order: Literal["month_first", "day_first"] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Columns:
        if (self.channel is None) != (self.value is None):
            raise ValueError("a long table needs both `channel` and `value`")
        if self.channel is None and not self.channels:
            raise ValueError("a wide table needs the names of its `channels`")
        return self

    @property
    def is_long(self) -> bool:
        """Whether one row is one reading."""
        return self.channel is not None

    def check(self, header: Sequence[str]) -> None:
        """Whether a table has these columns.

        Raises:
            DataError: it lacks one.
        """
        wanted = [self.unit, self.time, self.channel, self.value, *(() if self.is_long else self.channels)]
        for name in wanted:
            if name is not None and name not in header:
                raise DataError(f"there is no column {name!r}; the table has {', '.join(map(repr, header[:20]))}")


def guess_columns(header: Sequence[str], sample: Sequence[Mapping[str, Any]], **known: Any) -> Columns:
    """What the columns probably mean; what is `known` is kept. Columns that look like labels are no channels.

    Raises:
        DataError: no column looks like a time, or none like readings.
    """
    names = list(header)
    time = known.pop("time", None) or _like(names, TIME)
    if time is None:
        raise DataError(
            f"no column looks like a time or a cycle ({', '.join(map(repr, names[:20]))}); name it: --option time=COLUMN"
        )
    unit = known.pop("unit", None) or _like([n for n in names if n != time], UNIT)
    channel, value = known.pop("channel", None), known.pop("value", None)
    rest = [n for n in names if n not in (time, unit)]
    if channel is None and value is None and "channels" not in known:
        named, valued = _like(rest, CHANNEL), _like(rest, VALUE)
        if named and valued and named != valued and not _numeric(sample, named):
            channel, value = named, valued
    if channel is not None:
        return Columns(unit=unit, time=time, channel=channel, value=value, **known)
    channels = known.pop("channels", None) or tuple(
        n for n in rest if _numeric(sample, n) and not re.search(LABEL, n, re.IGNORECASE)
    )
    if not channels and not sample:
        raise DataError("the table has a header and no rows; give it one row a reading")
    if not channels:
        raise DataError(
            f"no column beside {time!r} holds numbers; name those with readings: --option sensors=COLUMN,COLUMN"
        )
    return Columns(unit=unit, time=time, channels=tuple(channels), **known)


def looks_like_readings(header: Sequence[str], sample: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a table has a time and, beside it and at most one name of a unit, mostly columns of numbers."""
    try:
        found = guess_columns(header, sample)
    except DataError:
        return False
    rest = [name for name in header if name not in (found.time, found.unit)]
    return found.is_long or len(found.channels) >= 0.7 * len(rest)


def _like(names: Sequence[str], pattern: str) -> str | None:
    whole = next((n for n in names if re.fullmatch(pattern, n.strip(), re.IGNORECASE)), None)
    return whole or next((n for n in names if re.search(rf"(^|[\W_])({pattern})([\W_]|$)", n, re.IGNORECASE)), None)


def _numeric(sample: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Whether at least nine of ten cells that say something are numbers."""
    cells = [str(row[name]).strip() for row in sample if row.get(name) not in (None, "")]
    hits = 0
    for cell in cells:
        try:
            float(cell.replace(",", ".", 1))
            hits += 1
        except ValueError:
            continue
    return bool(cells) and hits >= 0.9 * len(cells)
