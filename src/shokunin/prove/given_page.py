"""The page of a specialist that tells what is unlike normal time, on readings that it was given after its training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shokunin.prove.machines_page import caught_of, found_of, machines_html, middle_half, read_facts, span_of
from shokunin.prove.wording import p_value, percent
from shokunin.report import Report

NAMES = {
    "last_outside": "plain limits on each sensor",
    "forecast_residual": "what a normal machine would read next",
    "reconstruction": "how sensors move together",
    "isolation": "how easily a window is told apart",
}


def was_given(report: Report) -> bool:
    """Whether the readings came after the training, and are no sealed part of it."""
    return bool(found_of(report)["split"]["by"] == "given")


def given_html(report: Report) -> str:
    """The whole report as one HTML page with its styles and pictures inside."""
    found = found_of(report)
    return machines_html(
        report,
        "given.html.jinja",
        headline=given_headline(report),
        summary=given_summary(report),
        warnings=report.reasons,
        tiles=_tiles(found),
        facts=_facts(report),
        watched=f"{report.rows:,} windows of {found['window']} readings, {found['all']['weeks']:,.1f} unit-{found['week']}s.",
        counts=_counts(found),
        what=_what(found),
        colours=_colours(found),
        detectors=detectors(found),
        random=chance_of(found),
        luck=p_value(found["failures"]["by_chance"]["p"]) if found["failures"] else None,
    )


def given_headline(report: Report) -> str:
    """The verdict in one line."""
    found = found_of(report)
    kept = found["quiet"]["rate"]["high"] <= found["budget"]
    if report.verdict == "pass":
        known = "it rang before failures, more often than by chance, and" if found["log"] else "it"
        return f"Yes: {known} rings no more than it may."
    if not kept:
        return "No: that it rings no more than it may is not shown on these readings."
    return "No: it did not ring before failures measurably more often than by chance."


def given_summary(report: Report) -> str:
    """The figures behind the verdict."""
    found = found_of(report)
    rate, week = found["quiet"]["rate"], found["week"]
    rang = (
        f"{rate['value']:.2f} {_what(found)} a unit and {week} (at most {rate['high']:.2f}; budget {found['budget']:g}) at its "
        "published threshold"
    )
    failures = found["failures"]
    if failures is None:
        return f"{rang}. Whether these readings hold failures nobody said."
    span, chance = found["log"]["span"], failures["by_chance"]["caught"]["value"]
    caught = f"{failures['caught']:,} of {failures['events']:,} failures had an alarm in the {span} before them"
    return f"{caught}, by chance {chance:.1f}; {rang}."


def detectors(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The specialist's detector and plain limits, with what each rang."""
    rows = [{"name": found["detector"], "told": NAMES[found["detector"]], "this": True, "found": found}]
    if found["plain"] is not None:
        rows.append({"name": "last_outside", "told": NAMES["last_outside"], "this": False, "found": found["plain"]})
    for row in rows:
        one = row["found"]["failures"]
        if one is not None:
            row["caught"] = caught_of(one["caught"], one["events"], one["recall"])
            row["ahead"] = middle_half(one["steps_ahead"], found)
    return rows


def chance_of(found: Mapping[str, Any]) -> str | None:
    """What whoever rings as often at random would have caught; None where no failures are known."""
    failures = found["failures"]
    if failures is None:
        return None
    chance, events = failures["by_chance"]["caught"], failures["events"]
    return caught_of(chance["value"], events, {end: value / events for end, value in chance.items()})


def _what(found: Mapping[str, Any]) -> str:
    return "false alarms" if found["log"] else "alarms"


def _counts(found: Mapping[str, Any]) -> str:
    """Which time counts against the budget."""
    if found["log"]:
        return (
            f"Against the budget counts time without a failure in the {found['log']['span']} after it: "
            f"{found['quiet']['weeks']:,.1f} unit-{found['week']}s."
        )
    if found["told"]:
        return f"Against the budget counts what the label calls normal: {found['quiet']['weeks']:,.1f} unit-{found['week']}s."
    return "Nobody said whether the machines were well, so every alarm counts."


def _colours(found: Mapping[str, Any]) -> str:
    if found["log"]:
        return "green: before a failure, red: false, grey: nobody knows, or late; failures are black lines"
    return "red: in normal time, green: in a labelled state, grey: nobody knows"


def _tiles(found: Mapping[str, Any]) -> list[dict[str, str]]:
    rate, failures = found["quiet"]["rate"], found["failures"]
    rang = {
        "figure": f"{rate['value']:.2f}",
        "told": f"{_what(found)} a unit and {found['week']}; budget {found['budget']:g}",
    }
    if failures is None:
        plain = found["plain"]
        beside = {
            "figure": "–" if plain is None else f"{plain['quiet']['rate']['value']:.2f}",
            "told": "by plain limits on each sensor",
        }
        return [
            rang,
            beside,
            {"figure": f"{found['all']['alarms']:,}", "told": f"alarms of {found['units']:,} units in all"},
        ]
    quartiles = failures["steps_ahead"]["quartiles"]
    early = span_of(quartiles[1], found) if quartiles else "–"
    span, chance = found["log"]["span"], failures["by_chance"]["caught"]["value"]
    caught = f"failures with an alarm in the {span} before; at random {chance:.1f}"
    return [
        {"figure": f"{failures['caught']:,} of {failures['events']:,}", "told": caught},
        {"figure": early, "told": "of warning, for half of those caught"},
        rang,
    ]


def _facts(report: Report) -> list[tuple[str, str]]:
    found, log = found_of(report), found_of(report)["log"]
    facts = [
        ("readings", str(report.dataset["source"])),
        *read_facts(found),
        ("windows", f"{found['split']['windows']['in']:,}, of which {report.rows:,} were judged"),
        ("filled in", f"{percent(found['read']['filled_share'])} of the readings, from the one before"),
    ]
    if log:
        aside = log["without_readings"] + log["without_windows"]
        facts.append(
            ("failures", f"{log['file']}: {log['failures']:,}" + (f", {aside:,} had no part" if aside else ""))
        )
    if found["new_units"]:
        facts.append(("measured against the fleet", ", ".join(map(str, found["new_units"]))))
    return [*facts, ("learnt from", str(report.dataset["digest"]))]
