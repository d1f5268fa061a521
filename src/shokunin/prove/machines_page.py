"""The frame of every page about machines: the verdict, four figures, units over time, what it rests on, the speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Template
from markupsafe import Markup

from shokunin.prove.sheet import environment, machine_facts, style
from shokunin.prove.wording import milliseconds, opened, percent
from shokunin.report import Report

Facts = list[tuple[str, str]]


def machines_html(
    report: Report,
    template: str,
    *,
    headline: str,
    summary: str,
    warnings: Sequence[str],
    tiles: Sequence[Mapping[str, str]],
    facts: Facts,
    **more: Any,
) -> str:
    """One HTML page with its styles and pictures inside.

    Args:
        report: of a specialist of machines.
        template: the name of the file that fills in the frame, `machines.html.jinja`.
        headline, summary: the verdict.
        warnings: sentences below it.
        tiles: a `figure` each, and what it is; the speed is added as the last.
        facts: what the proof rests on; how often the sealed part was opened is added.
        more: what the template asks for.
    """
    found = found_of(report)
    opening = [("sealed part opened", opened(report.openings))] if report.openings else []
    ms = report.latency_ms
    speed = f"for one window (95 of 100 within {milliseconds(ms['p95'])})"
    return _template(template).render(
        style=Markup(style()),
        r=report,
        a=found,
        yes=report.verdict == "pass",
        headline=headline,
        summary=summary,
        warnings=warnings,
        tiles=[*tiles, {"figure": milliseconds(ms["p50"]), "told": speed}],
        pictures=[{**t, "svg": Markup(t["svg"])} for t in found["timelines"]],
        facts=[*facts, *opening],
        machine=machine_facts(report.machine),
        **more,
    )


def found_of(report: Report) -> dict[str, Any]:
    """What only reports on machines have."""
    assert report.anticipation is not None
    return report.anticipation


def read_facts(found: Mapping[str, Any]) -> Facts:
    """The rows, units and channels that were read."""
    rows, units = found["read"]["rows"], found["read"]["units"]
    aside = "; ".join(f"{n:,} {reason}" for reason, n in rows["aside"].items())
    return [
        ("rows", f"{rows['in']:,} in, {rows['used']:,} used" + (f"; set aside: {aside}" if aside else "")),
        ("units", f"{units['used']:,} of {units['in']:,}"),
        ("channels", ", ".join(map(str, found["channels"]))),
    ]


def span_of(steps: float, found: Mapping[str, Any]) -> str:
    """So many steps: `3 days`."""
    count = steps * found["grid"]["times"]
    return f"{count:,g} {found['grid']['step']}{'' if count == 1 else 's'}"


def caught_of(caught: float, events: int, share: Mapping[str, float] | None) -> str:
    """So many failures caught, with the interval of their share: `5 of 6 (44 % to 97 %)`."""
    told = f"{caught:,.1f}".removesuffix(".0") + f" of {events:,}"
    return told if share is None else f"{told} ({percent(share['low'], 0)} to {percent(share['high'], 0)})"


def middle_half(steps_ahead: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Days (hours, cycles) of warning, the lower and the upper quartile."""
    quartiles, times = steps_ahead["quartiles"], found["grid"]["times"]
    return f"{quartiles[0] * times:g} to {quartiles[2] * times:g}" if quartiles else "–"


@cache
def _template(name: str) -> Template:
    made = environment()
    made.filters |= {
        "plain": lambda interval: f"{interval['low']:.3f} to {interval['high']:.3f}",
        "rate": lambda interval: f"{interval['low']:.2f} to {interval['high']:.2f}",
    }
    return made.get_template(name)
