"""The reply as OpenAI clients read it: completion, stream and model list, built from an Answer.

A label is one token: it has one log-probability, and counts as one completion token. Prompt tokens are an estimate, the
UTF-8 bytes of all messages by four, since a specialist need not have the large model's tokenizer.
"""

from __future__ import annotations

import json
import math
from typing import Any

from shokunin.answer import Answer
from shokunin.serve.openai_wire import IGNORED, ChatRequest
from shokunin.serve.served import Served

BYTES_PER_TOKEN = 4
LEAST = 1e-30
"""Probabilities below this are given as this, so that their logarithm is a number."""


def completion(
    request: ChatRequest, served: Served, answer: Answer, text: str, *, request_id: str, created: int
) -> bytes:
    """The body of a `chat.completion`."""
    message = {"role": "assistant", "content": text, "refusal": None}
    logprobs = _logprobs(request, answer, text)
    choices = [
        {"index": i, "message": message, "logprobs": logprobs, "finish_reason": "stop"} for i in range(request.n or 1)
    ]
    return _json(
        {
            **_head("chat.completion", request, served, answer, request_id, created),
            "choices": choices,
            "usage": usage(request),
        }
    )


def stream(request: ChatRequest, served: Served, answer: Answer, text: str, *, request_id: str, created: int) -> bytes:
    """The same as server-sent events: a choice's role, text and end; the usage if asked for; `[DONE]`."""
    head = _head("chat.completion.chunk", request, served, answer, request_id, created)
    with_usage = request.stream_options is not None and bool(request.stream_options.include_usage)
    if with_usage:
        head["usage"] = None
    events = []
    for i in range(request.n or 1):
        for delta, logprobs, reason in (
            ({"role": "assistant", "content": "", "refusal": None}, None, None),
            ({"content": text}, _logprobs(request, answer, text), None),
            ({}, None, "stop"),
        ):
            events.append(
                {**head, "choices": [{"index": i, "delta": delta, "logprobs": logprobs, "finish_reason": reason}]}
            )
    if with_usage:
        events.append({**head, "choices": [], "usage": usage(request)})
    return b"".join(b"data: " + _json(event) + b"\n\n" for event in events) + b"data: [DONE]\n\n"


def cut(text: str, stops: list[str]) -> str:
    """The text up to the first stop sequence in it."""
    return text[: min((at for stop in stops if (at := text.find(stop)) >= 0), default=len(text))]


def usage(request: ChatRequest) -> dict[str, Any]:
    """Token counts as this module's first lines say."""
    prompt = math.ceil(sum(_bytes(m["content"]) for m in request.chat()) / BYTES_PER_TOKEN)
    answers = request.n or 1
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answers,
        "total_tokens": prompt + answers,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def model_card(name: str, served: Served) -> dict[str, Any]:
    """One entry of `/v1/models`; `root` is the exact version behind the name."""
    return {
        "id": name,
        "object": "model",
        "created": served.created,
        "owned_by": "shokunin",
        "root": served.id,
        "parent": None,
        "capabilities": {"chat": True, "stream": True, "logprobs": True, "ignored": list(IGNORED)},
        "shokunin": {"kind": served.kind, "version": served.version, "aliases": list(served.aliases), **served.about},
    }


def route_headers(served: Served, answer: Answer) -> dict[str, str]:
    """Who answered and how sure, for those who only see headers."""
    return {
        "x-shokunin-specialist": served.id,
        "x-shokunin-confidence": f"{answer.confidence:.6f}",
        "x-shokunin-sure": "true" if answer.sure else "false",
    }


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
        "shokunin": {
            "answered_by": answer.answered_by,
            "confidence": answer.confidence,
            "sure": answer.sure,
            "seconds": answer.seconds,
            "cost": answer.cost,
        },
    }


def _logprobs(request: ChatRequest, answer: Answer, text: str) -> dict[str, Any] | None:
    if not request.logprobs:
        return None
    scores = dict(answer.scores)
    if text not in scores:
        scores[text] = answer.confidence
    top = sorted(scores.items(), key=lambda item: -item[1])[: request.top_logprobs or 0]
    return {
        "content": [{**_token(text, answer.confidence), "top_logprobs": [_token(t, p) for t, p in top]}],
        "refusal": None,
    }


def _token(token: str, probability: float) -> dict[str, Any]:
    return {"token": token, "logprob": math.log(min(max(probability, LEAST), 1.0)), "bytes": list(token.encode())}


def _bytes(content: Any) -> int:
    if isinstance(content, list):
        return sum(len(part["text"].encode()) for part in content)
    return len((content or "").encode())


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
