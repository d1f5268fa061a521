"""The report for people and for programs: one self-contained page, tables in the terminal, JSON, and the model card."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from shokunin.prove.card import model_card
from shokunin.prove.costs import basis, cost_in_line
from shokunin.prove.fleet_terminal import fleet_terminal
from shokunin.prove.normal_terminal import normal_terminal
from shokunin.prove.page import headline, promised, report_html, summary, tone
from shokunin.prove.tables import table_of
from shokunin.prove.wording import duration, metric_name, milliseconds, p_value, percent, printable, share, size, whole
from shokunin.report import Report, report_to_dict
from shokunin.tasks import kind

__all__ = ["model_card", "report_html", "report_json", "report_terminal"]

COLOURS = {"yes": "green", "half": "blue", "no": "red"}
SHOWN_PAIRS = 5
SHOWN_METRICS = 2
"""Beside each other in the terminal, the task's own first; all are on the page and in the JSON."""
LEFT_OUT = ("cases", "kind")


def report_json(report: Report) -> dict[str, Any]:
    """The report without its cases, in the fixed spelling that scripts rely on, ready for JSON.

    Returns:
        `specialist`, `version`, `verdict`, `rows`, `scores` (metric → `value`, `low`, `high`), `baseline`, `ladder`,
        `latency_ms`, `threshold` (`value`, `coverage`, `bound`, `confidence`, …), then the other fields of the report,
        and `wrong`: how many answers were wrong.
    """
    plain = report_to_dict(report)
    first = ("specialist", "version", "verdict", "rows", "scores", "baseline", "ladder", "latency_ms", "threshold")
    ordered = {name: plain[name] for name in first}
    ordered |= {name: value for name, value in plain.items() if name not in ordered and name not in LEFT_OUT}
    return ordered | {"kind": report.kind, "wrong": sum(not c.correct for c in report.cases)}


def report_terminal(report: Report, console: Console | None = None) -> None:
    """Print the report: the verdict, the promise, the comparison, the ladder, the commonest confusions, the speed."""
    out = console or Console(highlight=False)
    if report.anticipation is not None:
        (normal_terminal if report.anticipation["target"] == "normal" else fleet_terminal)(report, out)
        return
    out.print()
    out.print(Text(f"  {headline(report)}", style=f"bold {COLOURS[tone(report)]}"))
    out.print(Text(f"  {summary(report)}"))
    unpromised = [] if promised(report) else [f"No threshold can be promised: {report.threshold.get('reason')}."]
    for reason in [*report.reasons, *unpromised]:
        out.print(Text(f"  · {printable(reason, 600)}", style="dim"))
    out.print()
    out.print(_comparison(report))
    _say_judged(report, out)
    if len(report.ladder) > 1:
        out.print()
        if any(rung.score is not None for rung in report.ladder):
            out.print(_ladder(report))
        _say_left_out(report, out)
        out.print(Text(f"  {printable(report.why_chosen, 600)}", style="dim"))
    else:
        _say_left_out(report, out)
    fields = _fields(report)
    if fields.row_count:
        out.print()
        out.print(fields)
    if report.worst_pairs and kind(report.kind).LABELS:
        out.print()
        out.print(_confusions(report))
    out.print()
    ms = report.latency_ms
    out.print(
        Text(
            f"  one answer   {milliseconds(ms['p50'])} (p95 {milliseconds(ms['p95'])}, p99 {milliseconds(ms['p99'])}); "
            f"in batches {report.throughput:,.0f} a second"
        )
    )
    out.print(
        Text(
            f"  size         {size(report.size_bytes)} on disk; {size(report.peak_memory_bytes)} of memory in the process of "
            "this proof, with what a training in it left behind"
        )
    )
    if report.replay is not None:
        rows, differ = report.replay.get("rows", 0), report.replay.get("disagreements", 0)
        out.print(Text(f"  replay       {rows:,} rows through the running server, {differ:,} answered differently"))
    if report.cost is not None:
        out.print(Text(f"  cost         {cost_in_line(report.cost)}"))
        if "missing" not in report.cost:
            out.print(Text(f"               {printable(report.cost['break_even']['sentence'], 600)}"))
            out.print(Text(f"               {basis(report.cost)}", style="dim"))


def _say_left_out(report: Report, out: Console) -> None:
    """Which learners were not tried and which lessons were left out, with the reason."""
    for rung in report.ladder:
        if len(report.ladder) > 1 if rung.score is None else rung.note:
            out.print(Text(f"  {printable(rung.learner, 40)}: {printable(rung.note or 'not tried', 300)}", style="dim"))


def _say_judged(report: Report, out: Console) -> None:
    judged = (report.against or {}).get("judge")
    if judged:
        out.print(Text(f"  judge        {printable(judged['sentence'], 900)}"))


def _comparison(report: Report) -> Table:
    shown = sorted(whole(report.scores), key=lambda metric: metric != report.metric)[:SHOWN_METRICS]
    table = table_of("", *(metric_name(m) for m in shown), "paired test")
    trivial = report.baseline
    table.add_row(
        Text(f"always {printable(trivial['label'], 30)!r}"),
        *(share(trivial["scores"][m]) for m in shown),
        Text(p_value(trivial["p"])),
    )
    table.add_row(
        Text("this specialist", style="bold"), *(Text(share(report.scores[m]), style="bold") for m in shown), ""
    )
    if report.against is not None:
        other = report.against
        table.add_row(
            Text(printable(other["name"], 40)),
            *(share(other["scores"][m]) for m in shown),
            Text(p_value(other["p"])),
        )
        passed = percent(other["together"]["passed_on"])
        table.add_row(
            Text(f"both together, {passed} passed on"),
            *(share(other["together"]["scores"][m]) for m in shown),
            Text(f"{p_value(other['together']['p'])} beside {printable(other['name'], 40)}"),
        )
    return table


def _fields(report: Report) -> Table:
    table = table_of("field", "found right (F1)", "")
    for metric, interval in report.scores.items():
        if metric not in whole([metric]):
            table.add_row(Text(printable(metric_name(metric).removesuffix(" (F1)"), 40)), share(interval), "")
    return table


def _ladder(report: Report) -> Table:
    table = table_of("learner", metric_name(report.metric), "size", "trained", "one answer", "")
    table.columns[0].no_wrap = True
    for rung in report.ladder:
        if rung.score is not None:
            cells = (
                printable(rung.learner, 40),
                share(rung.score),
                size(rung.size_bytes),
                duration(rung.train_seconds),
                milliseconds(rung.latency_ms),
                "chosen" if rung.chosen else p_value(rung.worse_than_best),
            )
            table.add_row(*(Text(cell, style="bold" if rung.chosen else "") for cell in cells))
    return table


def _confusions(report: Report) -> Table:
    table = table_of("it should have said", "it said", "times")
    for pair in report.worst_pairs[:SHOWN_PAIRS]:
        given = "no answer" if pair["given"] is None else printable(pair["given"], 60)
        table.add_row(Text(printable(pair["expected"], 60)), Text(given), f"{pair['count']:,}")
    return table
