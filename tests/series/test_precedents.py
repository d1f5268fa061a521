"""Alarms are likened to past events only where likeness means something."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fleets import fleet

from shokunin.errors import ArtefactError
from shokunin.forms import Precedent
from shokunin.series.labels import from_failures
from shokunin.series.precedents import ABOUT, Precedents, find_precedents, read_precedents
from shokunin.series.readings import Grid, Readings
from shokunin.series.scaling import Scale, fit_scale
from shokunin.series.telling import precedent_words
from shokunin.series.windows import cut, windows_of

LENGTH, HORIZON = 12, 6


def made(
    *, signal: float = 6.0, channels: int = 2, units: int = 6, whole_units: bool = False
) -> tuple[Readings, Scale, Precedents | None, dict[int, list[int]], np.ndarray]:
    """A fleet of 300 days; before failures half of the channels shake. The first 200 days train, the others validate."""
    rng = np.random.default_rng(1)
    histories, failures = {}, {}
    for unit in range(units):
        values = rng.normal(size=(300, channels))
        failed = list(range(25 + 3 * unit, 300, 30))
        for day in failed:
            values[day - 8 : day + 1, : channels // 2] *= signal
        histories[f"p{unit}"], failures[f"p{unit}"] = values, failed
    readings = fleet(histories)
    windows = windows_of(readings, LENGTH)
    labels = from_failures(readings, windows, failures, [HORIZON])
    early = np.flatnonzero(windows.step < 200)
    sides = (early, early) if whole_units else (early, np.flatnonzero(windows.step >= 220))
    scale = fit_scale(readings, [(s, np.arange(len(s)) < 200) for s in readings.stretches], least=30)
    events = dict(enumerate(failures.values()))
    return (
        readings, scale,
        find_precedents(readings, windows, labels, events, sides, scale, furthest=HORIZON), events, sides[1],
    )  # fmt: skip


def values_of(readings: Readings, rows: np.ndarray) -> np.ndarray:
    windows = windows_of(readings, LENGTH)
    return np.concatenate([v for _, v, _ in cut(readings, windows.take(rows), None)])


def test_a_window_before_a_failure_is_like_others_and_calm_ones_hardly_ever_are() -> None:
    readings, scale, found, events, side = made()
    assert found is not None and found.found > 0.2
    windows = windows_of(readings, LENGTH)
    named = []
    for row, values in zip(side.tolist(), values_of(readings, side), strict=True):
        unit = int(windows.unit[row])
        near = found.nearest(values, readings.units[unit], scale)
        soon = any(0 < e - windows.step[row] <= HORIZON for e in events[unit])
        named.append((soon, near is not None))
        if near is not None:
            owner = readings.units.index(near.unit)
            assert near.event in events[owner] and 0 < near.ahead <= HORIZON and near.distance < near.near
            assert near.event - near.ahead < 200, "only training windows are kept"
    soon, hit = np.asarray(named).T
    calm = hit[~soon].mean()
    assert 0.02 < calm < 0.06 and hit[soon].mean() > 4 * calm


def test_where_nothing_precedes_failures_there_are_no_precedents() -> None:
    assert made(signal=1.0)[2] is None


def test_too_few_windows_say_nothing() -> None:
    assert made(units=1)[2] is None


def test_where_whole_units_are_tested_a_window_is_not_its_own_precedent() -> None:
    found = made(whole_units=True)[2]
    assert found is not None and found.near > 0.1


def test_they_are_few_and_small_and_come_from_every_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = made()[2]
    assert found is not None and len(found.rows) <= 300
    assert len({*zip(found.units, found.events.tolist(), strict=True)}) >= 6 * 6
    found.save(tmp_path)
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) < 1_000_000
    monkeypatch.setattr("shokunin.series.precedents.BYTES", 20_000)
    wide = made()[2]
    assert wide is not None and wide.rows.nbytes <= 20_000


def test_what_is_written_is_read_again_and_damage_is_told(tmp_path: Path) -> None:
    readings, scale, found, _, side = made()
    assert found is not None and read_precedents(tmp_path) is None
    found.save(tmp_path)
    again = read_precedents(tmp_path)
    assert again is not None
    for values in values_of(readings, side[::7]):
        assert again.nearest(values, "p1", scale) == found.nearest(values, "p1", scale)
    (tmp_path / ABOUT).write_text((tmp_path / ABOUT).read_text().replace('"p0",', "", 1))
    with pytest.raises(ArtefactError, match="belong together"):
        read_precedents(tmp_path)
    (tmp_path / "precedents.safetensors").write_bytes(b"nothing")
    with pytest.raises(ArtefactError, match="damaged"):
        read_precedents(tmp_path)


def test_it_is_said_in_words() -> None:
    one = Precedent("pump 7", 19_785, 6, 0.4, 0.5)
    assert precedent_words(one, "pump 3", "failure", Grid()) == "6 days before the failure of pump 7 on 2024-03-03"
    assert precedent_words(one, "pump 7", "failure", Grid()) == "6 days before its own failure on 2024-03-03"
    cycles = Precedent("e1", 120, 1, 0.4, 0.5)
    assert (
        precedent_words(cycles, "e2", "failure", Grid(step="cycle")) == "1 cycle before the failure of e1 at cycle 120"
    )
