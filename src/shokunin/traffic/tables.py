"""The tables of the record: one row an exchange, a column a field; the same in SQLite and PostgreSQL."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text

from shokunin.traffic.lines import NAME_CHARS

SCHEMA = 1
"""Raised when a column changes; a store of another number is refused, never guessed at."""

metadata = MetaData()
_number = Float(53)  # PostgreSQL's FLOAT without a precision is double too, but says so nowhere

exchanges = Table(
    "exchanges",
    metadata,
    # The order of arrival in the store, which `tail` follows; numbers are never used twice.
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", String(NAME_CHARS), nullable=False, unique=True),
    Column("timestamp", _number, nullable=False),
    Column("workload_id", String(NAME_CHARS), nullable=False),
    Column("client_id", String(NAME_CHARS), nullable=False),
    Column("endpoint", String(NAME_CHARS), nullable=False),
    Column("model", String(NAME_CHARS), nullable=False),
    Column("status", BigInteger, nullable=False),
    Column("route", String(NAME_CHARS), nullable=False),
    Column("specialist", String(NAME_CHARS), nullable=False),
    Column("upstream", String(NAME_CHARS), nullable=False),
    Column("value", Text),
    Column("confidence", _number),
    Column("seconds", _number, nullable=False),
    Column("first_byte_seconds", _number),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("cost", _number),
    Column("problem", String(NAME_CHARS)),
    Column("audit_rate", _number),
    Column("audited", Boolean),
    Column("parent", String(NAME_CHARS)),
    Column("agrees", Boolean),
    # Last, since SQLite reads a row only as far as it is asked for. Text, not JSON: it is kept as it was written.
    Column("request", Text),
    Column("response", Text),
    Index("exchanges_timestamp", "timestamp"),
    Index("exchanges_workload", "workload_id", "timestamp"),
    Index("exchanges_client", "client_id", "timestamp"),
    Index("exchanges_specialist", "specialist", "timestamp"),
    sqlite_autoincrement=True,
)

_has_parent = exchanges.c.parent.is_not(None)
Index("exchanges_parent", exchanges.c.parent, sqlite_where=_has_parent, postgresql_where=_has_parent)

schema = Table("exchanges_schema", metadata, Column("number", Integer, primary_key=True))
