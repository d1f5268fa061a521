"""What `predict` prints of a specialist that reads machines' readings: one window's risks, or what became of a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from shokunin.cli.output import Output, bars, emit

if TYPE_CHECKING:
    from shokunin.specialist import Specialist

SHOWN = 5


def machines(specialist: Specialist, input: str, out: Path | None, *, every: bool, output: Output) -> None:
    """Answer one window (`{"unit": …, "readings": […]}`) or a table of readings."""
    from shokunin import pipeline
    from shokunin.errors import UsageError
    from shokunin.pipeline.fleet_predicting import fleet_codec, predict_fleet

    if pipeline.is_rows_file(input, out):
        assert out is not None
        with bars(output) as progress:
            done = predict_fleet(specialist, Path(input), out, every=every, progress=progress)
        if output is Output.json:
            emit(asdict(done))
            return
        for line in _done(asdict(done)):
            typer.echo(line)
        return
    if every:
        raise UsageError("--every is for a table of readings; one window is answered as it is")
    if not input.lstrip().startswith("{"):
        raise UsageError(
            f"{input[:100]!r} is neither a file nor JSON; give a table of readings and --out FILE, or "
            '\'{"unit": "…", "readings": […]}\'; what a unit read before is known to the server only'
        )
    codec = fleet_codec(specialist)
    assert codec is not None
    answer = specialist.predict(codec.read_chat([{"role": "user", "content": input}]))
    if output is Output.json:
        emit(asdict(answer))
    elif answer.problem is not None:
        typer.echo(answer.problem)
    else:
        typer.echo(answer.details["said"])
        for note in answer.details.get("notes", ()):
            typer.echo(f"  {note}")
    if answer.problem is not None:
        raise typer.Exit(2)


def _done(done: dict[str, Any]) -> Iterator[str]:
    rows = done["rows"]
    aside = ", ".join(f"{n:,} × {reason}" for reason, n in rows["aside"].items())
    lost = rows["in"] - rows["used"]
    yield f"{rows['in']:,} rows in, {rows['used']:,} used, {lost:,} set aside{f' ({aside})' if aside else ''}"
    without = done["without"]
    for unit, why in list(without.items())[:SHOWN]:
        yield f"no answer for {unit!r}: {why}"
    if len(without) > SHOWN:
        yield f"no answer for {len(without) - SHOWN:,} more; the file says why"
    yield (
        f"{done['units']:,} units, {done['windows']:,} windows, {done['alarms']:,} with an alarm, {done['seconds']:.1f} s → "
        f"{done['out']}"
    )
