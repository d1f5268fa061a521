"""The report of a specialist that foresees failures, in the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from shokunin.prove.fleet_page import fleet_headline, fleet_summary, warnings_of, within
from shokunin.prove.tables import table_of, verdict_lines, windows_speed
from shokunin.prove.wording import printable
from shokunin.report import Report


def fleet_terminal(report: Report, out: Console) -> None:
    """Print the verdict, each horizon's worth, the published way to judge beside the honest one, the speed."""
    found = report.anticipation
    assert found is not None
    verdict_lines(report, fleet_headline(report), fleet_summary(report), warnings_of(report), out)
    table = table_of(within(found), "caught", "ahead", "false", "PR-AUC", "by chance", "by")
    for row in found["horizons"]:
        table.add_row(*(Text(cell) for cell in _worth(row, found)))
    out.print(table)
    step = found["grid"]["step"]
    ahead = f"ahead: {step}s of warning, half have more"
    if within(found) == "in":
        ahead = f"caught: by an alarm about that very {'step' if found['grid']['times'] > 1 else step}"
    told = f"  {ahead}; false: alarms a unit in {found['month']}; PR-AUC: average precision"
    out.print(Text(told, style="dim"))
    out.print()
    if found["protocols"]["published"]:
        _claims(found, out)
    for choice in found["horizons"]:
        out.print(Text(f"  {choice['span']}: {printable(choice['why'], 400)}", style="dim"))
    loud = ", ".join(printable(s["channel"], 40) for s in found["speaking"][:5])
    out.print(Text(f"  what speaks  {loud or 'nothing'}"))
    windows_speed(report, out)


def _claims(found: dict[str, Any], out: Console) -> None:
    claims = table_of(within(found), "ROC-AUC as published", "F1", "ROC-AUC honestly", "F1")
    published = {row["horizon"]: row for row in found["protocols"]["published"]}
    for row in found["protocols"]["honest"]:
        span = next(h["span"] for h in found["horizons"] if h["horizon"] == row["horizon"])
        claims.add_row(*(Text(cell) for cell in (span, *_areas(published.get(row["horizon"])), *_areas(row))))
    out.print(claims)
    told = "  The published way tests on windows that were trained on; it claims this much whatever is true."
    out.print(Text(told, style="dim"))
    out.print()


def _worth(row: dict[str, Any], found: dict[str, Any]) -> tuple[str, ...]:
    alarms, ranked = row["alarms"], row["ranking"]
    quartiles = alarms["steps_ahead"]["quartiles"]
    ahead = f"{quartiles[1] * found['grid']['times']:g}" if quartiles and within(found) == "within" else "–"
    caught = f"{alarms['caught']} of {alarms['events']}"
    false = f"{row['month']['false']:.2f}"
    if ranked is None:
        return row["span"], caught, ahead, false, "–", "–", row["rung"]
    return row["span"], caught, ahead, false, _interval(ranked["pr_auc"]), f"{ranked['base_rate']:.3f}", row["rung"]


def _areas(row: dict[str, Any] | None) -> tuple[str, str]:
    if row is None or "roc_auc" not in row:
        return "–", "–"
    return f"{row['roc_auc']['value']:.3f}", f"{row['f1']:.3f}"


def _interval(value: dict[str, float]) -> str:
    return f"{value['value']:.3f} ({value['low']:.3f}–{value['high']:.3f})"
