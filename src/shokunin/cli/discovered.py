"""What a discovery says in a terminal: a table of the tasks, what to do about each and why, and what was set aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from shokunin.cli.output import note, say
from shokunin.cost import Currency
from shokunin.discover.found import Found
from shokunin.discover.sentences import audited, headline, percent, prices_from, unmeasured
from shokunin.pipeline.discovering import Discovery

COLOURS = {"TRAIN": "green", "TRY": "yellow", "COLLECT MORE": "yellow", "LEAVE": "dim"}
LONGEST = 200


def show(
    found: Discovery,
    unit: Currency,
    notes: Sequence[str],
    following: Mapping[str, str | None],
    page: Path | None,
    *,
    again: str | None,
) -> None:
    """Print it; the longest lines of the table have about 115 columns.

    Args:
        found: what was found.
        unit: the currency of amounts.
        notes: what the figures rest on.
        following: the next command for each task's name.
        page: where the page was written, if it was.
        again: the command that makes the tasks' folders; None: they are made.
    """
    _table(found.tasks, unit)
    say()
    say(title=headline(found.tasks, unit))
    for verdict in ("TRAIN", "TRY", "COLLECT MORE"):
        tasks = [task for task in found.tasks if task.verdict == verdict]
        for task in tasks:
            say()
            say(f"  {_sentence(task.reason)}", title=f"{verdict}  {task.name}")
            for line in _about(task, unit):
                note(f"  {line}")
            if not (verdict != "COLLECT MORE" and again):
                say(f"  {'with more calls:' if verdict == 'COLLECT MORE' else 'next:'} {following[task.name]}")
    if again and any(task.verdict in ("TRAIN", "TRY") for task in found.tasks):
        say()
        say(f" {again}", title="next, to make their folders:")
        for task in found.tasks:
            if task.verdict in ("TRAIN", "TRY"):
                say(f"  then: {following[task.name]}")
    left = [task for task in found.tasks if task.verdict == "LEAVE"]
    if left:
        say()
        say(title="LEAVE with the large model")
        for task in left:
            note(f"  {task.name}: {task.reason}")
    _what_it_rests_on(found, notes)
    for path in found.written:
        say(f" {path}", title="wrote")
    if page is not None:
        say(f" {page}", title="page ")


def _table(tasks: Sequence[Found], unit: Currency) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    shown.add_column("task", overflow="fold", min_width=16)
    shown.add_column("kind", overflow="fold", min_width=10)
    for title in ("calls\na month", "cost\na month", "patterned-\nness", "answered\nhere", "saving\na month"):
        shown.add_column(title, justify="right", overflow="fold")
    shown.add_column("verdict", no_wrap=True)
    for task in tasks:
        money, tried = task.money, task.rehearsal is not None
        shown.add_row(
            Text(task.name),
            Text(task.kind),
            f"{task.per_month:,.0f}",
            "?" if money.cost is None else unit.show(money.cost),
            "–" if unmeasured(task) else f"{task.patternedness.value:.2f}",
            percent(task.share_local) if tried else "–",
            "–" if task.verdict != "TRAIN" else "?" if money.saving is None else unit.show(money.saving),
            Text(task.verdict, style=COLOURS[task.verdict]),
        )
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 1000
    console.print(shown)


def _about(task: Found, unit: Currency) -> list[str]:
    """What one may want to check before one trains it."""
    lines = []
    if task.labels:
        lines.append(f"{len(task.labels)} labels: {', '.join(task.labels)}")
    if saving := audited(task, unit):
        lines.append(saving)
    return [line if len(line) <= LONGEST else line[: LONGEST - 1].rstrip() + "…" for line in lines]


def _what_it_rests_on(found: Discovery, notes: Sequence[str]) -> None:
    records = found.records
    say()
    covered = "" if found.days is None else f", in {found.days:,.1f} days"
    say(
        f" {records['in']:,} in, {records['used']:,} used{covered}; {records['set_aside']:,} set aside",
        title="records",
    )
    for one in records["set_aside_reasons"]:
        note(f"  {one['records']:,} × {one['reason']}, first {', '.join(one['first'])}")
    for line in notes:
        note(f"  {_sentence(line)}")
    note(f"  {prices_from(found.prices_as_of)}")


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
