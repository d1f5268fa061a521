"""The page of a specialist that foresees failures: what it is worth on these machines, beside what a leak would claim."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from shokunin.prove import plots
from shokunin.prove.machines_page import caught_of, found_of, machines_html, middle_half, read_facts, span_of
from shokunin.prove.reading_facts import tables_told
from shokunin.prove.wording import percent
from shokunin.report import Report
from shokunin.series.telling import alarm_text

SPEAKING = 12
WIDEST = 320
"""Pixels of the longest bar."""


def fleet_html(report: Report) -> str:
    """The whole report as one HTML page with its styles and pictures inside."""
    found = found_of(report)
    loud = found["speaking"][:SPEAKING]
    most = max((s["push"] for s in loud), default=1.0) or 1.0
    return machines_html(
        report,
        "fleet.html.jinja",
        headline=fleet_headline(report),
        summary=fleet_summary(report),
        warnings=warnings_of(report),
        tiles=_tiles(report),
        facts=_facts(report),
        sealed=_sealed(report),
        by_unit=found["split"]["by"] == "unit",
        first=_first(found),
        exact=within(found) == "in",
        worth=[_worth(row, found) for row in found["horizons"]],
        protocols=_protocols(found),
        speaking=[{**s, "width": round(WIDEST * s["push"] / most)} for s in loud],
        reliability_plot=Markup(plots.reliability_plot(report.calibration["bins"])),
    )


def fleet_headline(report: Report) -> str:
    """The verdict in one line."""
    first = _first(found_of(report))
    if report.verdict == "pass":
        return f"Yes: a {first} is foreseen better than by chance."
    return f"No: a {first} is not foreseen well enough."


def fleet_summary(report: Report) -> str:
    """The figures behind the verdict: what the first horizon's alarms were worth."""
    found = found_of(report)
    row = found["horizons"][0]
    alarms, event = row["alarms"], found["event"]
    if not alarms["events"]:
        return f"There was no {event} in the sealed part, so nobody can say what it would have caught."
    if within(found) == "in":
        return (
            f"Exactly {row['span']} before, it had rung for {alarms['caught']} of {alarms['events']} {event}s, with "
            f"{row['month']['false']:.2f} false alarms a unit in {found['month']}."
        )
    ahead = alarms["steps_ahead"]["quartiles"]
    early = f", half of them at least {span_of(ahead[1], found)} ahead" if ahead else ""
    return (
        f"It caught {alarms['caught']} of {alarms['events']} {event}s{early}, with {row['month']['false']:.2f} false alarms "
        f"a unit in {found['month']}."
    )


def within(found: Mapping[str, Any]) -> str:
    """Whether something comes `within` the horizons, or `in` exactly so many steps."""
    return "in" if found["when"] == "at" else "within"


def _first(found: Mapping[str, Any]) -> str:
    """What the verdict is about: `failure within 30 days`."""
    return alarm_text(found["event"], found["horizons"][0]["span"], found["when"])


def warnings_of(report: Report) -> list[str]:
    """The reasons that are no repetition of the table."""
    repeated = {row["sentence"].lower().rstrip(".") for row in found_of(report)["horizons"]}
    return [reason for reason in report.reasons if reason.lower().rstrip(".") not in repeated]


def _tiles(report: Report) -> list[dict[str, str]]:
    found = found_of(report)
    row = found["horizons"][0]
    alarms = row["alarms"]
    quartiles = alarms["steps_ahead"]["quartiles"]
    caught = f"{alarms['caught']} of {alarms['events']}"
    false = {"figure": f"{row['month']['false']:.2f}", "told": f"false alarms a unit in {found['month']}"}
    if within(found) == "in":
        right = "–" if alarms["precision"] is None else percent(alarms["precision"]["value"], 0)
        return [
            {"figure": caught, "told": f"{found['event']}s with an alarm exactly {row['span']} before"},
            {"figure": right, "told": f"of its alarms were right to the {_step(found)}"},
            false,
        ]
    return [
        {"figure": caught, "told": f"{found['event']}s caught within {row['span']}"},
        {"figure": span_of(quartiles[1], found) if quartiles else "–", "told": "of warning, for half of those caught"},
        false,
    ]


def _step(found: Mapping[str, Any]) -> str:
    """What an alarm is about where only one step counts."""
    return str(found["grid"]["step"]) if found["grid"]["times"] == 1 else "step"


def _sealed(report: Report) -> str:
    found, split = found_of(report), found_of(report)["split"]
    windows = f"{report.rows:,} windows of {found['window']} readings"
    if split["by"] == "given":
        return f"{windows} of the readings that were given. {split['told']}"
    if split["by"] == "unit":
        return f"{windows} of machines that had no part in the training."
    return (
        f"{windows}, all later than everything that was learnt from or chosen by, with a gap of {split['purge']} steps."
    )


def _worth(row: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, str]:
    alarms = row["alarms"]
    precision = alarms["precision"]
    right = "no alarm"
    if precision is not None:
        right = f"{percent(precision['value'], 0)} ({percent(precision['low'], 0)} to {percent(precision['high'], 0)})"
    return {
        "span": row["span"],
        "threshold": "never" if alarms["threshold"] is None else f"{percent(alarms['threshold'], 0)} risk",
        "caught": caught_of(alarms["caught"], alarms["events"], alarms["recall"]),
        "ahead": middle_half(alarms["steps_ahead"], found),
        "alarms": f"{row['month']['alarms']:.2f}",
        "false": f"{row['month']['false']:.2f}",
        "precision": right,
    }


def _protocols(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each horizon as the published way would have judged it, and as it is."""
    sides = {name: {row["horizon"]: row for row in found["protocols"][name]} for name in ("published", "honest")}
    return [
        {
            "span": h["span"],
            "sides": [
                {"name": "as published", "honest": False, "row": sides["published"].get(h["horizon"])},
                {"name": "honestly", "honest": True, "row": sides["honest"].get(h["horizon"])},
            ],
        }
        for h in found["horizons"]
    ]


def _facts(report: Report) -> list[tuple[str, str]]:
    found = found_of(report)
    sides = {
        "to learn from": report.dataset["train"],
        "to choose by": report.dataset["validation"],
        "sealed": report.rows,
    }
    facts = [
        *read_facts(found),
        ("split", found["taken"]["split"]),
        ("windows", ", ".join(f"{count:,} {what}" for what, count in sides.items())),
        ("filled in", f"{percent(found['read']['filled_share'])} of the readings, from the one before"),
        ("dataset", str(report.dataset["digest"])),
    ]
    return [*facts, *tables_told(found)]
