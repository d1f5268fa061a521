"""The chat reply as OpenAI clients read it: completion, stream and model list, built from an Answer.

A reply has one log-probability, as if it were one token; a label counts as one, of a written reply the tokens are counted.
"""

from __future__ import annotations

from typing import Any

from shokunin.answer import Answer
from shokunin.serve.openai_wire import IGNORED, ChatRequest
from shokunin.serve.reply_parts import (
    DONE,
    about,
    cut,
    events,
    likeliest,
    prompt_tokens,
    route_headers,
    to_json,
    token,
    written_tokens,
)
from shokunin.serve.reply_parts import usage as counts
from shokunin.serve.response_format import check_format
from shokunin.serve.served import Served

__all__ = ["ChatPieces", "completion", "cut", "model_card", "route_headers", "stream", "usage"]


def completion(
    request: ChatRequest, served: Served, answer: Answer, text: str, *, request_id: str, created: int
) -> bytes:
    """The body of a `chat.completion`.

    Raises:
        Refusal: 400, the text is not of the format that the request asks for.
    """
    check_format(request, text)
    message = {"role": "assistant", "content": text, "refusal": None}
    logprobs = _logprobs(request, answer, text)
    choices = [
        {"index": i, "message": message, "logprobs": logprobs, "finish_reason": "stop"} for i in range(request.n or 1)
    ]
    head = {**_head("chat.completion", request, served, request_id, created), "shokunin": about(answer)}
    return to_json({**head, "choices": choices, "usage": usage(request, served, answer, text)})


def stream(request: ChatRequest, served: Served, answer: Answer, text: str, *, request_id: str, created: int) -> bytes:
    """The same as server-sent events: a choice's role, text and end; the usage if asked for; `[DONE]`.

    Raises:
        Refusal: 400, the text is not of the format that the request asks for.
    """
    check_format(request, text)
    head = {**_chunk_head(request, served, request_id, created), "shokunin": about(answer)}
    chunks = []
    for i in range(request.n or 1):
        for delta, logprobs, reason in (
            ({"role": "assistant", "content": "", "refusal": None}, None, None),
            ({"content": text}, _logprobs(request, answer, text), None),
            ({}, None, "stop"),
        ):
            chunks.append(
                {**head, "choices": [{"index": i, "delta": delta, "logprobs": logprobs, "finish_reason": reason}]}
            )
    if "usage" in head:
        chunks.append({**head, "choices": [], "usage": usage(request, served, answer, text)})
    return events(chunks) + DONE


class ChatPieces:
    """The same while the text is being written: one choice, and whose answer it was in the last chunks only."""

    def __init__(self, request: ChatRequest, served: Served, *, request_id: str, created: int) -> None:
        self._request, self._served = request, served
        self._head = _chunk_head(request, served, request_id, created)

    def begin(self) -> bytes:
        """The role."""
        return self._event({"role": "assistant", "content": "", "refusal": None})

    def more(self, text: str) -> bytes:
        """A piece."""
        return self._event({"content": text})

    def end(self, answer: Answer, text: str) -> bytes:
        """Why it ended, the usage if asked for, `[DONE]`."""
        self._head["shokunin"] = about(answer)
        last = self._event({}, "length" if answer.cut else "stop")
        if "usage" in self._head:
            counted = usage(self._request, self._served, answer, text)
            last += events([{**self._head, "choices": [], "usage": counted}])
        return last + DONE

    def _event(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return events([{**self._head, "choices": [choice]}])


def usage(request: ChatRequest, served: Served, answer: Answer, text: str) -> dict[str, Any]:
    """Token counts: the prompt's are an estimate."""
    return counts(prompt_tokens(request.chat()), (request.n or 1) * written_tokens(served, answer, text))


def model_card(name: str, served: Served) -> dict[str, Any]:
    """One entry of `/v1/models`; `root` is the exact version behind the name."""
    return {
        "id": name,
        "object": "model",
        "created": served.created,
        "owned_by": "shokunin",
        "root": served.id,
        "parent": None,
        "capabilities": {
            "chat": True, "completions": True, "responses": True, "embeddings": False, "stream": True,
            "logprobs": True, "ignored": list(IGNORED),
        },
        "shokunin": {"kind": served.kind, "version": served.version, "aliases": list(served.aliases), **served.about},
    }  # fmt: skip


def _chunk_head(request: ChatRequest, served: Served, request_id: str, created: int) -> dict[str, Any]:
    head = _head("chat.completion.chunk", request, served, request_id, created)
    with_usage = request.stream_options is not None and bool(request.stream_options.include_usage)
    return {**head, "usage": None} if with_usage else head


def _head(shape: str, request: ChatRequest, served: Served, request_id: str, created: int) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{request_id}",
        "object": shape,
        "created": created,
        "model": request.model,
        "system_fingerprint": served.id,
        "service_tier": "default",
    }


def _logprobs(request: ChatRequest, answer: Answer, text: str) -> dict[str, Any] | None:
    if not request.logprobs:
        return None
    top = [token(t, p) for t, p in likeliest(answer, text, request.top_logprobs or 0)]
    return {"content": [{**token(text, answer.confidence), "top_logprobs": top}], "refusal": None}
