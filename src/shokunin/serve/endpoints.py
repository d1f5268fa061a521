"""Endpoints: the three ways in which OpenAI clients ask for a text, each with how to read it and how to answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shokunin.answer import Answer
from shokunin.serve.body import Peek
from shokunin.serve.completions_wire import (
    CompletionRequest,
    TextPieces,
    parse_completions,
    text_completion,
    text_stream,
)
from shokunin.serve.limits import Limits
from shokunin.serve.openai_reply import ChatPieces, completion, cut, stream
from shokunin.serve.openai_wire import ChatRequest, parse_chat
from shokunin.serve.refusal import Refusal
from shokunin.serve.reply_parts import Pieces
from shokunin.serve.response_format import Formatted, check_format
from shokunin.serve.responses_reply import ResponsePieces, response, response_stream
from shokunin.serve.responses_wire import ResponsesRequest, messages_of, parse_responses
from shokunin.serve.served import Served

Conversation = Sequence[Mapping[str, Any]]


Write = Callable[..., bytes]
"""Writes the reply: (request, specialist, answers, texts, request_id=, created=), an answer and a text for each question."""


@dataclass(frozen=True)
class Endpoint:
    """One of them.

    Attributes:
        path: its address, here and at every upstream.
        param: the field that holds the text.
        model: the request as a strict model, for the OpenAPI description.
        templates: whether a request can be recognised by its template.
        parse: the request as a specialist can answer it; raises Refusal.
        conversation: the messages in a request that has only been peeked at.
        conversations: each question in a parsed request, as messages.
        check: raises Refusal if the text is not of the format asked for.
        write: the reply.
        stream: the reply as server-sent events.
        said: the text in an upstream's reply, or None.
        piecewise: whether a reply to this request can be sent in pieces while it is written: one text, with no end or
            format of the caller's own and no log-probabilities.
        pieces: what writes the events of such a reply.
    """

    path: str
    param: str
    model: type[ChatRequest] | type[CompletionRequest] | type[ResponsesRequest]
    templates: bool
    parse: Callable[[bytes, Limits], Any]
    conversation: Callable[[Peek], Conversation]
    conversations: Callable[[Any], Sequence[Conversation]]
    check: Callable[[Any, str], None]
    write: Write
    stream: Write
    said: Callable[[Mapping[str, Any]], str | None]
    piecewise: Callable[[Any], bool]
    pieces: Callable[..., Pieces]


def said_in_chat(body: Mapping[str, Any]) -> str | None:
    """The text of a chat completion's first choice."""
    return _text(body, "choices", 0, "message", "content")


def said_in_response(body: Mapping[str, Any]) -> str | None:
    """The text of a response's messages, put together."""
    parts = [
        part.get("text")
        for item in _list(body.get("output"))
        if isinstance(item, Mapping) and item.get("type") == "message"
        for part in _list(item.get("content"))
        if isinstance(part, Mapping) and part.get("type") == "output_text"
    ]
    return "".join(part for part in parts if isinstance(part, str)) if parts else None


def _parse_chat(body: bytes, limits: Limits) -> ChatRequest:
    return parse_chat(body, choices=limits.choices)


def _parse_completions(body: bytes, limits: Limits) -> CompletionRequest:
    return parse_completions(body, choices=limits.choices, prompts=limits.rows)


def _cut(write: Write) -> Write:
    """The writer, given texts that end at the request's stop sequences."""

    def write_cut(wanted: Any, served: Served, answers: Sequence[Answer], texts: Sequence[str], **about: Any) -> bytes:
        return write(wanted, served, answers, [cut(text, wanted.stops) for text in texts], **about)

    return write_cut


def _one(write: Callable[..., bytes]) -> Write:
    """A writer for endpoints with one question a request."""

    def write_one(wanted: Any, served: Served, answers: Sequence[Answer], texts: Sequence[str], **about: Any) -> bytes:
        return write(wanted, served, answers[0], texts[0], **about)

    return write_one


def _of_response(seen: Peek) -> Conversation:
    said = {name: seen.raw[name] for name in ("model", "instructions", "input") if name in seen.raw}
    try:  # what else it asks for does not change whose request it is
        return messages_of(ResponsesRequest.model_validate(said, strict=False))
    except (ValueError, Refusal):
        return ()  # not for a specialist; the upstream may take it


def _check_chat(wanted: Any, text: str) -> None:
    check_format(wanted, cut(text, wanted.stops))


def _check_response(wanted: Any, text: str) -> None:
    check_format(wanted, text, "text.format")


def _no_format(wanted: Formatted, text: str) -> None:
    """Plain text has no format."""


def _chats(wanted: CompletionRequest) -> Sequence[Conversation]:
    return wanted.chats()


def _chat_piecewise(wanted: ChatRequest) -> bool:
    return (wanted.n or 1) == 1 and not wanted.stops and not wanted.logprobs and wanted.wanted[0] == "text"


def _completion_piecewise(wanted: CompletionRequest) -> bool:
    one = len(wanted.prompts) == 1 and wanted.choices == 1 and (wanted.best_of or 1) == 1
    return one and not wanted.stops and not wanted.echo and wanted.logprobs is None


def _response_piecewise(wanted: ResponsesRequest) -> bool:
    return not wanted.logprobs and wanted.wanted[0] == "text"


def _text(value: Any, *path: str | int) -> str | None:
    for step in path:
        try:
            value = value[step]
        except (LookupError, TypeError):
            return None
    return value if isinstance(value, str) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


CHAT = Endpoint(
    path="/v1/chat/completions",
    param="messages",
    model=ChatRequest,
    templates=True,
    parse=_parse_chat,
    conversation=lambda seen: seen.messages,
    conversations=lambda wanted: [wanted.chat()],
    check=_check_chat,
    write=_cut(_one(completion)),
    stream=_cut(_one(stream)),
    said=said_in_chat,
    piecewise=_chat_piecewise,
    pieces=ChatPieces,
)
COMPLETIONS = Endpoint(
    path="/v1/completions",
    param="prompt",
    model=CompletionRequest,
    templates=False,
    parse=_parse_completions,
    conversation=lambda seen: (),
    conversations=_chats,
    check=_no_format,
    write=_cut(text_completion),
    stream=_cut(text_stream),
    said=lambda body: _text(body, "choices", 0, "text"),
    piecewise=_completion_piecewise,
    pieces=TextPieces,
)
RESPONSES = Endpoint(
    path="/v1/responses",
    param="input",
    model=ResponsesRequest,
    templates=True,
    parse=lambda body, limits: parse_responses(body),
    conversation=_of_response,
    conversations=lambda wanted: [messages_of(wanted)],
    check=_check_response,
    write=_one(response),
    stream=_one(response_stream),
    said=said_in_response,
    piecewise=_response_piecewise,
    pieces=ResponsePieces,
)
ENDPOINTS = (CHAT, COMPLETIONS, RESPONSES)
