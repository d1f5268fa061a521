"""The chart of a discovery's page: each task by how often it comes and how patterned it is, as inline SVG.

Names are the only text from outside; they are escaped. Colours and fonts come from the page's style sheet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10, sqrt

from markupsafe import Markup, escape

from shokunin.discover.found import Found, Verdict
from shokunin.discover.sentences import printable, unmeasured

WIDTH, HEIGHT = 900, 450
LEFT, RIGHT, TOP, BOTTOM = 62, 24, 32, 62
SMALLEST, LARGEST = 6.0, 24.0
"""Radii of the dots, whose area goes by what the task costs."""
LETTER, LINE = 7.4, 16.0
LONGEST = 40
CLASSES: Mapping[Verdict, str] = {"TRAIN": "train", "TRY": "collect", "COLLECT MORE": "collect", "LEAVE": "leave"}
_Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class _Dot:
    task: Found
    x: float
    y: float
    radius: float


def patterned_chart(tasks: Sequence[Found]) -> Markup:
    """Calls a month (horizontal, logarithmic) and patternedness with its interval (vertical); costly tasks are larger.

    Tasks whose patternedness could not be measured are not drawn.
    """
    shown = [task for task in tasks if task.per_month > 0 and not unmeasured(task)]
    low, high = _span([task.per_month for task in shown])
    dearest = max((task.money.cost or 0.0 for task in shown), default=0.0)
    dots = [
        _Dot(
            task,
            _x((log10(task.per_month) - low) / (high - low)),
            _y(task.patternedness.value),
            SMALLEST + (LARGEST - SMALLEST) * sqrt((task.money.cost or 0.0) / dearest) if dearest else SMALLEST,
        )
        for task in shown
    ]
    parts = [_axes(low, high)]
    for dot in sorted(dots, key=lambda dot: -dot.radius):
        parts.append(_whisker(dot))
    for dot in sorted(dots, key=lambda dot: -dot.radius):
        parts.append(
            f'<circle class="{CLASSES[dot.task.verdict]}" cx="{dot.x}" cy="{dot.y}" r="{dot.radius:.1f}">'
            f"<title>{escape(printable(dot.task.name))}</title></circle>"
        )
    parts += _names(dots)
    title = "Tasks by calls a month and patternedness"
    return Markup(
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">{"".join(parts)}</svg>'
    )


def _span(volumes: Sequence[float]) -> tuple[float, float]:
    """The ends of the horizontal axis as powers of ten, with some room beside the outermost dots."""
    if not volumes:
        return 0.0, 1.0
    low, high = log10(min(volumes)), log10(max(volumes))
    room = max(0.12 * (high - low), 0.15)
    return low - room, high + room


def _round_volumes(low: float, high: float) -> list[float]:
    """Round numbers between the ends: powers of ten, and where those are few, twice and five times as much."""
    decades = range(floor(low), ceil(high) + 1)
    steps = (1, 2, 5) if high - low < 3 else (1,)
    return [step * 10.0**d for d in decades for step in steps if low <= log10(step * 10.0**d) <= high]


def _axes(low: float, high: float) -> str:
    parts = []
    for i in range(5):
        y = _y(i / 4)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="tick" text-anchor="end" x="{LEFT - 8}" y="{y + 4}">{i / 4:g}</text>')
    for volume in _round_volumes(low, high):
        x = _x((log10(volume) - low) / (high - low))
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(
            f'<text class="tick" text-anchor="middle" x="{x}" y="{HEIGHT - BOTTOM + 36}">{_volume(volume)}</text>'
        )
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text class="axis" text-anchor="middle" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}">calls a month</text>'
        f'<text class="axis" text-anchor="middle" transform="translate(16 {middle}) rotate(-90)">patternedness</text>'
    )
    return "".join(parts)


def _volume(calls: float) -> str:
    return f"{calls:,.0f}" if calls >= 1 else f"{calls:g}"


def _whisker(dot: _Dot) -> str:
    found = dot.task.patternedness
    return f'<line class="whisker" x1="{dot.x}" x2="{dot.x}" y1="{_y(found.low)}" y2="{_y(found.high)}"/>'


def _names(dots: Sequence[_Dot]) -> list[str]:
    """The names beside their dots, the dearest first; a name for which there is no room is left to the dot's title."""
    taken: list[_Box] = [(d.x - d.radius, d.y - d.radius, d.x + d.radius, d.y + d.radius) for d in dots]
    parts = []
    for dot in sorted(dots, key=lambda dot: -dot.radius):
        name = printable(dot.task.name, LONGEST)
        for x, y, anchor in _places(dot):
            box = _box(x, y, anchor, LETTER * len(name))
            if (
                box[0] >= LEFT
                and box[2] <= WIDTH
                and box[1] >= 0
                and box[3] <= HEIGHT - BOTTOM + 4
                and _free(box, taken)
            ):
                taken.append(box)
                if abs(y - 4 - dot.y) > dot.radius + LINE:
                    parts.append(f'<line class="lead" x1="{dot.x}" y1="{dot.y}" x2="{x:.1f}" y2="{y - 4:.1f}"/>')
                parts.append(
                    f'<text class="label" text-anchor="{anchor}" x="{x:.1f}" y="{y:.1f}">{escape(name)}</text>'
                )
                break
    return parts


def _places(dot: _Dot) -> list[tuple[float, float, str]]:
    """Where a name may stand, the best place first: (x, base line, anchor)."""
    away = dot.radius + 6
    beside = [
        (dot.x + side * away, dot.y + 4 + shift, "start" if side > 0 else "end")
        for shift in (0.0, -10.0, 10.0, -18.0, 18.0, -30.0, 30.0, -44.0, 44.0, -60.0, 60.0, -80.0, 80.0)
        for side in (1, -1)
    ]
    return [*beside[:2], (dot.x, dot.y - away, "middle"), (dot.x, dot.y + away + 9, "middle"), *beside[2:]]


def _box(x: float, y: float, anchor: str, width: float) -> _Box:
    left = {"start": x, "end": x - width, "middle": x - width / 2}[anchor]
    return left, y - LINE + 4, left + width, y + 3


def _free(box: _Box, taken: Sequence[_Box]) -> bool:
    return all(box[2] <= t[0] or t[2] <= box[0] or box[3] <= t[1] or t[3] <= box[1] for t in taken)


def _x(share: float) -> float:
    return round(LEFT + (WIDTH - LEFT - RIGHT) * share, 1)


def _y(share: float) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * float(min(1.0, max(0.0, share))), 1)
