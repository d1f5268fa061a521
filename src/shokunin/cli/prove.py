"""`shokunin prove NAME [DATA]`: the report on sealed or given rows, alone or against a large model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shokunin.cli.output import Output, bars, emit, reporting


def prove(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A specialist: NAME, NAME@champion, NAME@3, or its folder.", show_default=False
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Argument(metavar="DATA", help="Rows with answers; by default the sealed rows it was trained beside."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="Compare with column:NAME of DATA, a file of recorded answers, another specialist, or URL#MODEL."
        ),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            metavar="UPSTREAM#MODEL",
            help="Of written answers: a model that says which is better, this specialist's or that of --against.",
        ),
    ] = None,
    failures: Annotated[
        Path | None,
        typer.Option(help="Of machines: a file with the unit and time of each failure; DATA then holds new readings."),
    ] = None,
    horizon: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Of machines trained without failures: steps before one in which an alarm counts for it; by default half the "
            "time that the budget allows between two alarms.",
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write the page here; by default into the project's reports folder.")
    ] = None,
    project: Annotated[Path | None, typer.Option(help="The project's folder; by default this one.")] = None,
    output: Annotated[Output, typer.Option(help="For people, or one JSON document.")] = Output.text,
) -> None:
    """Prove a specialist on rows it has not seen. Exit code 1 when the verdict is no."""
    with reporting(output):
        from shokunin import pipeline
        from shokunin.prove.render import report_html, report_json, report_terminal

        with bars(output) as progress:
            made = pipeline.prove(
                name, data, against=against, judge=judge, failures=failures, horizon=horizon, project=project,
                progress=progress,
            )  # fmt: skip
        page = pipeline.keep_report(made, report_html(made), place=report, project=project)
        if output is Output.json:
            emit({**report_json(made), "page": str(page)})
        else:
            report_terminal(made)
            typer.echo(f"\n  report   {page}")
    if made.verdict != "pass":
        raise typer.Exit(1)
