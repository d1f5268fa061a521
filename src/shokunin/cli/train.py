"""`shokunin train DATA`: curate if needed, fit the ladder, choose, prove, replay, publish."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from shokunin.cli.decisions import noted
from shokunin.cli.output import Output, bars, emit, note, reporting
from shokunin.task import KINDS


def train(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Rows (CSV, TSV, JSONL, Parquet, XLSX), an OpenAI fine-tuning file, a curated dataset, or a task's folder.",
            show_default=False,
        ),
    ],
    name: Annotated[str | None, typer.Option(help="The specialist's name; by default the file's.")] = None,
    test: Annotated[Path | None, typer.Option(help="Rows to seal as the test; by default a part of DATA.")] = None,
    validation: Annotated[
        Path | None, typer.Option(help="The same as --test, as it is called beside an OpenAI fine-tuning file.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help=f"One of {', '.join(KINDS)}; by default what the answers look like.")
    ] = None,
    input: Annotated[
        list[str] | None, typer.Option(help="A column to read; may be given several times. Guessed and shown.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(help="The column with the answer, or those of its fields: date,total. Guessed and shown."),
    ] = None,
    base: Annotated[
        list[str] | None,
        typer.Option(help="Base model: hf:org/name[@rev], org/name, a folder, a .gguf file, or pkg:NAME."),
    ] = None,
    budget: Annotated[
        float | None, typer.Option(min=0.05, help="Minutes to spend on training; by default the project's, 30.")
    ] = None,
    learner: Annotated[
        list[str] | None, typer.Option(help="Try only these learners; may be given several times.")
    ] = None,
    learner_option: Annotated[
        list[str] | None,
        typer.Option(
            help="An option of a learner: LEARNER.NAME=VALUE, as causal_lora.r=8; may be given several times."
        ),
    ] = None,
    metric: Annotated[str | None, typer.Option(help="What the verdict is about, such as accuracy or field_f1.")] = None,
    target_score: Annotated[
        float | None, typer.Option(min=0, max=1, help="Pass only if the metric's lower end reaches this.")
    ] = None,
    max_error: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Of the answers it gives itself, at most this share may be wrong."),
    ] = None,
    failures: Annotated[
        Path | None,
        typer.Option(
            help="Of machines: a file with the unit and time of each failure; DATA then holds their readings."
        ),
    ] = None,
    equipment: Annotated[Path | None, typer.Option(help="Of machines: a file with what each unit is called.")] = None,
    horizon: Annotated[
        list[int] | None, typer.Option(help="Of machines: so many steps ahead; several times. By default 30, 60, 90.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(help="What only this kind of work has to be told, as in task.toml: NAME=VALUE; several times."),
    ] = None,
    mask: Annotated[bool, typer.Option("--mask", help="Mask personal data before training.")] = False,
    keep_leaks: Annotated[
        bool, typer.Option("--keep-leaks", help="Only count training rows that repeat test rows; do not take them out.")
    ] = False,
    seed: Annotated[int, typer.Option(help="For the split and the fits.")] = 0,
    project: Annotated[Path | None, typer.Option(help="The project's folder; by default this one.")] = None,
    output: Annotated[Output, typer.Option(help="For people, or one JSON document.")] = Output.text,
) -> None:
    """Train a specialist from past work, prove it and publish it.

    Exit code 0: it passed. 1: it was published but its verdict is no, or its served answers differ. 2: the input cannot be used.
    """
    with reporting(output):
        from shokunin import pipeline
        from shokunin.pipeline.fleet_rows import parse_options
        from shokunin.pipeline.learner_options import parse_learner_options
        from shokunin.prove.render import report_json, report_terminal

        options = parse_options(option or []) | {
            key: value
            for key, value in (
                ("failures", failures and str(failures.resolve())),
                ("equipment", equipment and str(equipment.resolve())),
                ("horizons", horizon),
            )
            if value
        }
        with bars(output) as progress:
            specialist = pipeline.train(
                data, name=name, test=test, validation=validation, kind=kind, inputs=input, target=target, base=base,
                budget=budget, learners=learner, metric=metric, target_score=target_score, max_error=max_error,
                mask=mask, keep_leaks=keep_leaks, options=options,
                learner_options=parse_learner_options(learner_option or []), seed=seed, project=project, progress=progress,
            )  # fmt: skip
        report = pipeline.read_report(specialist)
        held = pipeline.held_back(specialist, project=project) if report.verdict == "pass" else None
        if report.verdict == "pass" and held is None:
            noted(project, "specialist_promoted", specialist=specialist.id, alias="champion", digest=specialist.digest)
        if report.anticipation is not None:
            taken: dict[str, Any] = {"taken": report.anticipation["taken"], "read": report.anticipation["read"]}
            lines, sample = _taken(report.anticipation), f"predict {specialist.name} READINGS.csv --out risks.csv"
        else:
            facts, folder = pipeline.curated(specialist, project=project)
            taken = {"columns": facts["columns"], "warnings": facts["warnings"], "data_card": str(folder / "card.html")}
            lines, sample = _curated(facts, folder), f'predict {specialist.name} "…"'
        if output is Output.json:
            emit({**report_json(report), "folder": str(specialist.folder), **taken, "not_promoted": held})
        else:
            for line in lines:
                note(f"  {line}")
            report_terminal(report)
            typer.echo(f"\n  published   {specialist.folder}")
            typer.echo(f"  report      {specialist.folder / 'report.html'}")
            typer.echo(f"  try it      shokunin {sample}")
            typer.echo(f"  serve it    shokunin serve {specialist.name}")
            if held is not None:
                typer.echo(f"\n  not promoted, the champion stays: {held}")
                typer.echo(f"  promote it  shokunin models promote {specialist.id}")
    if report.verdict != "pass":
        raise typer.Exit(1)


def _taken(found: dict[str, Any]) -> list[str]:
    """What was taken for what in a table of readings, and what was found in it."""
    from shokunin.prove.reading_facts import tables_told
    from shokunin.prove.wording import printable

    rows, taken = found["read"]["rows"], found["taken"]
    columns, aside = taken["columns"], rows["aside"]
    said = ", ".join(f"{n:,} × {reason}" for reason, n in aside.items())
    units = found["read"]["units"]
    return [
        f"rows        {rows['in']:,} in, {rows['used']:,} used, {sum(aside.values()):,} set aside{f' ({said})' if said else ''}",
        f"units       {units['used']:,} of {units['in']:,}, by column {columns['unit']!r}; time: {columns['time']!r}",
        f"channels    {', '.join(map(str, columns['channels'][:12]))}",
        f"split       {taken['split']}",
        *(
            f"{'found' if number == 0 else '':<12}{name}: {printable(told, 400)}"
            for number, (name, told) in enumerate(tables_told(found))
        ),
    ]


def _curated(facts: dict[str, Any], folder: Path) -> list[str]:
    """What was taken for what in the rows, and what was found in them."""
    rows, columns = facts["rows"], facts["columns"]
    aside = ", ".join(f"{n:,} × {reason}" for reason, n in rows["set_aside"].items())
    total = sum(rows["set_aside"].values())
    taken = columns["why"] or [f"label: column {columns['target']!r}; text: {', '.join(map(repr, columns['inputs']))}"]
    return [
        f"rows        {rows['in']:,} in, {rows['used']:,} used, {total:,} set aside{f' ({aside})' if aside else ''}",
        *(f"{'columns' if number == 0 else '':<12}{why}" for number, why in enumerate(taken)),
        *(f"warning     {warning}" for warning in facts["warnings"]),
        f"data card   {folder / 'card.html'}",
    ]
