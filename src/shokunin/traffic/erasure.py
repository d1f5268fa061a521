"""Deleting from the record: what is older than it may be, and all that belongs to one client."""

from __future__ import annotations

import time
from pathlib import Path

from sqlalchemy import select

from shokunin.errors import StoreError
from shokunin.traffic.journal import JOURNAL, segments
from shokunin.traffic.lines import name_of
from shokunin.traffic.replay import settle
from shokunin.traffic.store import Store
from shokunin.traffic.tables import exchanges

WAIT_SECONDS = 30.0


def prune(store: Store, *, before: float, slices: int | None = None) -> int:
    """Delete exchanges that came before a moment; returns how many.

    Raises:
        StoreError: the database cannot be used at the moment.
    """
    return store.delete(exchanges.c.timestamp < before, slices=slices)


def erase_client(folder: Path, store: Store, client_id: str, *, seconds: float = WAIT_SECONDS) -> int:
    """Delete every exchange of a client with the audits of them; returns how many.

    What is still in the journal goes into the database first: by this process where no server records, else by the
    server, which is waited for. What the client sends from now on is new.

    Args:
        folder: the project's `traffic` folder.
        store: its database.
        client_id: whose.
        seconds: how long to wait for a server that records.

    Raises:
        StoreError: the database cannot be used at the moment, or the server did not empty its journal in time; some
            may be deleted: run it again.
    """
    if settle(folder, store) is None:
        _wait_for_the_server(folder / JOURNAL, seconds)
    client = name_of(client_id)
    theirs = exchanges.alias()
    audited = select(theirs.c.id).where(theirs.c.client_id == client)
    gone = store.delete(exchanges.c.parent.in_(audited))  # first, since their parents say whose they are
    gone += store.delete(exchanges.c.client_id == client)
    store.give_back()
    return gone


def _wait_for_the_server(journal: Path, seconds: float) -> None:
    present = segments(journal)
    end = time.monotonic() + seconds
    while left := [path for path in present if _holds_something(path)]:
        if time.monotonic() > end:
            raise StoreError(
                f"the server that records here did not store {len(left)} files of its journal within {seconds:g} "
                "seconds; nothing was erased. See why its database does not answer, then run this again"
            )
        time.sleep(0.05)


def _holds_something(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False
