"""What is answered where no failures were there to learn from: strange or not, how strange, since when, which channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from shokunin.answer import Answer
from shokunin.forms import Strange
from shokunin.series.readings import Grid
from shokunin.series.telling import QUIET
from shokunin.series.telling_strange import strange_said

STRANGE = "strange"


def strange_answer(
    row: Strange,
    answered_by: str,
    grid: Grid,
    window: int,
    *,
    unit: str = "",
    until: int | None = None,
    notes: Sequence[str] = (),
) -> Answer:
    """`strange` or `no alarm`, with everything that can be said of it among the details.

    The confidence is the odds of the strangeness over the threshold (or under it), as a share: 0.5 at the threshold. It is no
    probability of a failure: there was none to calibrate it by.
    """
    times = float(np.exp(min(row.score, 700.0)))
    details: dict[str, Any] = {
        "unit": unit,
        "until": None if until is None else grid.when(until),
        "horizons": [],
        "strangeness": times,
        "alarm": row.score >= 0,
        "since_steps": row.since,
        "or_longer": row.longer,
        "signs": [
            {"channel": s.channel, "push": s.push, "outside_for": s.outside_for, "moving_for": s.moving_for}
            for s in row.signs
        ],
        "apart": [list(pair) for pair in row.apart],
        "still": [{"channel": name, "steps": steps} for name, steps in row.still],
        "measured_against": "its own normal time" if row.known else "the fleet, as it has no normal time of its own",
        "said": strange_said(unit, row, times, grid, window),
    }
    if notes:
        details["notes"] = list(notes)
    value = STRANGE if row.score >= 0 else QUIET
    return Answer(
        value, float(expit(abs(row.score))), answered_by, scores={STRANGE: float(expit(row.score))}, details=details
    )
