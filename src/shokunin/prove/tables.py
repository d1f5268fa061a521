"""What reports share in the terminal: tables of figures, and lines about speed."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from shokunin.prove.wording import milliseconds, printable, size
from shokunin.report import Report


def table_of(*columns: str) -> Table:
    """Figures stay on their line; what gives way on a narrow terminal are the words at either end."""
    table = Table(box=None, pad_edge=True, padding=(0, 1, 0, 1), header_style="dim")
    for i, name in enumerate(columns):
        table.add_column(name, no_wrap=0 < i < len(columns) - 1, overflow="fold")
    return table


def verdict_lines(report: Report, headline: str, summary: str, reasons: Sequence[str], out: Console) -> None:
    """Print the verdict in its colour, the figures behind it, and what else has to be known."""
    out.print()
    out.print(Text(f"  {headline}", style=f"bold {'green' if report.verdict == 'pass' else 'red'}"))
    out.print(Text(f"  {summary}"))
    for reason in reasons:
        out.print(Text(f"  · {printable(reason, 600)}", style="dim"))
    out.print()


def windows_speed(report: Report, out: Console) -> None:
    """Print what a window of readings costs, and the replay."""
    ms = report.latency_ms
    out.print(
        Text(
            f"  one window   {milliseconds(ms['p50'])} (p95 {milliseconds(ms['p95'])}, p99 {milliseconds(ms['p99'])}); "
            f"in batches {report.throughput:,.0f} a second; {size(report.size_bytes)} on disk"
        )
    )
    if report.replay is not None:
        rows, differ = report.replay.get("rows", 0), report.replay.get("disagreements", 0)
        out.print(Text(f"  replay       {rows:,} windows through the running server, {differ:,} answered differently"))
