"""The command line: `shokunin COMMAND`. Each command is a file; it parses, calls the pipeline and prints.

Nothing heavy is imported before a command runs, so that `--help` is quick.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from shokunin.cli.compress import compress
from shokunin.cli.cost import cost
from shokunin.cli.curate import curate
from shokunin.cli.decisions import app as decisions
from shokunin.cli.discover import discover
from shokunin.cli.distill import distill
from shokunin.cli.doctor import doctor
from shokunin.cli.init import init
from shokunin.cli.keys import app as keys
from shokunin.cli.models import app as models
from shokunin.cli.predict import predict
from shokunin.cli.prove import prove
from shokunin.cli.quickstart import quickstart
from shokunin.cli.serve import serve
from shokunin.cli.traffic import app as traffic
from shokunin.cli.train import train
from shokunin.version import __version__

app = typer.Typer(
    name="shokunin",
    help="Small models that you own: trained on your data, proven, served from your machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help texts hold brackets that mean themselves, and plain help is quicker
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Say which release this is, and stop.")] = False,
) -> None:
    """Small models that you own: trained on your data, proven, served from your machine."""
    if version:
        typer.echo(f"shokunin {__version__}")
        raise typer.Exit


for command in (quickstart, init, discover, curate, distill, train, compress, prove, predict, serve, cost, doctor):
    app.command()(command)
app.add_typer(models, name="models")
app.add_typer(traffic, name="traffic")
app.add_typer(keys, name="keys")
app.add_typer(decisions, name="decisions")


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8")  # a Windows console's code page cannot hold every label
    app()
