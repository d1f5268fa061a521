"""Where the record is: a URL checked, a file private to its owner, an engine set up so that a commit is on disk."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from shokunin.errors import MissingExtraError, ProjectError, UsageError
from shokunin.files import disk_error

FILE = "traffic.sqlite3"
CONNECT_SECONDS = 5
BUSY_MS = 10_000


def connect(folder: Path, url: str | None, *, create: bool) -> tuple[Engine, str]:
    """An engine and its name for messages; nothing is looked at yet, a database that is down is told when it is used.

    Raises:
        UsageError: the URL is not one, or of another kind of database.
        MissingExtraError: PostgreSQL is asked for and psycopg is not installed.
        ProjectError: there is no record, or its file cannot be made.
    """
    address = _address(folder, url)
    options: dict[str, Any] = {"hide_parameters": True, "pool_pre_ping": address.get_backend_name() != "sqlite"}
    if address.get_backend_name() == "postgresql":
        options["connect_args"] = {
            "connect_timeout": CONNECT_SECONDS,
            "tcp_user_timeout": BUSY_MS,  # a network that swallows packets is an error, not a wait of a quarter of an hour
            "keepalives_idle": CONNECT_SECONDS,
            "application_name": "shokunin",
        }
    elif address.database and address.database != ":memory:":
        _private_file(Path(address.database), create)
    else:
        raise UsageError("the record needs a file or a server; a database in memory is gone with the process")
    try:
        engine = create_engine(address, **options)
    except ModuleNotFoundError as error:
        raise MissingExtraError("psycopg", "postgres") from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        return engine, str(address.database)
    return engine, address.render_as_string(hide_password=True)


def _address(folder: Path, url: str | None) -> URL:
    if url is None:
        return URL.create("sqlite", database=str(folder / FILE))
    try:
        address = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise UsageError(
            "the database is given as a URL, such as 'postgresql+psycopg://user@host/traffic'; this is not one"
        ) from error
    if address.drivername in ("postgresql", "postgres"):
        return address.set(drivername="postgresql+psycopg")
    if address.drivername not in ("postgresql+psycopg", "sqlite", "sqlite+pysqlite"):
        raise UsageError(
            f"traffic is kept in SQLite or PostgreSQL, not {address.drivername!r}; "
            "give sqlite:///FILE or postgresql+psycopg://user@host/traffic"
        )
    return address


def _private_file(path: Path, create: bool) -> None:
    """Make the file for its owner alone before SQLite would make it for everybody; SQLite's side files follow it."""
    if not create:
        if not path.is_file():
            raise ProjectError(f"there is no traffic in {str(path)!r} yet; `shokunin serve` records it")
        return
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise disk_error(error, path) from error


def _set_up_sqlite(connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={BUSY_MS}",
        "auto_vacuum=INCREMENTAL",  # only counts before the first table is made
        "journal_mode=WAL",
        "synchronous=FULL",  # the journal's segment is removed after the commit, so the commit must be on disk
        "secure_delete=ON",  # what is erased is overwritten
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
