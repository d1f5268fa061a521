"""Small fleets for tests: readings made of arrays, without a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from shokunin.series.readings import Grid, Readings, Stretch


def fleet(
    histories: Mapping[str, np.ndarray | Sequence[np.ndarray]], *, starts: Mapping[str, Sequence[int]] | None = None,
    channels: Sequence[str] | None = None, step: str = "day",
) -> Readings:  # fmt: skip
    """Histories by unit: an array (rows,) or (rows, channels), or several, with their first steps (default: 0)."""
    stretches, width = [], 1
    for unit, (name, given) in enumerate(histories.items()):
        parts = given if isinstance(given, list) else [given]
        for part, start in zip(parts, (starts or {}).get(name, [0] * len(parts)), strict=True):
            values = np.asarray(part, dtype=np.float32).reshape(len(part), -1)
            width = values.shape[1]
            stretches.append(Stretch(unit, start, values, np.isnan(values)))
    names = tuple(channels or [f"c{i}" for i in range(width)])
    return Readings(tuple(histories), names, tuple(stretches), Grid(step=step))  # type: ignore[arg-type]
