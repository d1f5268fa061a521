"""Requests and responses as language models take and give them: which messages were sent, and what was answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from shokunin.recorded.chunks import unstreamed
from shokunin.recorded.record import ERROR, NO_MESSAGES, NO_MODEL_CALL, NO_REPLY, REFUSED, SEVERAL, UNREADABLE, Messages
from shokunin.template import text_of

Reply = tuple[str | None, str]
"""The text of an answer and "", None and "" where a tool was called, or None and the reason why there is no answer."""
Request = tuple[Messages, str]
"""The messages of a request and "", or none and the reason."""

CALLED: Reply = (None, "")
_OTHER = ("/embeddings", "/images/", "/audio/", "/moderations", "/rerank", "/predict")
"""Addresses where no language model is asked."""
_CALLS = ("tool_calls", "function_call")
_CALL_TYPES = ("function_call", "custom_tool_call", "mcp_call", "tool_use", "tool_call", "tool-call", "computer_call")


def is_model_asked(address: Any) -> bool:
    """Whether a language model is asked at this address; True where none is known."""
    return not isinstance(address, str) or not any(part in address for part in _OTHER)


def messages_of(request: Any) -> Request:
    """The messages in the body of a request: of chat completions, responses, completions or messages.

    Instructions that stand beside the messages are their first, as `system`.
    """
    if not isinstance(request, dict):
        return (), NO_MESSAGES
    found, fault = _messages_in(request)
    if fault:
        return found, fault
    instructions = request.get("instructions") or request.get("system")
    if instructions is not None and isinstance(instructions, (str, list)):
        found = [{"role": "system", "content": instructions}, *found]
    return found, ""


def _messages_in(request: Mapping[str, Any]) -> Request:
    messages = request.get("messages")
    if messages is not None:
        return (messages, "") if is_messages(messages) and messages else ((), NO_MESSAGES)
    if "input" in request:
        return _input(request)
    prompt = request.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if isinstance(prompt, str) and prompt:
        return [{"role": "user", "content": prompt}], ""
    if is_messages(prompt) and prompt:
        return prompt, ""
    return (), SEVERAL if isinstance(prompt, list) and prompt else NO_MESSAGES


def _input(request: Mapping[str, Any]) -> Request:
    """Of `/v1/responses`: a text, or items of which the messages have a role."""
    if "encoding_format" in request or "dimensions" in request:
        return (), NO_MODEL_CALL
    given = request["input"]
    if isinstance(given, str) and given:
        return [{"role": "user", "content": given}], ""
    if not is_messages(given):
        return (), NO_MESSAGES
    found = [item for item in map(_item, given) if item is not None]
    return found, "" if found else NO_MESSAGES


def _item(item: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if item.get("role"):
        return item
    kind = item.get("type")
    if kind == "function_call_output":
        return {"role": "tool", "content": item.get("output")}
    return {"role": "assistant", "content": None, "tool_calls": [item]} if kind in _CALL_TYPES else None


def is_messages(value: Any) -> TypeGuard[list[dict[str, Any]]]:
    """Whether a value is a list of JSON objects, be it empty."""
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def reply_of(response: Any) -> Reply:
    """What is answered in the body of a response, whichever of the usual forms it has; a text is its own reply.

    Read are chat completions, completions, responses, Anthropic's messages, a message alone, and streams stored as such.
    """
    whole = unstreamed(response)
    if isinstance(whole, dict):
        return _of_body(whole)
    if isinstance(whole, str):
        return (whole, "") if whole else (None, NO_REPLY)
    if not whole:
        return None, NO_REPLY
    return _of_items(whole) if is_messages(whole) else (None, UNREADABLE)


def _of_body(body: Mapping[str, Any]) -> Reply:
    choices = body.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        choice = choices[0]
        message = choice.get("message")
        if isinstance(message, dict):
            return of_message(message)
        text = choice.get("text")
        return (text, "") if isinstance(text, str) and text else (None, NO_REPLY)
    if body.get("error") or body.get("type") == "error":
        return None, ERROR
    if "output" in body or "output_text" in body:
        return _of_response(body)
    if "role" in body or "content" in body or any(body.get(name) for name in _CALLS):
        return of_message(body)
    if isinstance(body.get("message"), dict):
        return of_message(body["message"])
    if body.get("object") == "list" or "embedding" in body or "embeddings" in body:
        return None, NO_MODEL_CALL
    return None, NO_REPLY if not body or "choices" in body else UNREADABLE


def of_message(message: Mapping[str, Any]) -> Reply:
    """What an assistant's message says."""
    content = message.get("content")
    text = content if isinstance(content, str) else said(content)
    if text:
        return text, ""
    if any(message.get(name) for name in _CALLS) or _has_calls(content):
        return CALLED
    return None, REFUSED if message.get("refusal") else NO_REPLY


def _of_response(body: Mapping[str, Any]) -> Reply:
    if body.get("status") in ("failed", "cancelled"):
        return None, ERROR
    output = body.get("output")
    if is_messages(output) and output:
        return _of_items(output)
    text = output if isinstance(output, str) else body.get("output_text")
    return (text, "") if isinstance(text, str) and text else (None, NO_REPLY)


def _of_items(items: Sequence[Mapping[str, Any]]) -> Reply:
    """Messages and calls, of which a response or a stored output consists."""
    said_by = [item for item in items if item.get("role", "assistant") in ("assistant", "ai", "model")]
    found = [of_message(item) for item in said_by if "role" in item or "content" in item]
    texts = [text for text, _ in found if text]
    if texts:
        return "\n".join(texts), ""
    if CALLED in found or _has_calls(items):
        return CALLED
    return found[0] if found else (None, UNREADABLE)


def said(content: Any) -> str | None:
    """The text in a message's content, its parts on lines of their own; None if there is more than text, or nothing.

    Thoughts are left out; calls of tools have no text; what a tool answered is text.
    """
    if content is None or isinstance(content, str):
        return content
    plain = text_of(content)
    if plain is not None or not isinstance(content, list):
        return plain
    texts = []
    for part in content:
        text = _of_part(part)
        if text is None:
            return None
        if text:
            texts.append(text)
    return "\n".join(texts)


def _of_part(part: Any) -> str | None:
    """The text of a part, "" if it has none, None if it is a picture, a sound, a file."""
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return None
    kind = part.get("type")
    if kind in ("text", "input_text", "output_text", None):
        # OpenTelemetry has the text of a part under `content`.
        text = part["text"] if "text" in part else part.get("content")
        return text if isinstance(text, str) else None
    if kind in ("tool_result", "tool_call_response"):
        told = part.get("content", part.get("response", part.get("result")))
        return text_of(told) or ""
    if kind == "refusal" or kind in _CALL_TYPES or kind in ("thinking", "redacted_thinking", "reasoning"):
        return ""
    return None


def _has_calls(parts: Any) -> bool:
    return isinstance(parts, list) and any(isinstance(p, dict) and p.get("type") in _CALL_TYPES for p in parts)
