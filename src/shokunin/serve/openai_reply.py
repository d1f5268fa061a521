"""The chat reply as OpenAI clients read it: completion, stream and model list, built from an Answer.

A reply is one token: it has one log-probability, and counts as one completion token.
"""

from __future__ import annotations

from typing import Any

from shokunin.answer import Answer
from shokunin.serve.openai_wire import IGNORED, ChatRequest
from shokunin.serve.reply_parts import DONE, about, cut, events, likeliest, prompt_tokens, route_headers, to_json, token
from shokunin.serve.reply_parts import usage as counts
from shokunin.serve.response_format import check_format
from shokunin.serve.served import Served

__all__ = ["completion", "cut", "model_card", "route_headers", "stream", "usage"]


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
    head = _head("chat.completion", request, served, answer, request_id, created)
    return to_json({**head, "choices": choices, "usage": usage(request)})


def stream(request: ChatRequest, served: Served, answer: Answer, text: str, *, request_id: str, created: int) -> bytes:
    """The same as server-sent events: a choice's role, text and end; the usage if asked for; `[DONE]`.

    Raises:
        Refusal: 400, the text is not of the format that the request asks for.
    """
    check_format(request, text)
    head = _head("chat.completion.chunk", request, served, answer, request_id, created)
    with_usage = request.stream_options is not None and bool(request.stream_options.include_usage)
    if with_usage:
        head["usage"] = None
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
    if with_usage:
        chunks.append({**head, "choices": [], "usage": usage(request)})
    return events(chunks) + DONE


def usage(request: ChatRequest) -> dict[str, Any]:
    """Token counts: the prompt's are an estimate, a reply counts as one."""
    return counts(prompt_tokens(request.chat()), request.n or 1)


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


def _head(
    shape: str, request: ChatRequest, served: Served, answer: Answer, request_id: str, created: int
) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{request_id}",
        "object": shape,
        "created": created,
        "model": request.model,
        "system_fingerprint": served.id,
        "service_tier": "default",
        "shokunin": about(answer),
    }


def _logprobs(request: ChatRequest, answer: Answer, text: str) -> dict[str, Any] | None:
    if not request.logprobs:
        return None
    top = [token(t, p) for t, p in likeliest(answer, text, request.top_logprobs or 0)]
    return {"content": [{**token(text, answer.confidence), "top_logprobs": top}], "refusal": None}
