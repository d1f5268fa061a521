"""LangSmith's runs: those of the type llm are calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shokunin.recorded.loose import answered, asked
from shokunin.recorded.record import ERROR, NO_MODEL_CALL, Record
from shokunin.recorded.values import first, lasted, paid, parsed, table


def read(value: Mapping[str, Any]) -> Record | None:
    """The Record of a run; None if the object is none."""
    kind = value.get("run_type")
    if not isinstance(kind, str):
        return None
    if kind != "llm":
        return Record(fault=NO_MODEL_CALL)
    messages, fault = asked(parsed(value.get("inputs")))
    outputs = parsed(value.get("outputs"))
    reply, trouble = answered(outputs)
    extra = table(parsed(value.get("extra")))
    metadata, wanted = table(extra.get("metadata")), table(extra.get("invocation_params"))
    usage = table(first(table(outputs).get("usage_metadata"), table(outputs).get("usage")))
    return Record(
        messages=messages,
        reply=reply,
        fault=ERROR if value.get("error") else fault or trouble,
        id=value.get("id"),
        model=first(wanted.get("model"), wanted.get("model_name"), metadata.get("ls_model_name")),
        timestamp=value.get("start_time"),
        client=metadata.get("user_id"),
        workload=metadata.get("workload_id"),
        prompt_tokens=first(value.get("prompt_tokens"), usage.get("input_tokens"), usage.get("prompt_tokens")),
        completion_tokens=first(
            value.get("completion_tokens"), usage.get("output_tokens"), usage.get("completion_tokens")
        ),
        seconds=lasted(value.get("start_time"), value.get("end_time")),
        cost=paid(value.get("total_cost")),
    )
