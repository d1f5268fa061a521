"""Units over time beside what was normal: the loudest sensor, how strange the unit was, the alarms, states or failures."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from shokunin.series.alarms import Alarm, raise_alarms
from shokunin.series.lessons import SeriesWindow
from shokunin.series.readings import Readings
from shokunin.series.strangeness import StrangeModel
from shokunin.series.timeline import timeline
from shokunin.series.windows import Windows

SHOWN = 5
TOP = 4.0
"""Times the threshold that a picture goes up to."""
ASKED = 50
Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def pictures(
    readings: Readings,
    windows: Windows,
    ratio: Floats,
    labels: npt.NDArray[np.int8],
    events: Mapping[int, Sequence[int]],
    stand: int,
    channel: int,
    *,
    mark: str = "labelled",
    caught: str = "found",
) -> list[dict[str, Any]]:
    """Pictures of units: those whose events were met and missed first, then those that rang most, then a quiet one.

    Args:
        readings: the history.
        windows: n that were judged.
        ratio: shape (n,), how strange each is, in times of the threshold.
        labels: int8 (n,), whether an alarm there is right (1), false (0), or nobody knows (-1).
        events: by unit number, the steps of what is drawn as a line.
        stand: steps for which an alarm stands.
        channel: the sensor that is drawn.
        mark: what is written at an event.
        caught: what a unit with a right alarm is called.
    """
    order = (caught, "missed", "alarms", "quiet")
    found: list[tuple[int, int, str, Rows, list[Alarm], list[int]]] = []
    for unit in np.unique(windows.unit).tolist():
        mine = np.flatnonzero(windows.unit == unit)
        mine = mine[np.argsort(windows.step[mine], kind="stable")]
        own = raise_alarms(windows.unit[mine], windows.step[mine], ratio[mine], labels[mine], 1.0, stand)
        lines = list(events.get(unit, ()))
        hit = any(a.outcome == 1 for a in own)
        what = caught if hit else "missed" if lines else "alarms" if own else "quiet"
        found.append((order.index(what), -len(own), what, mine, own, lines))
    found.sort(key=lambda t: t[:2])
    chosen = [t for t in found if t[2] != "quiet"][: SHOWN - 1] + [t for t in found if t[2] == "quiet"][:1]
    return [
        _picture(readings, windows, ratio, what, mine, own, lines, channel, mark)
        for _, _, what, mine, own, lines in chosen
    ]


def loud_channel(
    readings: Readings, windows: Windows, ratio: Floats, model: StrangeModel, still: Container[str] = ()
) -> int:
    """The channel that speaks most often where windows are strange; without such windows the first that is not `still`."""
    counts = np.zeros(len(model.channels))
    hot = np.flatnonzero(ratio >= 1)
    asked = hot[np.unique(np.linspace(0, len(hot) - 1, min(ASKED, len(hot))).astype(int))].tolist() if len(hot) else []
    for i in asked:
        stretch = readings.stretches[int(windows.stretch[i])]
        at = slice(int(windows.end[i]) - windows.length + 1, int(windows.end[i]) + 1)
        said = model.tell(SeriesWindow(stretch.values[at], stretch.filled[at], readings.units[int(windows.unit[i])]))
        for sign in said.signs:
            counts[model.channels.index(sign.channel)] += sign.push
    moving = [i for i, name in enumerate(model.channels) if name not in still]
    return int(counts.argmax()) if counts.any() else next(iter(moving), 0)


def _picture(
    readings: Readings,
    windows: Windows,
    ratio: Floats,
    what: str,
    mine: Rows,
    own: list[Alarm],
    lines: list[int],
    channel: int,
    mark: str,
) -> dict[str, Any]:
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
        np.minimum(ratio[mine], TOP) / TOP, 1 / TOP, [(a.step, a.outcome) for a in own], lines,
        [readings.when(int(s)) for s in (steps[0], steps[-1])], mark=mark, level=_times,
    )  # fmt: skip
    return {"unit": name, "what": what, "svg": svg}


def _times(share: float) -> str:
    return f"{TOP * share:.1f}×"
