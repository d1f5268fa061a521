"""Curves of quality against a share as one self-contained SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT = 520, 330
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 34, 42
COLOURS = ("#0b6e4f", "#c0392b", "#2c5aa0", "#b8860b", "#6b4c9a", "#8a8a8a")
GREY = "#8a8a8a"
HALO = 'paint-order="stroke" stroke="white" stroke-width="4"'


@dataclass(frozen=True)
class Curve:
    """One line of a plot; `marks` are (words, share, quality)."""

    name: str
    shares: npt.NDArray[Any]
    quality: npt.NDArray[Any]
    marks: list[tuple[str, float, float]] = field(default_factory=list)


def page(plots: Sequence[tuple[str, Sequence[Curve]]]) -> str:
    """All plots, two in a row."""
    rows = (len(plots) + 1) // 2
    panels = [_panel(title, curves, WIDTH * (i % 2), HEIGHT * (i // 2)) for i, (title, curves) in enumerate(plots)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {rows * HEIGHT}" '
        f'font-family="system-ui, sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>'
        f"{''.join(panels)}</svg>\n"
    )


def _panel(title: str, curves: Sequence[Curve], left: float, top: float) -> str:
    values = np.concatenate([c.quality for c in curves])
    low, high = float(values.min()), float(values.max())
    room = (high - low) * 0.06 or 0.01
    low, high = low - room, high + room

    def x(share: float) -> float:
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(quality: float) -> float:
        return round(TOP + (high - quality) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    parts = [f'<g transform="translate({left},{top})"><text x="{LEFT}" y="18" font-weight="600">{escape(title)}</text>']
    for tick in np.linspace(low, high, 6)[1:-1]:
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick)}" y2="{y(tick)}" stroke="#e5e5e5"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(tick) + 4}" text-anchor="end">{100 * tick:.1f} %</text>')
    for tick in np.linspace(0, 1, 6):
        parts.append(f'<text x="{x(tick)}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{100 * tick:.0f} %</text>')
    parts.append(
        f'<text x="{x(0.5)}" y="{HEIGHT - 8}" text-anchor="middle">share sent to the large or strong model</text>'
    )
    for i, curve in enumerate(curves):
        colour = GREY if curve.name in ("at random", "oracle") else COLOURS[i % len(COLOURS)]
        dash = ' stroke-dasharray="5 4"' if curve.name == "oracle" else ""
        points = " ".join(f"{x(s)},{y(q)}" for s, q in zip(curve.shares, curve.quality, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.8"{dash}/>')
        at = HEIGHT - BOTTOM - 10 - 14 * (len(curves) - 1 - i)
        parts.append(
            f'<text x="{WIDTH - RIGHT - 4}" y="{at}" text-anchor="end" fill="{colour}">{escape(curve.name)}</text>'
        )
        for n, (words, share, quality) in enumerate(curve.marks):
            parts.append(f'<circle cx="{x(share)}" cy="{y(quality)}" r="3.5" fill="{colour}"/>')
            across = x(0.34)
            down = TOP + 78 + 15 * n
            parts.append(f'<line x1="{x(share)}" y1="{y(quality)}" x2="{across - 4}" y2="{down - 4}" stroke="#bbb"/>')
            parts.append(f'<text x="{across}" y="{down}" {HALO}>{escape(words)}: {100 * share:.1f} % passed on</text>')
    parts.append("</g>")
    return "".join(parts)
