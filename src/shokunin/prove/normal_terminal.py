"""The report of a specialist that tells what is unlike normal time, in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from shokunin.prove.given_page import was_given
from shokunin.prove.given_terminal import given_terminal
from shokunin.prove.machines_page import found_of
from shokunin.prove.normal_page import normal_headline, normal_summary
from shokunin.prove.tables import table_of, verdict_lines, windows_speed
from shokunin.prove.wording import printable, share
from shokunin.report import Report


def normal_terminal(report: Report, out: Console) -> None:
    """Print the verdict, each detector on sealed normal time, each sort of fault, the speed."""
    if was_given(report):
        given_terminal(report, out)
        return
    found = found_of(report)
    verdict_lines(report, normal_headline(report), normal_summary(report), report.reasons, out)
    table = table_of("detector", f"alarms a unit and {found['week']}", "injected faults found", "")
    for row in found["detectors"]:
        rate = row["quiet"]["rate"]
        said = "chosen" if row["name"] == found["detector"] else "" if row["steady"] else "passed over: not steady"
        cells = (row["name"], f"{rate['value']:.2f} ({rate['low']:.2f}–{rate['high']:.2f})", share(row["power"]), said)
        table.add_row(*(Text(cell, style="bold" if said == "chosen" else "") for cell in cells))
    out.print(table)
    out.print(Text(f"  {printable(found['why'], 400)}", style="dim"))
    out.print()
    faults = table_of("fault", "found", "by plain limits", "")
    for row in found["faults"]:
        faults.add_row(*(Text(cell) for cell in (row["sort"], share(row["found"]), share(row["plain"]), row["told"])))
    out.print(faults)
    out.print()
    windows_speed(report, out)
