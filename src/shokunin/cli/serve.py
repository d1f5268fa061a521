"""`shokunin serve`: the specialists of a project, and what they cannot answer, behind one OpenAI-compatible address."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from shokunin.cli.output import Output, bars, reporting
from shokunin.progress import Progress


class LogStyle(Enum):
    """How the log is written."""

    text = "text"
    json = "json"
    off = "off"


def serve(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="Specialists to serve; by default all: of each its champion, else its newest version.",
            show_default=False,
        ),
    ] = None,
    specialist: Annotated[
        list[Path] | None, typer.Option(help="Serve this specialist's folder, published or not.")
    ] = None,
    base: Annotated[
        list[str] | None,
        typer.Option(
            help="Answer with this base language model too: pkg:NAME, hf:org/name, a .gguf file or a model folder."
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            help="Address to listen on; only loopback is allowed without keys. By default the project's, 127.0.0.1."
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on; by default the project's, 8321.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads for each model; by default one for each core.")
    ] = None,
    record: Annotated[
        bool, typer.Option(help="Keep what is asked and answered in the project's folder `traffic`.")
    ] = True,
    log: Annotated[
        LogStyle | None,
        typer.Option(help="A line for each request on stderr: text, json or off. By default text on a terminal."),
    ] = None,
    log_file: Annotated[Path | None, typer.Option(help="Write the log to this file instead of stderr.")] = None,
    project: Annotated[Path | None, typer.Option(help="The project's folder; by default this one.")] = None,
) -> None:
    """Serve specialists, and pass on what they cannot answer.

    Behind one OpenAI-compatible address, at /v1/chat/completions and /v1/specialists/NAME/predict, until Ctrl-C.
    """
    with reporting(Output.text), ExitStack() as drawn:
        from shokunin.pipeline import serving

        progress = drawn.enter_context(bars(Output.text)) if sys.stderr.isatty() else _noted()

        def begun(url: str, ids: list[str]) -> None:
            drawn.close()
            _started(url, ids)

        serving.serve(
            names or [],
            folders=specialist or [],
            bases=base or [],
            host=host,
            port=port,
            threads=threads,
            project=project,
            record=record,
            log=None if log is None else log.value,
            log_file=log_file,
            started=begun,
            progress=progress,
        )


def _noted() -> Progress:
    """A line on stderr for each thing that takes time, where there is no terminal to draw a bar on."""
    seen: set[str] = set()

    def progress(what: str, done: float, total: float | None) -> None:
        if what not in seen:
            seen.add(what)
            typer.echo(what, err=True)

    return progress


def _started(url: str, ids: list[str]) -> None:
    what = ", ".join(ids) or "no specialist yet, only what is passed on"
    typer.echo(f"serving {what} at {url}/v1 (OpenAI-compatible; Ctrl-C stops)", err=True)
