"""Outgoing: the body that leaves for an upstream, changed no more than it must be."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Mask = Callable[[str], str]
"""A text without its personal data."""

_ALONE = ("stream", "stream_options", "n", "best_of", "logprobs", "top_logprobs", "echo", "store", "background")
"""What an audit leaves out: it wants one plain answer."""


def outgoing(body: bytes, raw: Mapping[str, Any], *, model: str, mask: Mask | None = None) -> bytes:
    """The body for an upstream: byte for byte the client's, unless its model has another name there or it is masked."""
    if mask is None and raw.get("model") == model:
        return body
    changed = {**raw, "model": model}
    return _json(masked(changed, mask) if mask else changed)


def audit_body(raw: Mapping[str, Any], *, model: str, mask: Mask | None = None) -> bytes:
    """The same question, to be answered once and in one piece."""
    plain = {**{name: value for name, value in raw.items() if name not in _ALONE}, "model": model}
    return _json(masked(plain, mask) if mask else plain)


def question(messages: Sequence[Mapping[str, Any]], *, model: str, mask: Mask | None = None) -> bytes:
    """A chat request of our own."""
    body = {"model": model, "messages": list(messages), "temperature": 0}
    return _json(masked(body, mask) if mask else body)


def masked(body: Mapping[str, Any], mask: Mask) -> dict[str, Any]:
    """The body with every text of its messages, prompt, input or instructions masked.

    Everything that a person may have written is masked; what only programs write (tools, schemas, settings) is not.
    `user`, `metadata` and `safety_identifier` name people and are left out.
    """
    kept = {name: value for name, value in body.items() if name not in ("user", "metadata", "safety_identifier")}
    for name in ("messages", "prompt", "input", "instructions", "suffix", "prediction"):
        if name in kept:
            kept[name] = _masked(kept[name], mask)
    return kept


def _masked(value: Any, mask: Mask) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, list):
        return [_masked(one, mask) for one in value]
    if isinstance(value, dict):
        return {
            key: one if key in ("role", "type", "id", "tool_call_id", "call_id") else _masked(one, mask)
            for key, one in value.items()
        }
    return value


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")
