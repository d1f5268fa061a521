"""Units over time where no failure is known: the loudest sensor, how strange the unit was, the alarms, labelled states."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from shokunin.pipeline.normal_period import NormalPeriod
from shokunin.series.alarms import Alarm, raise_alarms
from shokunin.series.lessons import SeriesWindow
from shokunin.series.strangeness import StrangeModel
from shokunin.series.timeline import timeline

SHOWN = 5
TOP = 4.0
"""Times the threshold that a picture goes up to."""
ASKED = 50
Rows = npt.NDArray[np.int64]


def pictures(period: NormalPeriod, model: StrangeModel, rows: Rows, channel: int) -> list[dict[str, Any]]:
    """Pictures of units on the sealed side: found and missed states first, then the units that rang most, then a quiet one.

    Args:
        period: the history.
        model: with its threshold.
        rows: numbers of windows.
        channel: the sensor that is drawn.
    """
    windows = period.windows.take(rows)
    ratio = model.scores(period.readings, windows) / model.threshold
    state = period.state[rows]
    found: list[tuple[int, int, str, Rows, list[Alarm], list[int]]] = []
    for unit in np.unique(windows.unit).tolist():
        mine = np.flatnonzero(windows.unit == unit)
        mine = mine[np.argsort(windows.step[mine], kind="stable")]
        labels = np.where(state[mine] == 1, 1, np.where(np.isin(rows[mine], period.watched), -1, 0)).astype(np.int8)
        own = raise_alarms(windows.unit[mine], windows.step[mine], ratio[mine], labels, 1.0, period.stand)
        bad = state[mine] == 1
        begins = windows.step[mine][bad & ~np.r_[False, bad[:-1]]].tolist()
        caught = any(a.outcome == 1 for a in own)
        what = "found" if caught else "missed" if begins else "alarms" if own else "quiet"
        found.append((["found", "missed", "alarms", "quiet"].index(what), -len(own), what, mine, own, begins))
    found.sort(key=lambda t: t[:2])
    chosen = [t for t in found if t[2] != "quiet"][: SHOWN - 1] + [t for t in found if t[2] == "quiet"][:1]
    return [
        _picture(period, windows, ratio, what, mine, own, begins, channel) for _, _, what, mine, own, begins in chosen
    ]


def loud_channel(period: NormalPeriod, model: StrangeModel) -> int:
    """The channel that speaks most often where sealed windows are strange; without such windows the first that moves."""
    counts = np.zeros(len(model.channels))
    rows = np.unique(np.concatenate([period.split.test, period.labelled, period.watched]))
    windows = period.windows.take(rows)
    hot = np.flatnonzero(model.scores(period.readings, windows) >= model.threshold)
    for i in (
        hot[np.unique(np.linspace(0, len(hot) - 1, min(ASKED, len(hot))).astype(int))].tolist() if len(hot) else []
    ):
        stretch = period.readings.stretches[int(windows.stretch[i])]
        at = slice(int(windows.end[i]) - windows.length + 1, int(windows.end[i]) + 1)
        said = model.tell(
            SeriesWindow(stretch.values[at], stretch.filled[at], period.readings.units[int(windows.unit[i])])
        )
        for sign in said.signs:
            counts[model.channels.index(sign.channel)] += sign.push
    moving = [i for i, name in enumerate(model.channels) if name not in period.still]
    return int(counts.argmax()) if counts.any() else moving[0]


def _picture(
    period: NormalPeriod,
    windows: Any,
    ratio: npt.NDArray[np.float64],
    what: str,
    mine: Rows,
    own: list[Alarm],
    begins: list[int],
    channel: int,
) -> dict[str, Any]:
    readings = period.readings
    steps = windows.step[mine]
    values = np.asarray(
        [
            readings.stretches[s].values[e, channel]
            for s, e in zip(windows.stretch[mine].tolist(), windows.end[mine].tolist(), strict=True)
        ]
    )
    name = readings.units[int(windows.unit[mine[0]])]
    svg = timeline(
        f"{name}: how strange, in times of the threshold", steps, (readings.channels[channel], values),
        np.minimum(ratio[mine], TOP) / TOP, 1 / TOP, [(a.step, a.outcome) for a in own], begins,
        [readings.when(int(s)) for s in (steps[0], steps[-1])], mark="labelled", level=_times,
    )  # fmt: skip
    return {"unit": name, "what": what, "svg": svg}


def _times(share: float) -> str:
    return f"{TOP * share:.1f}×"
