"""An exchange of our own record as a recorded call, by the same rules as one from a file."""

from __future__ import annotations

from dataclasses import fields

from shokunin.exchange import Exchange
from shokunin.recorded import call_of
from shokunin.recorded.call import Call

_NAMES = tuple(one.name for one in fields(Exchange))


def call_of_exchange(exchange: Exchange) -> Call | str:
    """The call that an exchange records, or why it records none; see `recorded.call_of`."""
    return call_of({name: getattr(exchange, name) for name in _NAMES}, exchange.id)
