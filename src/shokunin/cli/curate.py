"""`shokunin curate DATA`: rows to a dataset, and a card that says what was found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shokunin.cli.output import Output, bars, emit, reporting


def curate(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Rows: CSV, TSV, JSONL, Parquet, XLSX, or an OpenAI fine-tuning file.",
            show_default=False,
        ),
    ],
    name: Annotated[str | None, typer.Option(help="The task's name; by default the file's.")] = None,
    test: Annotated[Path | None, typer.Option(help="Rows to seal as the test; by default a part of DATA.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="Which sort of work it is, as for `train`; by default what the rows show.")
    ] = None,
    input: Annotated[
        list[str] | None, typer.Option(help="A column to read; may be given several times. Guessed and shown.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="The column with the answer, or those of its fields: date,total.")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="What the verdict is about: one of the kind's metrics.")] = None,
    target_score: Annotated[
        float | None, typer.Option(min=0, max=1, help="Pass only if the metric's lower end reaches this.")
    ] = None,
    max_error: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Of the answers it gives itself, at most this share may be wrong."),
    ] = None,
    mask: Annotated[bool, typer.Option("--mask", help="Mask personal data.")] = False,
    keep_leaks: Annotated[
        bool, typer.Option("--keep-leaks", help="Only count training rows that repeat test rows; do not take them out.")
    ] = False,
    seed: Annotated[int, typer.Option(help="For the split.")] = 0,
    project: Annotated[Path | None, typer.Option(help="The project's folder; by default this one.")] = None,
    output: Annotated[Output, typer.Option(help="For people, or one JSON document.")] = Output.text,
) -> None:
    """Turn rows into a dataset: split fixed, test sealed.

    Duplicates, leaks, wrong labels and personal data are found and counted.
    """
    with reporting(output):
        from shokunin import pipeline
        from shokunin.curate.card import card_markdown

        with bars(output) as progress:
            dataset, folder = pipeline.curate(
                data,
                name=name,
                test=test,
                kind=kind,
                inputs=input,
                target=target,
                metric=metric,
                target_score=target_score,
                max_error=max_error,
                mask=mask,
                keep_leaks=keep_leaks,
                seed=seed,
                project=project,
                progress=progress,
            )
        if output is Output.json:
            emit(
                {
                    "digest": dataset.digest,
                    "folder": str(folder),
                    "labels": list(dataset.labels),
                    "facts": dataset.facts,
                }
            )
        else:
            from rich.console import Console
            from rich.markdown import Markdown

            Console().print(Markdown(card_markdown(dataset)))
            typer.echo(f"\n  dataset   {folder}")
            typer.echo(f"  train it  shokunin train {folder}")
