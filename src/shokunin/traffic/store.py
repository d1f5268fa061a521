"""The store: exchanges in a database, SQLite in the project's folder or PostgreSQL by URL, through the same code."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, inspect, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError
from sqlalchemy.sql import ColumnElement

from shokunin.errors import ProjectError, StoreError
from shokunin.traffic.connect import connect
from shokunin.traffic.tables import SCHEMA, exchanges, metadata, schema

SLICE = 500
"""Rows deleted in one transaction, so that writers and readers get their turn."""
PAGES = 1000
"""Pages of SQLite that one transaction gives back to the disk."""
_ROW_AT_FAULT = (DataError, IntegrityError, OverflowError, ValueError)
_log = logging.getLogger("shokunin.traffic")


class Store:
    """An open database of exchanges.

    Attributes:
        engine: SQLAlchemy's; every statement is in `traffic`.
        name: what it is called in messages: a path, or a URL without its password.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine = engine
        self.name = name
        self.is_sqlite = engine.dialect.name == "sqlite"
        dialect = sqlite if self.is_sqlite else postgresql
        self._insert = dialect.insert(exchanges).on_conflict_do_nothing(index_elements=["id"])

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction, committed at the end of the block.

        Raises:
            StoreError: the database cannot be used at the moment.
        """
        try:
            with self.engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise self._failed(error) from None  # its text may hold what clients sent

    def insert(self, rows: Sequence[dict[str, Any]]) -> int:
        """Store rows made by `lines.row_of`; a row whose id is there already stays as it is.

        Returns:
            How many rows the database would not take; the others are stored.

        Raises:
            StoreError: the database cannot be used at the moment; none of them need be stored.
        """
        try:
            with self.engine.begin() as connection:
                connection.execute(self._insert, list(rows))
        except _ROW_AT_FAULT as error:
            if len(rows) == 1:
                _log.error("the exchange %r cannot be stored (%s) and is dropped", rows[0]["id"], type(error).__name__)
                return 1
            middle = len(rows) // 2
            return self.insert(rows[:middle]) + self.insert(rows[middle:])
        except SQLAlchemyError as error:
            raise self._failed(error) from None
        return 0

    def delete(self, which: ColumnElement[bool], *, slices: int | None = None) -> int:
        """Delete the rows that fit, a slice at a time; returns how many.

        Args:
            which: the condition.
            slices: at most so many slices of `SLICE` rows; None: all.

        Raises:
            StoreError: the database cannot be used at the moment; earlier slices are gone.
        """
        some = select(exchanges.c.seq).where(which).limit(SLICE)
        gone = 0
        while slices is None or slices > 0:
            with self.begin() as connection:
                count = connection.execute(delete(exchanges).where(exchanges.c.seq.in_(some))).rowcount
            gone += count
            if count < SLICE:
                break
            slices = None if slices is None else slices - 1
        return gone

    def give_back(self) -> None:
        """Return the room of deleted rows to the disk, and leave nothing of them in SQLite's log; PostgreSQL does both
        by itself in time.

        Raises:
            StoreError: the database cannot be used at the moment.
        """
        if not self.is_sqlite:
            return
        with self.begin() as connection:
            cursor = connection.connection.cursor()
            free = 1
            while free:
                cursor.execute(f"PRAGMA incremental_vacuum({PAGES})")
                cursor.fetchall()  # it frees a page a step
                cursor.execute("PRAGMA freelist_count")
                (left,) = cursor.fetchall()[0]
                free = left if left != free else 0  # a database made without auto_vacuum keeps its pages
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            cursor.close()

    def prepare(self) -> None:
        """Make the tables if they are missing.

        Raises:
            StoreError: the database cannot be used at the moment.
            ProjectError: it was made by another release.
        """
        with self.begin() as connection:
            metadata.create_all(connection)
            if connection.execute(select(schema.c.number)).first() is None:
                connection.execute(insert(schema).values(number=SCHEMA))
        self.check()

    def check(self) -> None:
        """See that the tables are there and are those of this release.

        Raises:
            StoreError: the database cannot be used at the moment.
            ProjectError: they are not there, or are another release's.
        """
        with self.begin() as connection:
            there = inspect(connection).has_table(schema.name)
            number = connection.execute(select(schema.c.number)).scalar() if there else None
        if number is None:
            raise ProjectError(f"there is no traffic in {self.name!r} yet; `shokunin serve` records it")
        if number != SCHEMA:
            raise ProjectError(
                f"the record in {self.name!r} has the form {number}, this release reads {SCHEMA}; "
                "use the release that wrote it, or record into another database"
            )

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()

    def _failed(self, error: SQLAlchemyError) -> StoreError:
        said = str(getattr(error, "orig", None) or type(error).__name__).strip().partition("\n")[0]
        return StoreError(f"the database {self.name!r} cannot be used at the moment: {said}")


def open_store(folder: Path, url: str | None = None, *, create: bool = False) -> Store:
    """The record of the project whose traffic is kept in `folder`.

    Args:
        folder: where `traffic.sqlite3` lies when no URL is given.
        url: SQLAlchemy's URL of a SQLite or PostgreSQL database.
        create: make file and tables where they are missing.

    Raises:
        UsageError: the URL is not one, or of another kind of database.
        MissingExtraError: PostgreSQL is asked for and psycopg is not installed.
        ProjectError: there is no record, or it is another release's.
        StoreError: the database cannot be used at the moment.
    """
    store = Store(*connect(folder, url, create=create))
    try:
        store.prepare() if create else store.check()
    except BaseException:
        store.close()
        raise
    return store
