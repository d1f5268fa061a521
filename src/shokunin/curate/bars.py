"""A horizontal bar chart as inline SVG."""

from __future__ import annotations

from html import escape

WIDTH, NAMES, BARS, ROW = 880, 300, 500, 24
LONGEST_NAME = 40


def bar_chart(counts: list[tuple[str, int]]) -> str:
    """One bar a name, its count written beside it; the full name is the bar's title."""
    most = max((n for _, n in counts), default=1) or 1
    lines = []
    for place, (name, count) in enumerate(counts):
        shown = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
        width = max(1.0, BARS * count / most)
        y = place * ROW
        lines.append(
            f"<g><title>{escape(name)}: {count:,}</title>"
            f'<text x="{NAMES - 10}" y="{y + 16}" text-anchor="end">{escape(shown)}</text>'
            f'<rect x="{NAMES}" y="{y + 4}" width="{width:.1f}" height="{ROW - 8}" rx="2"/>'
            f'<text x="{NAMES + width + 8:.1f}" y="{y + 16}">{count:,}</text></g>'
        )
    height = max(1, len(counts)) * ROW
    label = f"Rows of {len(counts)} labels, the largest with {most:,}"
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">\n' + "\n".join(lines) + "\n</svg>"
