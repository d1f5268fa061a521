"""The chat request as OpenAI clients send it: every documented field is known, what cannot be honoured is refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from shokunin.serve.body import parse, unsupported
from shokunin.serve.refusal import Refusal

IGNORED = (
    "temperature", "top_p", "seed", "presence_penalty", "frequency_penalty", "user", "metadata", "store",
    "safety_identifier", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "service_tier",
    "reasoning_effort", "verbosity", "parallel_tool_calls", "prediction", "tools", "functions",
)  # fmt: skip
"""Accepted, and without effect on a specialist that always gives its likeliest answer; `/v1/models` says so.

Tools that a model may call are among them: a reply in text is one of the replies that such a request allows.
"""

REFUSED = ("logit_bias", "audio", "web_search_options", "moderation")
"""Known, and refused when they ask for something: ignoring them would change what the caller gets."""

Share = Annotated[float, Field(ge=0, le=1)]
Penalty = Annotated[float, Field(ge=-2, le=2)]


class Part(BaseModel):
    """A piece of a message's content."""

    type: Literal["text", "refusal", "image_url", "input_audio", "file"]
    text: str | None = None


class Message(BaseModel):
    """One message of a chat."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: list[dict[str, Any]] | None = None


class ResponseFormat(BaseModel):
    """What the reply should look like."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: dict[str, Any] | None = None


class StreamOptions(BaseModel):
    """How to stream."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ChatRequest(BaseModel):
    """The body of `POST /v1/chat/completions`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: Annotated[str, Field(min_length=1)]
    messages: Annotated[list[Message], Field(min_length=1)]
    n: Annotated[int, Field(ge=1)] | None = None
    stop: str | list[str] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    modalities: list[Literal["text", "audio"]] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    functions: list[dict[str, Any]] | None = None
    function_call: str | dict[str, Any] | None = None
    logit_bias: dict[str, float] | None = None
    audio: dict[str, Any] | None = None
    web_search_options: dict[str, Any] | None = None
    moderation: dict[str, Any] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Share | None = None
    seed: int | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    parallel_tool_calls: bool | None = None
    prediction: dict[str, Any] | None = None

    @property
    def stops(self) -> list[str]:
        """The stop sequences."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def wanted(self) -> tuple[str, dict[str, Any] | bool | None]:
        """The format of the reply, and its JSON schema if one is given."""
        asked = self.response_format
        if asked is None:
            return "text", None
        return asked.type, (asked.json_schema or {}).get("schema")

    def chat(self) -> list[dict[str, Any]]:
        """The messages as plain values, as a codec reads them."""
        return [{"role": m.role, "content": _plain(m.content)} for m in self.messages]

    def characters(self) -> int:
        """The length of all messages together."""
        return sum(
            sum(len(p.text or "") for p in m.content) if isinstance(m.content, list) else len(m.content or "")
            for m in self.messages
        )


def parse_chat(body: bytes, *, choices: int) -> ChatRequest:
    """The chat request in a body of JSON.

    Raises:
        Refusal: 400, naming a field that is unknown, of a wrong value, or asks for what a specialist cannot give.
    """
    request = parse(ChatRequest, body)
    _check_values(request, choices)
    for name in REFUSED:
        if getattr(request, name):
            raise unsupported(name, f"a specialist has no use for `{name}`; leave it out")
    for name in ("tool_choice", "function_call"):
        if not may_answer_in_text(getattr(request, name)):
            raise unsupported(name, f"a specialist calls no tools; leave `{name}` out or say 'auto'")
    if request.modalities is not None and request.modalities != ["text"]:
        raise unsupported("modalities", "a specialist answers in text; leave `modalities` out")
    for i, message in enumerate(request.messages):
        if isinstance(message.content, list) and any(p.type not in ("text", "refusal") for p in message.content):
            raise unsupported(f"messages[{i}].content", "this specialist reads text parts only")
    return request


def may_answer_in_text(tool_choice: Any) -> bool:
    """Whether a reply without a call is one that the caller allows."""
    if isinstance(tool_choice, dict):
        allowed = tool_choice.get("allowed_tools", tool_choice)
        return isinstance(allowed, dict) and allowed.get("mode") == "auto"
    return tool_choice in (None, "none", "auto")


def _check_values(request: ChatRequest, choices: int) -> None:
    if request.n is not None and request.n > choices:
        raise Refusal(400, f"`n` is at most {choices} here", "invalid_value", "n")
    if request.top_logprobs and not request.logprobs:
        raise Refusal(400, "`top_logprobs` needs `logprobs` to be true", "invalid_value", "top_logprobs")
    if request.stream_options is not None and not request.stream:
        raise Refusal(400, "`stream_options` needs `stream` to be true", "invalid_value", "stream_options")
    if len(request.stops) > 4 or not all(request.stops):
        raise Refusal(400, "`stop` is up to 4 texts, none of them empty", "invalid_value", "stop")


def _plain(content: str | list[Part] | None) -> Any:
    return [{"type": p.type, "text": p.text or ""} for p in content] if isinstance(content, list) else content
