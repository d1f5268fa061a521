"""`shokunin traffic …`: what went through the gateway: list, show, follow, count, take out, erase."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shokunin.cli.decisions import noted
from shokunin.cli.output import Output, bars, emit, reporting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shokunin.cost import Currency, Quote
    from shokunin.exchange import Exchange
    from shokunin.traffic.reading import Filter
    from shokunin.traffic.stats import WorkloadStats

app = typer.Typer(
    help="What went through the gateway: list, stats, export and more.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

Since = Annotated[str | None, typer.Option(help="Not before: 30m, 2h, 7d ago, or a date such as 2026-11-01 (UTC).")]
Until = Annotated[str | None, typer.Option(help="Before this time, written likewise.")]
OfTask = Annotated[str | None, typer.Option("--task", help="Only this task's; '' is what was not recognised.")]
OfClient = Annotated[str | None, typer.Option("--client", help="Only this client's: the name of its key.")]
OfRoute = Annotated[str | None, typer.Option("--route", help="Only what went this way: local, escalated, passed, …")]
InProject = Annotated[Path | None, typer.Option("--project", help="The project's folder; by default this one.")]
Database = Annotated[
    str | None, typer.Option("--database", help="The URL of the database; by default as the project's settings say.")
]
HowToAnswer = Annotated[Output, typer.Option("--output", help="For people, or JSON.")]


@app.command("list")
def list_some(
    since: Since = None,
    until: Until = None,
    task: OfTask = None,
    client: OfClient = None,
    route: OfRoute = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    project: InProject = None,
    database: Database = None,
    output: HowToAnswer = Output.text,
) -> None:
    """The newest exchanges, without what was said in them."""
    with reporting(output):
        from shokunin.cli import record
        from shokunin.traffic import reading

        which = _filter(since, until, task, client, route)
        with record.open_traffic(project, database) as store:
            found = list(reading.read(store, which, newest_first=True, limit=limit, bodies=False))
    if output is Output.json:
        emit({"exchanges": [_plain(exchange, bodies=False) for exchange in found]})
        return
    for exchange in reversed(found):
        typer.echo(_line(exchange))
    if not found:
        typer.echo("no exchange fits")


@app.command()
def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="The reply's x-request-id.", show_default=False)],
    project: InProject = None,
    database: Database = None,
    output: HowToAnswer = Output.text,
) -> None:
    """One exchange. With request and reply, if they are kept."""
    with reporting(output):
        from shokunin.cli import record
        from shokunin.errors import UsageError
        from shokunin.traffic import reading

        with record.open_traffic(project, database) as store:
            found = reading.get(store, id)
        if found is None:
            raise UsageError(
                f"there is no exchange {id!r} in the record; `shokunin traffic list` shows which there are"
            )
    if output is Output.json:
        emit(_plain(found, bodies=True))
        return
    for name, value in _plain(found, bodies=False).items():
        if value not in (None, ""):
            typer.echo(f"{name:<20}{_time(value) if name == 'timestamp' else _printable(str(value))}")
    for name, body in (("request", found.request), ("response", found.response)):
        typer.echo(f"\n{name}\n{'(not kept)' if body is None else json.dumps(body, indent=2)}")


@app.command()
def tail(
    task: OfTask = None,
    client: OfClient = None,
    route: OfRoute = None,
    project: InProject = None,
    database: Database = None,
    output: HowToAnswer = Output.text,
) -> None:
    """Exchanges as they come, until Ctrl-C. As JSON one a line, with request and reply."""
    with reporting(output):
        from shokunin.cli import record

        which = _filter(None, None, task, client, route)
        with record.open_traffic(project, database) as store:
            try:
                for exchange in record.follow(store, which):
                    as_json = output is Output.json
                    typer.echo(json.dumps(_plain(exchange, bodies=True)) if as_json else _line(exchange))
                    sys.stdout.flush()
            except KeyboardInterrupt:
                pass  # this is how it is ended


@app.command()
def stats(
    since: Since = None,
    until: Until = None,
    task: OfTask = None,
    client: OfClient = None,
    project: InProject = None,
    database: Database = None,
    output: HowToAnswer = Output.text,
) -> None:
    """For each task who answered, how quickly, for how much, and about how much was saved."""
    with reporting(output):
        from shokunin.cli import record
        from shokunin.traffic import stats as statistics

        which = _filter(since, until, task, client, None)
        with record.open_traffic(project, database) as store:
            found = statistics.stats(store, which)
        priced, unit = record.pricing(project), record.currency(project)
    quotes = {one.workload: priced(one.workload) for one in found}
    saved = {one.workload: one.saving(partial(_charged, quotes[one.workload])) for one in found}
    if output is Output.json:
        tasks = [_figures(one, saved[one.workload], quotes[one.workload]) for one in found]
        emit({"since": which.since, "until": which.until, "tasks": tasks})
    elif found:
        _table(found, unit)
        _savings(found, saved, quotes, unit)
    else:
        typer.echo("no exchange fits")


@app.command()
def export(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A name that ends in .jsonl or .parquet.", show_default=False)
    ],
    since: Since = None,
    until: Until = None,
    task: OfTask = None,
    client: OfClient = None,
    route: OfRoute = None,
    project: InProject = None,
    database: Database = None,
    output: HowToAnswer = Output.text,
) -> None:
    """Write exchanges to a file, oldest first, in the shape that `discover` and other tools read."""
    with reporting(output):
        from shokunin.cli import record
        from shokunin.traffic import export as exporting
        from shokunin.traffic import reading

        which = _filter(since, until, task, client, route)
        with record.open_traffic(project, database) as store, bars(output) as progress:
            total = reading.count(store, which)
            count = exporting.export(store, file, which, progress=lambda done: progress("writing", done, total))
    if output is Output.json:
        emit({"file": str(file), "exchanges": count})
    else:
        typer.echo(f"{count} exchanges are in {file}")


@app.command()
def erase(
    client: Annotated[str, typer.Option(help="The name of the client's key.", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", help="Yes, for good.")] = False,
    project: InProject = None,
    database: Database = None,
    output: HowToAnswer = Output.text,
) -> None:
    """Delete all that a client sent and got, for good. Files that were exported stay."""
    with reporting(output):
        from shokunin.cli import record
        from shokunin.errors import UsageError
        from shokunin.traffic import reading

        with record.open_traffic(project, database) as store:
            if not yes:
                count = reading.count(store, reading.Filter(client=client))
                raise UsageError(f"this would delete {count} exchanges of the client {client!r} for good; add --yes")
            gone = record.erase(store, client, project=project)
        noted(project, "traffic_erased", client=client, exchanges=gone)
    if output is Output.json:
        emit({"client": client, "erased": gone})
    else:
        typer.echo(f"{gone} exchanges of {client} are deleted")


def _filter(since: str | None, until: str | None, task: str | None, client: str | None, route: str | None) -> Filter:
    from shokunin.cli.record import chosen

    return chosen(since=since, until=until, task=task, client=client, route=route, now=time.time())


def _plain(exchange: Exchange, *, bodies: bool) -> dict[str, Any]:
    values = asdict(exchange)
    return values if bodies else {name: v for name, v in values.items() if name not in ("request", "response")}


def _line(exchange: Exchange) -> str:
    """One exchange in a line."""
    sure = "" if exchange.confidence is None else f" ({exchange.confidence:.2f})"
    answer = "" if exchange.value is None else f" → {exchange.value[:60]}{sure}"
    cost = "" if exchange.cost is None else f" ${exchange.cost:.6f}"
    return _printable(
        f"{_time(exchange.timestamp)} {exchange.id} {exchange.status} {exchange.route:<9} "
        f"{exchange.workload_id or '–'} {exchange.specialist or exchange.upstream or exchange.model or '–'} "
        f"{exchange.seconds * 1000:.0f} ms{cost}{answer}{f' [{exchange.problem}]' if exchange.problem else ''}"
    )


def _time(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def _printable(text: str) -> str:
    """What clients wrote must not move the terminal's cursor."""
    return "".join(c if c.isprintable() else " " for c in text)


def _charged(quoted: Quote | None, prompt_tokens: int, completion_tokens: int) -> float | None:
    return None if quoted is None else quoted.price.of(prompt_tokens, completion_tokens)


def _figures(one: WorkloadStats, saving: float | None, quoted: Quote | None) -> dict[str, Any]:
    return {
        "task": one.workload,
        "requests": one.requests,
        "shares": {route: one.share(route) for route in one.routes if route not in ("audit", "feedback")},
        "cost": one.cost,
        "saving": saving,
        "price": None if quoted is None else {"model": quoted.model, "as_of": quoted.as_of},
        "routes": {route: asdict(figures) for route, figures in one.routes.items()},
    }


def _table(found: list[WorkloadStats], unit: Currency) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for title in ("task", "route", "count", "share", "p50 ms", "p95 ms", "tokens", "cost", "problems"):
        table.add_column(title, justify="left" if title in ("task", "route") else "right")
    for one in found:
        for i, (route, r) in enumerate(one.routes.items()):
            about = route in ("audit", "feedback")
            table.add_row(
                Text(_printable(one.workload or "(not recognised)") if i == 0 else ""),
                route,
                str(r.count),
                "" if about else f"{100 * one.share(route):.1f} %",
                "" if route == "feedback" else f"{r.p50_seconds * 1000:.0f}",
                "" if route == "feedback" else f"{r.p95_seconds * 1000:.0f}",
                str(r.prompt_tokens + r.completion_tokens),
                unit.show(r.cost) if r.priced else "–",
                str(r.problems) if r.problems else "",
            )
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 1000  # a file or a pipe has no edge to wrap at
    console.print(table)


def _savings(
    found: list[WorkloadStats], saved: dict[str, float | None], quotes: Mapping[str, Quote | None], unit: Currency
) -> None:
    for one in found:
        if one.workload and "local" in one.routes:
            amount, audits = saved[one.workload], one.routes.get("audit")
            quoted = quotes[one.workload]
            dated = "" if quoted is None or quoted.as_of is None else f" by the {quoted.origin}"
            unknown = "not known: its large model has no price; write it under [prices] in shokunin.toml"
            worth = unknown if amount is None else f"about {unit.show(amount)}{dated}"
            less = f", while audits cost {unit.show(audits.cost)}" if audits is not None and audits.priced else ""
            typer.echo(f"saved by {_printable(one.workload)}: {worth}{less}")
