"""The page of a specialist that foresees failures: what it is worth on these machines, beside what a leak would claim."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Template
from markupsafe import Markup

from shokunin.prove.sheet import environment, style
from shokunin.report import Report

TEMPLATE = Path(__file__).with_name("fleet.html.jinja")


def fleet_html(report: Report) -> str:
    """The whole report as one HTML page with its styles and pictures inside."""
    found = report.anticipation
    assert found is not None
    pictures = [{**t, "svg": Markup(t["svg"])} for t in found["timelines"]]
    return _template().render(
        style=Markup(style()), r=report, a=found, yes=report.verdict == "pass", pictures=pictures,
        headline=fleet_headline(report), protocols=_protocols(report),
    )  # fmt: skip


def fleet_headline(report: Report) -> str:
    """The verdict in one line."""
    found = report.anticipation
    assert found is not None
    first = found["horizons"][0]["span"]
    if report.verdict == "pass":
        return f"Yes: a {found['event']} within {first} is foreseen better than by chance."
    return f"No: a {found['event']} within {first} is not foreseen well enough."


def _protocols(report: Report) -> list[dict[str, object]]:
    """Each horizon as the published way would have judged it, and as it is."""
    found = report.anticipation
    assert found is not None
    claimed = {row["horizon"]: row for row in found["protocols"]["published"]}
    honest = {row["horizon"]: row for row in found["protocols"]["honest"]}
    return [
        {"span": h["span"], "published": claimed.get(h["horizon"]), "honest": honest.get(h["horizon"])}
        for h in found["horizons"]
    ]


@cache
def _template() -> Template:
    return environment().from_string(TEMPLATE.read_text(encoding="utf-8"))
