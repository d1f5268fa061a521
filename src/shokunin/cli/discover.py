"""`shokunin discover [LOGS…]`: recorded calls → the tasks in them, what each costs and would save, and which to train."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shokunin.cli.output import Output, bars, emit, reporting

if TYPE_CHECKING:
    from shokunin.cost import Currency, Price
    from shokunin.discover.found import Found
    from shokunin.pipeline.discovering import Discovery

MAX_ERROR, BUDGET = 0.05, 1.0
DEFAULTS = {"max_error": MAX_ERROR, "budget": BUDGET, "seed": 0}
QUICK = ("baseline", "text_linear")
LOW = "the rehearsals tried the cheapest learners only (--quick), so what could be answered here is rather more than is said"


def discover(
    logs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[LOGS…]",
            help="Files and folders of recorded calls; none: the project's record.",
            show_default=False,
        ),
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Make a folder in tasks/ for each task worth it.")] = False,
    price: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL=INPUT,OUTPUT", help="A model's price, US dollars per million tokens."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="The model that was asked, where the log names none.")
    ] = None,
    days: Annotated[
        float | None, typer.Option(help="How many days the log covers; by default its timestamps say.")
    ] = None,
    max_error: Annotated[
        float, typer.Option(help="Share of answers that may differ from the large model's.")
    ] = MAX_ERROR,
    budget: Annotated[float, typer.Option(metavar="MINUTES", help="For the rehearsal of one task.")] = BUDGET,
    quick: Annotated[bool, typer.Option("--quick", help="Rehearse with the cheapest learners only.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the page here; by default into reports/, where --write is given."),
    ] = None,
    seed: Annotated[int, typer.Option(help="For everything that is drawn at random.")] = 0,
    project: Annotated[Path | None, typer.Option(help="The project's folder; by default this one.")] = None,
    output: Annotated[Output, typer.Option(help="For people, or one JSON document.")] = Output.text,
) -> None:
    """Find the work in recorded calls that is worth training.

    Exit code 0: there is a task worth training. 1: there is none. 2: the logs cannot be used, or a price is missing; nothing
    is written then.
    """
    with reporting(output):
        from shokunin.cli.discovered import show
        from shokunin.discover.page import discovery_html
        from shokunin.files import write_text
        from shokunin.pipeline import discovering
        from shokunin.pipeline.rehearsing import LEARNERS
        from shokunin.project import open_project

        place = open_project(project)
        page = _page(html, place.reports if write else None)
        with bars(output) as progress:
            found = discovering.discover(
                logs or (), project=project, write=write, prices=_prices(price), model=model, days=days,
                max_error=max_error, budget=budget, learners=QUICK if quick else LEARNERS, seed=seed,
                progress=progress,
            )  # fmt: skip
        given = _given(price, model=model, days=days, max_error=max_error, budget=budget, quick=quick, seed=seed)
        repeated = shlex.join(["shokunin", "discover", *map(str, logs or ()), *given, *_in(project)])
        again = None if write else f"{repeated} --write"
        unit, notes = place.money.unit(), [*found.notes, *([LOW] if quick else [])]
        following = {task.name: _next(task, repeated, project) for task in found.tasks}
        if page is not None:
            write_text(page, discovery_html(
                found.tasks, records=found.records, days=found.days, notes=notes, prices_as_of=found.prices_as_of,
                unit=unit, following=following, again=again,
                serve=shlex.join(["shokunin", "serve", *_in(project)]), made=time.strftime("%d %B %Y"),
            ))  # fmt: skip
        if output is Output.json:
            emit(_document(found, unit, notes, following, page))
        else:
            show(found, unit, notes, following, page, again=again)
    if not any(task.verdict in ("TRAIN", "TRY") for task in found.tasks):
        raise typer.Exit(1)


def _page(html: Path | None, reports: Path | None) -> Path | None:
    """Where the page is to be, None: nowhere; a place that cannot be one is told before the work begins."""
    from shokunin.errors import UsageError

    if html is None:
        return (
            None if reports is None else reports / f"discover-{time.strftime('%Y-%m-%dT%H%M%SZ', time.gmtime())}.html"
        )
    if html.is_dir():
        raise UsageError(
            f"{str(html)!r} is a folder; --html takes the name of a file, such as {str(html / 'tasks.html')!r}"
        )
    return html


def _prices(given: Sequence[str] | None) -> dict[str, Price]:
    from shokunin.cost import Price
    from shokunin.errors import UsageError

    found = {}
    for one in given or ():
        name, _, amounts = one.rpartition("=")
        try:
            read, written = (float(amount) for amount in amounts.split(","))
            if not name.strip():
                raise ValueError("no model is named")
            found[name.strip()] = Price(read, written)
        except ValueError as error:
            raise UsageError(
                f"{one!r} is no price: expected MODEL=INPUT,OUTPUT in US dollars per million tokens, such as "
                f"my-model=0.15,0.60 ({error})"
            ) from None
    return found


def _given(price: Sequence[str] | None, **options: Any) -> list[str]:
    """The options that were given, other than the defaults, as words of a command."""
    words = [word for one in price or () for word in ("--price", one)]
    for name, value in options.items():
        if value is True:
            words.append(f"--{name}")
        elif value is not False and value != DEFAULTS.get(name):
            words += [f"--{name.replace('_', '-')}", str(value)]
    return words


def _next(task: Found, repeated: str, project: Path | None) -> str | None:
    """The command that comes next: the training, or this one again when there are more calls."""
    if task.verdict == "LEAVE":
        return None
    if task.verdict == "COLLECT MORE":
        return repeated
    folder = Path("tasks") / task.name if project is None else project / "tasks" / task.name
    return shlex.join(["shokunin", "train", str(folder), *_in(project)])


def _in(project: Path | None) -> list[str]:
    return [] if project is None else ["--project", str(project)]


def _document(
    found: Discovery, unit: Currency, notes: Sequence[str], following: Mapping[str, str | None], page: Path | None
) -> dict[str, Any]:
    return {
        "records": dict(found.records),
        "tasks": [_task(task, unit, following[task.name]) for task in found.tasks],
        "days": found.days,
        "currency": unit.code,
        "prices_as_of": found.prices_as_of,
        "notes": list(notes),
        "written": [str(path) for path in found.written],
        "page": None if page is None else str(page),
    }


def _task(task: Found, unit: Currency, following: str | None) -> dict[str, Any]:
    pattern, rehearsal, money = task.patternedness, task.rehearsal, task.money
    answers: dict[str, Any] = {"labels": list(task.labels)} if task.labels else {}
    if task.schema is not None:
        answers["schema"] = task.schema
    return {
        "name": task.name,
        "kind": task.kind,
        "records": task.records,
        **answers,
        "cost_per_month": _amount(money.cost, unit),
        "saving_per_month": _amount(money.saving, unit),
        "saving_first_month": _amount(money.first_saving, unit),
        "audit_share": float(money.audit_share),
        "patternedness": float(pattern.value),
        "patternedness_interval": [float(pattern.low), float(pattern.high)],
        "verdict": task.verdict,
        "reason": task.reason,
        "share_local": float(task.share_local),
        "first_week": _kept(task, 0),
        "first_month": _kept(task, 1),
        "expected_error": None if rehearsal is None else float(rehearsal.error),
        "accuracy": None if rehearsal is None else float(rehearsal.accuracy.value),
        "learner": None if rehearsal is None else rehearsal.rung,
        "rows_tried": None if rehearsal is None else rehearsal.rows,
        "rows_lacking": None if rehearsal is None else rehearsal.lacking,
        "recognised": float(task.recognised),
        "readable": float(task.readable),
        "records_per_month": float(task.per_month),
        "tokens": {name: float(value) for name, value in task.tokens.items()},
        "models": dict(task.models),
        "latency_ms": {name: float(value) for name, value in task.latency_ms.items()},
        "inputs": list(dict.fromkeys(name for template in task.templates for name in template.inputs)),
        "wordings": len(task.templates),
        "fingerprints": [template.fingerprint for template in task.templates],
        "prompt": task.quote,
        "next": following,
        "record_ids": list(task.ids),
    }


def _kept(task: Found, place: int) -> dict[str, float] | None:
    """What is foreseen of a beginning, in which more is audited."""
    if task.rehearsal is None or not task.rehearsal.kept:
        return None
    given, audited = task.rehearsal.kept[place]
    return {"share_local": float(task.recognised * given), "audit_share": float(audited)}


def _amount(usd: float | None, unit: Currency) -> float | None:
    return None if usd is None else float(unit.of(usd))
