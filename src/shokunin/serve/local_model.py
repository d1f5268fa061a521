"""Local model: a language model in this process, asked as an upstream is and answering in the same words.

To the gateway it is one more upstream, so that keys, limits, records, streams and metrics are the same. Only chat
completions are answered; what cannot be honoured is refused, not ignored.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from shokunin.errors import UsageError
from shokunin.forms import Conversation, Written
from shokunin.language.runner import Piece, Runner, Sampling
from shokunin.serve.body import parse, unsupported
from shokunin.serve.breaker import Breaker
from shokunin.serve.endpoints import CHAT
from shokunin.serve.local_reply import chunk, completion, first_chunk, last_chunks
from shokunin.serve.local_stream import BrokenOffError, LocalReply
from shokunin.serve.openai_wire import ChatRequest, may_answer_in_text
from shokunin.serve.refusal import Refusal, overloaded

LONGEST_ANSWER = 1024
"""Tokens of an answer when the request does not say."""
AT_ONCE = 64
"""Requests that are decoded at a time; more are turned away."""
CHOICES = 8
REFUSED = ("logit_bias", "audio", "web_search_options", "moderation", "presence_penalty", "frequency_penalty",
           "top_logprobs")  # fmt: skip
"""Known, and refused when they ask for something: ignoring them would change what the caller gets."""


@dataclass(frozen=True)
class _Wanted:
    """A request, checked, and what it means for the model."""

    request: ChatRequest
    conversation: Conversation
    samplings: tuple[Sampling, ...]
    prompt_tokens: int
    id: str
    created: int


class LocalModel:
    """A model as a client of the gateway."""

    def __init__(
        self,
        runner: Runner,
        name: str,
        *,
        clock: Callable[[], float] = time.time,
        make_id: Callable[[], str] = lambda: secrets.token_hex(12),
        draw: Callable[[], int] = lambda: secrets.randbits(31),
    ) -> None:
        """Answer with this model.

        Args:
            runner: the model.
            name: what replies call it.
            clock: seconds since 1970.
            make_id: an id for a reply.
            draw: a seed for a request that brings none.
        """
        self.breaker = Breaker()
        self._runner = runner
        self._name = name
        self._clock = clock
        self._make_id = make_id
        self._draw = draw
        self._pool = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="shokunin-local-model")
        self._under_way = 0

    async def send(
        self,
        path: str,
        body: bytes,
        headers: Sequence[tuple[str, str]],
        *,
        client_authorization: str | None = None,
        seconds: float | None = None,
        method: str = "POST",
    ) -> LocalReply:
        """Begin to answer a chat completion; what is wrong with the request is a reply with an error, as of an upstream."""
        loop = asyncio.get_running_loop()
        if self._under_way >= AT_ONCE:
            return LocalReply.of_refusal(overloaded(f"{AT_ONCE} requests are being answered; ask again in a moment"))
        try:
            wanted = await loop.run_in_executor(self._pool, self._read, path.partition("?")[0], body)
        except Refusal as refusal:
            return LocalReply.of_refusal(refusal)
        self._under_way += 1
        reply = LocalReply(200, is_stream=bool(wanted.request.stream), ended=self._ended)
        reply.pieces = self._streamed(wanted) if wanted.request.stream else self._whole(wanted, reply.given_up)
        reply.pool = self._pool
        return reply

    async def close(self) -> None:
        """Take nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ended(self) -> None:
        self._under_way -= 1

    # --- in the pool's threads

    def _read(self, path: str, body: bytes) -> _Wanted:
        """The request, checked.

        Raises:
            Refusal: 400 or 404, it cannot be answered.
        """
        if path != CHAT.path:
            raise Refusal(404, f"{self._name} answers at {CHAT.path} only", "unsupported_endpoint")
        request = _checked(parse(ChatRequest, body))
        messages = tuple({"role": m["role"], "content": _text(m["content"])} for m in request.chat())
        try:
            tokens = self._runner.count(self._runner.prompt(messages))
        except UsageError as error:
            raise Refusal(400, str(error), "invalid_value", "messages") from error
        room = self._runner.context - tokens
        asked = request.max_completion_tokens or request.max_tokens
        if room < (asked or 1):
            raise Refusal(
                400,
                f"the prompt has {tokens}{' or more' if room <= 0 else ''} tokens and {asked or 1} are asked for; "
                "the model's context holds "
                f"{self._runner.context} together",
                "context_length_exceeded",
                "messages",
            )
        schema = _schema(request)
        try:
            self._runner.check_schema(schema)
        except UsageError as error:
            raise Refusal(400, str(error), "unsupported_value", "response_format") from error
        temperature = 1.0 if request.temperature is None else request.temperature
        first = self._draw() if request.seed is None else request.seed
        samplings = tuple(
            Sampling(
                temperature, 1.0 if request.top_p is None else request.top_p, (first + n) % 2**31, tuple(request.stops)
            )
            for n in range(request.n or 1)
        )
        return _Wanted(
            request,
            Conversation(messages, schema, asked or min(room, LONGEST_ANSWER)),
            samplings,
            tokens,
            f"chatcmpl-{self._make_id()}",
            int(self._clock()),
        )

    def _whole(self, wanted: _Wanted, given_up: threading.Event) -> Iterator[bytes]:
        """The body in one piece; nothing, once nobody waits for it."""
        choices: list[list[Piece]] = []
        for how in wanted.samplings:
            choices.append([])
            for piece in self._runner.stream(wanted.conversation, how):
                _raise_if_failed(piece)
                choices[-1].append(piece)
                if given_up.is_set():
                    return
        yield completion(
            wanted.request, self._name, choices, wanted.prompt_tokens, reply_id=wanted.id, created=wanted.created
        )

    def _streamed(self, wanted: _Wanted) -> Iterator[bytes]:
        """The events."""
        head = wanted.request, self._name, wanted.id, wanted.created
        ends: list[Written] = []
        for index, how in enumerate(wanted.samplings):
            yield first_chunk(*head, index)
            for piece in self._runner.stream(wanted.conversation, how):
                _raise_if_failed(piece)
                if piece.text or piece.tokens or piece.done:
                    yield chunk(*head, index, piece)
                if piece.done is not None:
                    ends.append(piece.done)
        yield last_chunks(*head, wanted.prompt_tokens, sum(len(end.logprobs) for end in ends))


def _raise_if_failed(piece: Piece) -> None:
    if piece.done is not None and piece.done.problem is not None:
        raise BrokenOffError(piece.done.problem)


def _checked(request: ChatRequest) -> ChatRequest:
    for name in REFUSED:
        if getattr(request, name):
            raise unsupported(name, f"`{name}` is not known to a model served here; leave it out")
    for name in ("tool_choice", "function_call"):
        if not may_answer_in_text(getattr(request, name)):
            raise unsupported(name, f"a model served here calls no tools; leave `{name}` out or say 'auto'")
    if request.modalities is not None and request.modalities != ["text"]:
        raise unsupported("modalities", "a model served here answers in text; leave `modalities` out")
    if request.n is not None and request.n > CHOICES:
        raise Refusal(400, f"`n` is at most {CHOICES} here", "invalid_value", "n")
    if request.stream_options is not None and not request.stream:
        raise Refusal(400, "`stream_options` needs `stream` to be true", "invalid_value", "stream_options")
    if len(request.stops) > 4 or not all(request.stops):
        raise Refusal(400, "`stop` is up to 4 texts, none of them empty", "invalid_value", "stop")
    for i, message in enumerate(request.messages):
        if isinstance(message.content, list) and any(part.type not in ("text", "refusal") for part in message.content):
            raise unsupported(f"messages[{i}].content", "a model served here reads text parts only")
    return request


def _schema(request: ChatRequest) -> str | None:
    from json import dumps

    kind, schema = request.wanted
    if kind == "text":
        return None
    if kind == "json_object":
        return '{"type": "object"}'
    if not isinstance(schema, Mapping):
        raise Refusal(400, "`response_format` lacks its schema", "missing_required_parameter", "response_format")
    return dumps(schema)


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content)
    return content or ""
