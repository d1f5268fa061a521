"""`shokunin decisions …`: the log of who changed what, and whether it is as it was written."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shokunin.cli.output import Output, emit, reporting, table
from shokunin.errors import ShokuninError

if TYPE_CHECKING:
    from shokunin.serve.decisions import Event

app = typer.Typer(
    help="The log of decisions: list, verify.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

InProject = Annotated[Path | None, typer.Option("--project", help="The project's folder; by default this one.")]
HowToAnswer = Annotated[Output, typer.Option("--output", help="For people, or one JSON document.")]


@app.command("list")
def list_all(
    limit: Annotated[int, typer.Option(min=1, help="At most this many, the newest.")] = 50,
    project: InProject = None,
    output: HowToAnswer = Output.text,
) -> None:
    """The newest decisions. Starts and stops, promotions, keys, promises, erasures."""
    with reporting(output):
        from collections import deque

        from shokunin.serve.decisions import DecisionLog

        found = deque(DecisionLog(_path(project)).read(), maxlen=limit)
    if output is Output.json:
        emit({"decisions": [one.__dict__ for one in found]})
    elif not found:
        typer.echo("nothing has been decided here yet")
    else:
        rows = [(str(d.n), d.time[:19] + "Z", d.what, d.who, json.dumps(d.details, ensure_ascii=False)) for d in found]
        table(("n", "time", "what", "who", "details"), rows)


@app.command()
def verify(
    head: Annotated[
        str | None,
        typer.Option(metavar="HASH", help="A hash noted earlier, which must be in the log: shows a cut-off end."),
    ] = None,
    project: InProject = None,
    output: HowToAnswer = Output.text,
) -> None:
    """Check every line of the log against the one before. Exit code 2 names the first that was changed."""
    with reporting(output):
        from shokunin.serve.decisions import verify as check

        path = _path(project)
        verdict = check(path, head=head)
    if output is Output.json:
        emit({"log": str(path), "lines": verdict.lines, "head": verdict.head})
    else:
        if not verdict.lines:
            typer.echo("nothing has been decided here yet")
            return
        many = "1 line, as it was" if verdict.lines == 1 else f"{verdict.lines} lines, all as they were"
        typer.echo(f"{many} written; the hash of the last, to note elsewhere:")
        typer.echo(verdict.head)


def decided(project: Path | None, what: Event, **details: Any) -> None:
    """Write into the log that whoever sits at this machine has decided something.

    Raises:
        ArtefactError: the log is damaged.
    """
    from shokunin.serve.decisions import DecisionLog

    DecisionLog(_path(project)).append(what, _user(), **details)


def noted(project: Path | None, what: Event, **details: Any) -> None:
    """As `decided`, of what has happened already: that it could not be written down is said on stderr."""
    try:
        decided(project, what, **details)
    except ShokuninError as error:
        typer.echo(f"done, but the log of decisions could not be written: {error}", err=True)


def _user() -> str:
    try:
        return f"user {getpass.getuser()}"
    except (OSError, KeyError, ImportError):  # a container may run under a number that has no name
        return "user unknown"


def _path(project: Path | None) -> Path:
    from shokunin.project import open_project
    from shokunin.serve.decisions import FILE

    return open_project(project).traffic / FILE
