"""`shokunin predict NAME INPUT`: one text or document, or a file in and a file out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from shokunin.cli.machines import machines
from shokunin.cli.output import Output, bars, emit, reporting


def predict(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A specialist: NAME, NAME@champion, NAME@3, or its folder.", show_default=False
        ),
    ],
    input: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="A text, a document (PDF, picture), a file of rows (CSV, TSV, JSONL, Parquet, XLSX) or a folder of documents. "
            "Of machines: a table of readings, or one unit's as JSON.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write rows and answers here (CSV or JSONL); needed when INPUT is a file of rows or a folder."
        ),
    ] = None,
    every: Annotated[
        bool,
        typer.Option("--every", help="Of machines: answer every window of the table, not only each unit's newest."),
    ] = False,
    project: Annotated[Path | None, typer.Option(help="The project's folder; by default this one.")] = None,
    output: Annotated[Output, typer.Option(help="For people, or one JSON document.")] = Output.text,
) -> None:
    """Answer one text, one document or a file of rows.

    A file keeps its columns and gets `answer`, `confidence`, `answered_by`, `problem`. A table of machines' readings becomes one
    row a machine: `unit`, `time`, the risks, `alarm`, `said`, `problem`.
    """
    with reporting(output):
        from dataclasses import asdict

        from shokunin import pipeline
        from shokunin.errors import UsageError
        from shokunin.pipeline.fleet_predicting import fleet_codec
        from shokunin.pipeline.predicting import is_document, predict_document

        specialist = pipeline.load(name, project=project)
        if fleet_codec(specialist) is not None:
            machines(specialist, input, out, every=every, output=output)
            return
        if every:
            raise UsageError(
                f"--every is for readings of machines; {specialist.id!r} answers every row of a file anyway"
            )
        document = is_document(input, out)
        if document or not pipeline.is_rows_file(input, out):
            if document:
                with bars(output) as progress:
                    answer = predict_document(specialist, Path(input), progress=progress)
            else:
                answer = specialist.predict(input)
            if output is Output.json:
                emit(asdict(answer))
            else:
                said = answer.value if answer.problem is None else answer.problem
                for line in _fields(answer.details) if answer.problem is None else ():
                    typer.echo(line)
                typer.echo(f"{said}   ({answer.confidence:.0%}{'' if answer.sure else ', not sure'})")
            if answer.problem is not None:
                raise typer.Exit(2)
            return
        with bars(output) as progress:
            done = pipeline.predict_file(specialist, Path(input), out, progress=progress)
        if output is Output.json:
            emit(asdict(done))
        else:
            typer.echo(
                f"{done.rows:,} rows, {done.sure:,} sure, {done.problems:,} with a problem, {done.seconds:.1f} s → {done.out}"
            )


def _fields(details: Mapping[str, Any]) -> Iterator[str]:
    """One line a field: its value, how sure that is, and whether the document says it letter for letter."""
    fields = details.get("fields") or {}
    width = max(map(len, fields), default=0)
    for name, found in fields.items():
        value = "–" if found["value"] is None else found["value"]
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        where = "" if found["span"] or found["value"] is None else ", not letter for letter in the document"
        yield f"  {name:<{width}}  {shown}   ({found['confidence']:.0%}{where})"
