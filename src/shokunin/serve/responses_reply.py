"""The reply of `/v1/responses`: one message with one text, whole or as the typed events that clients follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shokunin.answer import Answer
from shokunin.serve.reply_parts import about, likeliest, prompt_tokens, to_json, token, written_tokens
from shokunin.serve.response_format import check_format
from shokunin.serve.responses_wire import ResponsesRequest
from shokunin.serve.served import Served


def response(
    request: ResponsesRequest, served: Served, answer: Answer, text: str, *, request_id: str, created: int
) -> bytes:
    """The body of a `response`.

    Raises:
        Refusal: 400, the text is not of the format that the request asks for.
    """
    check_format(request, text, "text.format")
    item = _item(request_id, "completed", [_part(request, answer, text)])
    return to_json(_response(request, served, request_id, created, "completed", [item], (answer, text)))


def response_stream(
    request: ResponsesRequest, served: Served, answer: Answer, text: str, *, request_id: str, created: int
) -> bytes:
    """The same as server-sent events, each with its name and its number in the sequence; the last has the whole.

    Raises:
        Refusal: 400, the text is not of the format that the request asks for.
    """
    check_format(request, text, "text.format")
    begun = _response(request, served, request_id, created, "in_progress", [])
    begun["shokunin"] |= about(answer)
    part = _part(request, answer, text)
    item = _item(request_id, "completed", [part])
    done = _response(request, served, request_id, created, "completed", [item], (answer, text))
    at = {"output_index": 0}
    within = {"item_id": item["id"], **at, "content_index": 0}
    logprobs = part.get("logprobs", [])
    events: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": begun}),
        ("response.in_progress", {"response": begun}),
        ("response.output_item.added", {**at, "item": _item(request_id, "in_progress", [])}),
        ("response.content_part.added", {**within, "part": {**part, "text": "", "logprobs": []}}),
        ("response.output_text.delta", {**within, "delta": text, "logprobs": logprobs}),
        ("response.output_text.done", {**within, "text": text, "logprobs": logprobs}),
        ("response.content_part.done", {**within, "part": part}),
        ("response.output_item.done", {**at, "item": item}),
        ("response.completed", {"response": done}),
    ]
    return b"".join(_event(name, number, fields) for number, (name, fields) in enumerate(events))


class ResponsePieces:
    """The same while the text is being written; whose answer it was is in the last event only."""

    def __init__(self, request: ResponsesRequest, served: Served, *, request_id: str, created: int) -> None:
        self._asked = (request, served, request_id, created)
        self._item_id = _item(request_id, "in_progress", [])["id"]
        self._number = 0

    def begin(self) -> bytes:
        """The response, its item and the item's part, all of them empty."""
        begun = _response(*self._asked, "in_progress", [])
        empty = _text_part("")
        return (
            self._event("response.created", {"response": begun})
            + self._event("response.in_progress", {"response": begun})
            + self._event("response.output_item.added", {"output_index": 0, "item": self._item("in_progress", [])})
            + self._event("response.content_part.added", {**self._within, "part": empty})
        )

    def more(self, text: str) -> bytes:
        """A piece."""
        return self._event("response.output_text.delta", {**self._within, "delta": text, "logprobs": []})

    def end(self, answer: Answer, text: str) -> bytes:
        """All of them whole."""
        status = "incomplete" if answer.cut else "completed"
        part = _text_part(text)
        item = self._item(status, [part])
        done = _response(*self._asked, status, [item], (answer, text))
        return (
            self._event("response.output_text.done", {**self._within, "text": text, "logprobs": []})
            + self._event("response.content_part.done", {**self._within, "part": part})
            + self._event("response.output_item.done", {"output_index": 0, "item": item})
            + self._event(f"response.{status}", {"response": done})
        )

    @property
    def _within(self) -> dict[str, Any]:
        return {"item_id": self._item_id, "output_index": 0, "content_index": 0}

    def _item(self, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
        return _item(self._asked[2], status, content)

    def _event(self, name: str, fields: Mapping[str, Any]) -> bytes:
        self._number += 1
        return _event(name, self._number - 1, fields)


def usage_of(request: ResponsesRequest, served: Served, answer: Answer, text: str) -> dict[str, Any]:
    """Token counts: the input's are an estimate."""
    read, written = prompt_tokens(request.chat()), written_tokens(served, answer, text)
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + written,
    }


def _response(
    request: ResponsesRequest,
    served: Served,
    request_id: str,
    created: int,
    status: str,
    output: list[dict[str, Any]],
    given: tuple[Answer, str] | None = None,
) -> dict[str, Any]:
    """The object; fields that were asked for and have no effect are said back as they came, `store` as it is.

    `given` is the answer and its text, once they are there.
    """
    done = given is not None
    return {
        "id": f"resp_{request_id}",
        "object": "response",
        "created_at": created,
        "completed_at": created if done else None,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": request.instructions,
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": request.max_tool_calls,
        "metadata": request.metadata or {},
        "model": request.model,
        "output": output,
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": False,
        "temperature": request.temperature,
        "text": {"format": _format(request)},
        "tool_choice": request.tool_choice or "auto",
        "tools": request.tools or [],
        "top_logprobs": request.top_logprobs or 0,
        "top_p": request.top_p,
        "truncation": request.truncation or "disabled",
        "usage": None if given is None else usage_of(request, served, *given),
        "user": request.user,
        "shokunin": {**({} if given is None else about(given[0])), "specialist": served.id},
    }


def _item(request_id: str, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": f"msg_{request_id}", "type": "message", "role": "assistant", "status": status, "content": content}


def _part(request: ResponsesRequest, answer: Answer, text: str) -> dict[str, Any]:
    part = _text_part(text)
    if request.logprobs:
        top = [token(t, p) for t, p in likeliest(answer, text, request.top_logprobs or 0)]
        part["logprobs"] = [{**token(text, answer.confidence), "top_logprobs": top}]
    return part


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _format(request: ResponsesRequest) -> Mapping[str, Any]:
    asked = request.text.format if request.text else None
    return {"type": "text"} if asked is None else asked.model_dump(by_alias=True, exclude_none=True)


def _event(name: str, number: int, fields: Mapping[str, Any]) -> bytes:
    return (
        b"event: "
        + name.encode()
        + b"\ndata: "
        + to_json({"type": name, "sequence_number": number, **fields})
        + b"\n\n"
    )
