"""An injected fault is what its name says, in one channel of a window that is otherwise as it was."""

from __future__ import annotations

import numpy as np
import pytest

from series.fleets import fleet
from shokunin.series.injected import DRIFT, FEWEST, SORTS, SPIKE, apart_windows, inject
from shokunin.series.scaling import fit_scale
from shokunin.series.windows import cut, windows_of

RELATED = np.asarray([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 0.0]])


@pytest.fixture(scope="module")
def history():
    rng = np.random.default_rng(0)
    pressure = rng.normal(size=(2, 200)).cumsum(axis=1) * 0.1
    readings = fleet(
        {
            f"p{i}": np.c_[line, 2 * line + 0.1 * rng.normal(size=200), np.full(200, 7.0)]
            for i, line in enumerate(pressure)
        },
        channels=["pressure", "flow", "valve"],
    )
    windows = windows_of(readings, 8)
    scale = fit_scale(readings, [(s, np.ones(len(s), dtype=bool)) for s in readings.stretches], least=8)
    return readings, windows, scale


def test_windows_that_faults_are_put_into_share_no_reading(history) -> None:
    _, windows, _ = history
    kept = windows.take(apart_windows(windows))
    assert len(kept) == 2 * 25
    for unit in (0, 1):
        assert (np.diff(np.sort(kept.step[kept.unit == unit])) >= windows.length).all()


def test_each_sort_does_what_it_says_and_nothing_else(history) -> None:
    readings, windows, scale = history
    found = inject(readings, windows, scale, RELATED, most=40, seed=1)
    assert list(found) == list(SORTS)
    assert len({len(one) for one in found.values()}) == 1
    normal = np.concatenate([v for _, v, _ in cut(readings, windows, None)])
    for sort, one in found.items():
        for base, made, unit, channel in zip(one.base, one.values, one.units, one.channel, strict=True):
            before, deviation = normal[base], scale.std[scale.row(unit), channel]
            others = [c for c in range(3) if c != channel]
            assert np.array_equal(made[:, others], before[:, others]) and readings.units[windows.unit[base]] == unit
            moved = made[:, channel] - before[:, channel]
            assert channel != 2, "a channel that never moves has no fault of these sorts"
            if sort == "spike":
                assert not moved[:-1].any() and abs(moved[-1]) == pytest.approx(SPIKE * deviation, rel=1e-3)
            elif sort == "drift":
                assert (np.diff(np.abs(moved)) > 0).all() and abs(moved[-1]) == pytest.approx(
                    DRIFT * deviation, rel=1e-3
                )
            elif sort == "stuck":
                assert (made[:, channel] == before[0, channel]).all()
            else:
                mine = normal[windows.unit == windows.unit[base]][:, :, channel]
                assert (mine == made[:, channel]).all(axis=1).any(), "it read this at another normal time"


def test_what_belongs_to_no_other_channel_cannot_be_lost_and_little_time_is_left_out(history) -> None:
    readings, windows, scale = history
    assert "lost" not in inject(readings, windows, scale, np.eye(3))
    assert inject(readings, windows.take(np.arange(8 * 2)), scale, RELATED) == {}
    assert min(len(one) for one in inject(readings, windows.take(np.arange(193)), scale, RELATED).values()) >= FEWEST


def test_the_same_seed_makes_the_same_faults(history) -> None:
    readings, windows, scale = history
    a, b, other = (inject(readings, windows, scale, RELATED, seed=seed) for seed in (3, 3, 4))
    assert all(np.array_equal(a[s].values, b[s].values) for s in a)
    assert not np.array_equal(a["spike"].base, other["spike"].base)
