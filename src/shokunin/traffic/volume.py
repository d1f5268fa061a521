"""Volume: how much of one task comes in, a month and a request, as the record has it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, case, func, select

from shokunin.traffic.reading import Filter
from shokunin.traffic.store import Store
from shokunin.traffic.tables import exchanges

DAY = 86_400.0
DAYS_PER_MONTH = 365.25 / 12
"""30.4"""
NOT_ASKED = ("audit", "feedback", "refused")
BY_UPSTREAM = ("escalated", "passed", "audit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """What a record says about one task.

    Attributes:
        requests: how many were answered, audits and corrections apart.
        days: from the first to the last of them.
        per_month: what that comes to in a month; None: it spans less than a day, which says nothing about a month.
        input_tokens: of one request, on average; None where nobody counted.
        output_tokens: of one answer, likewise.
        counted: whether an upstream counted these tokens; else they are estimates.
    """

    requests: int
    days: float
    per_month: float | None
    input_tokens: float | None
    output_tokens: float | None
    counted: bool


def volume(store: Store, task: str) -> Volume | None:
    """How much of a task came in; None where there is nothing of it.

    Raises:
        StoreError: the database cannot be used at the moment.
    """
    c = exchanges.c
    asked = c.route.not_in(NOT_ASKED)
    # Without a count of what was written the upstream did not say, as in some streams.
    told = and_(c.completion_tokens > 0, c.problem.is_(None))
    counted, guessed = and_(told, c.route.in_(BY_UPSTREAM)), and_(told, c.route == "local")
    query = select(
        func.sum(case((asked, 1), else_=0)),
        func.min(case((asked, c.timestamp))),
        func.max(case((asked, c.timestamp))),
        *(
            func.avg(case((which, column)))
            for which in (counted, guessed)
            for column in (c.prompt_tokens, c.completion_tokens)
        ),
    ).where(*Filter(workload=task).conditions())
    with store.begin() as connection:
        requests, first, last, *tokens = connection.execute(query).one()
    if not requests:
        return None
    days = (last - first) / DAY
    by_upstream = tokens[0] is not None
    prompt, completion = tokens[:2] if by_upstream else tokens[2:]
    return Volume(
        requests=int(requests),
        days=days,
        per_month=requests / days * DAYS_PER_MONTH if days >= 1 else None,
        input_tokens=None if prompt is None else float(prompt),
        output_tokens=None if completion is None else float(completion),
        counted=by_upstream,
    )
