"""What happened, in figures: for each task how many requests, who answered them, how quickly, and for how much."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import case, func, select

from shokunin.traffic.reading import EVERYTHING, Filter
from shokunin.traffic.store import Store
from shokunin.traffic.tables import exchanges

ABOUT_OTHERS = ("audit", "feedback")
"""Not requests, but what was learnt about one afterwards."""
COUNTED = ("count", "problems", "prompt_tokens", "completion_tokens", "priced")
MEASURED = ("mean_seconds", "p50_seconds", "p95_seconds", "cost")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteStats:
    """The exchanges of one task that went one way.

    Attributes:
        count: how many.
        problems: how many of them without a good reply.
        mean_seconds: the mean time until the end of the reply.
        p50_seconds: half of them took at most so long.
        p95_seconds: 95 % of them took at most so long.
        prompt_tokens: tokens read.
        completion_tokens: tokens written.
        cost: US dollars, as far as prices are known.
        priced: how many of them have a known cost.
    """

    count: int
    problems: int
    mean_seconds: float
    p50_seconds: float
    p95_seconds: float
    prompt_tokens: int
    completion_tokens: int
    cost: float
    priced: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadStats:
    """The exchanges of one task.

    Attributes:
        workload: its name; "" is what was not recognised.
        routes: the same for each route that occurs.
    """

    workload: str
    routes: Mapping[str, RouteStats] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        """How many requests clients made: everything but audits and corrections."""
        return sum(r.count for route, r in self.routes.items() if route not in ABOUT_OTHERS)

    @property
    def cost(self) -> float:
        """US dollars paid to upstreams, audits included, as far as prices are known."""
        return sum(r.cost for r in self.routes.values())

    def share(self, route: str) -> float:
        """Which part of the requests went this way."""
        return self.routes[route].count / self.requests if route in self.routes and self.requests else 0.0

    def saving(self, price: Callable[[int, int], float | None]) -> float | None:
        """What local answers would have cost upstream, US dollars, an estimate; None where no price is known.

        Args:
            price: what the upstream charges for so many tokens read and written.
        """
        local = self.routes.get("local")
        return 0.0 if local is None else price(local.prompt_tokens, local.completion_tokens)


def stats(store: Store, which: Filter = EVERYTHING) -> list[WorkloadStats]:
    """The figures of each task, by name. The database counts; percentiles are those of the nearest rank.

    Raises:
        StoreError: the database cannot be used at the moment.
    """
    c = exchanges.c
    group = (c.workload_id, c.route)
    ranked = (
        select(
            *group,
            c.seconds,
            c.prompt_tokens,
            c.completion_tokens,
            c.cost,
            case((c.problem.is_not(None), 1), else_=0).label("problem"),
            func.row_number().over(partition_by=group, order_by=c.seconds).label("place"),
            func.count().over(partition_by=group).label("many"),
        )
        .where(*which.conditions())
        .subquery()
    )
    r = ranked.c
    query = select(
        r.workload_id,
        r.route,
        func.count().label("count"),
        func.sum(r.problem).label("problems"),
        func.avg(r.seconds).label("mean_seconds"),
        func.min(case((r.place * 100 >= r.many * 50, r.seconds))).label("p50_seconds"),
        func.min(case((r.place * 100 >= r.many * 95, r.seconds))).label("p95_seconds"),
        func.sum(r.prompt_tokens).label("prompt_tokens"),
        func.sum(r.completion_tokens).label("completion_tokens"),
        func.coalesce(func.sum(r.cost), 0.0).label("cost"),
        func.count(r.cost).label("priced"),
    ).group_by(r.workload_id, r.route)
    found: dict[str, dict[str, RouteStats]] = {}
    with store.begin() as connection:
        for row in connection.execute(query).mappings():
            figures: dict[str, Any] = {name: int(row[name]) for name in COUNTED}
            figures |= {name: float(row[name]) for name in MEASURED}
            found.setdefault(row["workload_id"], {})[row["route"]] = RouteStats(**figures)
    return [WorkloadStats(workload=name, routes=dict(sorted(found[name].items()))) for name in sorted(found)]
