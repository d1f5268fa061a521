"""The bodies that a scripted upstream gives: one text in the shape of each OpenAI endpoint, whole or as a stream."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

CREATED = 1_700_000_000
DIMENSIONS = 8
"""Numbers in an embedding."""
DONE = b"data: [DONE]\n\n"


def whole(path: str, asked: Mapping[str, Any], text: str) -> bytes:
    """The reply to a request that does not stream."""
    return _json(_whole(path, asked, text))


def events(path: str, asked: Mapping[str, Any], text: str) -> Iterator[bytes]:
    """The reply to a request that streams, event by event, a word at a time."""
    if path.endswith("/responses"):
        yield from _response_events(asked, text)
        return
    chat = not path.endswith("/completions") or path.endswith("/chat/completions")
    head = {**_head(asked, chat), "object": "chat.completion.chunk" if chat else "text_completion"}
    with_usage = bool((asked.get("stream_options") or {}).get("include_usage"))
    if with_usage:
        head["usage"] = None
    for i in range(asked.get("n") or 1):
        if chat:
            yield _event({**head, "choices": [_part(i, {"role": "assistant", "content": "", "refusal": None})]})
        for word in words(text):
            part = _part(i, {"content": word}) if chat else {"index": i, "text": word, **_END, "finish_reason": None}
            yield _event({**head, "choices": [part]})
        last = {**_part(i, {}), "finish_reason": "stop"} if chat else {"index": i, "text": "", **_END}
        yield _event({**head, "choices": [last]})
    if with_usage:
        yield _event({**head, "choices": [], "usage": _usage(asked, text)})
    yield DONE


def words(text: str) -> list[str]:
    """A text cut before each word; joined it is the text again."""
    return re.findall(r"\s*\S+|\s+$", text) or [""]


_END = {"logprobs": None, "finish_reason": "stop"}


def _whole(path: str, asked: Mapping[str, Any], text: str) -> dict[str, Any]:
    count = asked.get("n") or 1
    if path.endswith("/chat/completions"):
        message = {"role": "assistant", "content": text, "refusal": None}
        choices = [{"index": i, "message": message, **_END} for i in range(count)]
        return {
            **_head(asked, True),
            "object": "chat.completion",
            "choices": choices,
            "usage": _usage(asked, text),
        }
    if path.endswith("/completions"):
        choices = [{"index": i, "text": text, **_END} for i in range(count)]
        return {
            **_head(asked, False),
            "object": "text_completion",
            "choices": choices,
            "usage": _usage(asked, text),
        }
    if path.endswith("/embeddings"):
        return _embeddings(asked)
    if path.endswith("/responses"):
        return _response(asked, text, "completed")
    if path.endswith("/models"):
        return {"object": "list", "data": [_model("scripted")]}
    return _model(path.rpartition("/")[2])


def _head(asked: Mapping[str, Any], chat: bool) -> dict[str, Any]:
    return {
        "id": "chatcmpl-scripted" if chat else "cmpl-scripted",
        "created": CREATED,
        "model": asked.get("model", "scripted"),
        "system_fingerprint": "fp_scripted",
    }


def _part(index: int, delta: dict[str, Any]) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}


def _usage(asked: Mapping[str, Any], text: str) -> dict[str, int]:
    """A token is a word."""
    messages = asked.get("messages") or asked.get("prompt") or asked.get("input") or ""
    prompt = len(str(messages).split())
    completion = len(words(text)) * (asked.get("n") or 1)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "scripted"}


def _embeddings(asked: Mapping[str, Any]) -> dict[str, Any]:
    given = asked.get("input") or ""
    texts = given if isinstance(given, list) else [given]
    vectors = [[byte / 255 for byte in hashlib.sha256(str(t).encode()).digest()[:DIMENSIONS]] for t in texts]
    tokens = sum(len(str(t).split()) for t in texts)
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)],
        "model": asked.get("model", "scripted"),
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _response(asked: Mapping[str, Any], text: str, status: str) -> dict[str, Any]:
    item: dict[str, Any] = {
        "id": "msg_scripted",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [],
    }
    usage = None
    if status == "completed":
        item["content"] = [{"type": "output_text", "text": text, "annotations": []}]
        counted = _usage(asked, text)
        usage = {
            "input_tokens": counted["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": counted["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": counted["total_tokens"],
        }
    return {
        "id": "resp_scripted",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": asked.get("model", "scripted"),
        "output": [item] if status == "completed" else [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": usage,
    }


def _response_events(asked: Mapping[str, Any], text: str) -> Iterator[bytes]:
    done = _response(asked, text, "completed")
    item = done["output"][0]
    part = item["content"][0]
    empty = {**item, "status": "in_progress", "content": []}
    where = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    steps: list[dict[str, Any]] = [
        {"type": "response.created", "response": _response(asked, text, "in_progress")},
        {"type": "response.output_item.added", "output_index": 0, "item": empty},
        {"type": "response.content_part.added", **where, "part": {**part, "text": ""}},
        *({"type": "response.output_text.delta", **where, "delta": word, "logprobs": []} for word in words(text)),
        {"type": "response.output_text.done", **where, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **where, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": done},
    ]
    for number, step in enumerate(steps):
        yield f"event: {step['type']}\n".encode() + _event({**step, "sequence_number": number})


def _event(value: Mapping[str, Any]) -> bytes:
    return b"data: " + _json(value) + b"\n\n"


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
