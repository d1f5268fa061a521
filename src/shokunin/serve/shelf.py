"""Shelf: the specialists that are served now, replaced all at once while requests are under way.

A request looks its specialist up once and stays with what it found: its answer, its headers and its record are of one
version, whatever is promoted meanwhile. What was replaced answers those who still hold it, and leaves memory with the
last of them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from shokunin.answer import Answer, Inputs
from shokunin.serve.batching import Batcher, Crew
from shokunin.serve.limits import Limits
from shokunin.serve.served import Served, find, names_of


@dataclass(frozen=True)
class _Now:
    """One state of the shelf; never changed, only replaced."""

    served: Mapping[str, Served]
    names: Mapping[str, Served]
    batchers: Mapping[str, Batcher]


class Shelf:
    """What is served, by name, and the queues in front of it."""

    def __init__(
        self, served: Mapping[str, Served], *, limits: Limits | None = None, threads: int | None = None
    ) -> None:
        """Serve these; an empty shelf can be filled later.

        Args:
            served: each id `name@version` and what answers under it.
            limits: `batch` and `waiting` are used.
            threads: threads that all specialists share; by default one for each core.

        Raises:
            UsageError: two specialists would have one name.
        """
        self._limits = limits or Limits()
        self._crew = Crew(threads)
        self._changing = threading.Lock()
        self._now = _Now({}, {}, {})
        self.replace(served)

    @property
    def served(self) -> Mapping[str, Served]:
        """What is served now, by id; this mapping does not change when the shelf does."""
        return self._now.served

    @property
    def names(self) -> Mapping[str, Served]:
        """Every name a client may use now; this mapping does not change when the shelf does."""
        return self._now.names

    def find(self, asked: str) -> Served:
        """The specialist a client asks for. Ask once a request, and stay with the answer.

        Raises:
            Refusal: 404 `model_not_found`, with the nearest name.
        """
        return find(self._now.names, asked)

    def submit(self, one: Served, rows: Sequence[Inputs]) -> asyncio.Future[list[Answer]]:
        """A future of as many answers from exactly `one`, in the same order, even if it was replaced since it was found.

        Cancel the future and the rows that have not started are dropped.

        Raises:
            Refusal: 503, too many rows are waiting or the server is stopping.
        """
        batcher = self._now.batchers.get(one.id)
        if batcher is None or batcher.predictor is not one.predictor:
            batcher = self._batcher(one)
        return batcher.submit(rows)

    def replace(self, served: Mapping[str, Served]) -> None:
        """Serve these from now on, and nothing else. What stays keeps its queue. May be called from any thread.

        Raises:
            UsageError: two specialists would have one name; nothing was changed.
        """
        names = names_of(served) if served else {}
        with self._changing:
            before = self._now.batchers
            batchers = {}
            for key, one in served.items():
                kept = before.get(key)
                batchers[key] = kept if kept is not None and kept.predictor is one.predictor else self._batcher(one)
            self._now = _Now(MappingProxyType(dict(served)), MappingProxyType(names), batchers)

    def waiting(self) -> dict[str, int]:
        """How many rows wait for each specialist, by id."""
        return {key: batcher.waiting for key, batcher in self._now.batchers.items()}

    @property
    def threads(self) -> int:
        """Threads that were started so far for all specialists together."""
        return self._crew.threads

    def close(self, seconds: float = 5.0) -> bool:
        """Answer what is waiting and take nothing more; False if a predictor is still busy after `seconds`."""
        return self._crew.close(seconds)

    def _batcher(self, one: Served) -> Batcher:
        return Batcher(one.predictor, one.id, batch=self._limits.batch, waiting=self._limits.waiting, crew=self._crew)


def changed(before: Mapping[str, Served], after: Mapping[str, Served]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The ids that came and those that went; one with another predictor, or with other aliases, counts as both."""
    came = tuple(key for key, one in after.items() if before.get(key) != one)
    went = tuple(key for key, one in before.items() if after.get(key) != one)
    return came, went
