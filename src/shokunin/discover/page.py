"""The picture of a discovery: what is spent on which work, how patterned it is, and what to do; one file, no network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from shokunin.cost import US_DOLLARS, Currency
from shokunin.discover.answers import CHAT, CLASSIFY, DOCUMENTS, ESTIMATE, EXTRACT, GENERATE
from shokunin.discover.charts import CLASSES, patterned_chart
from shokunin.discover.found import Found
from shokunin.discover.sentences import (
    answered,
    audited,
    forecast,
    headline,
    percent,
    prices_from,
    printable,
    saved,
    spent,
    unmeasured,
)

TEMPLATE = Path(__file__).with_name("page.html.jinja")
LABELS, FIELDS, QUOTE, BARS = 24, 24, 600, 20
"""So much of each is shown."""
KINDS: Mapping[str, str] = {
    CLASSIFY: "one of a few labels for a text",
    EXTRACT: "fields of a text, as JSON",
    ESTIMATE: "a number for a text",
    GENERATE: "a text",
    DOCUMENTS: "an answer from documents in the prompt",
    CHAT: "free talk",
}


def discovery_html(
    tasks: Sequence[Found],
    *,
    records: Mapping[str, Any],
    days: float | None,
    notes: Sequence[str] = (),
    prices_as_of: str,
    unit: Currency = US_DOLLARS,
    following: Mapping[str, str | None],
    again: str | None = None,
    serve: str = "shokunin serve",
    made: str = "",
) -> str:
    """The page as HTML; it loads nothing, and every text in it is escaped.

    Args:
        tasks: in the order in which they are shown.
        records: `in`, `used`, `set_aside` and `set_aside_reasons` of the log.
        days: how long a time it covers, if that is known.
        notes: what the figures rest on, in sentences.
        prices_as_of: the day of the price book.
        unit: the currency of amounts.
        following: the next command for each task's name.
        again: the command that makes the tasks' folders; None: they are made.
        serve: the command that starts the gateway.
        made: when, for people.
    """
    worth = [task for task in tasks if task.verdict == "TRAIN"]
    more = [task for task in tasks if task.verdict == "COLLECT MORE"]
    cost = spent(tasks)
    return _template().render(
        tasks=tasks,
        worth=worth,
        more=more,
        left=[task for task in tasks if task.verdict in ("LEAVE", "TRY")],
        tone="well" if worth else "mild",
        headline=headline(tasks, unit),
        share=answered(tasks),
        cost=cost,
        saved=saved(tasks),
        first=sum(task.money.first_saving or 0.0 for task in worth),
        bars=_bars(tasks),
        chart=patterned_chart(tasks),
        undrawn=[task for task in tasks if unmeasured(task)],
        records=records,
        days=days,
        notes=notes,
        prices=prices_from(prices_as_of),
        unit=unit,
        following=following,
        again=again,
        serve=serve,
        made=made,
    )


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "clean": printable,
        "count": lambda number: f"{number:,.0f}",
        "percent": _never_broken(percent),
        "kind": lambda task: "SQL" if task.sql else KINDS.get(task.kind, task.kind),
        "tone": lambda task: CLASSES[task.verdict],
        "stopped": lambda text: text if text.endswith((".", "!", "?")) else f"{text}.",
        "capitalised": lambda text: text[:1].upper() + text[1:],
        "fields": _fields,
        "audited": _never_broken(audited),
        "forecast": _never_broken(forecast),
        "parts": _parts,
        "models": lambda task: ", ".join(f"{name or 'not named'} ({calls:,})" for name, calls in task.models.items()),
    }
    environment.tests["unmeasured"] = unmeasured
    environment.globals |= {"LABELS": LABELS, "QUOTE": QUOTE}
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def _never_broken(words: Callable[..., str]) -> Callable[..., str]:
    """No line break between a number and its sign."""
    return lambda *arguments: words(*arguments).replace(" %", "\u00a0%")


def _bars(tasks: Sequence[Found]) -> dict[str, Any]:
    """The dearest tasks with the lengths of their bars in percent; by calls where no cost is known."""
    priced = spent(tasks) is not None
    sizes = {task.name: (task.money.cost or 0.0) if priced else task.per_month for task in tasks}
    ranked = sorted(tasks, key=lambda task: -sizes[task.name])
    most = max(sizes.values(), default=0.0) or 1.0
    rows = []
    for task in ranked[:BARS]:
        size = 100 * sizes[task.name] / most
        kept = _kept(task) * size
        rows.append({"task": task, "kept": round(kept, 2), "rest": round(size - kept, 2)})
    others = ranked[BARS:]
    return {"rows": rows, "priced": priced, "others": others, "other_cost": spent(others) or 0.0}


def _kept(task: Found) -> float:
    """The share of its cost that training it would save; 0 where that is not advised."""
    if task.verdict != "TRAIN":
        return 0.0
    if not task.money.cost or task.money.saving is None:
        return task.share_local
    return min(1.0, max(0.0, task.money.saving / task.money.cost))


def _parts(task: Found) -> dict[str, float] | None:
    """How a month's cost divides when a specialist answers; None where that is not advised, or the cost is not known."""
    cost, share = task.money.cost, float(task.share_local)
    if task.verdict != "TRAIN" or not cost or not share:
        return None
    audits = share * float(task.money.audit_share)
    return {"saved": share - audits, "audits": audits, "passed": 1 - share}


def _fields(schema: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(field, its types and whether it is always there), as many as are shown."""
    always = set(schema.get("required", ()))
    found = []
    for name, about in list(schema.get("properties", {}).items())[:FIELDS]:
        types = about.get("type", "")
        told = " or ".join(types) if isinstance(types, list) else str(types)
        found.append((name, told if name in always else f"{told}, not always"))
    rest = len(schema.get("properties", {})) - len(found)
    return [*found, (f"and {rest} more", "")] if rest > 0 else found
