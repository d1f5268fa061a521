"""`shokunin init DIR`: a project folder with commented settings and an example task; what is there stays."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shokunin.cli.output import Output, emit, reporting


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The project's folder, new or not.", show_default=False)
    ],
    output: Annotated[Output, typer.Option(help="For people, or one JSON document.")] = Output.text,
) -> None:
    """Make a project folder.

    It gets a shokunin.toml, an example task.toml and a .gitignore, each only if it is not there.
    """
    with reporting(output):
        from shokunin.project import init_project, open_project

        written = init_project(folder)
        project = open_project(folder)
    if output is Output.json:
        emit({"project": str(project.root), "written": [str(path) for path in written]})
        return
    for path in written:
        typer.echo(f"wrote {path}")
    if not written:
        typer.echo(f"{folder} has everything already; nothing was written")
    typer.echo(f"next: put one file of past rows into {folder / 'tasks' / 'example' / 'rows'}, and then")
    typer.echo(f"      shokunin train {folder / 'tasks' / 'example'} --project {folder}")
