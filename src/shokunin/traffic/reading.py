"""Reading the record: exchanges that fit a filter, oldest or newest first, a page at a time whatever their number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Select, func, select, tuple_
from sqlalchemy.sql import ColumnElement

from shokunin.exchange import Exchange, Route
from shokunin.traffic.lines import BODIES, exchange_of, name_of
from shokunin.traffic.store import Store
from shokunin.traffic.tables import exchanges

PAGE = 100
"""Rows read at once: the memory that reading takes is that of so many bodies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which exchanges are meant; what is None does not matter.

    Attributes:
        since: came then or later, seconds since 1970.
        until: came before then.
        workload: the task's name.
        client: the key's name.
        route: who answered.
    """

    since: float | None = None
    until: float | None = None
    workload: str | None = None
    client: str | None = None
    route: Route | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """The same for the database."""
        c = exchanges.c
        found: list[ColumnElement[bool]] = []
        if self.since is not None:
            found.append(c.timestamp >= self.since)
        if self.until is not None:
            found.append(c.timestamp < self.until)
        for column, wanted in ((c.workload_id, self.workload), (c.client_id, self.client), (c.route, self.route)):
            if wanted is not None:
                found.append(column == name_of(wanted))
        return found


EVERYTHING = Filter()


def read(
    store: Store,
    which: Filter = EVERYTHING,
    *,
    newest_first: bool = False,
    limit: int | None = None,
    bodies: bool = True,
) -> Iterator[Exchange]:
    """Exchanges in the order in which they came; a generator.

    Args:
        store: the record.
        which: a filter.
        newest_first: turn the order round.
        limit: at most so many.
        bodies: read requests and replies too; without them it is quicker, and they are None.

    Raises:
        StoreError: the database cannot be used at the moment.
    """
    return map(exchange_of, rows(store, which, newest_first=newest_first, limit=limit, bodies=bodies))


def rows(
    store: Store,
    which: Filter = EVERYTHING,
    *,
    newest_first: bool = False,
    limit: int | None = None,
    bodies: bool = True,
) -> Iterator[Mapping[str, Any]]:
    """As `read`, each exchange as the row of the database with `seq`; bodies are JSON text.

    Raises:
        StoreError: the database cannot be used at the moment.
    """
    place = (exchanges.c.timestamp, exchanges.c.seq)
    order = [column.desc() if newest_first else column.asc() for column in place]
    last: tuple[float, int] | None = None
    while limit is None or limit > 0:
        size = PAGE if limit is None else min(PAGE, limit)
        page = _columns(bodies).where(*which.conditions()).order_by(*order).limit(size)
        if last is not None:
            page = page.where(tuple_(*place) < last if newest_first else tuple_(*place) > last)
        found = _fetched(store, page)
        yield from found
        if len(found) < size:
            return
        last = (found[-1]["timestamp"], found[-1]["seq"])
        limit = None if limit is None else limit - size


def get(store: Store, id: str) -> Exchange | None:
    """The exchange with this id, or None.

    Raises:
        StoreError: the database cannot be used at the moment.
    """
    found = _fetched(store, _columns(bodies=True).where(exchanges.c.id == name_of(id)))
    return exchange_of(found[0]) if found else None


def count(store: Store, which: Filter = EVERYTHING) -> int:
    """How many exchanges fit.

    Raises:
        StoreError: the database cannot be used at the moment.
    """
    with store.begin() as connection:
        return connection.execute(select(func.count()).select_from(exchanges).where(*which.conditions())).scalar_one()


def last_seq(store: Store) -> int:
    """The number of the exchange that was stored last, 0 without any.

    Raises:
        StoreError: the database cannot be used at the moment.
    """
    with store.begin() as connection:
        return connection.execute(select(func.max(exchanges.c.seq))).scalar() or 0


def stored_after(
    store: Store, seq: int, which: Filter = EVERYTHING, *, limit: int = PAGE
) -> list[tuple[int, Exchange]]:
    """What was stored after number `seq`, with its numbers: how a reader follows the record.

    Raises:
        StoreError: the database cannot be used at the moment.
    """
    page = _columns(bodies=True).where(exchanges.c.seq > seq, *which.conditions())
    return [(row["seq"], exchange_of(row)) for row in _fetched(store, page.order_by(exchanges.c.seq).limit(limit))]


def _columns(bodies: bool) -> Select[Any]:
    return select(*(column for column in exchanges.c if bodies or column.name not in BODIES))


def _fetched(store: Store, query: Select[Any]) -> Sequence[Mapping[str, Any]]:
    with store.begin() as connection:
        return cast("Sequence[Mapping[str, Any]]", connection.execute(query).mappings().all())
