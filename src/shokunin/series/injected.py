"""Faults put into normal windows by hand: what a detector would see of them, where no real ones are there to be seen.

Four sorts, each in one channel, sized in the unit's own normal deviations. They are no machine's real faults: they say
which of several detectors sees more at the same number of alarms, and how large a fault has to be to be seen at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from shokunin.series.readings import Readings
from shokunin.series.scaling import Scale
from shokunin.series.windows import Windows, cut

Sort = Literal["spike", "drift", "stuck", "lost"]
SPIKE, DRIFT = 5.0, 3.0
"""Deviations: of a single reading, and at the end of a drift through the window."""
SORTS: dict[Sort, str] = {
    "spike": f"the newest reading of a sensor is {SPIKE:g} deviations off",
    "drift": f"a sensor drifts through the window, to {DRIFT:g} deviations in the end",
    "stuck": "a sensor stands still from the window's first reading on",
    "lost": "a sensor reads what it read at another normal time, so that it no longer moves with the others",
}
MOST, FEWEST = 300, 10
TOGETHER = 0.5
"""Only a channel that correlates so much with another can lose that."""
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Injected:
    """Windows with one sort of fault.

    Attributes:
        sort: which.
        base: shape (m,), the numbers of the windows that they were made of.
        values: float32 (m, length, channels), in the readings' own units.
        units: m names.
        channel: shape (m,), where the fault is.
    """

    sort: Sort
    base: Rows
    values: npt.NDArray[np.float32]
    units: tuple[str, ...]
    channel: Rows

    def __len__(self) -> int:
        return len(self.base)


def inject(
    readings: Readings,
    windows: Windows,
    scale: Scale,
    related: npt.NDArray[np.floating[Any]],
    *,
    most: int = MOST,
    seed: int = 0,
) -> dict[Sort, Injected]:
    """Each sort of fault in the same number of windows; sorts for which there are fewer than ten are left out.

    Args:
        readings: the history.
        windows: normal ones that nothing was learnt from. Only such as share no reading are used.
        scale: the normal deviations by unit.
        related: correlations of the channels, (channels, channels).
        most: windows of each sort.
        seed: of the draws.
    """
    base = apart_windows(windows)
    values = np.concatenate([v for _, v, _ in cut(readings, windows.take(base), None)])
    names = [readings.units[u] for u in windows.unit[base].tolist()]
    deviation = scale.std[scale.rows(names)]
    moving = np.nanmax(np.nan_to_num(values.std(axis=1)), axis=0) > 0
    partners = (np.abs(related - np.diag(np.diag(related))) >= TOGETHER).any(axis=1)
    rng = np.random.default_rng(seed)
    found: dict[Sort, Injected] = {}
    for sort in SORTS:
        pairs = np.stack(np.meshgrid(np.arange(len(base)), np.flatnonzero(moving), indexing="ij"), axis=2).reshape(
            -1, 2
        )
        drawn = [_faulty(sort, values, deviation, windows.unit[base], i, c, partners, rng)
                 for i, c in rng.permutation(pairs)[: 4 * most].tolist()]  # fmt: skip
        made = [one for one in drawn if one is not None][:most]
        if len(made) >= FEWEST:
            rows = np.asarray([i for i, _, _ in made], dtype=np.int64)
            found[sort] = Injected(
                sort, base[rows], np.stack([v for _, _, v in made]), tuple(names[i] for i in rows.tolist()),
                np.asarray([c for _, c, _ in made], dtype=np.int64),
            )  # fmt: skip
    fewest = min((len(one) for one in found.values()), default=0)
    return {
        sort: Injected(sort, one.base[:fewest], one.values[:fewest], one.units[:fewest], one.channel[:fewest])
        for sort, one in found.items()
    }


def apart_windows(windows: Windows) -> Rows:
    """The numbers of windows of which no two share a reading, as many as follow each other by time."""
    order = np.lexsort((windows.step, windows.stretch))
    kept: list[int] = []
    stretch, last = -1, 0
    for i in order.tolist():
        if windows.stretch[i] != stretch or windows.step[i] >= last + windows.length:
            kept.append(i)
            stretch, last = int(windows.stretch[i]), int(windows.step[i])
    return np.asarray(sorted(kept), dtype=np.int64)


def _faulty(
    sort: Sort,
    values: npt.NDArray[np.float32],
    deviation: npt.NDArray[np.float64],
    units: Rows,
    i: int,
    channel: int,
    partners: npt.NDArray[np.bool_],
    rng: np.random.Generator,
) -> tuple[int, int, npt.NDArray[np.float32]] | None:
    """One window with its fault; None where this fault would change nothing there."""
    made = values[i].copy()
    line = made[:, channel].copy()
    sign = 1.0 if rng.random() < 0.5 else -1.0
    if sort == "spike":
        line[-1] += sign * SPIKE * deviation[i, channel]
    elif sort == "drift":
        line += (sign * DRIFT * deviation[i, channel] * np.arange(1, len(line) + 1) / len(line)).astype(np.float32)
    elif sort == "stuck":
        line[:] = line[0]
    else:
        others = np.flatnonzero((units == units[i]) & (np.arange(len(units)) != i))
        if not partners[channel] or not len(others):
            return None
        line = values[int(rng.choice(others)), :, channel]
    if not np.isfinite(line).all() or np.array_equal(line, made[:, channel]):
        return None
    made[:, channel] = line
    return i, channel, made
