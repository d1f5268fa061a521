"""The page of a specialist that tells what is unlike normal time: alarms against the budget, faults found, what nobody knows."""

from __future__ import annotations

from shokunin.prove.given_page import NAMES, given_html, was_given
from shokunin.prove.machines_page import found_of, machines_html, read_facts
from shokunin.prove.wording import percent
from shokunin.report import Report


def normal_html(report: Report) -> str:
    """The whole report as one HTML page with its styles and pictures inside."""
    if was_given(report):
        return given_html(report)
    return machines_html(
        report,
        "normal.html.jinja",
        headline=normal_headline(report),
        summary=normal_summary(report),
        warnings=report.reasons,
        tiles=_tiles(report),
        facts=_facts(report),
        names=NAMES,
    )


def normal_headline(report: Report) -> str:
    """The verdict in one line."""
    if report.verdict == "pass":
        return "Yes: it tells what is unlike normal time, and rings no more than it may."
    if found_of(report)["quiet"]["rate"]["high"] > found_of(report)["budget"]:
        return "No: that it rings no more than it may is not shown."
    return "No: it does not find faults well enough."


def normal_summary(report: Report) -> str:
    """The figures behind the verdict."""
    found = found_of(report)
    rate, week = found["quiet"]["rate"], found["week"]
    return (
        f"In sealed normal time it rang {rate['value']:.2f} times a unit and {week} (at most {rate['high']:.2f}; budget "
        f"{found['budget']:g}), and found {percent(found['power']['value'], 0)} of the faults that were put into it by hand. "
        "It has seen no real failure, so what it calls strange may or may not be one."
    )


def _tiles(report: Report) -> list[dict[str, str]]:
    found = found_of(report)
    rate, plain = found["quiet"]["rate"], report.baseline["scores"][report.metric]
    budget = f"alarms a unit and {found['week']} in normal time; budget {found['budget']:g}"
    return [
        {"figure": f"{rate['value']:.2f}", "told": budget},
        {"figure": percent(found["power"]["value"], 0), "told": "of injected faults found at that budget"},
        {"figure": percent(plain["value"], 0), "told": "found by plain limits on each sensor"},
    ]


def _facts(report: Report) -> list[tuple[str, str]]:
    found = found_of(report)
    split, normal, sides = found["split"], found["normal"], report.dataset
    facts = [
        *read_facts(found),
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
    return facts
