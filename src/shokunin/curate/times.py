"""Points in time as people write them, as seconds that can be compared."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

_FORMATS = ("%Y/%m/%d", "%Y/%m/%d %H:%M", "%Y/%m/%d %H:%M:%S", "%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S")


def read_time(value: str) -> float | None:
    """Seconds since 1970 (UTC where no zone is given), or None.

    Read are ISO 8601, `2024/3/1 9:05`, `2024年3月1日`, `1.3.2024`, and plain numbers (seconds, days, whatever).
    Not `3/1/2024`, which is March in one country and January in another.
    """
    value = value.strip()
    try:
        number = float(value)
    except ValueError:
        pass
    else:
        return number if math.isfinite(number) and not re.fullmatch(r"\d{8}", value) else _moment(value)
    return _moment(re.sub(r"(\d+)年(\d+)月(\d+)日", r"\1/\2/\3", value))


def _moment(value: str) -> float | None:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        found = None
        for form in _FORMATS:
            try:
                found = datetime.strptime(value, form)
                break
            except ValueError:
                continue
        if found is None:
            return None
        moment = found
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError):
        return None
