"""Promising: whether a specialist's answer is given, and what is learnt when the upstream has answered too.

To tell whether two written answers say the same may take seconds (SQL is run for it), so that is done in threads of its own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from shokunin.answer import Answer, Inputs
from shokunin.serve.auditing import Audit
from shokunin.serve.endpoints import CHAT, said_in_chat
from shokunin.serve.entries import Asked, Entries
from shokunin.serve.entry import Entry
from shokunin.serve.outgoing import audit_body, clean_headers, question
from shokunin.serve.parts import Parts
from shokunin.serve.receiving import JSON
from shokunin.serve.routing import Target, TaskPolicy
from shokunin.serve.served import Served
from shokunin.serve.watching import Decision, Watch
from shokunin.template import Template

OWN_HEADERS = [("content-type", JSON)]
"""Of the requests that this server makes itself."""
AT_ONCE = 2
"""Comparisons of written answers at a time; more wait."""
T = TypeVar("T")
_log = logging.getLogger("shokunin.serve")


class Promising:
    """Between specialists, their watches and the audits."""

    def __init__(self, parts: Parts, entries: Entries) -> None:
        self._parts = parts
        self._entries = entries
        self._pool = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="shokunin-comparing")
        self._comparing: set[asyncio.Task[None]] = set()

    async def close(self, seconds: float) -> None:
        """Wait so long for comparisons under way; the rest is not learnt from."""
        if self._comparing:
            await asyncio.wait(self._comparing, timeout=seconds)
        for task in self._comparing:
            task.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def decide(self, entry: Entry, one: Served, answer: Answer, policy: TaskPolicy) -> Decision | None:
        """What the watch says; None: the specialist itself is not sure, or has no watch."""
        watch = self._parts.watches.of(one)
        if watch is None or answer.value is None or not answer.sure:
            entry.reason = "unsure"
            return None
        assert policy.target is not None
        open_now = self._parts.upstreams[policy.target.upstream].breaker.state == "closed"
        decision = watch.decide(answer.confidence, auditable=open_now)
        self._parts.watches.after(one.id, keep=decision.give and decision.audit)
        entry.reason = decision.reason
        return decision

    async def read(self, one: Served, said: str, wording: Template | None) -> str | None:
        """The answer that an upstream's reply to a request of this wording means."""
        return await self._apart(one, lambda: one.codec.read_reply(said, wording))

    def compared(self, one: Served, answer: Answer, said: str | None, wording: Template | None) -> None:
        """The upstream has answered a request of this wording in the specialist's place: see whether it said the same.

        Where that takes time it is found out a little later.
        """
        watch = self._parts.watches.of(one)
        if watch is None or answer.value is None or said is None:
            return
        if not one.writes:
            watch.compared(answer.confidence, _same(one, answer, said, wording))
            self._parts.watches.after(one.id, keep=False)
            return
        task = asyncio.get_running_loop().create_task(self._compare(watch, one, answer, said, wording))
        self._comparing.add(task)
        task.add_done_callback(self._comparing.discard)

    async def _compare(self, watch: Watch, one: Served, answer: Answer, said: str, wording: Template | None) -> None:
        try:
            same = await self._apart(one, lambda: _same(one, answer, said, wording))
        except Exception:
            _log.exception("%s: its answer and the upstream's could not be compared", one.id)
            return
        watch.compared(answer.confidence, same)
        self._parts.watches.after(one.id, keep=False)

    async def _apart(self, one: Served, work: Callable[[], T]) -> T:
        """What the work comes to, done in a thread where the answers are written."""
        if not one.writes:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def audit(
        self,
        asked: Asked,
        one: Served,
        answer: Answer,
        decision: Decision,
        policy: TaskPolicy,
        wording: Template | None,
        *,
        inputs: Inputs | None = None,
        said: Callable[[Mapping[str, Any]], str | None] = said_in_chat,
    ) -> None:
        """Put a given answer to the upstream, if the coin says so: the client's request, or a question about `inputs`.

        Either is in the wording, and so is the reply that is expected.
        """
        entry = asked.entry
        entry.audit_rate, entry.audited = decision.rate, decision.audit or bool(entry.audits)
        assert policy.target is not None
        if not decision.audit:
            return
        target, mask = policy.target, self._parts.mask_for(policy)
        if inputs is None:
            path, headers = asked.path, clean_headers(asked.headers, mask)
            body = audit_body(asked.peek.raw, model=target.model, mask=mask)
        else:
            path, headers = CHAT.path, OWN_HEADERS
            body = question(one.codec.ask_chat(inputs, wording), model=target.model, mask=mask)

        async def agrees(reply: Mapping[str, Any]) -> bool:
            text = said(reply)
            return text is not None and await self._apart(one, lambda: _same(one, answer, text, wording) is True)

        watch = self._parts.watches.of(one)

        def told(found: bool | None, audit: Entry) -> None:
            if watch is not None:
                watch.audited(decision.rate, found, answer.confidence, term=decision.term)
                self._parts.watches.after(one.id, keep=True)
            audit.cost = self._parts.price(target.model, audit.prompt_tokens, audit.completion_tokens)
            self._entries.keep(audit)

        written = self._entry(entry, path, one, answer, decision, target)
        client = self._parts.upstreams[target.upstream]
        self._parts.audits.submit(Audit(client, path, body, headers, asked.authorization, written, agrees, told))

    def _entry(self, of: Entry, path: str, one: Served, answer: Answer, decision: Decision, target: Target) -> Entry:
        of.audits += 1
        name = f"{of.id}-audit" if of.audits == 1 else f"{of.id}-audit-{of.audits}"
        audit = Entry(name, time.time(), path, client_id=of.client_id, workload_id=of.workload_id)
        audit.route, audit.parent, audit.model = "audit", of.id, target.model
        audit.specialist, audit.upstream = one.id, target.upstream
        audit.value, audit.confidence, audit.audit_rate = answer.value, answer.confidence, decision.rate
        return audit


def _same(one: Served, answer: Answer, said: str, wording: Template | None) -> bool | None:
    """Whether the upstream said the same; None: nothing that can be read."""
    value = one.codec.read_reply(said, wording)
    return None if value is None else one.codec.correct(value, answer.value)
