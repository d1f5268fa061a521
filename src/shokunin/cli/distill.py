"""`shokunin distill DATA --from UPSTREAM#MODEL`: rows without answers get a large model's, under a hard cap on the spend."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shokunin.cli.output import Output, bars, emit, reporting, say, table

if TYPE_CHECKING:
    from shokunin.distill.outcome import Distilled


def distill(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="Rows of which some have answers, a task's folder or name, or a curated dataset.",
            show_default=False,
        ),
    ],
    teacher: Annotated[
        list[str],
        typer.Option(
            "--from",
            metavar="UPSTREAM#MODEL",
            help="The teacher: UPSTREAM, UPSTREAM#MODEL or URL#MODEL; given several times, they vote.",
            show_default=False,
        ),
    ],
    budget: Annotated[
        float | None,
        typer.Option(min=0, help="US dollars that this task may cost in all, earlier runs included; never exceeded."),
    ] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Label at most so many rows, drawn by chance.")] = None,
    extend: Annotated[int, typer.Option(min=0, help="Have so many new inputs written and labelled.")] = 0,
    unlabelled: Annotated[Path | None, typer.Option(help="A file with more rows without answers.")] = None,
    best_of: Annotated[int, typer.Option(min=1, max=32, help="Draws for each row; most of them must agree.")] = 1,
    temperature: Annotated[float, typer.Option(min=0.01, max=2, help="Of the draws, where there are several.")] = 0.7,
    agreement: Annotated[
        float, typer.Option(min=0.01, max=1, help="Keep an answer only if this share of all draws agrees.")
    ] = 0.5,
    judge: Annotated[
        str | None,
        typer.Option(metavar="UPSTREAM#MODEL", help="Decides between free texts that differ, in both orders."),
    ] = None,
    shots: Annotated[int, typer.Option(min=0, max=64, help="Labelled rows to show as examples.")] = 0,
    max_tokens: Annotated[int, typer.Option(min=1, max=32768, help="The longest reply.")] = 512,
    gate: Annotated[int, typer.Option(min=1, help="Labelled rows by which the teacher is judged first.")] = 50,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Rows under way at a time.")] = 4,
    forecast: Annotated[bool, typer.Option("--forecast", help="Say what it would cost, and stop.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Go on with a teacher below the gate, or of unknown price.")
    ] = False,
    test: Annotated[Path | None, typer.Option(help="Rows to seal as the test; by default a part of DATA.")] = None,
    name: Annotated[str | None, typer.Option(help="The task's name; by default the file's.")] = None,
    kind: Annotated[str | None, typer.Option(help="Which sort of work it is; by default the task's.")] = None,
    input: Annotated[list[str] | None, typer.Option(help="A column to read; may be given several times.")] = None,
    target: Annotated[str | None, typer.Option(help="The column with the answer.")] = None,
    seed: Annotated[int, typer.Option(help="For what is drawn.")] = 0,
    project: Annotated[Path | None, typer.Option(help="The project's folder; by default this one.")] = None,
    output: Annotated[Output, typer.Option(help="For people, or one JSON document.")] = Output.text,
) -> None:
    """Have a large model answer the rows that nobody has answered.

    Exit code 0: done. 1: the teacher is not good enough, or the budget is spent; what was bought is kept. 2: wrong use.
    """
    with reporting(output):
        from shokunin.distill.label import Options
        from shokunin.pipeline.distilling import distill as run

        options = Options(
            best_of=best_of, temperature=temperature, least_agreement=agreement, max_tokens=max_tokens, shots=shots,
            concurrency=concurrency,
        )  # fmt: skip
        with bars(output) as progress:
            done = run(
                data, teacher, name=name, kind=kind, inputs=input, target=target, test=test, unlabelled=unlabelled, rows=rows,
                extend_by=extend, budget=budget, judge=judge, gate_rows=gate, options=options, forecast_only=forecast, yes=yes,
                seed=seed, project=project, progress=progress,
            )  # fmt: skip
        if output is Output.json:
            emit(done.to_dict())
        else:
            _show(done)
    if done.stopped in ("gate", "budget"):
        raise typer.Exit(1)


def _show(done: Distilled) -> None:
    from shokunin.distill.page import forecast_cells, foretold, sentences

    for title, step in zip(("forecast", "forecast after the gate"), done.foreseen, strict=False):
        say(f"  {foretold(step)}", title=title)
        table(("model", "for", "calls", "tokens in", "tokens out", "US dollars"), (forecast_cells(f) for f in step))
    for line in sentences(done):
        say(line)
    if done.dropped:
        reasons = ", ".join(f"{n:,} × {reason}" for reason, n in done.dropped.items())
        say(f"  {done.rows_in:,} in, {done.kept:,} kept; {reasons}", title="rows")
    if done.extended:
        reasons = ", ".join(f"{n:,} × {reason}" for reason, n in done.extended["dropped"].items()) or "none dropped"
        say(f"  {done.extended['written']:,} written, {done.extended['kept']:,} kept; {reasons}", title="new inputs")
    if done.dataset is not None:
        say(f"  {done.rows}", title="rows file")
        say(f"  shokunin train {done.dataset}", title="next")
