"""One call as every tool that we read writes it down, in the shapes of their documentation."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

START, SECONDS = 1_717_000_000.25, 1.5
"""2024-05-29 16:26:40.25 UTC."""
ISO_START, ISO_END = "2024-05-29T16:26:40.250Z", "2024-05-29T16:26:41.750Z"
READ, WRITTEN, COST = 120, 3, 0.000045
MODEL, ID = "gpt-4o-mini", "chatcmpl-9J3uIL87"
USAGE = {"prompt_tokens": READ, "completion_tokens": WRITTEN, "total_tokens": READ + WRITTEN}

Writer = Callable[[str, str, str], dict[str, Any]]


def chat(system: str, user: str, **more: Any) -> dict[str, Any]:
    return {
        "model": MODEL,
        "temperature": 0,
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
        **more,
    }


def completion(reply: str | None, **message: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": reply, "refusal": None, **message}
    return {
        "id": ID,
        "object": "chat.completion",
        "created": int(START),
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": said, "logprobs": None, "finish_reason": "stop"}],
        "usage": USAGE,
    }


def chunks(reply: str) -> list[dict[str, Any]]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, *({"content": c} for c in reply), {}]
    head = {"id": ID, "object": "chat.completion.chunk", "model": MODEL}
    parts = [{**head, "choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas]
    return [*parts, {**head, "choices": [], "usage": USAGE}]


def gateway(system: str, user: str, reply: str) -> dict[str, Any]:
    return {
        "timestamp": START,
        "workload_id": "inquiries",
        "client_id": "shop",
        "request": chat(system, user),
        "response": completion(reply),
        "id": "req-1",
        "cost": COST,
        "route": "passed",
        "seconds": SECONDS,
        "status": 200,
        "prompt_tokens": READ,
        "completion_tokens": WRITTEN,
    }


def gateway_responses(system: str, user: str, reply: str) -> dict[str, Any]:
    items = [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": reply, "annotations": []}],
        },
    ]
    usage = {"input_tokens": READ, "output_tokens": WRITTEN}
    body = {"model": MODEL, "instructions": system, "input": [{"role": "user", "content": user}]}
    response = {"id": "resp_1", "object": "response", "status": "completed", "error": None, "output": items}
    return {"timestamp": START, "request": body, "response": {**response, "usage": usage}}


def gateway_anthropic(system: str, user: str, reply: str) -> dict[str, Any]:
    body = {"model": MODEL, "system": [{"type": "text", "text": system}], "max_tokens": 99}
    response = {"id": "msg_1", "type": "message", "role": "assistant", "content": [{"type": "text", "text": reply}]}
    return {
        "timestamp": START,
        "request": {**body, "messages": [{"role": "user", "content": [{"type": "text", "text": user}]}]},
        "response": {**response, "usage": {"input_tokens": READ, "output_tokens": WRITTEN}},
    }


def gateway_streamed(system: str, user: str, reply: str) -> dict[str, Any]:
    return {"timestamp": START, "request": chat(system, user, stream=True), "response": chunks(reply)}


def fine_tuning(system: str, user: str, reply: str) -> dict[str, Any]:
    return {"messages": [*chat(system, user)["messages"], {"role": "assistant", "content": reply, "weight": 1}]}


def prompt_completion(system: str, user: str, reply: str) -> dict[str, Any]:
    return {"prompt": chat(system, user)["messages"], "completion": [{"role": "assistant", "content": reply}]}


def openpipe(system: str, user: str, reply: str) -> dict[str, Any]:
    return {"input": chat(system, user), "output": completion(reply), "tags": {"prompt_id": "inquiries"}}


def openpipe_log(system: str, user: str, reply: str) -> dict[str, Any]:
    return {
        "requestedAt": START * 1000,
        "receivedAt": (START + SECONDS) * 1000,
        "reqPayload": json.dumps(chat(system, user)),
        "respPayload": json.dumps(completion(reply)),
        "statusCode": 200,
        "errorMessage": None,
        "tags": {"prompt_id": "inquiries"},
    }


def langfuse(system: str, user: str, reply: str) -> dict[str, Any]:
    return {
        "id": "obs-1",
        "traceId": "trace-1",
        "type": "GENERATION",
        "name": "OpenAI-generation",
        "startTime": ISO_START,
        "endTime": ISO_END,
        "model": MODEL,
        "modelParameters": {"temperature": 0},
        "input": chat(system, user)["messages"],
        "output": {"role": "assistant", "content": reply},
        "level": "DEFAULT",
        "promptName": "inquiries",
        "usage": {"input": READ, "output": WRITTEN, "total": READ + WRITTEN, "unit": "TOKENS"},
        "usageDetails": {"input": READ, "output": WRITTEN, "total": READ + WRITTEN},
        "costDetails": {"input": 0.00004, "output": 0.000005, "total": COST},
        "latency": SECONDS,
    }


def langfuse_stored(system: str, user: str, reply: str) -> dict[str, Any]:
    """As its export to blob storage has it: other names, JSON in texts, times without a zone."""
    return {
        "id": "obs-1",
        "trace_id": "trace-1",
        "type": "GENERATION",
        "parent_observation_id": "",
        "start_time": "2024-05-29 16:26:40.250000",
        "end_time": "2024-05-29 16:26:41.750000",
        "provided_model_name": MODEL,
        "input": json.dumps({"messages": chat(system, user)["messages"], "tools": []}),
        "output": json.dumps({"role": "assistant", "content": reply}),
        "prompt_name": "inquiries",
        "usage_details": {"input": READ, "output": WRITTEN},
        "cost_details": {"input": 0.00004, "output": 0.000005},
        "total_cost": COST,
        "user_id": "shop",
    }


def span(attributes: dict[str, Any], events: list[dict[str, Any]]) -> dict[str, Any]:
    """A span one a line, as the Python SDK prints it."""
    return {
        "name": f"chat {MODEL}",
        "context": {"trace_id": "0x4bf9", "span_id": "0x00f0", "trace_state": "[]"},
        "kind": "SpanKind.CLIENT",
        "start_time": ISO_START,
        "end_time": ISO_END,
        "status": {"status_code": "UNSET"},
        "attributes": {"gen_ai.operation.name": "chat", "gen_ai.request.model": MODEL, **attributes},
        "events": events,
    }


def parts(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "content": text}]


NEW_USAGE = {"gen_ai.usage.input_tokens": READ, "gen_ai.usage.output_tokens": WRITTEN, "gen_ai.response.id": ID}


def otel_structured(system: str, user: str, reply: str) -> dict[str, Any]:
    answer = {"role": "assistant", "parts": parts(reply), "finish_reason": "stop"}
    return span(
        {
            "gen_ai.system_instructions": parts(system),
            "gen_ai.input.messages": [{"role": "user", "parts": parts(user)}],
            "gen_ai.output.messages": [answer],
            **NEW_USAGE,
        },
        [],
    )


def otel_events(system: str, user: str, reply: str) -> dict[str, Any]:
    events = [
        {"name": "gen_ai.system.message", "attributes": {"gen_ai.system": "openai", "content": system}},
        {"name": "gen_ai.user.message", "attributes": {"gen_ai.event.content": json.dumps({"content": user})}},
        {"name": "gen_ai.choice", "attributes": {"index": 0, "message": {"role": "assistant", "content": reply}}},
    ]
    return span(NEW_USAGE, events)


def otel_details(system: str, user: str, reply: str) -> dict[str, Any]:
    told = otel_structured(system, user, reply)["attributes"]
    return span({}, [{"name": "gen_ai.client.inference.operation.details", "attributes": told}])


def otlp(system: str, user: str, reply: str) -> dict[str, Any]:
    """A span as OTLP has it in JSON, by the older conventions with numbered attributes."""
    texts = {
        "gen_ai.system": "openai",
        "llm.request.type": "chat",
        "gen_ai.request.model": MODEL,
        "gen_ai.prompt.0.role": "system",
        "gen_ai.prompt.0.content": system,
        "gen_ai.prompt.1.role": "user",
        "gen_ai.prompt.1.content": user,
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": reply,
        "gen_ai.completion.0.finish_reason": "stop",
        "gen_ai.response.id": ID,
    }
    counts = {"gen_ai.usage.prompt_tokens": READ, "gen_ai.usage.completion_tokens": WRITTEN}
    return {
        "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
        "spanId": "00f067aa0ba902b7",
        "name": "openai.chat",
        "kind": 3,
        "startTimeUnixNano": str(int(START * 1000)) + "000000",
        "endTimeUnixNano": str(int((START + SECONDS) * 1000)) + "000000",
        "attributes": [
            *({"key": k, "value": {"stringValue": v}} for k, v in texts.items()),
            *({"key": k, "value": {"intValue": str(v)}} for k, v in counts.items()),
        ],
        "status": {},
    }


def otlp_typed(system: str, user: str, reply: str) -> dict[str, Any]:
    """The same by the present conventions, the messages as values made of values."""

    def typed(value: Any) -> dict[str, Any]:
        if isinstance(value, str):
            return {"stringValue": value}
        if isinstance(value, list):
            return {"arrayValue": {"values": [typed(one) for one in value]}}
        return {"kvlistValue": {"values": [{"key": k, "value": typed(v)} for k, v in value.items()]}}

    told = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": MODEL,
        "gen_ai.input.messages": [
            {"role": "system", "parts": parts(system)},
            {"role": "user", "parts": parts(user)},
        ],
        "gen_ai.output.messages": [{"role": "assistant", "parts": parts(reply)}],
    }
    return {**otlp(system, user, reply), "attributes": [{"key": k, "value": typed(v)} for k, v in told.items()]}


def resource_spans(*spans: dict[str, Any]) -> dict[str, Any]:
    scopes = [{"scope": {"name": "openai"}, "spans": [one]} for one in spans]
    return {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": scopes}]}


def litellm(system: str, user: str, reply: str) -> dict[str, Any]:
    return {
        "id": ID,
        "trace_id": "t-1",
        "call_type": "acompletion",
        "response_cost": COST,
        "status": "success",
        "total_tokens": READ + WRITTEN,
        "prompt_tokens": READ,
        "completion_tokens": WRITTEN,
        "startTime": START,
        "endTime": START + SECONDS,
        "completionStartTime": START + 1,
        "model": MODEL,
        "metadata": {"user_api_key_alias": "shop", "user_api_key_hash": "88dc28"},
        "cache_hit": None,
        "end_user": None,
        "messages": chat(system, user)["messages"],
        "response": completion(reply),
        "error_str": None,
    }


def litellm_spend(system: str, user: str, reply: str) -> dict[str, Any]:
    return {
        "request_id": ID,
        "call_type": "acompletion",
        "api_key": "88dc28",
        "spend": COST,
        "prompt_tokens": READ,
        "completion_tokens": WRITTEN,
        "startTime": ISO_START,
        "endTime": ISO_END,
        "model": MODEL,
        "cache_hit": "False",
        "end_user": "shop",
        "messages": {},
        "response": completion(reply),
        "proxy_server_request": chat(system, user),
    }


def helicone(system: str, user: str, reply: str) -> dict[str, Any]:
    return {
        "request_id": "req-1",
        "response_id": "res-1",
        "request_created_at": ISO_START,
        "response_status": 200,
        "request_path": "https://api.openai.com/v1/chat/completions",
        "request_user_id": "shop",
        "request_properties": {"Helicone-Prompt-Id": "inquiries"},
        "request_model": MODEL,
        "delay_ms": SECONDS * 1000,
        "prompt_tokens": READ,
        "completion_tokens": WRITTEN,
        "cost": COST,
        "request_body": chat(system, user),
        "response_body": completion(reply),
    }


def helicone_nested(system: str, user: str, reply: str) -> dict[str, Any]:
    return {
        "request": {"id": "req-1", "created_at": ISO_START, "user_id": "shop", "body": chat(system, user)},
        "response": {"status": 200, "latency": SECONDS * 1000, "body": completion(reply)},
        "cost": COST,
    }


def langsmith(system: str, user: str, reply: str) -> dict[str, Any]:
    def said(name: str, content: str) -> dict[str, Any]:
        place = ["langchain", "schema", "messages", name]
        return {"lc": 1, "type": "constructor", "id": place, "kwargs": {"content": content}}

    answer = {"text": reply, "generation_info": {}, "message": said("AIMessage", reply)}
    return {
        "id": "run-1",
        "run_type": "llm",
        "name": "ChatOpenAI",
        "start_time": "2024-05-29T16:26:40.250000",
        "end_time": "2024-05-29T16:26:41.750000",
        "error": None,
        "inputs": {"messages": [[said("SystemMessage", system), said("HumanMessage", user)]]},
        "outputs": {"generations": [[answer]], "llm_output": {}, "run": None},
        "extra": {"invocation_params": {"model": MODEL}},
        "prompt_tokens": READ,
        "completion_tokens": WRITTEN,
        "total_cost": COST,
    }


WRITERS: dict[str, Writer] = {
    writer.__name__: writer
    for writer in (
        *(gateway, gateway_responses, gateway_anthropic, gateway_streamed),
        *(fine_tuning, prompt_completion),
        *(openpipe, openpipe_log),
        *(langfuse, langfuse_stored),
        *(otel_structured, otel_events, otel_details, otlp, otlp_typed),
        *(litellm, litellm_spend),
        *(helicone, helicone_nested),
        langsmith,
    )
}
