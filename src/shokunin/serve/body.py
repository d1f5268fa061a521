"""Bodies of JSON: a quick look at what routing needs, or the whole as a strict model; what is wrong is named, never quoted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from shokunin.serve.refusal import Refusal

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Peek:
    """What a gateway looks at in a request before it knows who will answer; every other field is left alone.

    Attributes:
        model: the model asked for.
        stream: whether the reply is to be a stream.
        include_usage: whether a stream is to end with the token counts.
        messages: `messages` of a chat request, else none.
        n: how many choices are asked for, or made to choose from (`best_of`).
        max_tokens: `max_completion_tokens`, `max_output_tokens` or `max_tokens`, whichever is given first, else None.
        metadata: the entries of `metadata` that are texts.
        tools: whether tools or functions are offered that may be called.
        raw: the whole body.
    """

    model: str
    stream: bool
    include_usage: bool
    messages: Sequence[Mapping[str, Any]]
    n: int
    max_tokens: int | None
    metadata: Mapping[str, str]
    tools: bool
    raw: Mapping[str, Any]

    @property
    def replies(self) -> int:
        """How many texts are to be written: the choices for each prompt."""
        prompts = self.raw.get("prompt")
        if (
            not isinstance(prompts, list) or not prompts or isinstance(prompts[0], int)
        ):  # a list of numbers is one prompt
            return self.n
        return self.n * len(prompts)


def peek(body: bytes) -> Peek:
    """Look at a request of any endpoint.

    Raises:
        Refusal: 400, the body is not a JSON object, has a key twice, or has something of a wrong type in a field that
            is looked at.
    """
    raw = _object(body)
    model = raw.get("model")
    if model is None:
        raise Refusal(400, "`model` is missing", "missing_required_parameter", "model")
    if not isinstance(model, str) or not model:
        raise Refusal(400, "`model` is a text that is not empty", "invalid_value", "model")
    options = _typed(raw, "stream_options", dict, "an object") or {}
    messages = _typed(raw, "messages", list, "a list") or []
    for i, message in enumerate(messages):
        if not isinstance(message, dict):
            raise Refusal(400, f"messages[{i}] is an object", "invalid_value", f"messages[{i}]")
    most = [_count(raw, name) for name in ("max_completion_tokens", "max_output_tokens", "max_tokens")]
    metadata = _typed(raw, "metadata", dict, "an object") or {}
    return Peek(
        model=model,
        stream=bool(_typed(raw, "stream", bool, "true or false")),
        include_usage=options.get("include_usage") is True,
        messages=messages,
        n=max(_count(raw, "n") or 1, _count(raw, "best_of") or 1),
        max_tokens=next((number for number in most if number is not None), None),
        metadata={key: value for key, value in metadata.items() if isinstance(value, str)},
        tools=(bool(raw.get("tools")) and raw.get("tool_choice") != "none")
        or (bool(raw.get("functions")) and raw.get("function_call") != "none"),
        raw=raw,
    )


def parse(model: type[Model], body: bytes) -> Model:
    """A body of JSON as `model`.

    Raises:
        Refusal: 400, naming the first thing that is wrong, never quoting its value.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
    first = max(faults, key=lambda fault: (fault["type"] == "extra_forbidden", len(fault["loc"])))
    if first["type"] == "json_invalid":
        raise Refusal(400, f"the body is not JSON: {first['msg'].partition(':')[2].strip()}", "invalid_json")
    param = _param(first["loc"])
    if first["type"] == "extra_forbidden":
        near = get_close_matches(param, model.model_fields, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "leave it out"
        raise Refusal(400, f"unknown parameter {param[:100]!r}; {hint}", "unknown_parameter", param[:100])
    code = "missing_required_parameter" if first["type"] == "missing" else "invalid_value"
    raise Refusal(400, f"{param or 'the body'}: {first['msg']}", code, param or None)


def unsupported(param: str, message: str) -> Refusal:
    """400: the field is known, and what it asks for cannot be given."""
    return Refusal(400, message, "unsupported_value", param)


def _object(body: bytes) -> dict[str, Any]:
    try:
        raw = from_json(body, allow_inf_nan=False)
        # A `model` that comes twice could be one model here and another for the upstream that gets the same bytes. It
        # is looked for only where it can be: two plain spellings, or the letters m, o, d, e, l as `\u006d` and so on.
        if body.count(b'"model"') > 1 or b"\\u006" in body:
            json.loads(body, object_pairs_hook=_pairs)
    except ValueError as error:
        raise Refusal(400, f"the body is not JSON: {error}", "invalid_json") from error
    if not isinstance(raw, dict):
        raise Refusal(400, "the body is a JSON object", "invalid_value")
    if any(name != "model" and name.lower() == "model" for name in raw if len(name) == len("model")):
        # Some upstreams read names whatever their case, and would take this for the model.
        raise Refusal(400, "`model` is written in small letters", "invalid_value", "model")
    return raw


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if sum(name == "model" for name, _ in pairs) > 1:
        raise Refusal(400, "`model` comes twice; say it once", "invalid_json", "model")
    return dict(pairs)


def _typed(raw: Mapping[str, Any], name: str, kind: type, what: str) -> Any:
    value = raw.get(name)
    if value is not None and not isinstance(value, kind):
        raise Refusal(400, f"`{name}` is {what}", "invalid_value", name)
    return value


def _count(raw: Mapping[str, Any], name: str) -> int | None:
    value = _typed(raw, name, int, "a whole number")
    if value is not None and (isinstance(value, bool) or value < 0):
        raise Refusal(400, f"`{name}` is a whole number, 0 or more", "invalid_value", name)
    return value


def _param(location: tuple[str | int, ...]) -> str:
    """`('messages', 0, 'content', 'str')` as `messages[0].content`; the names of a union's branches are left out."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part not in ("str", "int", "float", "dict[str,any]", "DocumentContent") and "[" not in part:
            text += f".{part}" if text else part
    return text
