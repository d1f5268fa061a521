"""The report on readings that came after the training, of a specialist that tells what is unlike normal time, in the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from shokunin.prove.given_page import chance_of, detectors, given_headline, given_summary
from shokunin.prove.machines_page import found_of
from shokunin.prove.tables import table_of, verdict_lines, windows_speed
from shokunin.report import Report


def given_terminal(report: Report, out: Console) -> None:
    """Print the verdict, how often it rang beside plain limits, failures caught beside chance, the speed."""
    found = found_of(report)
    verdict_lines(report, given_headline(report), given_summary(report), report.reasons, out)
    what = "false alarms" if found["log"] else "alarms"
    table = table_of("detector", f"{what} a unit and {found['week']}", "all alarms", "")
    for row in detectors(found):
        rate = row["found"]["quiet"]["rate"]
        told = f"{rate['value']:.2f} ({rate['low']:.2f}–{rate['high']:.2f})"
        cells = (row["name"], told, f"{row['found']['all']['alarms']:,}", "published" if row["this"] else row["told"])
        table.add_row(*(Text(cell, style="bold" if row["this"] else "") for cell in cells))
    out.print(table)
    out.print()
    random = chance_of(found)
    if random is not None:
        _worth(found, random, out)
    windows_speed(report, out)


def _worth(found: dict[str, Any], random: str, out: Console) -> None:
    table = table_of("who rings", "failures caught", "ahead", "right", "false", "open")
    for row in detectors(found):
        one = row["found"]["failures"]
        counts = (f"{one['right']:,}", f"{one['wrong']:,}", f"{one['late'] + one['open']:,}")
        cells = (row["name"], row["caught"], row["ahead"], *counts)
        table.add_row(*(Text(cell, style="bold" if row["this"] else "") for cell in cells))
    table.add_row(*(Text(cell) for cell in ("at random", random, "–", "", "", "")))
    out.print(table)
    told = (
        f"  caught: an alarm in the {found['log']['span']} before; ahead: {found['grid']['step']}s of warning, the middle half; "
        "open: in windows that still hold a failure, or the readings end too early"
    )
    out.print(Text(told, style="dim"))
    out.print()
