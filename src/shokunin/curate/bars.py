"""A horizontal bar chart as inline SVG."""

from __future__ import annotations

import unicodedata
from html import escape

WIDTH, COUNTS, ROW, CHARACTER = 880, 80, 24, 8
WIDEST_NAME = 36
"""Narrow characters; a wide one (Chinese, kana, Hangul) counts twice."""


def bar_chart(counts: list[tuple[str, int]]) -> str:
    """One bar a name, its count written beside it; the full name is the bar's title."""
    most = max((n for _, n in counts), default=1) or 1
    names = [_shortened(name) for name, _ in counts]
    left = 12 + CHARACTER * max((_width(name) for name in names), default=0)
    lines = []
    for place, ((name, count), shown) in enumerate(zip(counts, names, strict=True)):
        length = max(1.0, (WIDTH - left - COUNTS) * count / most)
        y = place * ROW
        lines.append(
            f"<g><title>{escape(name)}: {count:,}</title>"
            f'<text x="{left - 10}" y="{y + 16}" text-anchor="end">{escape(shown)}</text>'
            f'<rect x="{left}" y="{y + 4}" width="{length:.1f}" height="{ROW - 8}" rx="2"/>'
            f'<text x="{left + length + 8:.1f}" y="{y + 16}">{count:,}</text></g>'
        )
    height = max(1, len(counts)) * ROW
    label = f"Rows of {len(counts)} labels, the largest with {most:,}"
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">\n' + "\n".join(lines) + "\n</svg>"


def _shortened(name: str) -> str:
    name = " ".join(name.split())
    if _width(name) <= WIDEST_NAME:
        return name
    while _width(name) >= WIDEST_NAME:
        name = name[: min(len(name) - 1, WIDEST_NAME)]
    return name + "…"


def _width(name: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in name)
