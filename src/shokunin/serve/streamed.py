"""Streamed: a specialist's answer on its way to the client while it is still being written.

How sure the specialist is shows at the end of its answer, and what was sent cannot be taken back. So this is for answers that are
given whatever comes of them: nobody else would be asked. All others are sent at once, when it is known whose they are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from shokunin.answer import Answer, Inputs, StreamingPredictor
from shokunin.serve.batching import FAILED
from shokunin.serve.callers import caller_of
from shokunin.serve.endpoints import Endpoint
from shokunin.serve.entries import Asked, Entries
from shokunin.serve.local_stream import LocalReply
from shokunin.serve.parts import Parts
from shokunin.serve.rebuild import StreamRebuilder
from shokunin.serve.receiving import unless_gone
from shokunin.serve.refusal import Refusal, overloaded
from shokunin.serve.relay import Relay
from shokunin.serve.reply_parts import Pieces, prompt_tokens, route_headers, written_tokens
from shokunin.serve.served import Served
from shokunin.template import Template

AT_ONCE = 64
"""Answers that are written to streams at a time; more are turned away."""
_log = logging.getLogger("shokunin.serve")


@dataclass(slots=True)
class _Told:
    """What has been said so far, and the answer once it is there."""

    text: str = ""
    answer: Answer | None = None
    problem: str | None = None


class Streamed:
    """Gives answers while they are written."""

    def __init__(self, parts: Parts, entries: Entries) -> None:
        self._parts = parts
        self._entries = entries
        self._pool = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="shokunin-streamed")
        self._under_way = 0
        self._stopping: set[asyncio.Task[None]] = set()

    def able(self, endpoint: Endpoint, wanted: Any, one: Served, wordings: Sequence[Template | None]) -> bool:
        """Whether this reply can be sent piece by piece: one text as it is written, not looked at as a whole before."""
        plain = len(wordings) == 1 and all(w is None or (w.reply == "{{answer}}" and not w.spellings) for w in wordings)
        return (
            plain
            and isinstance(one.predictor, StreamingPredictor)
            and one.predictor.streams
            and endpoint.piecewise(wanted)
        )

    async def reply(
        self, asked: Asked, endpoint: Endpoint, wanted: Any, one: Served, inputs: Inputs, *, recognised: bool = False
    ) -> Response:
        """The reply, which begins with the first piece.

        Args:
            asked: the request.
            endpoint: where it was sent.
            wanted: the request in strict form.
            one: who answers.
            inputs: what to.
            recognised: the request named no specialist.

        Raises:
            Refusal: there is no first piece: 499, 500, 503.
        """
        if self._under_way >= AT_ONCE:
            raise overloaded(f"{AT_ONCE} answers are being written; ask again in a moment")
        entry, told, seconds = asked.entry, _Told(), self._parts.limits.seconds
        entry.route = "local"
        pieces = endpoint.pieces(wanted, one, request_id=entry.id, created=int(entry.timestamp))
        self._under_way += 1
        reply = LocalReply(200, is_stream=True, ended=self._ended, pool=self._pool)
        reply.pieces = _events(one, inputs, pieces, told)
        try:
            await unless_gone(asked.request, reply.begin(), seconds)
        except TimeoutError as error:
            self._let_go(reply)
            raise overloaded(f"no answer within {seconds:g} seconds; ask again in a moment") from error
        except BaseException:
            self._let_go(reply)
            raise

        copy = StreamRebuilder()

        def ended(body: Mapping[str, Any] | None, problem: str | None) -> None:
            answer = told.answer
            entry.problem = told.problem or problem
            if problem == "client_closed_request":
                entry.status = 499
            entry.prompt_tokens = sum(map(prompt_tokens, endpoint.conversations(wanted)))
            entry.completion_tokens = written_tokens(
                one, answer or Answer(None, 0.0, one.id, problem="client_closed_request"), told.text
            )
            if answer is not None:
                entry.value, entry.confidence = answer.value, answer.confidence
                if recognised and not answer.sure:
                    entry.route = "fallback"
            counts = {"prompt_tokens": entry.prompt_tokens, "completion_tokens": entry.completion_tokens}
            entry.response = None if body is None else {**body, "usage": body.get("usage") or counts}
            self._entries.finish(entry, asked.request, None)

        headers = {**route_headers(one, None), **self._parts.quota.headers(caller_of(asked.request))}
        return Relay(reply, copy, headers, began=entry.first_byte, ended=ended)

    def close(self) -> None:
        """Begin no more of them."""
        self._pool.shutdown(wait=False)

    def _let_go(self, reply: LocalReply) -> None:
        """Stop the writing; nobody waits for it to come to its next token."""
        task = asyncio.get_running_loop().create_task(reply.aclose())
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    def _ended(self) -> None:
        self._under_way -= 1


def _events(one: Served, inputs: Inputs, pieces: Pieces, told: _Told) -> Generator[bytes, None, None]:
    """The events of the reply; runs in a thread.

    Raises:
        Refusal: 500, there is no answer, before the first event.
    """
    predictor = one.predictor
    assert isinstance(predictor, StreamingPredictor)
    writing = predictor.stream(inputs)
    try:
        for said in writing:
            if isinstance(said, Answer):
                told.answer = said
                continue
            begin = b"" if told.text else pieces.begin()
            told.text += said
            yield begin + pieces.more(said)
    except Exception:
        _log.exception("%s failed on an input", one.id)
        told.answer = Answer(None, 0.0, one.id, problem=FAILED, sure=False)
    finally:
        writing.close()
    answer = told.answer
    assert answer is not None
    if answer.value is None and not (answer.cut and told.text):
        refusal = Refusal(500, answer.problem or "the specialist gave no answer", "no_answer")
        if not told.text:
            raise refusal
        told.problem = "no_answer"
        yield b"data: " + refusal.body() + b"\n\n"
        return
    if answer.cut:
        told.problem = "answer_cut"
    yield pieces.end(answer, told.text)
