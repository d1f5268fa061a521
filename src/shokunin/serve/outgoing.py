"""Outgoing: what leaves for an upstream, changed no more than it must be."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

Mask = Callable[[str], str]
"""A text without its personal data."""

_ALONE = ("stream", "stream_options", "n", "best_of", "logprobs", "top_logprobs", "echo", "store", "background")
"""What an audit leaves out: it wants one plain answer."""
_PEOPLE = ("user", "metadata", "safety_identifier", "prompt_cache_key")
"""They name people."""
_PROGRAMS = ("model", "tools", "functions", "response_format", "text", "tool_choice", "function_call")
"""What only programs write."""
_IDENTIFIERS = ("role", "type", "id", "tool_call_id", "call_id")


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
    """The body with every text masked, in fields that are not known here too.

    Only what programs write (tools, schemas) is left alone. What names people (`user`, `metadata` and the like) is left out.
    """
    return {
        name: value if name in _PROGRAMS else _masked(value, mask)
        for name, value in body.items()
        if name not in _PEOPLE
    }


def clean_headers(headers: Sequence[tuple[str, str]], mask: Mask | None) -> Sequence[tuple[str, str]]:
    """The headers without those in which there is something to mask."""
    return headers if mask is None else [(name, value) for name, value in headers if mask(value) == value]


def clean_query(query: str, mask: Mask | None) -> str:
    """The query of an address without the fields in which there is something to mask."""
    if mask is None or not query:
        return query
    fields = parse_qsl(query, keep_blank_values=True)
    return urlencode([(name, value) for name, value in fields if mask(name) == name and mask(value) == value])


def _masked(value: Any, mask: Mask) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, list):
        return [_masked(one, mask) for one in value]
    if isinstance(value, dict):
        return {
            mask(key): one if key in _IDENTIFIERS and isinstance(one, str) else _masked(one, mask)
            for key, one in value.items()
        }
    return value


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")
