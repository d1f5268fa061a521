"""The record of traffic as the commands read it: opened by project, what a killed server left behind stored first."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast, get_args

from shokunin.cost import Currency, Quote, quote
from shokunin.curate.times import read_time
from shokunin.errors import UsageError
from shokunin.exchange import Exchange, Route
from shokunin.files import disk_error
from shokunin.project import open_project
from shokunin.traffic.erasure import erase_client
from shokunin.traffic.reading import EVERYTHING, Filter, last_seq, stored_after
from shokunin.traffic.replay import settle
from shokunin.traffic.store import Store, open_store

LOOK_SECONDS = 0.5
EARLIEST = 1e8
_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@contextmanager
def open_traffic(project: Path | None = None, database: str | None = None) -> Iterator[Store]:
    """The record of a project, closed at the end of the block.

    Args:
        project: its folder; None: the current one.
        database: the URL of its database; None: as the project's settings say.

    Raises:
        ProjectError: there is no record.
        UsageError: the URL is not one of SQLite or PostgreSQL.
        StoreError: the database cannot be used at the moment.
    """
    place = open_project(project)
    store = open_store(place.traffic, database or place.gateway.database_url())
    try:
        try:
            settle(place.traffic, store)
        except OSError as error:
            raise disk_error(error, place.traffic) from error
        yield store
    finally:
        store.close()


def erase(store: Store, client: str, *, project: Path | None = None) -> int:
    """Delete all exchanges of a client, those in the journal too; returns how many.

    Raises:
        StoreError: the database cannot be used at the moment, or a server that records here does not get on.
    """
    return erase_client(open_project(project).traffic, store, client)


def pricing(project: Path | None = None) -> Callable[[str], Quote | None]:
    """What the large model behind a task charges, as the settings and the price book are now.

    None where the task has no upstream, or its model no price.
    """
    place = open_project(project)

    def priced(task: str) -> Quote | None:
        upstream = place.upstreams.get(place.gateway.route(task).upstream or "") if task else None
        return None if upstream is None else quote(upstream.model, place.prices)

    return priced


def currency(project: Path | None = None) -> Currency:
    """In which a project's amounts are shown."""
    return open_project(project).money.unit()


def follow(
    store: Store, which: Filter = EVERYTHING, *, pause: Callable[[float], None] = time.sleep
) -> Iterator[Exchange]:
    """Exchanges as they are stored from now on, without end; `pause` is called when there is none.

    Raises:
        StoreError: the database cannot be used at the moment.
    """
    seq = last_seq(store)
    while True:
        found = stored_after(store, seq, which)
        for seq, exchange in found:  # noqa: B007 - the last one is where the next look begins
            yield exchange
        if not found:
            pause(LOOK_SECONDS)


def moment(text: str, now: float) -> float:
    """A point in time as people write it: `2h` ago (s, m, h, d, w), or a date or time such as `2026-11-01` (UTC).

    Raises:
        UsageError: it is neither.
    """
    if ago := _AGO.fullmatch(text.strip()):
        return now - float(ago[1]) * _SECONDS[ago[2]]
    found = read_time(text)
    if found is None or found < EARLIEST:  # "7" would be seven seconds after midnight, 1970
        raise UsageError(f"{text!r} is not a time; write 30m, 2h, 7d, or a date such as 2026-11-01 or 2026-11-01T09:30")
    return found


def chosen(
    *,
    since: str | None = None,
    until: str | None = None,
    task: str | None = None,
    client: str | None = None,
    route: str | None = None,
    now: float,
) -> Filter:
    """The filter of what a person asks for.

    Raises:
        UsageError: a time or a route is not one.
    """
    if route is not None and route not in get_args(Route):
        raise UsageError(f"{route!r} is not a route; known: {', '.join(get_args(Route))}")
    return Filter(
        since=None if since is None else moment(since, now),
        until=None if until is None else moment(until, now),
        workload=task,
        client=client,
        route=cast("Route | None", route),
    )
