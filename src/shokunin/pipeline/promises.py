"""Promises of served specialists: watches made, kept over restarts, and counted anew from the record after a crash."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from shokunin.errors import ShokuninError, UsageError
from shokunin.files import read_json, write_json
from shokunin.project import Project
from shokunin.serve.decisions import DecisionLog
from shokunin.serve.served import Served
from shokunin.traffic import evidence
from shokunin.traffic.store import Store
from shokunin.watch.promise import PromiseWatch

FILE = "promises.json"
EVERY = 0.25
"""Seconds between two looks whether something must be written down."""
_log = logging.getLogger("shokunin.serve")


class Promises:
    """Makes the watches of a server, and keeps what they know in the project's `traffic` folder.

    Args:
        place: the project.
        store: the record of traffic; None: nothing is recorded, and nothing is kept.
        decisions: where changes of a promise are written down; None: nowhere.
    """

    def __init__(self, place: Project, store: Store | None, decisions: DecisionLog | None = None) -> None:
        self._place = place
        self._store = store
        self._decisions = decisions
        self._path = place.traffic / FILE
        self._known: dict[str, dict[str, Any]] = _read(self._path) if store is not None else {}
        self._watches: dict[str, PromiseWatch] = {}
        self._dirty = asyncio.Event()

    def make(self, one: Served) -> PromiseWatch | None:
        """The watch of a specialist: as it was left, if the promise is still the same; None: it has no promise."""
        promise = one.codec.calibration.promise
        if promise is None:
            return None
        route = self._place.gateway.route(one.name)
        share = (route.audit_share or 0.0) if route.egress != "never" and route.upstream else 0.0
        watch = self._left(one, share) or PromiseWatch(
            max_error=promise.bound,
            confidence=promise.confidence,
            threshold=promise.threshold,
            audit_share=share,
            rng=random.SystemRandom(),
        )
        self._watches[one.id] = watch
        self._known.setdefault(one.id, {"since": time.time()})["about"] = self._about(one)
        self.changed()
        return watch

    def changed(self) -> None:
        """Something must be written down soon."""
        self._dirty.set()

    def told(self, specialist: str, event: Any) -> None:
        """Write a change of a promise into the log of decisions; does not wait for that."""
        if event.what == "resumed":  # a new term begins its count at the moment
            self._known[specialist]["since"] = time.time()
        if self._decisions is not None:
            what = f"promise_{event.what}"
            asyncio.get_running_loop().run_in_executor(None, self._write_decision, what, specialist, event)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Write down what changes, a moment later and at the end of the block."""
        task = asyncio.ensure_future(self._keep())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._write(stopped=True)

    def _left(self, one: Served, share: float) -> PromiseWatch | None:
        known = self._known.get(one.id, {})
        state = known.get("state")
        promise = one.codec.calibration.promise
        assert promise is not None
        if state is None:
            return None
        if known.get("about", self._about(one)) != self._about(one):
            _log.warning("the promise of %s begins anew: it is another specialist or another upstream by now", one.id)
            self._known[one.id] = {"since": time.time()}
            return None
        asked = (promise.bound, promise.confidence, promise.threshold, share)
        try:
            watch = PromiseWatch.from_dict(state, rng=random.SystemRandom())
        except UsageError as error:
            _log.warning("the promise of %s begins anew, what was known cannot be read: %s", one.id, error)
            return None
        if (watch.max_error, watch.confidence, float(state["calibrated"]), watch.audit_share) != asked:
            _log.warning("the promise of %s begins anew, since what is promised was changed", one.id)
            self._known[one.id] = {"since": time.time()}
            return None
        if not known.get("stopped"):
            self._count_anew(one, watch, float(known["since"]))
        return watch

    def _about(self, one: Served) -> dict[str, Any]:
        """What is promised about what: the specialist's content, and with whose answers it is compared."""
        upstream = self._place.gateway.route(one.name).upstream
        model = self._place.upstreams[upstream].model if upstream else None
        return {"digest": one.about.get("digest"), "upstream": upstream, "model": model}

    def _count_anew(self, one: Served, watch: PromiseWatch, since: float) -> None:
        """After a crash: what the record has and the watch has not written down."""
        assert self._store is not None
        days = self._place.gateway.retention_days
        if days is not None and since < time.time() - days * 86400:
            watch.lose_outstanding()
            return  # the record does not reach back so far; what was written down a moment before the crash holds
        try:
            given = evidence.given(self._store, one.id, since)
            found = [(a.rate, a.agrees, a.confidence) for a in evidence.audits(self._store, one.id, since)]
            found += [(rate, None, confidence) for rate, confidence in evidence.unfinished(self._store, one.id, since)]
            if sum(given.values()) < watch.status.given:  # erased, dropped, or several answers in one exchange
                raise UsageError("the record has fewer answers than were given")
            watch.replay(given, found)
        except ShokuninError as error:
            watch.lose_outstanding()
            _log.error(
                "the promise of %s goes on from its last state, since the record cannot be counted: %s", one.id, error
            )

    async def _keep(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            await self._write(stopped=False)
            await asyncio.sleep(EVERY)

    async def _write(self, *, stopped: bool) -> None:
        if self._store is None:
            return
        for name, watch in self._watches.items():
            self._known[name] |= {"state": watch.to_dict(), "stopped": stopped}
        try:
            await asyncio.to_thread(write_json, self._path, dict(self._known))
        except (
            ShokuninError,
            ValueError,
        ) as error:  # a number that JSON does not have must not end the writing for good
            _log.error("what is known of the promises could not be written down: %s", error)

    def _write_decision(self, what: Any, specialist: str, event: Any) -> None:
        assert self._decisions is not None
        try:
            self._decisions.append(
                what,
                "shokunin",
                specialist=specialist,
                threshold=event.threshold,
                given=event.given,
                bound=event.bound,
                limit=event.limit,
                reason=event.reason,
            )
        except ShokuninError as error:
            _log.error("the log of decisions could not be written: %s", error)


def _read(path: Path) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    value = read_json(path)
    if not isinstance(value, dict) or not all(isinstance(one, dict) for one in value.values()):
        raise UsageError(f"{str(path)!r} does not say how promises stand; move it away, and every promise begins anew")
    return value
