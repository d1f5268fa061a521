"""What other parts ask of the record after a restart: the promise's evidence, and what a client has used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select, tuple_

from shokunin.traffic.lines import name_of
from shokunin.traffic.reading import PAGE
from shokunin.traffic.stats import ABOUT_OTHERS
from shokunin.traffic.store import Store
from shokunin.traffic.tables import exchanges

LONGEST_SECONDS = 600.0
"""No answer of a specialist takes longer."""


@dataclass(frozen=True, slots=True)
class Audit:
    """One answer that the upstream was asked about in the shadow.

    Attributes:
        timestamp: when the upstream was asked, seconds since 1970.
        rate: the probability with which the answer was to be audited.
        agrees: whether the upstream said the same; None where it could not be told.
        confidence: the specialist's, in its answer.
    """

    timestamp: float
    rate: float
    agrees: bool | None
    confidence: float


@dataclass(frozen=True, slots=True)
class Usage:
    """What one client has used: requests, tokens read and written, US dollars; audits and corrections are not its
    requests."""

    requests: int
    tokens: int
    cost: float


def local_count(store: Store, specialist: str, since: float = 0.0) -> int:
    """How many answers `name@version` has given itself since a moment.

    Raises:
        StoreError: the database cannot be used at the moment.
    """
    c = exchanges.c
    query = select(func.count()).where(
        c.specialist == name_of(specialist), c.route == "local", c.timestamp >= since, c.parent.is_(None)
    )
    with store.begin() as connection:
        return connection.execute(query).scalar_one()


def audits(store: Store, specialist: str, since: float = 0.0) -> Iterator[Audit]:
    """The audits of what `name@version` has answered, in the order in which they were made; a generator.

    Rate and confidence are the audit's own where it has them, else those of the answer that it is about.

    Raises:
        StoreError: the database cannot be used at the moment.
    """
    audit, answer = exchanges.alias("audit"), exchanges.alias("answer")
    query = (
        select(
            audit.c.timestamp,
            func.coalesce(audit.c.audit_rate, answer.c.audit_rate).label("rate"),
            audit.c.agrees,
            func.coalesce(audit.c.confidence, answer.c.confidence).label("confidence"),
            audit.c.seq,
        )
        .select_from(audit.outerjoin(answer, audit.c.parent == answer.c.id))
        .where(audit.c.specialist == name_of(specialist), audit.c.route == "audit", audit.c.timestamp >= since)
        .order_by(audit.c.timestamp, audit.c.seq)
        .limit(PAGE)
    )
    last: tuple[float, int] | None = None
    while True:
        page = query if last is None else query.where(tuple_(audit.c.timestamp, audit.c.seq) > last)
        with store.begin() as connection:
            found = connection.execute(page).all()
        for row in found:
            if row.rate is not None and row.confidence is not None:
                yield Audit(row.timestamp, row.rate, row.agrees, row.confidence)
        if len(found) < PAGE:
            return
        last = (found[-1].timestamp, found[-1].seq)


def given(store: Store, specialist: str, since: float = 0.0) -> dict[float, int]:
    """How many answers `name@version` has given with each audit rate since a moment.

    Raises:
        StoreError: the database cannot be used at the moment.
    """
    c = exchanges.c
    query = (
        select(c.audit_rate, func.count().label("many"))
        .where(
            c.specialist == name_of(specialist),
            c.route == "local",
            c.audit_rate.is_not(None),
            *_decided_since(c, since),
        )
        .group_by(c.audit_rate)
    )
    with store.begin() as connection:
        return {row.audit_rate: row.many for row in connection.execute(query)}


def unfinished(store: Store, specialist: str, since: float = 0.0) -> list[tuple[float, float]]:
    """Rate and confidence of answers that were put to the upstream in the shadow, and nothing came of it.

    Raises:
        StoreError: the database cannot be used at the moment.
    """
    audit, answer = exchanges.alias("audit"), exchanges.alias("answer")
    query = (
        select(answer.c.audit_rate, answer.c.confidence)
        .select_from(answer.outerjoin(audit, and_(audit.c.parent == answer.c.id, audit.c.route == "audit")))
        .where(
            answer.c.specialist == name_of(specialist),
            answer.c.route == "local",
            answer.c.audited.is_(True),
            *_decided_since(answer.c, since),
            audit.c.id.is_(None),
        )
    )
    with store.begin() as connection:
        return [(rate, confidence or 0.0) for rate, confidence in connection.execute(query)]


def _decided_since(c: Any, since: float) -> tuple[ColumnElement[bool], ...]:
    """An answer is decided on at the end of its exchange; the first condition is there for the index."""
    return c.timestamp >= since - LONGEST_SECONDS, c.timestamp + c.seconds >= since


def usage(store: Store, client_id: str, since: float) -> Usage:
    """What a client has used since a moment.

    Raises:
        StoreError: the database cannot be used at the moment.
    """
    c = exchanges.c
    query = select(
        func.count(),
        func.coalesce(func.sum(c.prompt_tokens + c.completion_tokens), 0),
        func.coalesce(func.sum(c.cost), 0.0),
    ).where(c.client_id == name_of(client_id), c.timestamp >= since, c.route.not_in(ABOUT_OTHERS))
    with store.begin() as connection:
        requests, tokens, cost = connection.execute(query).one()
    return Usage(requests, int(tokens), float(cost))
