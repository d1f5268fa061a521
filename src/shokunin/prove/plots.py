"""The report's plots as inline SVG: numbers in, markup out; colours and fonts come from the page's style sheet.

Only numbers and fixed words go into the markup, so there is nothing to escape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shokunin.metrics import Interval

WIDTH, HEIGHT = 420, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 22, 14, 44


def risk_coverage_plot(curve: Sequence[tuple[float, float]], threshold: Mapping[str, Any]) -> str:
    """The share of wrong answers (vertical) against the share answered (horizontal), with threshold and bound."""
    bound, covered, error = threshold.get("bound"), threshold.get("coverage_here"), threshold.get("error_here")
    top = _round_up(max([risk for _, risk in curve] + [1.25 * (bound or 0.0), 0.01]))
    line = " ".join(f"{_x(c)},{_y(r / top)}" for c, r in curve)
    parts = [_axes("share answered by the specialist", "share of those wrong", top)]
    if bound is not None:
        y = _y(bound / top)
        parts.append(f'<line class="bound" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="note" x="{LEFT + 6}" y="{y - 6}">promised: at most {100 * bound:g} %</text>')
    if curve:
        parts.append(f'<polygon class="area" points="{_x(curve[0][0])},{_y(0)} {line} {_x(curve[-1][0])},{_y(0)}"/>')
        parts.append(f'<polyline class="curve" points="{line}"/>')
    if covered and error is not None:
        x, y = _x(covered), _y(error / top)
        anchor, dx = ("end", -9) if x > LEFT + 150 else ("start", 9)
        parts.append(f'<line class="mark" x1="{x}" x2="{x}" y1="{_y(0)}" y2="{y}"/>')
        parts.append(f'<circle class="dot" cx="{x}" cy="{y}" r="5"/>')
        lowest = y - 10 if bound is None or abs(y - 20 - _y(bound / top)) > 20 else min(y, _y(bound / top)) - 22
        words = (f"answers {100 * covered:.0f} % itself", f"{100 * error:.1f} % of that is wrong")
        for line, above in zip(words, (14, 0), strict=True):
            at = max(TOP + 10 + 14 - above, round(lowest - above, 1))
            parts.append(f'<text class="label" text-anchor="{anchor}" x="{round(x + dx, 1)}" y="{at}">{line}</text>')
    return _svg("Share of wrong answers against the share of rows answered", parts)


def reliability_plot(bins: Sequence[Mapping[str, Any]]) -> str:
    """How often it was right (vertical) where it was so sure (horizontal); the size of a dot is its number of rows."""
    rows = sum(b["rows"] for b in bins) or 1
    parts = [_axes("how sure it said it was", "how often it was right", 1.0)]
    parts.append(f'<line class="bound" x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}"/>')
    parts.append(f'<text class="note" text-anchor="end" x="{_x(0.52)}" y="{_y(0.6)}">perfect</text>')
    line = " ".join(f"{_x(b['confidence'])},{_y(b['accuracy'])}" for b in bins)
    parts.append(f'<polyline class="curve thin" points="{line}"/>')
    for b in bins:
        radius = round(2.5 + 9 * (b["rows"] / rows) ** 0.5, 1)
        parts.append(f'<circle class="dot soft" cx="{_x(b["confidence"])}" cy="{_y(b["accuracy"])}" r="{radius}"/>')
    return _svg("How often it was right against how sure it said it was", parts)


def interval_bar(interval: Interval | Mapping[str, float], low: float, high: float) -> str:
    """A value and its interval as a dot on a line from `low` to `high`, for a cell of a table."""
    found = interval if isinstance(interval, Interval) else Interval(**interval)
    width, reach = 96, (high - low) or 1.0
    x0, x, x1 = (
        round(6 + (width - 12) * min(1.0, max(0.0, (v - low) / reach)), 1) for v in (found.low, found.value, found.high)
    )
    if found.high < low:  # far to the left of the others
        dot, whisker = '<path class="off" d="M10 3 L3 8 L10 13 Z"/>', ""
    else:
        whisker = f'<line class="whisker" x1="{x0}" x2="{x1}" y1="8" y2="8"/>'
        dot = f'<circle class="dot" cx="{x}" cy="8" r="4"/>'
    return (
        f'<svg class="bar" viewBox="0 0 {width} 16" width="{width}" height="16" aria-hidden="true">'
        f'<line class="track" x1="4" x2="{width - 4}" y1="8" y2="8"/>{whisker}{dot}</svg>'
    )


def scale_of(intervals: Sequence[Interval | Mapping[str, float]]) -> tuple[float, float]:
    """A common scale for several interval bars: from a little below the lowest to a little above the highest."""
    ends = [(i.low, i.high) if isinstance(i, Interval) else (i["low"], i["high"]) for i in intervals]
    low, high = min((e[0] for e in ends), default=0.0), max((e[1] for e in ends), default=1.0)
    margin = 0.1 * (high - low)
    return max(0.0, low - margin), min(1.0, high + margin)


def _svg(title: str, parts: Sequence[str]) -> str:
    frame = f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">'
    return f"{frame}<title>{title}</title>{''.join(parts)}</svg>"


def _axes(below: str, left: str, top: float) -> str:
    parts = []
    for i in range(5):
        share, value = i / 4, top * i / 4
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_y(share)}" y2="{_y(share)}"/>')
        parts.append(
            f'<text class="tick" text-anchor="end" x="{LEFT - 6}" y="{_y(share) + 4}">{100 * value:g} %</text>'
        )
        parts.append(
            f'<text class="tick" text-anchor="middle" x="{_x(share)}" y="{_y(0) + 16}">{100 * share:g} %</text>'
        )
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text class="axis" text-anchor="middle" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}">{below}</text>'
    )
    parts.append(
        f'<text class="axis" text-anchor="middle" transform="translate(12 {middle}) rotate(-90)">{left}</text>'
    )
    return "".join(parts)


def _x(share: float) -> float:
    return round(LEFT + (WIDTH - LEFT - RIGHT) * share, 1)


def _y(share: float) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(1.0, share), 1)


def _round_up(value: float) -> float:
    """The next end of an axis whose quarters are round numbers."""
    return next((end for end in (0.02, 0.04, 0.08, 0.12, 0.2, 0.4, 0.6, 0.8) if value <= end), 1.0)
