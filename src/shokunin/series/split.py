"""Honest sides for windows: by time with a purge, or by whole units; and, under its own name, the split that is not honest.

Neighbouring windows share all but one reading, and a label looks ahead. So no reading and no label day of one side
may belong to another: the last training window and the first validation window are a window and the longest horizon
apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from shokunin.errors import DataError
from shokunin.series.readings import Readings, Stretch
from shokunin.series.windows import Windows

Rows = npt.NDArray[np.int64]
SHARES = (0.6, 0.2, 0.2)
NAMED = 50
"""Units that the facts name."""


@dataclass(frozen=True)
class Split:
    """Which windows stand on which side.

    Attributes:
        train, validation, test: numbers of windows, rising.
        known: for the scales: stretches, each with a mask (n,) of the rows that training may look at.
        facts: how it was split, the purge, windows that belong to no side.
        folds: int64 (units,), where training is crossed: the part of each training unit, -1 for others. Then the
            validation side is the training side, and each of its windows is scored by models that saw no window of
            its part.
    """

    train: Rows
    validation: Rows
    test: Rows
    known: list[tuple[Stretch, npt.NDArray[np.bool_]]] = field(repr=False)
    facts: dict[str, Any]
    folds: Rows | None = field(default=None, repr=False)


def by_time(
    readings: Readings,
    windows: Windows,
    furthest: int,
    *,
    shares: Sequence[float] = SHARES,
    cuts: tuple[int, int] | None = None,
) -> Split:
    """The oldest windows train, later ones validate, the newest test.

    Args:
        readings: the history.
        windows: of it.
        furthest: the longest horizon, in steps, with its offset.
        shares: of the steps on which a window can end, for training, validation and test.
        cuts: the last steps of the training and the validation period, instead of shares.

    Raises:
        DataError: the history is too short for two purges, or a side is empty.
    """
    purge = windows.length + furthest
    first, last = int(windows.step.min()), int(windows.step.max()) - furthest
    if cuts is None:
        usable = last - first + 1 - 2 * purge
        if usable < 3:
            raise DataError(
                f"the history spans {last + furthest - first + windows.length} steps; windows of {windows.length}, "
                f"horizons of {furthest} and two purges of {purge} need at least {3 * purge + windows.length}: "
                "choose shorter ones, or split by unit"
            )
        train = first + int(usable * shares[0] / sum(shares))
        cuts = (train + furthest, train + 2 * furthest + windows.length + int(usable * shares[1] / sum(shares)))
    one, two = cuts
    label, start = windows.step + furthest, windows.step - windows.length + 1
    sides = (
        np.flatnonzero(label <= one),
        np.flatnonzero((start > one) & (label <= two)),
        np.flatnonzero(start > two),
    )
    for name, side in zip(("training", "validation", "test"), sides, strict=True):
        if not len(side):
            raise DataError(
                f"no window falls into the {name} period (cuts after {readings.when(one)} "
                f"and {readings.when(two)}); move the cuts"
            )
    known = [(s, np.arange(s.start, s.start + len(s)) <= one) for s in readings.stretches]
    return Split(
        *sides,
        known,
        _facts(
            readings, windows, sides, {"by": "time", "purge": purge, "cuts": [readings.when(one), readings.when(two)]}
        ),
    )


def by_units(
    readings: Readings,
    windows: Windows,
    *,
    folds: int = 5,
    fold: int = 0,
    seed: int = 0,
    validation: float | None = 0.2,
) -> Split:
    """Whole units test, other whole units validate, the rest trains.

    Args:
        readings: the history.
        windows: of it.
        folds, fold: which of how many parts of the units tests.
        seed: of the draw.
        validation: the share of the other units that validate; None: all others train, and `crossed` is to say how
            they validate.

    Raises:
        DataError: there are fewer units than folds, or fewer than three.
    """
    units = np.unique(windows.unit)
    if len(units) < max(3, folds):
        raise DataError(
            f"{len(units)} units cannot be split into {folds} folds with units for training, validation and test; split by time"
        )
    drawn = np.random.default_rng(seed).permutation(units)
    test = drawn[fold % folds :: folds]
    rest = drawn[~np.isin(drawn, test)]
    held = rest[: 0 if validation is None else max(1, round(validation * len(rest)))]
    train, held_out, tested = (np.flatnonzero(np.isin(windows.unit, u)) for u in (rest[len(held) :], held, test))
    sides = (train, train if validation is None else held_out, tested)
    learnt = set(rest[len(held) :].tolist())
    known = [(s, np.full(len(s), s.unit in learnt)) for s in readings.stretches]
    return Split(
        *sides, known, _facts(readings, windows, sides, {"by": "unit", "folds": folds, "fold": fold, "seed": seed})
    )


def crossed(split: Split, windows: Windows, labels: npt.NDArray[np.int8], *, parts: int = 5, seed: int = 0) -> Split:
    """Training units dealt into parts, each of which is going to be scored by models of the other parts.

    One validation side of a few units often holds one or two that ever fail: when to stop, how sure to be and what to
    choose would hang on those. So every training unit validates. Units with events are dealt first, one to each part
    in turn, so that events stand on both sides of every horizon wherever two units have them.

    Args:
        split: whose training side is dealt.
        windows: all of them.
        labels: int8 (n, horizons); the nearest horizon is the scarcest.
        parts: at most so many; never more than there are training units.
        seed: of the draw among units with equally many events.

    Raises:
        DataError: there are fewer than two training units.
    """
    units = np.unique(windows.unit[split.train])
    if len(units) < 2:
        raise DataError(f"{len(units)} unit trains; two are needed to learn from one and check on the other")
    before = np.zeros((len(units), labels.shape[1]), dtype=np.int64)
    np.add.at(before, np.searchsorted(units, windows.unit[split.train]), labels[split.train] == 1)
    drawn = np.random.default_rng(seed).permutation(len(units))
    order = np.lexsort([drawn, *(-before[:, j] for j in range(before.shape[1] - 1, -1, -1))])
    folds = np.full(int(windows.unit.max()) + 1, -1, dtype=np.int64)
    folds[units[order]] = np.arange(len(units)) % min(parts, len(units))
    facts = {**split.facts, "crossed": {"units": len(units), "parts": min(parts, len(units))}}
    return Split(split.train, split.train, split.test, split.known, facts, folds)


def random_windows(
    readings: Readings, windows: Windows, *, share: float = 0.15, seed: int = 42, inside: bool = True
) -> Split:
    """The published protocol: a random share of the windows tests, and training keeps all windows, those of the test among them.

    For reproduction beside an honest split only. With `inside` False the test windows are taken out of training,
    which still leaks: their neighbours differ by one reading. Scales see everything, and validation is the test side.
    """
    drawn = np.random.default_rng(seed).permutation(len(windows))
    test = np.sort(drawn[: round(share * len(windows))])
    train = np.arange(len(windows)) if inside else np.sort(drawn[len(test) :])
    known = [(s, np.ones(len(s), dtype=bool)) for s in readings.stretches]
    how = {"by": "random windows", "test_inside_train": inside, "seed": seed, "honest": False}
    return Split(train, test, test, known, _facts(readings, windows, [train, test, test], how))


def _facts(readings: Readings, windows: Windows, sides: Sequence[Rows], how: dict[str, Any]) -> dict[str, Any]:
    train, validation, test = sides
    trained = np.unique(windows.unit[train])
    tested = np.unique(windows.unit[test])
    apart = {"train": np.setdiff1d(trained, tested), "test": np.setdiff1d(tested, trained)}
    return {
        **how,
        "windows": {"in": len(windows), "train": len(train), "validation": len(validation), "test": len(test)},
        "purged": len(windows) - len(np.unique(np.concatenate([train, validation, test]))),
        **{f"units_only_in_{side}": [readings.units[u] for u in units[:NAMED]] for side, units in apart.items()},
        "units_apart": {side: len(units) for side, units in apart.items()},
    }
