"""Langfuse's observations, from its API, its exports and its tables: those of the type GENERATION are calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shokunin.recorded.loose import answered, asked
from shokunin.recorded.record import ERROR, NO_MODEL_CALL, NOT_KEPT, Record
from shokunin.recorded.values import lasted, paid, parsed, table, under

_TRACED = ("traceId", "trace_id", "parentObservationId", "parent_observation_id")


def read(value: Mapping[str, Any]) -> Record | None:
    """The Record of an observation; None if the object is none."""
    kind = value.get("type")
    if not isinstance(kind, str) or not any(name in value for name in _TRACED):
        return None
    if kind.upper() != "GENERATION":
        return Record(fault=NO_MODEL_CALL)
    given, taken = value.get("input"), value.get("output")
    messages, fault = asked(given)
    reply, trouble = answered(taken)
    if value.get("level") == "ERROR":
        fault = ERROR
    elif not given and not taken:
        fault = NOT_KEPT
    usage, costs = _details(value, "usage"), _details(value, "cost")
    start, end = under(value, "startTime", "start_time"), under(value, "endTime", "end_time")
    latency = lasted(start, end)
    return Record(
        messages=messages,
        reply=reply,
        fault=fault or trouble,
        id=table(parsed(taken)).get("id") or value.get("id"),
        model=under(value, "model", "providedModelName", "provided_model_name", "modelName", "model_name"),
        timestamp=start,
        client=under(value, "userId", "user_id"),
        workload=under(value, "promptName", "prompt_name"),
        prompt_tokens=under(usage, "input", "prompt_tokens", "promptTokens", "input_tokens"),
        completion_tokens=under(usage, "output", "completion_tokens", "completionTokens", "output_tokens"),
        # The API had latency in milliseconds for a while, so it counts only where there is no end.
        seconds=latency if latency is not None else value.get("latency"),
        cost=paid(
            under(value, "totalCost", "total_cost", "calculatedTotalCost", "calculated_total_cost"), costs.get("total")
        ),
    )


def _details(value: Mapping[str, Any], what: str) -> Mapping[str, Any]:
    """Tokens or prices by category, under the names of several versions."""
    return table(parsed(under(value, f"{what}Details", f"{what}_details", what)))
