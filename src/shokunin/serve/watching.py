"""Watching: the server's view of a promise that is kept an eye on, and one watch for each specialist that has one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from shokunin.serve.served import Served

_log = logging.getLogger("shokunin.serve")


class Decision(Protocol):
    """What a watch says to one answer."""

    @property
    def give(self) -> bool:
        """Whether the specialist's answer may be given."""

    @property
    def audit(self) -> bool:
        """Whether it is to be compared with the upstream's in the shadow."""

    @property
    def rate(self) -> float:
        """The probability with which that was to be so."""

    @property
    def reason(self) -> str:
        """Why it is not given, in a word."""

    @property
    def term(self) -> int:
        """To be handed back with what an audit finds."""


class Watch(Protocol):
    """Decides which answers are given so that a promise holds; used from the event loop only."""

    def decide(self, confidence: float, *, auditable: bool = True) -> Decision:
        """Whether an answer of this confidence is given; if so, it counts. `auditable`: the upstream can be asked."""

    def audited(self, rate: float, agrees: bool | None, confidence: float, *, term: int | None = None) -> None:
        """What an audit found; None: nothing."""

    def compared(self, confidence: float, agrees: bool | None) -> None:
        """How an answer that was not given compares with the upstream's."""

    def resume(self) -> None:
        """Give answers again, as a new term."""

    @property
    def status(self) -> Any:
        """What is known, for people and metrics."""

    def take_events(self) -> Sequence[Any]:
        """What has changed since last asked."""

    def to_dict(self) -> dict[str, Any]:
        """Its state, as plain values."""


class Watches:
    """One watch for each served specialist that is asked.

    Args:
        make: a watch for a specialist, with what was known of it before; None: it is served without.
        changed: told after anything that must not be forgotten.
        told: told what happened, as (specialist, event).
    """

    def __init__(
        self,
        make: Callable[[Served], Watch | None],
        *,
        changed: Callable[[], None] = lambda: None,
        told: Callable[[str, Any], None] = lambda specialist, event: None,
    ) -> None:
        self._make = make
        self._changed = changed
        self._told = told
        self._watches: dict[tuple[str, Any], Watch | None] = {}
        self._newest: dict[str, Watch | None] = {}

    def of(self, one: Served) -> Watch | None:
        """The watch of a specialist; what has taken the id of one that was removed has a watch of its own."""
        key = (one.id, one.about.get("digest"))
        if key not in self._watches:
            self._watches[key] = self._newest[one.id] = self._make(one)
        return self._watches[key]

    def all(self) -> Iterator[tuple[str, Watch]]:
        """Every watch there is, with its specialist's id."""
        yield from ((name, watch) for name, watch in self._newest.items() if watch is not None)

    def states(self) -> Mapping[str, dict[str, Any]]:
        """Every watch's state, to be kept."""
        return {name: watch.to_dict() for name, watch in self.all()}

    def after(self, specialist: str, *, keep: bool) -> None:
        """Say what changed, and keep it where it must outlive a kill."""
        watch = self._newest.get(specialist)
        events = [] if watch is None else watch.take_events()
        for event in events:
            _log.warning("the promise of %s: %s", specialist, event)
            self._told(specialist, event)
        if keep or events:
            self._changed()
