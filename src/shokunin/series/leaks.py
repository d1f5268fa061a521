"""Columns that know the answer: a counter of remaining life, a copy of the label, a reading entered after the event.

A sensor that foresees failures well is what one hopes for, so only what is nearly perfect is called a leak: one
number, read at the window's end, that ranks all windows (almost) without a mistake, or that is another channel's
future.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shokunin.series.readings import Readings
from shokunin.series.windows import Rows, Windows

PERFECT = 0.999
"""Area under the curve of a single reading from here on is too good to be a sensor."""
LEAST_POSITIVES = 10
SAME = 0.99
"""Share of rows on which a channel must equal another's future."""


@dataclass(frozen=True)
class Leak:
    """A channel, and why it seems to know the answer."""

    channel: str
    why: str


def find_leaks(
    readings: Readings, windows: Windows, labels: npt.NDArray[np.int8], horizons: Sequence[int], rows: Rows
) -> list[Leak]:
    """The channels that seem to know the answer.

    Args:
        readings: the history.
        windows: of it.
        labels: int8 (n, horizons).
        horizons: in steps.
        rows: the windows to look at: those of the training side.
    """
    from scipy.stats import rankdata

    chosen = windows.take(rows)
    last = np.empty((len(rows), len(readings.channels)), dtype=np.float32)
    for number in np.unique(chosen.stretch):
        at = chosen.stretch == number
        last[at] = readings.stretches[number].values[chosen.end[at]]
    out: list[Leak] = []
    for c, name in enumerate(readings.channels):
        for j, horizon in enumerate(horizons):
            y = labels[rows, j]
            good = (y >= 0) & np.isfinite(last[:, c])
            positives = int((y[good] == 1).sum())
            if min(positives, int(good.sum()) - positives) < LEAST_POSITIVES:
                continue
            ranks = rankdata(last[good, c])
            area = (ranks[y[good] == 1].sum() - positives * (positives + 1) / 2) / (
                positives * (good.sum() - positives)
            )
            if max(area, 1 - area) >= PERFECT:
                out.append(
                    Leak(
                        name, f"its value alone tells what comes within {horizon} steps (AUC {max(area, 1 - area):.4f})"
                    )
                )
                break
    known = {leak.channel for leak in out}
    return out + [leak for leak in _futures(readings, horizons) if leak.channel not in known]


def _futures(readings: Readings, horizons: Sequence[int]) -> list[Leak]:
    """Channels that equal another channel some horizon later, and not now."""
    moves = [_moves(readings, horizon) for horizon in horizons]
    out = []
    for a, name in enumerate(readings.channels):
        for b, other in enumerate(readings.channels):
            for horizon, moved in zip(horizons, moves, strict=True) if a != b else ():
                if _is_future(readings, a, b, horizon, int(moved[b])):
                    out.append(Leak(name, f"it is what {other!r} will read {horizon} steps later"))
                    break
    return out


def _moves(readings: Readings, horizon: int) -> npt.NDArray[np.int64]:
    """How often each channel moves, from `horizon` steps after each stretch's beginning on; shape (channels,)."""
    out = np.zeros(len(readings.channels), dtype=np.int64)
    for s in readings.stretches:
        if len(s) > horizon:
            out += (np.diff(s.values[horizon:], axis=0) != 0).sum(axis=0)
    return out


def _is_future(readings: Readings, a: int, b: int, horizon: int, total: int) -> bool:
    """Whether a equals b's future on nearly all of the `total` steps on which b moves; left off once that cannot be any more."""
    if total < 30 or horizon < 1:
        return False
    missed = now = 0
    for s in readings.stretches:
        if len(s) <= horizon:
            continue
        x, y = s.values[:, a], s.values[:, b]
        moved = np.diff(y[horizon:], prepend=y[horizon]) != 0  # a constant equals its future and means nothing
        missed += int((moved & ~np.isclose(x[:-horizon], y[horizon:], rtol=1e-6, atol=0)).sum())
        if missed > (1 - SAME) * total:
            return False
        now += int((np.isclose(x[:-horizon], y[:-horizon], rtol=1e-6, atol=0) & moved).sum())
    return now < SAME * total
