"""The gateway: for each request, which task it is, who answers it, and what is kept of it.

```
request ─ names a specialist ──────────┐
        ─ matches a task's template ───┴─ specialist ─ sure? ─ yes ─ its answer              route `local`
        │                                              └ no ─── the upstream's answer        route `escalated`
        │                                                       └ fails ─ its answer, flagged      `fallback`
        └ neither ───────────────────────────────────────────── the upstream's answer        route `passed`
```

Whoever asks a specialist by its name gets a reply in our own words, whoever answers. A request that was recognised by its
template comes from an application that knows nothing of us: it gets the upstream's own reply, byte by byte, or a
specialist's in the shape of the replies it is used to.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from shokunin.answer import Answer, Inputs
from shokunin.errors import TaskError
from shokunin.serve.body import peek
from shokunin.serve.callers import caller_of
from shokunin.serve.endpoints import CHAT, Conversation, Endpoint, said_in_chat
from shokunin.serve.entries import Asked, Entries
from shokunin.serve.limits import check_nesting
from shokunin.serve.outgoing import question
from shokunin.serve.parts import Parts
from shokunin.serve.passing import REPLY_BYTES, Passing, refusal_of, refused
from shokunin.serve.promising import OWN_HEADERS, Promising
from shokunin.serve.quota import estimate_tokens
from shokunin.serve.rebuild import whole_body
from shokunin.serve.receiving import JSON, object_in, read_body, unless_gone
from shokunin.serve.recognise import Recognised
from shokunin.serve.refusal import Refusal, overloaded
from shokunin.serve.reply_parts import least_sure, route_headers
from shokunin.serve.routing import TaskPolicy
from shokunin.serve.served import Served, find
from shokunin.serve.streamed import Streamed
from shokunin.serve.upstream import UpstreamFailure
from shokunin.template import Template

AUTO = "auto"
"""The model's name of whoever leaves it to the server."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A request as a specialist reads it: the request in strict form, and its answer."""

    wanted: Any
    answer: Answer


class Gateway:
    """Answers requests out of the parts it is given."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.entries = Entries(parts)
        self.passing = Passing(parts, self.entries)
        self._promising = Promising(parts, self.entries)
        self._streamed = Streamed(parts, self.entries)

    async def close(self, seconds: float) -> None:
        """Begin no more answers that are given while they are written; wait so long for what is being compared."""
        self._streamed.close()
        await self._promising.close(seconds)

    async def answer(self, endpoint: Endpoint, request: Request) -> Response:
        """Answer a request to one of the endpoints that a specialist can answer.

        Raises:
            Refusal: it gets an error.
        """
        with self.entries.writing(request, endpoint.path) as entry:
            body = await read_body(request, self._parts.limits.body_seconds)
            check_nesting(body, self._parts.limits.nesting)
            seen = peek(body)
            asked = self.entries.admit(
                request, entry, seen, body, estimate_tokens(len(body), seen.max_tokens, seen.replies)
            )
            names = self._parts.shelf.names  # looked at once, so that a promotion cannot fall in between
            if seen.model in names or seen.model.partition("@")[0] in names:
                return await self._by_name(asked, endpoint, _found(request, names, seen.model))
            conversation = endpoint.conversation(seen) if endpoint.templates else ()
            looked = self._parts.recogniser(names).look(seen.model, conversation)
            if looked.found is not None:
                return await self._recognised(asked, endpoint, names[looked.found.name], looked.found)
            return await self.pass_on(asked, looked.candidates)

    async def pass_on(self, asked: Asked, candidates: Sequence[str] = ()) -> Response:
        """Pass on a request that no specialist answers.

        Args:
            asked: the request.
            candidates: the tasks that it could be; the strictest of their rules holds.

        Raises:
            Refusal: 404, nobody knows the model; 403, the request may not leave; or the upstream fails.
        """
        model = asked.peek.model
        target = self._parts.routes.default if model == AUTO else self._parts.routes.find(model)
        if target is None and model == AUTO:
            message = "no task was recognised, and there is no upstream to pass the request to"
            raise Refusal(404, message, "model_not_found", "model")
        if target is None:
            _found(asked.request, self._parts.shelf.names, model)  # raises, with the nearest name
            raise AssertionError("a name on the shelf was looked for before")
        caller_of(asked.request).require_model(model, target.model, target.upstream)
        egress = [self._parts.policy(task) for task in candidates]
        if any(policy.egress == "never" for policy in egress):
            message = (
                "the request could be of a task whose requests may not leave this house, and it is not clear which"
            )
            raise Refusal(403, message, "egress_refused")
        strictest = next((policy for policy in egress if policy.egress == "masked"), None)
        try:
            return await self.passing.pass_on(
                asked, target, "passed", headers=route_headers(None, None, "passed"), mask=self._mask(strictest)
            )
        except UpstreamFailure as failure:
            raise failure.refusal() from failure

    async def ask(self, request: Request, one: Served, rows: Sequence[Inputs]) -> list[Answer]:
        """A specialist's answers, unless they take too long or nobody waits for them any more.

        Raises:
            Refusal: 499, 503.
        """
        seconds = self._parts.limits.seconds
        try:
            return await unless_gone(request, self._parts.shelf.submit(one, rows), seconds)
        except TimeoutError as error:
            raise overloaded(f"no answer within {seconds:g} seconds; ask again in a moment") from error

    # --- asked by name

    async def _by_name(self, asked: Asked, endpoint: Endpoint, one: Served) -> Response:
        model = asked.peek.model
        caller_of(asked.request).require_model(model, one.name)
        asked.entry.workload_id, asked.entry.specialist = one.name, one.id
        wanted = endpoint.parse(asked.body, self._parts.limits)
        rows, wordings = await self._inputs(endpoint.conversations(wanted), endpoint.param, one)
        policy = self._parts.policy_of_served(one)
        alone = not policy.asks or model.rpartition("@")[2].isdigit()  # a fixed version answers everything itself
        if alone and asked.peek.stream and self._streamed.able(endpoint, wanted, one, wordings):
            return await self._streamed.reply(asked, endpoint, wanted, one, rows[0])
        answers = await self.ask(asked.request, one, rows)
        least = least_sure(answers)
        asked.entry.value, asked.entry.confidence, asked.entry.route = least.value, least.confidence, "local"
        for answer, wording in zip(
            answers, wordings, strict=True
        ):  # before anybody is asked, or an answer counts as given
            if answer.value is not None:
                endpoint.check(wanted, one.codec.write_chat(answer, wording))
        if not alone:
            each = zip(rows, wordings, answers, strict=True)
            answers = [await self._decided(asked, one, *asks, policy) for asks in each]
        for answer in answers:
            if answer.value is None:
                raise Refusal(500, answer.problem or "the specialist gave no answer", "no_answer")
        return self._reply(asked, endpoint, one, wanted, answers, wordings)

    async def _inputs(
        self, conversations: Sequence[Conversation], param: str, one: Served
    ) -> tuple[list[Inputs], list[Template | None]]:
        """The input fields in each conversation, and the wording that it has, if it is one of the recorded.

        Raises:
            Refusal: 400, one cannot be answered; 503, what it brought could not be kept.
        """
        limit = self._parts.limits.text_chars
        rows, wordings = [], []
        for conversation in conversations:
            if sum(map(_characters, conversation)) > limit:
                raise Refusal(400, f"the text is longer than {limit} characters", "context_length_exceeded", param)
            wordings.append(one.codec.phrased(conversation))
            try:
                inputs = one.codec.read_chat(conversation)
            except TaskError as error:
                raise Refusal(400, str(error), "invalid_value", param) from error
            inputs, problem = await one.completed(inputs)
            if problem is not None:
                raise Refusal(400, problem, "unanswerable_input", param)
            rows.append(inputs)
        return rows, wordings

    async def _decided(
        self,
        asked: Asked,
        one: Served,
        inputs: Inputs,
        wording: Template | None,
        answer: Answer,
        policy: TaskPolicy,
    ) -> Answer:
        """The specialist's answer, or the upstream's in its place."""
        decision = self._promising.decide(asked.entry, one, answer, policy)
        if decision is not None and decision.give:
            self._promising.audit(asked, one, answer, decision, policy, wording, inputs=inputs)
            return answer
        assert policy.target is not None
        entry, target = asked.entry, policy.target
        entry.route, entry.upstream = "escalated", target.upstream
        mask = self._mask(policy)
        body = question(one.codec.ask_chat(inputs, wording), model=target.model, mask=mask)
        start = time.perf_counter()
        try:
            reply = await self.passing.send(asked, target, CHAT.path, body, OWN_HEADERS, mask=mask)
            if reply.status != 200:
                await reply.aclose()
                raise refused(reply.status)
            content = await unless_gone(asked.request, reply.read(REPLY_BYTES))
            found = whole_body(content, encoding=reply.content_encoding, limit=REPLY_BYTES)
        except (UpstreamFailure, Refusal) as failure:
            return self._fallen_back(asked, answer, policy, failure)
        self.entries.charge(entry, found, target.model)
        said = None if found is None else said_in_chat(found)
        self._promising.compared(one, answer, said, wording)
        value = None if said is None else await self._promising.read(one, said, wording)
        if value is None:
            unreadable = Refusal(502, "the upstream's reply is none of the answers", "upstream_unreadable")
            return self._fallen_back(asked, answer, policy, unreadable)
        seconds = time.perf_counter() - start
        return Answer(value, 1.0, f"{target.upstream}/{target.model}", seconds=seconds, cost=entry.cost or 0.0)

    # --- recognised by its template

    async def _recognised(self, asked: Asked, endpoint: Endpoint, one: Served, found: Recognised) -> Response:
        caller_of(asked.request).require_model(asked.peek.model, one.name)
        entry, policy = asked.entry, self._parts.policy_of_served(one)
        if policy.target is not None and asked.peek.model != AUTO:
            policy = replace(policy, target=self._parts.routes.instead_of(policy.target, asked.peek.model))
        entry.workload_id, entry.specialist = one.name, one.id
        if not policy.asks and asked.peek.stream:
            wanted = endpoint.parse(asked.body, self._parts.limits)
            if self._streamed.able(endpoint, wanted, one, [found.template]) and not one.codec.problem(found.inputs):
                return await self._streamed.reply(asked, endpoint, wanted, one, found.inputs, recognised=True)
        read: _Read | None = None
        try:
            if not (asked.peek.tools and policy.asks):  # the upstream may want to call one of them
                read = await self._read(asked, endpoint, one, found)
        except Refusal as refusal:
            if refusal.status == 499 or not policy.asks:
                raise
        if read is not None:
            entry.value, entry.confidence = read.answer.value, read.answer.confidence
            decision = self._promising.decide(entry, one, read.answer, policy) if policy.asks else None
            if decision is not None and decision.give:
                self._promising.audit(asked, one, read.answer, decision, policy, found.template, said=endpoint.said)
            if not policy.asks or (decision is not None and decision.give):
                entry.route = "local" if read.answer.sure else "fallback"
                return self._reply(asked, endpoint, one, read.wanted, [read.answer], [found.template])
        return await self._escalated(asked, endpoint, one, found.template, read, policy)

    async def _read(self, asked: Asked, endpoint: Endpoint, one: Served, found: Recognised) -> _Read:
        """The specialist's answer.

        Raises:
            Refusal: a specialist cannot answer this.
        """
        wanted = endpoint.parse(asked.body, self._parts.limits)
        problem = one.codec.problem(found.inputs)
        if problem is not None:
            raise Refusal(400, problem, "unanswerable_input", endpoint.param)
        answer = (await self.ask(asked.request, one, [found.inputs]))[0]
        if answer.value is None:
            raise Refusal(500, answer.problem or "the specialist gave no answer", "no_answer")
        endpoint.check(wanted, one.codec.write_chat(answer, found.template))
        return _Read(wanted, answer)

    async def _escalated(
        self,
        asked: Asked,
        endpoint: Endpoint,
        one: Served,
        wording: Template,
        read: _Read | None,
        policy: TaskPolicy,
    ) -> Response:
        """The upstream's reply as it is, or the unsure answer where the upstream fails and the owner wants that."""
        assert policy.target is not None
        flagging = read is not None and policy.answer_anyway

        def heard(body: Mapping[str, Any]) -> None:
            if read is not None:
                self._promising.compared(one, read.answer, endpoint.said(body), wording)

        try:
            return await self.passing.pass_on(
                asked,
                policy.target,
                "escalated",
                headers=route_headers(one, None if read is None else read.answer, "escalated"),
                mask=self._mask(policy),
                heard=heard,
                good=lambda status: not flagging or (status < 500 and status not in (401, 403, 404, 408, 429)),
            )
        except (UpstreamFailure, Refusal) as failure:
            if read is None:
                raise refusal_of(failure) from failure
            answer = self._fallen_back(asked, read.answer, policy, failure)
            return self._reply(asked, endpoint, one, read.wanted, [answer], [wording])

    # --- shared by both

    def _fallen_back(
        self, asked: Asked, answer: Answer, policy: TaskPolicy, failure: UpstreamFailure | Refusal
    ) -> Answer:
        """The specialist's unsure answer, flagged.

        Raises:
            Refusal: there is none, or the owner wants an error instead.
        """
        refusal = refusal_of(failure)
        if refusal.status == 499 or not policy.answer_anyway or answer.value is None:
            raise refusal from failure
        asked.entry.route, asked.entry.problem, asked.entry.status = "fallback", refusal.code, 200
        return replace(answer, sure=False)

    def _reply(
        self,
        asked: Asked,
        endpoint: Endpoint,
        one: Served,
        wanted: Any,
        answers: Sequence[Answer],
        wordings: Sequence[Template | None],
    ) -> Response:
        """The reply in our own words: each answer in the shape of its request's wording."""
        entry = asked.entry
        texts = [one.codec.write_chat(*pair) for pair in zip(answers, wordings, strict=True)]
        request_id, created = entry.id, int(entry.timestamp)
        whole = endpoint.write(wanted, one, answers, texts, request_id=request_id, created=created)
        entry.response = object_in(whole)
        if entry.cost is None:
            entry.usage(entry.response)
        headers = route_headers(one, least_sure(answers), entry.route)
        response = Response(whole, 200, headers, JSON)
        if asked.peek.stream:
            events = endpoint.stream(wanted, one, answers, texts, request_id=request_id, created=created)
            response = Response(events, 200, headers, "text/event-stream")
        return self.entries.finish(entry, asked.request, response)

    def _mask(self, policy: TaskPolicy | None) -> Any:
        return self._parts.mask_for(policy)


def _found(request: Request, names: Mapping[str, Served], asked: str) -> Served:
    """The specialist of that name; where there is none, the hint tells of no other that the caller may not ask.

    Raises:
        Refusal: 404.
    """
    scopes = caller_of(request).scopes
    return find(names if asked in names else {name: names[name] for name in names if scopes.allows(name)}, asked)


def _characters(message: Mapping[str, Any]) -> int:
    content = message.get("content")
    if isinstance(content, list):
        return sum(len(part.get("text") or "") for part in content)
    return len(content or "")
