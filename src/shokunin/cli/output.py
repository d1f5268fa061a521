"""What commands say: one JSON document, or text for people; errors with their exit code; progress bars on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

import typer

from shokunin.errors import ShokuninError
from shokunin.progress import Progress, silent


class Output(StrEnum):
    """How a command answers."""

    text = "text"
    json = "json"


def emit(value: Any) -> None:
    """One JSON document on stdout, nothing else."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def say(text: str = "", *, output: Output = Output.text, title: str = "") -> None:
    """A line for people, its title bold; silent when the answer is JSON. No markup: a path may hold brackets."""
    if output is Output.text:
        from rich.console import Console
        from rich.text import Text

        Console(highlight=False, soft_wrap=True).print(Text(title, style="bold").append(text, style="not bold"))


def note(text: str) -> None:
    """A line for people that is less important than the others; of texts from outside only what can be printed."""
    from rich.console import Console
    from rich.text import Text

    shown = "".join(c if c.isprintable() else " " for c in text)
    Console(highlight=False, soft_wrap=True).print(Text(shown, style="dim"))


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Rows under titles; as wide as needed where there is no terminal with an edge to wrap at."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for title in titles:
        shown.add_column(title, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(cell) for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 1000
    console.print(shown)


def fail(error: ShokuninError, output: Output) -> typer.Exit:
    """Say what went wrong on stderr (and as JSON on stdout if that was asked for) and return the exit to raise."""
    if output is Output.json:
        emit({"error": {"type": type(error).__name__, "message": str(error)}})
    else:
        from rich.console import Console
        from rich.text import Text

        Console(stderr=True, highlight=False, soft_wrap=True).print(
            Text("error: ", style="bold red").append(str(error), style="not bold default")
        )
    return typer.Exit(error.exit_code)


@contextmanager
def reporting(output: Output) -> Iterator[None]:
    """Turn our errors into a message and an exit code; Ctrl-C into exit code 130 and the word that nothing is half-written."""
    try:
        yield
    except ShokuninError as error:
        raise fail(error, output) from None
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted; nothing half-written was kept. Run the same command again to go on.\n")
        raise typer.Exit(130) from None


@contextmanager
def bars(output: Output) -> Iterator[Progress]:
    """Progress bars on stderr when it is a terminal; otherwise silence."""
    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as drawn:
        task = drawn.add_task("starting", total=None)
        last = ""

        def progress(what: str, done: float, total: float | None) -> None:
            nonlocal task, last
            if what != last:
                drawn.remove_task(task)
                task, last = drawn.add_task(what, total=total), what
            drawn.update(task, completed=done, total=total)

        yield progress
