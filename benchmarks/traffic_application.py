"""Application: one task whose traffic is made: its rows, the versions of its prompt over time, and how its replies look."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from benchmarks.traffic_replies import Drawn
from benchmarks.traffic_rows import Item

Messages = list[tuple[str, str]]
"""(role, text)."""
DAYS = 30


@dataclass(frozen=True)
class Moment:
    """What an application knows when it asks: the hour, whom it works for, and rows that it may show as examples."""

    rng: random.Random
    when: datetime
    customer: str
    examples: Sequence[Item]


@dataclass(frozen=True)
class Wording:
    """One version of an application's prompt.

    Attributes:
        name: of the version.
        ask: the messages for a row.
        reply: what comes back for it.
        weight: how often it is used while it is.
        days: from which day to which it is used.
        json: whether the request asks for a JSON object.
    """

    name: str
    ask: Callable[[Item, Moment], Messages]
    reply: Callable[[Item, Moment], Drawn]
    weight: float = 1.0
    days: tuple[float, float] = (0, DAYS)
    json: bool = False


@dataclass(frozen=True)
class Application:
    """One task of one application.

    Attributes:
        name: what the truth calls it.
        kind: the kind of work that it is.
        share: of the traffic.
        items: its rows.
        wordings: the versions of its prompt.
        models: the models it asks for, with weights.
        labels: the answers it may get, where there is a list.
        edits: which small edits a repeated row gets: `text`, `japanese`, `lines` or `appended`.
        fields: the keys of its JSON replies.
    """

    name: str
    kind: str
    share: float
    items: Callable[[], list[Item]]
    wordings: Sequence[Wording]
    models: Sequence[tuple[str, float]]
    labels: Sequence[str] = ()
    edits: str = "text"
    fields: Sequence[str] = ()


def edited(item: Item, how: str, rng: random.Random) -> Item:
    """The row again, as somebody else would have typed it; what is right for it stays so."""
    text = item.text
    if how == "japanese":
        return replace(
            item, text=rng.choice((f"{text.rstrip('。')}!", f"なお、{text}", f"{text.rstrip('。')}…", f" {text}"))
        )
    if how == "lines":
        place = rng.randrange(text.count("\n") + 1)
        lines = text.split("\n")
        lines.insert(place, f"REF {rng.randint(10_000, 999_999)}")
        return replace(item, text="\n".join(lines))
    if how == "appended":
        return replace(item, text=f"{text}; {rng.choice(('agent', 'key', 'file'))} {rng.randint(100, 9999)}")
    place = rng.randrange(max(1, len(text) - 1))
    typo = text[:place] + text[place : place + 2][::-1] + text[place + 2 :]
    ways = (
        typo,
        f"Hi, {text}",
        f"{text} Thanks!",
        f"hello, {text[:1].lower()}{text[1:]}",
        f"{text} please",
        text.lower(),
    )
    return replace(item, text=rng.choice(ways))
