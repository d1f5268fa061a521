"""What a specialist has learnt from, by unit and time, so that new readings can be told from those that it knows.

Kept in `fleet.json`: of each unit the last step that training or choosing looked at (labels look ahead), and checksums
of a few of its readings. The same unit at the same time with other readings is another unit of that name: engines are
numbered anew in every fleet.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shokunin.series.readings import Readings, Stretch
from shokunin.series.split import Split
from shokunin.series.windows import Windows

SAMPLES = 8
"""Readings of a unit whose checksums are kept."""


@dataclass(frozen=True)
class Seen:
    """What is known of new windows.

    Attributes:
        unseen: mask (n,) of the windows that were not learnt from, as far as is known.
        told: a sentence about it.
        known: whether it could be looked up.
        namesakes: units that are called like one that was learnt from and are another.
    """

    unseen: npt.NDArray[np.bool_]
    told: str
    known: bool
    namesakes: tuple[str, ...] = ()


def learnt(readings: Readings, until: Mapping[int, int]) -> dict[str, Any]:
    """By unit: `until`, the last step that was looked at, and `checks`, checksums of readings by step.

    Args:
        readings: the history.
        until: by unit number, the last step that was learnt from or chosen by.
    """
    out: dict[str, Any] = {}
    for unit, last in sorted(until.items()):
        own = [s for s in readings.stretches if s.unit == unit]
        steps = [(s, i) for s in own for i in np.flatnonzero(~s.filled.any(axis=1)).tolist() if s.start + i <= last]
        chosen = [steps[i] for i in np.unique(np.linspace(0, len(steps) - 1, SAMPLES).astype(int))] if steps else []
        out[readings.units[unit]] = {"until": last, "checks": {str(s.start + i): _check(s, i) for s, i in chosen}}
    return out


def last_steps_of(windows: Windows, split: Split, furthest: int = 0) -> dict[int, int]:
    """By unit number, the last step that training or choosing looked at, or a scale was made of.

    Args:
        windows: all of them.
        split: the sides.
        furthest: steps that labels look ahead of a window's end.
    """
    rows = np.union1d(split.train, split.validation)
    units, ends = windows.unit[rows], windows.step[rows] + furthest
    out = {unit: int(ends[units == unit].max()) for unit in np.unique(units).tolist()}
    for stretch, mask in split.known:
        if mask.any():
            last = stretch.start + int(np.flatnonzero(mask)[-1])
            out[stretch.unit] = max(out.get(stretch.unit, last), last)
    return out


def unseen(readings: Readings, windows: Windows, known: Mapping[str, Any] | None, name: str) -> Seen:
    """Which windows share no reading with what was learnt from.

    Args:
        readings: new ones, of the channels of the training.
        windows: of them.
        known: what `learnt` said; None: it is not at hand.
        name: the specialist's.
    """
    if known is None:
        told = (
            f"What {name!r} was trained on is not in this project, so nobody can say whether it had seen these readings: "
            "if it had, the figures are too good."
        )
        return Seen(np.ones(len(windows), dtype=bool), told, False)
    free = np.ones(len(windows), dtype=bool)
    namesakes, met = [], 0
    for unit, called in enumerate(readings.units):
        about = known.get(called)
        if about is None:
            continue
        met += 1
        if _another(readings, unit, about["checks"]):
            namesakes.append(called)
            continue
        own = windows.unit == unit
        free[own] = windows.step[own] - windows.length + 1 > int(about["until"])
    lost = int((~free).sum())
    told = (
        f"{lost:,} of {len(windows):,} windows hold readings that {name!r} has learnt from, and had no part in the proof."
        if lost
        else f"None of the {len(windows):,} windows holds a reading that {name!r} has learnt from."
    )
    if namesakes:
        told += (
            f" {len(namesakes):,} of {met:,} units that are called like one it has learnt from had other readings at the "
            "same times, and were taken for others."
        )
    return Seen(free, told, True, tuple(namesakes))


def _another(readings: Readings, unit: int, checks: Mapping[str, int]) -> bool:
    """Whether at steps that both have the readings differ everywhere."""
    hits, looked = 0, 0
    for stretch in readings.stretches:
        if stretch.unit != unit:
            continue
        for step, check in checks.items():
            place = int(step) - stretch.start
            if 0 <= place < len(stretch) and not stretch.filled[place].any():
                looked += 1
                hits += _check(stretch, place) == check
    return looked > 0 and hits == 0


def _check(stretch: Stretch, row: int) -> int:
    return zlib.crc32(np.ascontiguousarray(stretch.values[row]).astype("<f4").tobytes())
