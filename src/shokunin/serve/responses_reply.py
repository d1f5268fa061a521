"""The reply of `/v1/responses`: one message with one text, whole or as the typed events that clients follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shokunin.answer import Answer
from shokunin.serve.reply_parts import about, likeliest, prompt_tokens, to_json, token
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
    return to_json(_response(request, served, answer, request_id, created, "completed", [item]))


def response_stream(
    request: ResponsesRequest, served: Served, answer: Answer, text: str, *, request_id: str, created: int
) -> bytes:
    """The same as server-sent events, each with its name and its number in the sequence; the last has the whole.

    Raises:
        Refusal: 400, the text is not of the format that the request asks for.
    """
    check_format(request, text, "text.format")
    begun = _response(request, served, answer, request_id, created, "in_progress", [])
    part = _part(request, answer, text)
    item = _item(request_id, "completed", [part])
    done = _response(request, served, answer, request_id, created, "completed", [item])
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


def usage_of(request: ResponsesRequest) -> dict[str, Any]:
    """Token counts: the input's are an estimate, a reply counts as one."""
    read = prompt_tokens(request.chat())
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 1,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + 1,
    }


def _response(
    request: ResponsesRequest,
    served: Served,
    answer: Answer,
    request_id: str,
    created: int,
    status: str,
    output: list[dict[str, Any]],
) -> dict[str, Any]:
    """The object; fields that were asked for and have no effect are said back as they came, `store` as it is."""
    done = status == "completed"
    return {
        "id": f"resp_{request_id}",
        "object": "response",
        "created_at": created,
        "completed_at": created if done else None,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
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
        "usage": usage_of(request) if done else None,
        "user": request.user,
        "shokunin": {**about(answer), "specialist": served.id},
    }


def _item(request_id: str, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": f"msg_{request_id}", "type": "message", "role": "assistant", "status": status, "content": content}


def _part(request: ResponsesRequest, answer: Answer, text: str) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    if request.logprobs:
        top = [token(t, p) for t, p in likeliest(answer, text, request.top_logprobs or 0)]
        part["logprobs"] = [{**token(text, answer.confidence), "top_logprobs": top}]
    return part


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
