"""What a learner of series is handed: a fleet's history, its windows, and what was to come after each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
        return SeriesLessons(
            self.readings, self.windows, self.labels, self.horizons, self.when, self.train[rows], self.validation,
            self.known, self.texts, self.offset,
        )  # fmt: skip
