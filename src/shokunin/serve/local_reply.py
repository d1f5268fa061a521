"""The chat reply of a model in this process: a completion with its tokens, or the chunks of a stream, as OpenAI's have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shokunin.language.runner import Piece
from shokunin.serve.openai_wire import ChatRequest
from shokunin.serve.reply_parts import DONE, events, to_json, usage


def completion(
    request: ChatRequest,
    model: str,
    choices: Sequence[Sequence[Piece]],
    prompt_tokens: int,
    *,
    reply_id: str,
    created: int,
) -> bytes:
    """The body of a `chat.completion`; each choice is all pieces of one answer, the last with `done`."""
    written = []
    for index, pieces in enumerate(choices):
        done = pieces[-1].done
        assert done is not None
        written.append(
            {
                "index": index,
                "message": {"role": "assistant", "content": done.text, "refusal": None},
                "logprobs": _logprobs(request, pieces),
                "finish_reason": "stop" if done.finished else "length",
            }
        )
    count = sum(len(pieces[-1].done.logprobs) for pieces in choices if pieces[-1].done is not None)
    head = _head("chat.completion", model, reply_id, created)
    return to_json({**head, "choices": written, "usage": usage(prompt_tokens, count)})


def first_chunk(request: ChatRequest, model: str, reply_id: str, created: int, index: int) -> bytes:
    """The event that begins a choice."""
    return _event(request, model, reply_id, created, index, {"role": "assistant", "content": "", "refusal": None})


def chunk(request: ChatRequest, model: str, reply_id: str, created: int, index: int, piece: Piece) -> bytes:
    """The event of a piece; after the last piece of a choice also the one that says how it ended."""
    said = b""
    if piece.text or piece.tokens:
        logprobs = _logprobs(request, [piece])
        said = _event(request, model, reply_id, created, index, {"content": piece.text}, logprobs)
    if piece.done is not None:
        reason = "stop" if piece.done.finished else "length"
        said += _event(request, model, reply_id, created, index, {}, None, reason)
    return said


def last_chunks(request: ChatRequest, model: str, reply_id: str, created: int, prompt: int, written: int) -> bytes:
    """The end of the stream: the token counts if they are asked for, and `[DONE]`."""
    if not _with_usage(request):
        return DONE
    head = _head("chat.completion.chunk", model, reply_id, created)
    return events([{**head, "choices": [], "usage": usage(prompt, written)}]) + DONE


def _event(
    request: ChatRequest,
    model: str,
    reply_id: str,
    created: int,
    index: int,
    delta: dict[str, Any],
    logprobs: dict[str, Any] | None = None,
    reason: str | None = None,
) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
    said = {**_head("chat.completion.chunk", model, reply_id, created), "choices": [choice]}
    return events([{**said, "usage": None} if _with_usage(request) else said])


def _with_usage(request: ChatRequest) -> bool:
    return request.stream_options is not None and bool(request.stream_options.include_usage)


def _head(shape: str, model: str, reply_id: str, created: int) -> dict[str, Any]:
    return {"id": reply_id, "object": shape, "created": created, "model": model, "system_fingerprint": None}


def _logprobs(request: ChatRequest, pieces: Sequence[Piece]) -> dict[str, Any] | None:
    if not request.logprobs:
        return None
    content = [
        {"token": token, "logprob": logprob, "bytes": list(token.encode()), "top_logprobs": []}
        for piece in pieces
        for token, logprob in zip(piece.tokens, piece.logprobs, strict=True)
    ]
    return {"content": content, "refusal": None}
