"""`shokunin keys …`: who may use the server, for what, and how much."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shokunin.cli.decisions import decided, noted
from shokunin.cli.output import Output, emit, reporting, table
from shokunin.errors import ShokuninError

if TYPE_CHECKING:
    from shokunin.serve.keys import Key, KeyFile

app = typer.Typer(
    help="Keys of the server: make, list, revoke.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

InProject = Annotated[Path | None, typer.Option("--project", help="The project's folder; by default this one.")]
HowToAnswer = Annotated[Output, typer.Option("--output", help="For people, or one JSON document.")]
_UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 365 * 86400.0}


@app.command()
def create(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="Whose it is; the record of traffic calls it so.", show_default=False),
    ],
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL", help="A specialist or upstream model it may ask, * for any; by default all."),
    ] = None,
    permission: Annotated[
        list[str] | None,
        typer.Option(help="What it may do: answer, feedback, metrics, traffic, admin; by default the first two."),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How long it is good for, such as 12h, 90d, 1y; by default for ever."),
    ] = None,
    requests_per_minute: Annotated[int | None, typer.Option(min=1, help="Requests in any 60 seconds.")] = None,
    tokens_per_minute: Annotated[int | None, typer.Option(min=1, help="Tokens in any 60 seconds.")] = None,
    tokens_per_day: Annotated[int | None, typer.Option(min=1, help="Tokens in a day (UTC).")] = None,
    usd_per_day: Annotated[float | None, typer.Option(help="US dollars for upstreams in a day (UTC).")] = None,
    usd_per_month: Annotated[float | None, typer.Option(help="US dollars for upstreams in a month (UTC).")] = None,
    project: InProject = None,
    output: HowToAnswer = Output.text,
) -> None:
    """Make a key and show it, once. From then on the server asks for one, on this machine too."""
    with reporting(output):
        from shokunin.serve.callers import Allowance
        from shokunin.serve.keys import DEFAULT

        limits = Allowance(requests_per_minute, tokens_per_minute, tokens_per_day, usd_per_day, usd_per_month)
        file = _file(project)
        first = not file.read()
        key, secret = file.create(
            name,
            permissions=permission or sorted(DEFAULT),
            models=allow or [],
            seconds=None if expires is None else _seconds(expires),
            limits=limits,
        )
        try:
            decided(project, "key_created", **_about(key))
        except ShokuninError:
            file.revoke(key.id)  # nobody has seen it, and a key that no log knows of should not be
            raise
    if output is Output.json:
        emit({"key": secret, **_plain(key)})
        return
    typer.echo(secret)
    typer.echo(f"this is the key of {key.name}: keep it now, it is not kept here and cannot be shown again", err=True)
    if first:
        typer.echo("it is the first one: from now on the server answers nobody without a key", err=True)


@app.command("list")
def list_all(project: InProject = None, output: HowToAnswer = Output.text) -> None:
    """Every key. What it may do, its limits, and whether it is still good; never the key itself."""
    with reporting(output):
        keys = [_plain(key) for key in _file(project).read()]
    if output is Output.json:
        emit({"keys": keys})
    elif not keys:
        typer.echo("no key yet: the server answers this machine only, and asks nobody; `shokunin keys create NAME`")
    else:
        titles = ("name", "id", "state", "may", "models", "limits", "expires", "made")
        table(titles, [_row(key) for key in keys])


@app.command()
def revoke(
    name_or_id: Annotated[
        str, typer.Argument(metavar="NAME_OR_ID", help="The key's name, or its id if a name has several.")
    ],
    project: InProject = None,
    output: HowToAnswer = Output.text,
) -> None:
    """Take a key back, for good. A running server refuses it within two seconds."""
    with reporting(output):
        file = _file(project)
        key = file.revoke(name_or_id)
        noted(project, "key_revoked", key=key.id, name=key.name)
    if output is Output.json:
        emit(_plain(key))
    else:
        typer.echo(f"revoked the key {key.id} of {key.name}; a running server refuses it within two seconds")


def _file(project: Path | None) -> KeyFile:
    from shokunin.project import open_project
    from shokunin.serve.keys import KeyFile

    return KeyFile(open_project(project).keys)


def _about(key: Key) -> dict[str, Any]:
    """What the log of decisions says of a new key."""
    said = ("permissions", "models", "limits", "expires")
    return {"key": key.id, "name": key.name, **{k: v for k, v in _plain(key).items() if k in said}}


def _seconds(text: str) -> float:
    from shokunin.errors import UsageError

    found = re.fullmatch(r"(\d{1,6})([mhdwy])", text.strip())
    if not found:
        raise UsageError(f"--expires is a number with m, h, d, w or y, for instance 90d, not {text!r}")
    return int(found[1]) * _UNITS[found[2]]


def _plain(key: Key) -> dict[str, Any]:
    """All that is kept of a key but its digest."""
    import time
    from dataclasses import asdict

    return {
        "id": key.id,
        "name": key.name,
        "state": key.state(time.time()),
        "permissions": sorted(key.scopes.permissions),
        "models": list(key.scopes.models),
        "limits": {name: value for name, value in asdict(key.limits).items() if value is not None},
        "created": _when(key.created),
        "expires": _when(key.expires),
        "revoked": _when(key.revoked),
    }


def _when(seconds: float | None) -> str | None:
    import time

    return None if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _row(key: dict[str, Any]) -> tuple[str, ...]:
    limits = ", ".join(f"{value:g} {name.replace('_', ' ')}" for name, value in key["limits"].items())
    return (
        key["name"],
        key["id"],
        key["state"],
        ", ".join(key["permissions"]),
        ", ".join(key["models"]) or "all",
        limits or "none",
        (key["expires"] or "never")[:10],
        key["created"][:10],
    )
