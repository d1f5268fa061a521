"""A streamed reply that was stored as the list of its chunks, or as the events that were sent, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shokunin.recorded.values import parsed, word

_DATA = "data:"


def unstreamed(response: Any) -> Any:
    """A response that was stored as its stream, as the one body that it would have been; every other as it is."""
    if isinstance(response, str) and response.startswith((_DATA, "event:")):
        events = [parsed(line.removeprefix(_DATA)) for line in response.split("\n") if line.startswith(_DATA)]
        return whole_of([event for event in events if isinstance(event, dict)]) or response
    if isinstance(response, list) and response and all(isinstance(one, dict) for one in response):
        return whole_of(response) or response
    return response


def whole_of(parts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The body that a client would have had without streaming, or None if these are no chunks of one.

    Chunks of chat completions and completions are joined, of the events of `/v1/responses` the last has the whole.
    """
    for event in reversed(parts):
        if word(event.get("type", "")).startswith("response.") and isinstance(event.get("response"), dict):
            return event["response"]  # type: ignore[no-any-return]
    choices = [choice for part in parts for choice in _choices(part)]
    if not choices:
        return None
    head = {name: part[name] for part in parts for name in ("id", "model", "usage") if part.get(name)}
    texts = [choice["text"] for choice in choices if isinstance(choice.get("text"), str)]
    if texts:
        return {**head, "choices": [{"index": 0, "text": "".join(texts)}]}
    deltas = [choice["delta"] for choice in choices if isinstance(choice.get("delta"), dict)]
    content = "".join(delta["content"] for delta in deltas if isinstance(delta.get("content"), str))
    calls = [call for delta in deltas for call in (delta.get("tool_calls"), delta.get("function_call")) if call]
    message = {"role": "assistant", "content": content, **({"tool_calls": calls} if calls else {})}
    return {**head, "choices": [{"index": 0, "message": message}]}


def _choices(part: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The choices in a chunk that belong to the first answer."""
    choices = part.get("choices")
    if not isinstance(choices, list):
        return []
    return [c for c in choices if isinstance(c, dict) and not c.get("index") and ("delta" in c or "text" in c)]
