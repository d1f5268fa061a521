"""The request to `/v1/responses` as OpenAI clients send it, read as a chat; nothing is kept, so nothing can be continued."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from shokunin.serve.body import parse, unsupported
from shokunin.serve.openai_wire import Share, may_answer_in_text
from shokunin.serve.refusal import Refusal
from shokunin.serve.reply_parts import to_json

LOGPROBS = "message.output_text.logprobs"
TEXTS = ("input_text", "output_text", "text", "refusal")
IGNORED = (
    "temperature", "top_p", "user", "metadata", "store", "safety_identifier", "prompt_cache_key",
    "prompt_cache_options", "prompt_cache_retention", "service_tier", "reasoning", "parallel_tool_calls", "tools",
    "max_tool_calls", "truncation", "context_management", "stream_options", "image", "access_programs",
)  # fmt: skip
"""Accepted, and without effect on a specialist that always gives its likeliest answer and keeps nothing."""
REFUSED = ("previous_response_id", "conversation", "background", "background_options", "prompt", "moderation")
"""Known, and refused when they ask for something: ignoring them would change what the caller gets."""
_STATE = "this server keeps no responses; send the whole conversation in `input`"
_WHY = {
    "previous_response_id": _STATE,
    "conversation": _STATE,
    "background": "a response is given at once or not at all; leave `background` out",
    "prompt": "there are no stored prompts here; send the text in `instructions` and `input`",
}


class Part(BaseModel):
    """A piece of an item's content."""

    type: Literal["input_text", "output_text", "refusal", "text", "input_image", "input_file", "input_audio"]
    text: str | None = None


class Item(BaseModel):
    """A message, or another item of a conversation, of which the type alone is looked at."""

    type: str | None = None
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: str | list[Part] | None = None


class Format(BaseModel):
    """What the reply should look like."""

    model_config = ConfigDict(populate_by_name=True)

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    strict: bool | None = None
    description: str | None = None


class Text(BaseModel):
    """How to write."""

    format: Format | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ResponsesRequest(BaseModel):
    """The body of `POST /v1/responses`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: Annotated[str, Field(min_length=1)]
    input: str | Annotated[list[Item], Field(min_length=1)]
    instructions: str | None = None
    text: Text | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    include: list[str] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: Annotated[int, Field(ge=0)] | None = None
    previous_response_id: str | None = None
    conversation: str | dict[str, Any] | None = None
    background: bool | None = None
    background_options: dict[str, Any] | None = None
    prompt: dict[str, Any] | None = None
    moderation: dict[str, Any] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Share | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    reasoning: dict[str, Any] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    context_management: list[dict[str, Any]] | None = None
    image: dict[str, Any] | None = None
    access_programs: dict[str, Any] | None = None

    @property
    def stops(self) -> list[str]:
        """None: this endpoint has no stop sequences."""
        return []

    @property
    def logprobs(self) -> bool:
        """Whether the reply is to have log-probabilities."""
        return LOGPROBS in (self.include or [])

    @property
    def wanted(self) -> tuple[str, dict[str, Any] | bool | None]:
        """The format of the reply, and its JSON schema if one is given."""
        asked = self.text.format if self.text else None
        return ("text", None) if asked is None else (asked.type, asked.schema_)

    def chat(self) -> list[dict[str, Any]]:
        """The messages as plain values, as a codec reads them."""
        return messages_of(self)

    def characters(self) -> int:
        """The length of all messages together."""
        return sum(
            len(m["content"]) if isinstance(m["content"], str) else sum(len(p["text"]) for p in m["content"])
            for m in self.chat()
        )


def parse_responses(body: bytes) -> ResponsesRequest:
    """The request in a body of JSON.

    Raises:
        Refusal: 400, naming a field that is unknown, of a wrong value, or asks for what a specialist cannot give.
    """
    request = parse(ResponsesRequest, body)
    for name in REFUSED:
        if getattr(request, name):
            raise unsupported(name, _WHY.get(name, f"a specialist has no use for `{name}`; leave it out"))
    if not may_answer_in_text(request.tool_choice):
        raise unsupported("tool_choice", "a specialist calls no tools; leave `tool_choice` out or say 'auto'")
    if request.stream_options is not None and not request.stream:
        raise Refusal(400, "`stream_options` needs `stream` to be true", "invalid_value", "stream_options")
    for name in ("tools", "tool_choice", "text"):
        if getattr(request, name) is not None:
            _check_numbers(request, name)
    if isinstance(request.input, list):
        for i, item in enumerate(request.input):
            _check_item(item, f"input[{i}]")
        if not any(_is_message(item) for item in request.input):
            raise Refusal(400, "`input` holds no message", "invalid_value", "input")
    return request


def messages_of(request: ResponsesRequest) -> list[dict[str, Any]]:
    """The request as chat messages: the instructions as a system message, then what was said."""
    messages: list[dict[str, Any]] = []
    if request.instructions:
        messages.append({"role": "system", "content": request.instructions})
    if isinstance(request.input, str):
        return [*messages, {"role": "user", "content": request.input}]
    for item in request.input:
        if _is_message(item):
            messages.append({"role": item.role, "content": _plain(item.content)})
    return messages


def _check_numbers(request: ResponsesRequest, name: str) -> None:
    """What is said back must be JSON again: 1e999 is JSON, and too large for any number here."""
    try:
        to_json(request.model_dump(include={name}))
    except ValueError as error:
        raise Refusal(400, f"{name} holds a number that is too large", "invalid_value", name) from error


def _check_item(item: Item, where: str) -> None:
    if item.type == "reasoning":
        return  # what a large model thought before is no part of what was said
    if not _is_message(item):
        raise unsupported(f"{where}.type", "a specialist reads messages only")
    if item.role is None:
        raise Refusal(400, f"{where}.role is missing", "missing_required_parameter", f"{where}.role")
    if item.content is None:
        raise Refusal(400, f"{where}.content is missing", "missing_required_parameter", f"{where}.content")
    if isinstance(item.content, list) and any(part.type not in TEXTS for part in item.content):
        raise unsupported(f"{where}.content", "this specialist reads text parts only")


def _is_message(item: Item) -> bool:
    return item.type in (None, "message")


def _plain(content: str | list[Part] | None) -> Any:
    if isinstance(content, list):
        return [{"type": "text", "text": part.text or ""} for part in content]
    return content or ""
