"""Precedents: training windows that stood before an event, so that an alarm can say which one it looks like.

Windows are compared by their 28 statistics a channel, scaled as the readings are, less the mean and over the deviation
of calm windows (those of the validation side that no event follows), cut off at five deviations; the distance is the
root of the mean squared difference. A precedent is named only where it is nearer than 95 of 100 calm windows have their
nearest one. Where windows before events are that near no more often than calm ones, likeness says nothing, and no
precedents are kept at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from shokunin.errors import ArtefactError
from shokunin.files import read_json, write_json
from shokunin.forms import Precedent
from shokunin.series.readings import Readings
from shokunin.series.scaling import Scale
from shokunin.series.statistics import statistics
from shokunin.series.windows import Windows, cut

ARRAYS, ABOUT = "precedents.safetensors", "precedents.json"
FORMAT = 1
MOST = 300
"""Windows."""
BYTES = 900_000
"""Of all of them together."""
CALM = 0.05
"""Share of calm windows that are as near to a precedent as one that is named."""
FEWEST = 40
"""Calm windows that the nearness is measured on, and windows before events that it is checked on."""
LOOKED_AT = 4_000
FAR = 5.0
"""Deviations beyond which a number is only far away."""
Rows = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Precedents:
    """The windows that are kept.

    Attributes:
        rows: float32 (n, columns), standardised statistics, each row of length 1.
        units: whose each window is.
        events: int64 (n,), the step of the event that followed.
        ahead: int64 (n,), steps from the window's end to it.
        centre, spread: float32 (columns,), what statistics are standardised by; a spread of 0: the column says nothing.
        near: a distance below this is worth a word.
        found: the share of validation windows before an event that are that near (of calm ones: 0.05).
    """

    rows: Numbers
    units: tuple[str, ...]
    events: Rows
    ahead: Rows
    centre: Numbers
    spread: Numbers
    near: float
    found: float

    def nearest(self, values: npt.NDArray[np.float32], unit: str, scale: Scale) -> Precedent | None:
        """The precedent that a window (length, channels) is like, or None."""
        return self.nearest_to(_measured(values[None], [unit], scale))

    def nearest_to(self, measured: Numbers) -> Precedent | None:
        """The same for a window whose statistics (1, columns) are at hand."""
        distances = _distances(_standard(measured, self.centre, self.spread), self.rows)[0]
        place = int(distances.argmin())
        if distances[place] >= self.near:
            return None
        return Precedent(
            self.units[place], int(self.events[place]), int(self.ahead[place]), float(distances[place]), self.near
        )

    def save(self, folder: Path) -> None:
        """Write it into the existing `folder`."""
        arrays = {name: getattr(self, name) for name in ("rows", "events", "ahead", "centre", "spread")}
        save_file(arrays, folder / ARRAYS)
        write_json(
            folder / ABOUT,
            {"format": FORMAT, "units": list(self.units), "near": self.near, "found": self.found, "calm": CALM},
        )


def find_precedents(
    readings: Readings,
    windows: Windows,
    labels: npt.NDArray[np.int8],
    events: Mapping[int, Sequence[int]],
    sides: tuple[Rows, Rows],
    scale: Scale,
    *,
    furthest: int,
) -> Precedents | None:
    """Training windows before events, spread evenly over the events; None where nothing can be said by them.

    Args:
        readings: the history.
        windows: of it.
        labels: int8 (n, horizons).
        events: by unit number, their steps.
        sides: numbers of the training and the validation windows; where they are the same ones, a window is compared
            with those of other units only.
        scale: what readings are measured against.
        furthest: a window stands before an event that is at most so many steps ahead.
    """
    train, validation = sides
    ahead = _ahead(windows, events, furthest)
    calm = validation[(labels[validation] == 0).all(axis=1)]
    before = validation[ahead[validation] > 0]
    candidates = train[ahead[train] > 0]
    if min(len(calm), len(before)) < FEWEST or not len(candidates):
        return None
    calm, before = _evenly(calm, LOOKED_AT), _evenly(before, LOOKED_AT)
    measured = _of(readings, windows, calm, scale)
    centre, spread = measured.mean(axis=0), measured.std(axis=0)
    spread[spread <= 1e-6 * np.abs(centre)] = 0.0
    kept = _spread_over_events(candidates, windows, ahead, min(MOST, max(1, BYTES // (4 * measured.shape[1]))))
    bank = _standard(_of(readings, windows, kept, scale), centre, spread)
    alone = np.array_equal(train, validation)
    distances = [
        _nearest(_standard(of, centre, spread), bank, windows.unit[side] if alone else None, windows.unit[kept])
        for of, side in ((measured, calm), (_of(readings, windows, before, scale), before))
    ]
    near = float(np.quantile(distances[0], CALM))
    found = float((distances[1] < near).mean())
    if not np.isfinite(near) or near <= 0 or found <= CALM:
        return None
    return Precedents(
        bank, tuple(readings.units[u] for u in windows.unit[kept].tolist()), windows.step[kept] + ahead[kept],
        ahead[kept], centre, spread, near, found,
    )  # fmt: skip


def read_precedents(folder: Path) -> Precedents | None:
    """The inverse of `save`; None where the folder has none.

    Raises:
        ArtefactError: a file is missing or damaged.
    """
    if not (folder / ABOUT).is_file():
        return None
    about = read_json(folder / ABOUT)
    try:
        if about["format"] != FORMAT:
            raise ArtefactError(f"{ABOUT!r} has format {about['format']!r}; this release reads {FORMAT}")
        a = load_file(folder / ARRAYS)
        made = Precedents(
            a["rows"], tuple(map(str, about["units"])), a["events"], a["ahead"], a["centre"], a["spread"],
            float(about["near"]), float(about["found"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, OSError, SafetensorError) as error:
        raise ArtefactError(f"{ABOUT!r} and {ARRAYS!r} are damaged: {error!r}") from error
    n, columns = made.rows.shape
    if not n == len(made.units) == len(made.events) == len(made.ahead) or columns != len(made.centre):
        raise ArtefactError(f"{ABOUT!r} and {ARRAYS!r} do not belong together")
    return made


def _ahead(windows: Windows, events: Mapping[int, Sequence[int]], furthest: int) -> Rows:
    """Steps from each window's end to the next event of its unit; 0: none within reach."""
    out = np.zeros(len(windows), dtype=np.int64)
    for unit, steps in events.items():
        rows = np.flatnonzero(windows.unit == unit)
        known = np.unique(np.asarray(steps, dtype=np.int64))
        if not len(known):
            continue
        place = np.searchsorted(known, windows.step[rows], side="right")
        away = known[np.minimum(place, len(known) - 1)] - windows.step[rows]
        out[rows] = np.where((place < len(known)) & (away <= furthest), away, 0)
    return out


def _spread_over_events(rows: Rows, windows: Windows, ahead: Rows, most: int) -> Rows:
    """So many of the windows, of every event about as many, evenly from far to near."""
    event = np.stack([windows.unit[rows], windows.step[rows] + ahead[rows]], axis=1)
    _, which = np.unique(event, axis=0, return_inverse=True)
    which = which.reshape(-1)
    chosen = _evenly(np.arange(int(which.max()) + 1), most)
    each = max(1, most // len(chosen))
    return np.sort(np.concatenate([_evenly(rows[which == number], each) for number in chosen.tolist()]))


def _evenly(rows: Rows, most: int) -> Rows:
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64))]


def _of(readings: Readings, windows: Windows, rows: Rows, scale: Scale) -> Numbers:
    chosen = windows.take(rows)
    names = np.asarray(readings.units, dtype=object)
    parts = [_measured(v, names[chosen.unit[h]].tolist(), scale) for h, v, _ in cut(readings, chosen, None)]
    return np.concatenate(parts)


def _measured(values: npt.NDArray[np.float32], units: Sequence[str], scale: Scale) -> Numbers:
    """The statistics of windows (n, length, channels), channel by channel."""
    n, length, width = values.shape
    places = scale.rows(units)
    scaled = np.empty_like(values)
    for row in np.unique(places):
        scaled[places == row] = scale.scaled(values[places == row], int(row))
    single = np.ascontiguousarray(scaled.transpose(0, 2, 1)).reshape(n * width, length)
    return np.clip(statistics(single), -1e18, 1e18).astype(np.float32).reshape(n, -1)


def _standard(measured: Numbers, centre: Numbers, spread: Numbers) -> Numbers:
    """Deviations from calm, of length 1 a row."""
    with np.errstate(over="ignore"):
        out = (measured - centre) / np.where(spread > 0, spread, 1.0)
    out = np.clip(np.where(spread > 0, out, 0.0), -FAR, FAR)
    return np.asarray(out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def _distances(rows: Numbers, bank: Numbers) -> Numbers:
    return np.asarray(1 - rows @ bank.T, dtype=np.float32)


def _nearest(rows: Numbers, bank: Numbers, units: Rows | None, owners: Rows) -> Numbers:
    """Each row's distance to the nearest precedent, of other units where `units` are given."""
    distances = _distances(rows, bank)
    if units is not None:
        distances = np.where(units[:, None] == owners, np.inf, distances)
    return np.asarray(distances.min(axis=1), dtype=np.float32)
