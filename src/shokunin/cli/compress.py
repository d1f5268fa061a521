"""`shokunin compress NAME`: smaller weights, measured again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shokunin.cli.decisions import noted
from shokunin.cli.output import Output, bars, emit, reporting


def compress(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A specialist: NAME, NAME@champion or NAME@3.", show_default=False)
    ],
    method: Annotated[str, typer.Option(help="How: integer (8 bits).")] = "integer",
    project: Annotated[Path | None, typer.Option(help="The project's folder; by default this one.")] = None,
    output: Annotated[Output, typer.Option(help="For people, or one JSON document.")] = Output.text,
) -> None:
    """Publish a smaller version of a specialist.

    It is calibrated, proven and replayed again. Exit code 1 when its verdict is no.
    """
    with reporting(output):
        from shokunin import pipeline
        from shokunin.prove.render import report_json, report_terminal

        with bars(output) as progress:
            specialist = pipeline.compress(name, method=method, project=project, progress=progress)
        report = pipeline.read_report(specialist)
        if report.verdict == "pass" and pipeline.held_back(specialist, project=project) is None:
            noted(project, "specialist_promoted", specialist=specialist.id, alias="champion", digest=specialist.digest)
        if output is Output.json:
            emit({**report_json(report), "folder": str(specialist.folder)})
        else:
            report_terminal(report)
            typer.echo(f"\n  published   {specialist.folder}")
    if report.verdict != "pass":
        raise typer.Exit(1)
