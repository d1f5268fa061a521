"""Charts of the page: inline SVG made of numbers and class names only, so that nothing a user named gets into it."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from shokunin.serve.tally import REPLIES, Hour

WIDTH, BAR, COLUMNS = 1000, 18, 110


def route_bar(hour: Hour) -> Markup:
    """One bar, divided by who answered."""
    parts, x = [], 0.0
    for route in REPLIES:
        width = WIDTH * hour.routes[route] / hour.requests if hour.requests else 0.0
        if width:
            parts.append(f'<rect class="{route}" x="{x:.2f}" y="0" width="{max(width - 2, 1.5):.2f}" height="{BAR}"/>')
        x += width
    return _svg(WIDTH, BAR, parts, "bar")


def hour_columns(hours: Sequence[Hour]) -> Markup:
    """A column for each hour, divided by who answered; all on one scale."""
    most = max((hour.requests for hour in hours), default=0)
    step = WIDTH / max(1, len(hours))
    parts = []
    for n, hour in enumerate(hours):
        y = float(COLUMNS)
        for route in REPLIES:
            height = COLUMNS * hour.routes[route] / most if most else 0.0
            y -= height
            if height:
                parts.append(
                    f'<rect class="{route}" x="{n * step:.1f}" y="{y:.2f}" width="{step - 8:.1f}" height="{height:.2f}"/>'
                )
        if not hour.requests:
            parts.append(f'<rect class="none" x="{n * step:.1f}" y="{COLUMNS - 2}" width="{step - 8:.1f}" height="2"/>')
    return _svg(WIDTH, COLUMNS, parts, "columns")


def bound_bar(bound: float, limit: float) -> Markup:
    """The bound as a bar, the limit as a line that it must not pass; the line stands at four fifths of the width."""
    scale = 0.8 * WIDTH / limit
    end = min(bound * scale, WIDTH)
    word = "within" if bound <= limit else "beyond"
    parts = [
        f'<rect class="none" x="0" y="6" width="{WIDTH}" height="12"/>',
        f'<rect class="{word}" x="0" y="6" width="{end:.2f}" height="12"/>',
        f'<rect class="limit" x="{0.8 * WIDTH - 2:.1f}" y="0" width="4" height="24"/>',
    ]
    return _svg(WIDTH, 24, parts, "bound")


def _svg(width: int, height: int, parts: Sequence[str], kind: str) -> Markup:
    return Markup(
        f'<svg class="{kind}" viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">'
        f"{''.join(parts)}</svg>"
    )
