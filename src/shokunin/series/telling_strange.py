"""A strange window in plain words: since when, which channels, what of them is unlike normal time, and what nobody knows."""

from __future__ import annotations

from shokunin.forms import Sign, Strange
from shokunin.series.readings import Grid
from shokunin.series.telling import sign_words

UNKNOWN = "no failure was there to learn from, so nobody knows whether this is one"


def strange_said(unit: str, row: Strange, times: float, grid: Grid, window: int) -> str:
    """The sentence for one window.

    Args:
        unit: whose.
        row: what is strange about it.
        times: its strangeness over the threshold.
        grid: what a step is.
        window: steps of a window, beyond which nobody has looked.
    """
    name = unit or "this unit"
    fleet = "" if row.known else "; it has no normal time of its own here, so it was measured against the fleet"
    if row.score < 0:
        return f"{name}: no alarm; its last {grid.span(window)} are like normal time ({_times(times)} of the threshold){fleet}."
    span = grid.span(row.since)
    parts = [f"{name}: STRANGE for {f'at least {span}' if row.longer else span} ({_times(times)} times the threshold)"]
    parts += [f"{a} and {b} no longer move together" for a, b in row.apart]
    still = dict(row.still)
    parts += [f"{channel} has stood still for {_least(steps, window, grid)}" for channel, steps in still.items()]
    parts += [_words(sign, grid) for sign in row.signs if sign.channel not in still or sign.outside_for]
    return "; ".join(parts) + f"; {UNKNOWN}{fleet}."


def _words(sign: Sign, grid: Grid) -> str:
    if sign.outside_for or sign.moving_for:
        return sign_words(sign, grid)
    return f"{sign.channel} is unlike normal time although within its range"


def _least(steps: int, window: int, grid: Grid) -> str:
    return f"at least {grid.span(steps)}" if steps >= window else grid.span(steps)


def _times(times: float) -> str:
    if times > 99:
        return "over 99"
    return f"{times:.2f}" if times < 10 else f"{times:.0f}"
