"""One unit's history as a picture: its loudest sensor, the risk, the alarms, the failures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT, LEFT, RIGHT = 760, 240, 46, 10
SENSOR = (34, 104)
RISK = (128, 208)
POINTS = 400
"""Points of a line; more are averaged."""


def timeline(
    title: str,
    steps: npt.NDArray[np.int64],
    sensor: tuple[str, npt.NDArray[np.floating]],
    risk: npt.NDArray[np.floating],
    threshold: float,
    alarms: Sequence[tuple[int, int]],
    events: Sequence[int],
    when: Sequence[str],
    *,
    mark: str = "failure",
    level: Callable[[float], str] = "{:.0%}".format,
) -> str:
    """An SVG.

    Args:
        title: the unit's name and what the risk is of.
        steps: shape (n,), rising.
        sensor: the name and the readings (n,) of the channel that speaks loudest.
        risk: probabilities, shape (n,).
        threshold: the risk from which on an alarm is raised.
        alarms: step and outcome (1 right, 0 wrong, -1 open) of each.
        events: steps of the failures.
        when: how the first and last step are written.
        mark: what is written at an event.
        level: how a risk is written at the axis.
    """
    first, last = int(steps[0]), max(int(steps[-1]), *events, int(steps[0]) + 1)

    def x(step: float) -> float:
        return LEFT + (step - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    values = np.nan_to_num(np.asarray(sensor[1], dtype=np.float64))
    low, high = float(values.min()), float(values.max())
    span = high - low or 1.0
    top = max(
        1e-3, min(1.0, float(risk.max()) * 1.1, 1.0), min(1.0, threshold * 1.2) if np.isfinite(threshold) else 0.0
    )
    parts = [
        f'<text x="{LEFT}" y="14" font-size="12" font-weight="bold">{escape(title)}</text>',
        f'<text x="{LEFT}" y="{SENSOR[0] - 6}" font-size="10" fill="#555">{escape(sensor[0])}</text>',
        _line(
            [(x(s), SENSOR[1] - (v - low) / span * (SENSOR[1] - SENSOR[0])) for s, v in _thin(steps, values)], "#667"
        ),
        _line([(x(s), RISK[1] - min(v, top) / top * (RISK[1] - RISK[0])) for s, v in _thin(steps, risk)], "#b4351f"),
        f'<text x="2" y="{RISK[0] + 6}" font-size="10">{escape(level(top))}</text>'
        f'<text x="2" y="{RISK[1]}" font-size="10">{escape(level(0.0))}</text>',
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{RISK[1]}" y2="{RISK[1]}" stroke="#999"/>',
    ]
    if np.isfinite(threshold) and threshold <= top:
        y = RISK[1] - threshold / top * (RISK[1] - RISK[0])
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#b4351f" stroke-dasharray="4 3"/>'
        )
    for event in events:
        line = f'x1="{x(event):.1f}" x2="{x(event):.1f}" y1="{SENSOR[0]}" y2="{RISK[1]}"'
        parts.append(f'<line {line} class="event" stroke="#111" stroke-width="2"/>')
        anchor = "end" if x(event) > WIDTH - 4 * RIGHT else "middle"
        parts.append(
            f'<text x="{x(event):.1f}" y="{RISK[1] + 11}" font-size="10" text-anchor="{anchor}">{escape(mark)}</text>'
        )
    for step, outcome in alarms:
        fill = {1: "#1d7a3a", 0: "#b4351f"}.get(outcome, "#999")
        told = {1: "right", 0: "wrong"}.get(outcome, "open")
        at = x(step)
        parts.append(f'<path d="M{at:.1f} {RISK[0] - 2}l-5 -9h10z" fill="{fill}"><title>alarm, {told}</title></path>')
    parts += [
        f'<text x="{LEFT}" y="{HEIGHT - 10}" font-size="10">{escape(when[0])}</text>',
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 10}" font-size="10" text-anchor="end">{escape(when[1])}</text>',
    ]
    body = "".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title, quote=True)}" font-family="sans-serif">{body}</svg>'
    )


def _line(points: Sequence[tuple[float, float]], colour: str) -> str:
    return f'<polyline fill="none" stroke="{colour}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'


def _thin(steps: npt.NDArray[np.int64], values: npt.NDArray[np.floating]) -> list[tuple[float, float]]:
    parts = np.array_split(np.arange(len(steps)), min(POINTS, len(steps)))
    return [(float(steps[p].mean()), float(values[p].mean())) for p in parts]
