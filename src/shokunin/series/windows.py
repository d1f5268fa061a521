"""Windows on a fleet's history: which stretch, and which row is the last; cut out only while somebody looks at them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shokunin.errors import DataError
from shokunin.series.readings import Readings
from shokunin.series.scaling import Scale

Rows = npt.NDArray[np.int64]
CHUNK = 8192
"""Windows that are cut out at a time."""


@dataclass(frozen=True)
class Windows:
    """Windows of `length` rows. A window's last row is the newest reading that it knows.

    Attributes:
        length: rows in a window.
        stretch: shape (n,), the number of the stretch.
        end: shape (n,), the row of the stretch that is the window's last.
        unit: shape (n,), the number of the unit.
        step: shape (n,), the step (day, cycle) of the last row.
    """

    length: int
    stretch: Rows
    end: Rows
    unit: Rows
    step: Rows

    def __len__(self) -> int:
        return len(self.stretch)

    def take(self, rows: Rows) -> Windows:
        """The windows at `rows`, in that order."""
        return Windows(self.length, self.stretch[rows], self.end[rows], self.unit[rows], self.step[rows])


def windows_of(readings: Readings, length: int, *, stride: int = 1) -> Windows:
    """All windows, by unit and time.

    Args:
        readings: what to cut.
        length: rows in a window.
        stride: one window every so many rows; the last row of a stretch always ends one.

    Raises:
        DataError: no stretch is as long as a window.
    """
    if length < 1 or stride < 1:
        raise DataError(f"windows of {length} rows every {stride} rows cannot be cut; both are at least 1")
    stretches, ends = [], []
    for number, stretch in enumerate(readings.stretches):
        places = np.arange(len(stretch) - 1, length - 2, -stride, dtype=np.int64)[::-1]
        stretches.append(np.full(len(places), number, dtype=np.int64))
        ends.append(places)
    which = np.concatenate(stretches) if stretches else np.zeros(0, dtype=np.int64)
    end = np.concatenate(ends) if ends else np.zeros(0, dtype=np.int64)
    if not len(which):
        longest = max((len(s) for s in readings.stretches), default=0)
        raise DataError(f"a window has {length} rows, the longest unbroken history {longest}; choose a shorter window")
    units = np.asarray([s.unit for s in readings.stretches], dtype=np.int64)
    starts = np.asarray([s.start for s in readings.stretches], dtype=np.int64)
    return Windows(length, which, end, units[which], starts[which] + end)


def cut(
    readings: Readings, windows: Windows, scale: Scale | None, *, chunk: int = CHUNK
) -> Iterator[tuple[slice, npt.NDArray[np.float32], npt.NDArray[np.bool_]]]:
    """The windows' contents, some at a time.

    Yields:
        Which windows; their readings, float32 (m, length, channels), scaled unless `scale` is None; which of them are
        filled in, bool (m, length, channels).
    """
    rows = None if scale is None else scale.rows(readings.units)
    scaled: dict[int, npt.NDArray[np.float32]] = {}
    reach = np.arange(-windows.length + 1, 1)
    width = len(readings.channels)
    for start in range(0, len(windows), chunk):
        here = slice(start, min(start + chunk, len(windows)))
        which, end = windows.stretch[here], windows.end[here]
        values = np.empty((len(which), windows.length, width), dtype=np.float32)
        filled = np.empty(values.shape, dtype=np.bool_)
        # Windows come in the order of their stretches, mostly; each stretch is scaled once as long as that is so.
        for number in np.unique(which):
            stretch = readings.stretches[number]
            if number not in scaled:
                scaled.clear()
                scaled[number] = (
                    stretch.values
                    if scale is None or rows is None
                    else scale.scaled(stretch.values, rows[stretch.unit])
                )
            at = np.flatnonzero(which == number)
            places = end[at][:, None] + reach
            values[at] = scaled[number][places]
            filled[at] = stretch.filled[places]
        yield here, values, filled
