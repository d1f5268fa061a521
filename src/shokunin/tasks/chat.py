"""How a kind reads requests: the input fields in a row, in a wording of the task, or in the last user message."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from shokunin.answer import Inputs
from shokunin.errors import TaskError
from shokunin.task import Task
from shokunin.template import Template, fitting, text_of


def input_text(task: Task, row: Inputs) -> str:
    """One text of a row: its only field, or the fields under each other, named.

    Args:
        task: says which fields there are.
        row: the fields by name.

    Raises:
        TaskError: a field is missing.
    """
    if len(task.inputs) == 1:
        return _field(task, row, task.inputs[0])
    return "\n".join(f"{name}: {_field(task, row, name)}" for name in task.inputs)


def problem(inputs: Inputs, names: Sequence[str]) -> str | None:
    """Why this input cannot be answered, or None."""
    for name in names:
        if not isinstance(inputs.get(name), str):
            return f"the input field {name!r} is missing or not a text"
    if not any(inputs[name].strip() for name in names):
        return "the text is empty"
    return None


def phrased(task: Task, messages: Sequence[Mapping[str, Any]]) -> Template | None:
    """The wording that fits; one that is hardly more than a slot does not count, as every bare text fits it."""
    found = fitting(task.templates, messages)
    return found[0] if found is not None and found[0].is_specific else None


def read_chat(task: Task, messages: Sequence[Mapping[str, Any]], also: str | None = None) -> Inputs:
    """The slots of the wording that fits; in other requests the last user message, for several fields a JSON object.

    Args:
        task: says which fields and wordings there are.
        messages: of the request.
        also: a field that a row may have beside the task's; with it, one input comes in a JSON object too.

    Raises:
        TaskError: there is no user message with text.
    """
    found = fitting(task.templates, messages)
    if found is not None:
        return found[1]
    text = last_user(messages)
    whole = _object(text) if also is not None and text.startswith("{") else None
    if whole is not None and set(whole) == {*task.inputs, also} and all(isinstance(v, str) for v in whole.values()):
        return whole
    return {task.inputs[0]: text} if len(task.inputs) == 1 else _fields_of(text, task.inputs)


def last_user(messages: Sequence[Mapping[str, Any]]) -> str:
    """The last user message.

    Raises:
        TaskError: there is none with text.
    """
    text = next((text_of(m.get("content")) or "" for m in reversed(messages) if m.get("role") == "user"), "")
    if not text:
        raise TaskError("the request has no user message with text; put the text to work on into the last user message")
    return text


def fits(template: Template | None, inputs: Inputs) -> bool:
    """Whether a wording can be filled in from these inputs alone."""
    return template is not None and all(slot in inputs for pattern in template.patterns for slot in pattern.slots)


def _field(task: Task, row: Inputs, name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise TaskError(f"the input field {name!r} is missing; task {task.name!r} needs {', '.join(task.inputs)}")
    return value


def _fields_of(text: str, wanted: Sequence[str]) -> Inputs:
    fields = _object(text)
    if fields is None or not all(isinstance(fields.get(n), str) for n in wanted):
        names = ", ".join(repr(n) for n in wanted)
        raise TaskError(f"the last user message must be a JSON object with the text fields {names}")
    return {n: fields[n] for n in wanted}


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
