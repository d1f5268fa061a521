"""Auditing: answers that were given are put to the upstream in the shadow; nobody waits for that."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from shokunin.serve.entry import Entry
from shokunin.serve.model_client import ModelClient
from shokunin.serve.rebuild import whole_body
from shokunin.serve.upstream import UpstreamFailure

REPLY_BYTES = 1 << 20
PAUSES = (1.0, 5.0, 20.0)
"""Seconds before an audit that brought no answer is tried again; an audit that is lost counts as a disagreement."""
_log = logging.getLogger("shokunin.serve")


@dataclass(frozen=True, slots=True)
class Audit:
    """One answer to be put to the upstream.

    Attributes:
        client: who is asked.
        path: where.
        body: what.
        headers: of the client's request, as far as they go on.
        authorization: the client's own, for an upstream that takes it.
        entry: the exchange that is to say what came of it.
        agrees: reads the upstream's reply: whether it says the same, None where that cannot be told. It may take its time, and
            the event loop has others to serve meanwhile.
        told: told what was found, None where nothing was, and the finished entry.
    """

    client: ModelClient
    path: str
    body: bytes
    headers: Sequence[tuple[str, str]]
    authorization: str | None
    entry: Entry
    agrees: Callable[[dict[str, object]], Awaitable[bool | None]]
    told: Callable[[bool | None, Entry], None]


class Audits:
    """Asks each upstream a few at a time, so that one that hangs holds up no other's audits; what does not fit into an
    upstream's queue is lost, and counted so."""

    def __init__(self, *, at_a_time: int = 8, waiting: int = 512, pauses: Sequence[float] = PAUSES) -> None:
        self._pauses = pauses
        self._rooms: dict[ModelClient, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(at_a_time))
        self._limit = at_a_time + waiting
        self._under_way: Counter[ModelClient] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Audits that have no outcome yet."""
        return len(self._tasks)

    def submit(self, audit: Audit) -> None:
        """Ask when there is room."""
        if self._under_way[audit.client] >= self._limit:
            audit.told(None, replace(audit.entry, problem="audit_queue_full", status=503))
            return
        task = asyncio.get_running_loop().create_task(self._ask(audit))
        self._tasks.add(task)
        self._under_way[audit.client] += 1
        task.add_done_callback(lambda done: self._done(done, audit.client))

    async def close(self, seconds: float) -> None:
        """Wait so long for what is under way; the rest is lost."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)

    def _done(self, task: asyncio.Task[None], client: ModelClient) -> None:
        self._tasks.discard(task)
        self._under_way[client] -= 1

    async def _ask(self, audit: Audit) -> None:
        """Ask until there is an answer, a few times: an outage of seconds should not cost the specialist its promise."""
        entry, agrees = audit.entry, None
        try:
            for pause in (*self._pauses, None):
                agrees, again = await self._once(audit)
                if not again or pause is None:
                    break
                await asyncio.sleep(pause)
        except asyncio.CancelledError:
            entry.status, entry.problem = 503, "server_stopped"
        except Exception:
            _log.exception("an audit failed")
            entry.status, entry.problem = 500, "internal_error"
        entry.agrees = agrees
        audit.told(agrees, entry)

    async def _once(self, audit: Audit) -> tuple[bool | None, bool]:
        """Ask once: whether the upstream says the same, and whether it may be asked again."""
        entry = audit.entry
        try:
            async with self._rooms[audit.client]:
                reply = await audit.client.send(
                    audit.path, audit.body, audit.headers, client_authorization=audit.authorization
                )
                entry.status = reply.status
                body = await reply.read(REPLY_BYTES)
        except UpstreamFailure as failure:
            entry.status, entry.problem = failure.refusal().status, failure.reason
            return None, True
        if reply.status != 200:
            entry.problem = "audit_refused"
            return None, reply.status >= 500 or reply.status in (408, 429)
        answer = whole_body(body, encoding=reply.content_encoding, limit=REPLY_BYTES)
        if answer is None:
            entry.problem = "audit_unreadable"
            return None, False
        entry.problem, entry.response = None, answer
        entry.usage(answer)
        return await audit.agrees(answer), False
