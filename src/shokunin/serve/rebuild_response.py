"""The events of a `/v1/responses` stream put together: the last one has the whole, the others what there is until then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LAST = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
"""These carry the whole response and end the stream."""

_TEXTS = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "text",
}
_ARGUMENTS = {
    "response.function_call_arguments.delta": "arguments",
    "response.mcp_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
}


class ResponseParts:
    """What is known of a response so far."""

    def __init__(self) -> None:
        self._response: dict[str, Any] | None = None
        self._over = False
        self._items: dict[int, dict[str, Any]] = {}
        self._texts: dict[tuple[int, int], tuple[str, list[str]]] = {}
        self._arguments: dict[int, tuple[str, list[str]]] = {}

    def add(self, event: Mapping[str, Any]) -> bool:
        """One more event; whether it is the last."""
        kind = event["type"]
        if isinstance(event.get("response"), dict) and not self._over:
            self._response = event["response"]
            self._over = kind in LAST
        elif kind in ("response.output_item.added", "response.output_item.done"):
            at = int(event["output_index"])
            self._items[at] = dict(event["item"])
            if kind.endswith(".done"):
                self._forget(at)
        elif kind in _TEXTS:
            place = (int(event["output_index"]), int(event["content_index"]))
            self._texts.setdefault(place, (_TEXTS[kind], []))[1].append(str(event["delta"]))
        elif kind in _ARGUMENTS:
            self._arguments.setdefault(int(event["output_index"]), (_ARGUMENTS[kind], []))[1].append(
                str(event["delta"])
            )
        return self._over

    def body(self) -> dict[str, Any] | None:
        """The response, as far as it came."""
        if self._response is None or self._over:
            return self._response
        return {**self._response, "output": [self._item(at) for at in sorted(self._items)]}

    def _item(self, at: int) -> dict[str, Any]:
        item = dict(self._items[at])
        if at in self._arguments:
            name, pieces = self._arguments[at]
            item[name] = "".join(pieces)
        texts = [self._texts[place] for place in sorted(self._texts) if place[0] == at]
        if texts:
            kind = {
                "text": "reasoning_text" if item.get("type") == "reasoning" else "output_text",
                "refusal": "refusal",
            }
            item["content"] = [{"type": kind[name], name: "".join(pieces)} for name, pieces in texts]
        return item

    def _forget(self, at: int) -> None:
        """An item that is done is whole: its pieces are no longer needed."""
        self._arguments.pop(at, None)
        self._texts = {place: value for place, value in self._texts.items() if place[0] != at}
