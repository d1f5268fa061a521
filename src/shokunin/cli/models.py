"""`shokunin models …`: the shelf of published specialists: what is there, which is champion, in and out of archives."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shokunin.cli.decisions import noted
from shokunin.cli.output import Output, bars, emit, reporting

if TYPE_CHECKING:
    from rich.table import Table

    from shokunin.registry import Summary
    from shokunin.specialist import Specialist

app = typer.Typer(
    help="Published specialists: list, promote, export and more.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

SHOWN = ("labels", "weights", "dataset", "steps", "parent", "origin", "licences", "made_with", "files")


class ExportFormat(StrEnum):
    """What `models export` writes."""

    archive = "archive"
    safetensors = "safetensors"
    peft = "peft"
    gguf = "gguf"
    openvino = "openvino"


Reference = Annotated[
    str,
    typer.Argument(
        metavar="REFERENCE", help="NAME, NAME@champion, NAME@3, or a specialist's folder.", show_default=False
    ),
]
InProject = Annotated[Path | None, typer.Option("--project", help="The project's folder; by default this one.")]
HowToAnswer = Annotated[Output, typer.Option("--output", help="For people, or one JSON document.")]


@app.command("list")
def list_all(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Only this specialist.", show_default=False)
    ] = None,
    project: InProject = None,
    output: HowToAnswer = Output.text,
) -> None:
    """Every published version. With its aliases, its proof and its size; damaged ones with the reason."""
    with reporting(output):
        from shokunin import registry

        shelf = _shelf(project)
        found = registry.list_specialists(shelf)
        if name is not None:
            registry.find(shelf, name)  # an unknown name is an error, not an empty list
            found = [s for s in found if s.name == name]
    if output is Output.json:
        emit({"specialists": [_plain(s) for s in found]})
    elif found:
        _table(found)
    else:
        typer.echo("no specialist yet; `shokunin train DATA` makes one")


@app.command()
def show(reference: Reference, project: InProject = None, output: HowToAnswer = Output.text) -> None:
    """One version. What it is for, what it was made from, how well it did, and where."""
    with reporting(output):
        from shokunin import registry
        from shokunin.registry.aliases import read_aliases
        from shokunin.task import task_to_dict

        shelf = _shelf(project)
        folder = registry.find(shelf, reference)
        specialist = registry.read(shelf, reference, verify=False)
        on_shelf = folder.parent.parent == shelf
        summary = registry.summary(folder.parent.parent, specialist.name, specialist.version) if on_shelf else None
        manifest = specialist.manifest
        about: dict[str, Any] = _plain(summary) if summary else {"id": specialist.id, "folder": str(folder)}
        about["task"] = task_to_dict(specialist.task)
        for key in SHOWN:
            about[key] = manifest.get(key)
        about["changes"] = read_aliases(folder.parent).changes if on_shelf else []
    if output is Output.json:
        emit(about)
    else:
        _show(about)


@app.command()
def promote(
    reference: Annotated[
        str,
        typer.Argument(
            metavar="REFERENCE", help="NAME@3, NAME@candidate, or NAME: its newest version.", show_default=False
        ),
    ],
    alias: Annotated[str, typer.Option(help="Which alias should mean this version.")] = "champion",
    force: Annotated[bool, typer.Option("--force", help="Promote it although its verdict is no.")] = False,
    replay: Annotated[
        bool, typer.Option(help="First send its sealed rows through a server and compare with the report.")
    ] = True,
    project: InProject = None,
    output: HowToAnswer = Output.text,
) -> None:
    """Make a version the champion, which NAME alone means. Exit code 1 when its verdict or the replay says no."""
    with reporting(output):
        from shokunin import pipeline, registry
        from shokunin.errors import RefusedError
        from shokunin.pipeline.publish import replay_folder

        shelf = _shelf(project)
        if "@" not in reference and (there := registry.versions(shelf, reference)):
            reference = f"{reference}@{there[-1]}"
        specialist = registry.verify(shelf, reference)
        if specialist.folder.parent.parent != shelf:
            raise _not_on_shelf(reference)
        pipeline.load(specialist.folder, project=project)  # it opens, and answers its golden samples as it did
        if (specialist.folder / "report.json").exists():
            report = pipeline.read_report(specialist)
            if report.verdict != "pass" and not force:
                why = " ".join(report.reasons)
                raise RefusedError(
                    f"{specialist.id!r} did not pass its proof: {why} `--force` promotes it all the same"
                )
            if replay:
                with bars(output) as progress:
                    replay_folder(specialist.folder, report, progress=progress)
        previous = registry.set_alias(shelf, specialist.name, alias, specialist.version)
        facts = {"digest": specialist.digest, "previous": previous, "forced": force}
        noted(project, "specialist_promoted", specialist=specialist.id, alias=alias, **facts)
    if output is Output.json:
        emit({"name": specialist.name, "alias": alias, "version": specialist.version, "previous": previous})
    else:
        before = "it meant nothing before" if previous is None else f"before: version {previous}"
        typer.echo(f"{specialist.name}@{alias} is now version {specialist.version} ({before})")


@app.command()
def rollback(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The specialist's name.", show_default=False)],
    project: InProject = None,
    output: HowToAnswer = Output.text,
) -> None:
    """Make the champion what it was before. One promotion back each time."""
    with reporting(output):
        from shokunin import registry

        shelf = _shelf(project)
        previous = registry.aliases(shelf, name).get(registry.CHAMPION)
        version = registry.rollback(shelf, name)
        noted(project, "specialist_rolled_back", name=name, version=version, previous=previous)
    if output is Output.json:
        emit({"name": name, "alias": "champion", "version": version, "previous": previous})
    else:
        typer.echo(f"{name}@champion is version {version} again (before: version {previous})")


@app.command()
def verify(
    references: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Which; by default every version.", show_default=False),
    ] = None,
    project: InProject = None,
    output: HowToAnswer = Output.text,
) -> None:
    """Compare every byte with the manifest. And ask the golden samples again. Exit code 2 when a version is damaged."""
    with reporting(output):
        from shokunin import pipeline, registry
        from shokunin.errors import ArtefactError

        shelf = _shelf(project)
        chosen = references or [f"{s.name}@{s.version}" for s in registry.list_specialists(shelf)]
        results = []
        for reference in chosen:
            try:
                specialist = registry.verify(shelf, reference)
                pipeline.load(specialist.folder, project=project)
                results.append({"reference": reference, "whole": True, "problem": None, "digest": specialist.digest})
            except ArtefactError as error:
                results.append({"reference": reference, "whole": False, "problem": str(error), "digest": None})
    if output is Output.json:
        emit({"specialists": results})
    for result in results:
        if output is Output.text:
            typer.echo(f"{result['reference']}  {'whole' if result['whole'] else result['problem']}")
    if not all(result["whole"] for result in results):
        raise typer.Exit(2)


@app.command()
def export(
    reference: Reference,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="PLACE", help="Where to: a new .zip or .tar.gz; with --format a new folder.", show_default=False
        ),
    ],
    format: Annotated[
        ExportFormat,
        typer.Option(
            "--format",
            help="The whole specialist as an archive, or its language model alone in a folder for other programs.",
        ),
    ] = ExportFormat.archive,
    rows: Annotated[
        int, typer.Option(min=0, help="With --format: so many sealed rows are asked of what was written.")
    ] = 48,
    yes: Annotated[bool, typer.Option("--yes", help="Keep it although its answers differ.")] = False,
    project: InProject = None,
    output: HowToAnswer = Output.text,
) -> None:
    """Write a verified specialist into one archive. Or its language model into a folder for other programs.

    That folder is read again and must answer as the specialist does; what came of it is in its `export.json`.
    """
    replayed: dict[str, Any] | None = None
    with reporting(output):
        from shokunin import registry

        if format is ExportFormat.archive:
            specialist = registry.export(_shelf(project), reference, file)
        else:
            from shokunin.pipeline.exporting import export as export_model

            specialist = registry.verify(_shelf(project), reference)
            with bars(output) as progress:
                replayed = export_model(
                    specialist, file, format.value, project=project, rows=rows, anyway=yes, progress=progress
                )
    if format is ExportFormat.archive:
        _done(specialist, f"{specialist.id} is in {file} ({_bytes(file.stat().st_size)})", file, output)
    else:
        said = (
            f"the model of {specialist.id} is in {file}; how to run it: {file / 'RUN.md'}\n{_replayed(replayed or {})}"
            f"{_left_out(specialist, replayed or {})}"
        )
        _done(specialist, said, file, output, replay=replayed)


@app.command("import")
def import_one(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .zip or .tar.gz made by `models export`.", show_default=False)
    ],
    project: InProject = None,
    output: HowToAnswer = Output.text,
) -> None:
    """Verify a specialist in an archive and publish it here. Its number stays if it is free."""
    with reporting(output):
        from shokunin import registry

        specialist = registry.import_archive(_shelf(project), file)
    _done(specialist, f"{specialist.id} is published in {specialist.folder}", specialist.folder, output)


@app.command()
def remove(
    reference: Annotated[str, typer.Argument(metavar="REFERENCE", help="NAME@3 or NAME@alias.", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Remove it although it is the champion.")] = False,
    project: InProject = None,
    output: HowToAnswer = Output.text,
) -> None:
    """Remove one version for good; its number is not used again."""
    with reporting(output):
        from shokunin import registry

        name, version = registry.remove(_shelf(project), reference, force=force)
    if output is Output.json:
        emit({"name": name, "version": version, "removed": True})
    else:
        typer.echo(f"{name}@{version} is removed")


def _shelf(project: Path | None) -> Path:
    from shokunin.project import open_project

    return open_project(project).specialists


def _not_on_shelf(reference: str) -> Exception:
    from shokunin.errors import ProjectError

    return ProjectError(
        f"{reference!r} is a folder outside of this project; export it there and `models import` it here"
    )


def _replayed(found: dict[str, Any]) -> str:
    """What came of asking the export."""
    if not found["measured"]:
        return f"its answers were not compared: {found['why']}"
    sealed, golden = found["sealed"], found["golden"]
    asked, agree = sealed["asked"] + golden["asked"], sealed["agree"] + golden["agree"]
    said = f"read again by {found['read_by']}: {agree} of {asked} answers are the specialist's"
    if sealed["score"] is None:
        return said
    own = _score(sealed["metric"], sealed["score_of_the_specialist"])
    return f"{said}; on {sealed['asked']} sealed rows {_score(sealed['metric'], sealed['score'])}, the specialist {own}"


def _left_out(specialist: Specialist, found: dict[str, Any]) -> str:
    """Of a rung of two what was not written, and what that changes."""
    if "part" not in found:
        return ""
    said = (
        f"\nit is {found['part']} alone: {specialist.id} asks {found['left_out']} first, which other programs cannot run, so "
        "that the model alone answers otherwise at times"
    )
    if not found.get("score_of_both"):
        return said
    asked = found["sealed"]["asked"] + found["golden"]["asked"]
    both = _score(found["sealed"]["metric"], found["score_of_both"])
    return f"{said} ({found['agree_with_both']} of {asked} answers are the same; both together {both})"


def _done(specialist: Specialist, text: str, place: Path, output: Output, *, replay: Any = None) -> None:
    if output is Output.json:
        about = {"name": specialist.name, "version": specialist.version, "digest": specialist.digest}
        more = {} if replay is None else {"replay": {k: v for k, v in replay.items() if k != "shown"}}
        emit({**about, "place": str(place), "origin": specialist.manifest.get("origin"), **more})
    else:
        typer.echo(text)


def _plain(summary: Summary) -> dict[str, Any]:
    from dataclasses import asdict

    return {"id": f"{summary.name}@{summary.version}", **asdict(summary), "folder": str(summary.folder)}


def _table(found: list[Summary]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for title in ("specialist", "aliases", "verdict", "score", "learner", "size", "made"):
        table.add_column(title, justify="right" if title == "size" else "left", overflow="fold")
    for s in found:
        verdict = "damaged" if s.damaged else s.verdict or "–"
        shown = Text(verdict, style={"pass": "green", "fail": "red", "damaged": "bold red"}.get(verdict, ""))
        score = "–" if s.score is None else "{value:.3f} ({low:.3f}–{high:.3f})".format(**s.score)
        size = "–" if s.size_bytes is None else _bytes(s.size_bytes)
        name, made = Text(f"{s.name}@{s.version}"), (s.created or "–")[:10]
        table.add_row(name, Text(", ".join(s.aliases)), shown, score, Text(s.learner or "–"), size, made)
    _print(table)
    if metrics := sorted({s.metric for s in found if s.metric}):
        typer.echo(f"score: {' or '.join(metrics)} with its 95 % interval")
    for s in found:
        if s.damaged:
            typer.echo(f"{s.name}@{s.version} is damaged: {s.damaged}")


def _show(about: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    labels, weights = about["labels"], about["weights"]
    steps = [_plain_dict(step) for step in about["steps"]] if isinstance(about["steps"], list) else []
    lines = {
        "specialist": about["id"],
        "aliases": ", ".join(about.get("aliases", ())) or "none",
        "damaged": about.get("damaged"),
        "task": f"{about['task']['kind']}: {', '.join(about['task']['inputs'])} → {about['task']['target']}",
        "answers": _answers(labels, about["task"]),
        "verdict": about.get("verdict"),
        "score": _score(about.get("metric"), about.get("score")) if about.get("score") else None,
        "weights": f"{weights['format']}{'' if weights['exact'] else ', quantised'}",
        "made by": " → ".join(str(step.get("learner") or step.get("step")) for step in steps) or None,
        "made": about.get("created"),
        "parent": about["parent"],
        "imported": _plain_dict(about["origin"]).get("id"),
        "dataset": _plain_dict(about["dataset"]).get("digest"),
        "licences": ", ".join(f"{what}: {which}" for what, which in _plain_dict(about["licences"]).items()) or None,
        "size": _bytes(sum(record["bytes"] for record in about["files"].values())) + f" in {len(about['files'])} files",
        "digest": about.get("digest"),
        "folder": about["folder"],
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for title, line in lines.items():
        if line is not None:
            table.add_row(title, Text(str(line)))
    _print(table)


def _plain_dict(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}  # a manifest may say anything where nothing depends on it


def _print(table: Table) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 1000  # a file or a pipe has no edge to wrap at
    console.print(table)


def _score(metric: str | None, score: dict[str, float] | None) -> str:
    return f"{metric} {score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]" if score else "–"


def _bytes(count: int) -> str:
    size, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"


def _answers(labels: list[str], task: dict[str, Any]) -> str | None:
    """The labels, or the fields that it finds; nothing to tell of written texts."""
    fields = (task.get("options") or {}).get("fields") or {}
    told, what = (labels, "") if labels else (list(fields), " fields")
    return f"{len(told)}{what}: {', '.join(told[:8])}{' …' if len(told) > 8 else ''}" if told else None
