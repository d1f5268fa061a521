"""The page of a specialist that tells what is unlike normal time: alarms against the budget, faults found, what nobody knows."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Template
from markupsafe import Markup

from shokunin.prove import plots
from shokunin.prove.sheet import environment, machine_facts, style
from shokunin.prove.wording import milliseconds, opened, percent
from shokunin.report import Report

TEMPLATE = Path(__file__).with_name("normal.html.jinja")
NAMES = {
    "last_outside": "plain limits on each sensor",
    "forecast_residual": "what a normal machine would read next",
    "reconstruction": "how sensors move together",
    "isolation": "how easily a window is told apart",
}


def normal_html(report: Report) -> str:
    """The whole report as one HTML page with its styles and pictures inside."""
    found = _found(report)
    return _template().render(
        style=Markup(style()),
        r=report,
        a=found,
        yes=report.verdict == "pass",
        headline=normal_headline(report),
        summary=normal_summary(report),
        warnings=report.reasons,
        tiles=_tiles(report),
        names=NAMES,
        pictures=[{**t, "svg": Markup(t["svg"])} for t in found["timelines"]],
        facts=_facts(report),
        machine=machine_facts(report.machine),
    )


def normal_headline(report: Report) -> str:
    """The verdict in one line."""
    if report.verdict == "pass":
        return "Yes: it tells what is unlike normal time, and rings no more than it may."
    if _found(report)["quiet"]["rate"]["high"] > _found(report)["budget"]:
        return "No: that it rings no more than it may is not shown."
    return "No: it does not find faults well enough."


def normal_summary(report: Report) -> str:
    """The figures behind the verdict."""
    found = _found(report)
    rate, week = found["quiet"]["rate"], found["week"]
    return (
        f"In sealed normal time it rang {rate['value']:.2f} times a unit and {week} (at most {rate['high']:.2f}; budget "
        f"{found['budget']:g}), and found {percent(found['power']['value'], 0)} of the faults that were put into it by hand. "
        "It has seen no real failure, so what it calls strange may or may not be one."
    )


def normal_told(found: Mapping[str, Any]) -> str:
    """What it does, for the model card."""
    channels = ", ".join(f"`{str(name).replace('`', '´').replace('|', '¦')[:80]}`" for name in found["channels"][:20])
    return (
        f"From a unit's last {found['window']} readings of {channels} it says whether they are unlike the unit's normal time, "
        "since when, and which sensors are. It has learnt from no failure."
    )


def _found(report: Report) -> dict[str, Any]:
    assert report.anticipation is not None
    return report.anticipation


def _tiles(report: Report) -> list[dict[str, str]]:
    found = _found(report)
    rate, plain = found["quiet"]["rate"], report.baseline["scores"][report.metric]
    budget = f"alarms a unit and {found['week']} in normal time; budget {found['budget']:g}"
    return [
        {"figure": f"{rate['value']:.2f}", "told": budget},
        {"figure": percent(found["power"]["value"], 0), "told": "of injected faults found at that budget"},
        {"figure": percent(plain["value"], 0), "told": "found by plain limits on each sensor"},
        {
            "figure": milliseconds(report.latency_ms["p50"]),
            "told": f"for one window (95 of 100 within {milliseconds(report.latency_ms['p95'])})",
        },
    ]  # fmt: skip


def _facts(report: Report) -> list[tuple[str, str]]:
    found = _found(report)
    rows, units = found["read"]["rows"], found["read"]["units"]
    aside = "; ".join(f"{n:,} {reason}" for reason, n in rows["aside"].items())
    split, normal, sides = found["split"], found["normal"], report.dataset
    facts = [
        ("rows", f"{rows['in']:,} in, {rows['used']:,} used" + (f"; set aside: {aside}" if aside else "")),
        ("units", f"{units['used']:,} of {units['in']:,}"),
        ("channels", ", ".join(map(str, found["channels"]))),
        ("normal time", f"{normal['normal']}: {normal['windows']['normal']:,} of {normal['windows']['of']:,} windows"),
        ("split", f"by {split['by']}" + (f", cut after {' and '.join(split['cuts'])}" if "cuts" in split else "")),
        ("windows", f"{sides['train']:,} to learn from, {sides['validation']:,} to choose by, {report.rows:,} sealed"),
        ("sealed normal time", f"{found['quiet']['weeks']:,.1f} unit-{found['week']}s, {found['quiet']['alarms']:,} alarms"),
        ("dataset", str(report.dataset["digest"])),
    ]  # fmt: skip
    if normal["labelled"]:
        facts.append(("label", f"column {normal['labelled']!r}: 0 is normal; others are only judged"))
    facts += [("not looked at", f"{name}: {why}") for name, why in found["gone"]]
    if found["still"]:
        facts.append(("never move", f"{', '.join(found['still'])}; any move of these is strange"))
    if report.openings:
        facts.append(("sealed part opened", opened(report.openings)))
    return facts


@cache
def _template() -> Template:
    made = environment()
    made.filters |= {
        "bar": lambda interval, low, high: Markup(plots.interval_bar(interval, low, high)),
        "rate": lambda interval: f"{interval['low']:.2f} to {interval['high']:.2f}",
    }
    return made.from_string(TEMPLATE.read_text(encoding="utf-8"))
