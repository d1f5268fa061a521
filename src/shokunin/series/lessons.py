"""What a learner of series is handed: a fleet's history, its windows, and what was to come after each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from shokunin.errors import DataError
from shokunin.series.labels import When
from shokunin.series.readings import Readings, Stretch
from shokunin.series.windows import Rows, Windows

KnownRows = list[tuple[Stretch, npt.NDArray[np.bool_]]]


@dataclass(frozen=True, slots=True)
class SeriesWindow:
    """One window, as an engine is handed it: the form `series_window`.

    Attributes:
        values: float32 (length, channels), oldest first, in the readings' own units; NaN: no reading in the whole
            window.
        filled: bool (length, channels): no reading there, the value is a neighbour's.
        unit: whose.
    """

    values: npt.NDArray[np.float32]
    filled: npt.NDArray[np.bool_]
    unit: str


@dataclass(frozen=True)
class SeriesLessons:
    """Windows to learn from and windows to stop and calibrate by; never those of the test.

    Attributes:
        readings: the history; of what lies after the training period only the validation windows are looked at.
        windows: n windows.
        labels: int8 (n, horizons): 1, 0, or -1 where nobody knows.
        horizons: in steps.
        when: `within` or `at`.
        train, validation: numbers of windows.
        known: the rows that scales may be made of.
        texts: by unit, its master text; empty where there is none.
        offset: steps from a window's end from where the horizons count.
        folds: int64 (units,), where training is crossed: the part of each unit, -1 for those that do not train. Then
            `validation` are windows of training units, to be scored by what was learnt `without` their part.
    """

    readings: Readings
    windows: Windows
    labels: npt.NDArray[np.int8]
    horizons: tuple[int, ...]
    when: When
    train: Rows
    validation: Rows
    known: KnownRows = field(repr=False)
    texts: Mapping[str, str] = field(default_factory=dict)
    offset: int = 0
    folds: Rows | None = field(default=None, repr=False)
    form: Literal["series_window"] = field(default="series_window", init=False)

    def __post_init__(self) -> None:
        if self.labels.shape != (len(self.windows), len(self.horizons)):
            raise DataError(
                f"{len(self.windows)} windows and {len(self.horizons)} horizons have labels of {self.labels.shape}"
            )

    def __len__(self) -> int:
        return len(self.train)

    @property
    def groups(self) -> Rows:
        """The unit of each training window."""
        return self.windows.unit[self.train]

    def take(self, rows: Rows) -> SeriesLessons:
        """Fewer training windows: those at `rows` of them."""
        return replace(self, train=self.train[rows])

    def parts(self) -> list[int]:
        """The parts that training is crossed over; none where there is a validation side of its own."""
        return [] if self.folds is None else np.unique(self.folds[self.folds >= 0]).tolist()

    def without(self, part: int) -> SeriesLessons:
        """Everything but one part to learn from, also for the scales, and that part's windows to validate on.

        Raises:
            ValueError: training is not crossed.
        """
        if self.folds is None:
            raise ValueError("these lessons are not crossed: they have a validation side of their own")
        out = self.folds == part
        train, validation = self.windows.unit[self.train], self.windows.unit[self.validation]
        known = [(s, np.zeros(len(s), dtype=bool) if out[s.unit] else mask) for s, mask in self.known]
        rest = np.where(out, -1, self.folds)
        return replace(
            self, train=self.train[~out[train]], validation=self.validation[out[validation]], known=known, folds=rest
        )
