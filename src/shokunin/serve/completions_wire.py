"""The text completion, as the older OpenAI clients ask and read it: prompts in, one answer for each and choice out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from shokunin.answer import Answer
from shokunin.serve.body import parse, unsupported
from shokunin.serve.openai_wire import Penalty, Share, StreamOptions
from shokunin.serve.refusal import Refusal
from shokunin.serve.reply_parts import (
    DONE,
    about,
    events,
    likeliest,
    logarithm,
    prompt_tokens,
    to_json,
    usage,
    written_tokens,
)
from shokunin.serve.served import Served

IGNORED = ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty", "user")
"""Accepted, and without effect on a specialist that always gives its likeliest answer."""
REFUSED = ("suffix", "logit_bias")
"""Known, and refused when they ask for something: ignoring them would change what the caller gets."""


class CompletionRequest(BaseModel):
    """The body of `POST /v1/completions`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: Annotated[str, Field(min_length=1)]
    prompt: str | Annotated[list[str] | list[int] | list[list[int]], Field(min_length=1)]
    n: Annotated[int, Field(ge=1)] | None = None
    best_of: Annotated[int, Field(ge=1)] | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    suffix: str | None = None
    logit_bias: dict[str, float] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Share | None = None
    seed: int | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    user: str | None = None

    @property
    def stops(self) -> list[str]:
        """The stop sequences."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def prompts(self) -> list[str]:
        """The prompts as a list."""
        return [self.prompt] if isinstance(self.prompt, str) else [p for p in self.prompt if isinstance(p, str)]

    @property
    def choices(self) -> int:
        """Choices a prompt."""
        return self.n or 1

    def chats(self) -> list[list[dict[str, Any]]]:
        """Each prompt as the messages of a chat, as a codec reads them."""
        return [[{"role": "user", "content": prompt}] for prompt in self.prompts]


def parse_completions(body: bytes, *, choices: int, prompts: int) -> CompletionRequest:
    """The completion request in a body of JSON.

    Raises:
        Refusal: 400, naming a field that is unknown, of a wrong value, or asks for what a specialist cannot give.
    """
    request = parse(CompletionRequest, body)
    _check_values(request, choices, prompts)
    for name in REFUSED:
        if getattr(request, name):
            raise unsupported(name, f"a specialist has no use for `{name}`; leave it out")
    if request.echo and request.logprobs is not None:
        raise unsupported("echo", "a specialist gives no probabilities of the prompt; ask for `echo` or `logprobs`")
    return request


def text_completion(
    request: CompletionRequest,
    served: Served,
    answers: Sequence[Answer],
    texts: Sequence[str],
    *,
    request_id: str,
    created: int,
) -> bytes:
    """The body of a `text_completion`: for each prompt its choices, `answers` and `texts` being one a prompt."""
    choices = [
        _choice(request, answer, index, text, prompt, "stop")
        for index, answer, text, prompt in _places(request, answers, texts)
    ]
    counted = usage_of(request, served, answers, texts)
    return to_json({**_head(request, served, request_id, created), "choices": choices, "usage": counted})


def text_stream(
    request: CompletionRequest,
    served: Served,
    answers: Sequence[Answer],
    texts: Sequence[str],
    *,
    request_id: str,
    created: int,
) -> bytes:
    """The same as server-sent events: a choice's text and its end; the usage if asked for; `[DONE]`."""
    head = _chunk_head(request, served, request_id, created)
    chunks = []
    for index, answer, text, prompt in _places(request, answers, texts):
        end = {"index": index, "text": "", "logprobs": None, "finish_reason": "stop"}
        for choice in (_choice(request, answer, index, text, prompt, None), end):
            chunks.append({**head, "choices": [choice]})
    if "usage" in head:
        chunks.append({**head, "choices": [], "usage": usage_of(request, served, answers, texts)})
    return events(chunks) + DONE


class TextPieces:
    """The same while the text is being written: one prompt, one choice, and whose answer it was in the last chunks only."""

    def __init__(self, request: CompletionRequest, served: Served, *, request_id: str, created: int) -> None:
        self._request, self._served = request, served
        self._head = _chunk_head(request, served, request_id, created)

    def begin(self) -> bytes:
        """Nothing."""
        return b""

    def more(self, text: str) -> bytes:
        """A piece."""
        return self._event(text)

    def end(self, answer: Answer, text: str) -> bytes:
        """Why it ended, the usage if asked for, `[DONE]`."""
        last = self._event("", finish_reason="length" if answer.cut else "stop", shokunin=about(answer))
        if "usage" in self._head:
            counted = usage_of(self._request, self._served, [answer], [text])
            last += events([{**self._head, "choices": [], "usage": counted}])
        return last + DONE

    def _event(self, text: str, **more: Any) -> bytes:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": None, **more}
        return events([{**self._head, "choices": [choice]}])


def usage_of(
    request: CompletionRequest, served: Served, answers: Sequence[Answer], texts: Sequence[str]
) -> dict[str, Any]:
    """Token counts: the prompts' are an estimate."""
    written = sum(written_tokens(served, *pair) for pair in zip(answers, texts, strict=True))
    return usage(sum(prompt_tokens(chat) for chat in request.chats()), written * request.choices)


def _check_values(request: CompletionRequest, choices: int, prompts: int) -> None:
    if isinstance(request.prompt, list) and not all(isinstance(p, str) for p in request.prompt):
        raise unsupported(
            "prompt", "send the prompt as text; token ids of another model's tokenizer cannot be read here"
        )
    if len(request.prompts) > prompts:
        raise Refusal(400, f"at most {prompts} prompts at a time", "invalid_value", "prompt")
    for name in ("n", "best_of"):
        if (getattr(request, name) or 1) > choices:
            raise Refusal(400, f"`{name}` is at most {choices} here", "invalid_value", name)
    if request.best_of is not None and request.best_of < request.choices:
        raise Refusal(400, "`best_of` is `n` or more", "invalid_value", "best_of")
    if request.best_of is not None and request.best_of > request.choices and request.stream:
        raise Refusal(400, "`best_of` above `n` cannot be streamed", "invalid_value", "best_of")
    if request.stream_options is not None and not request.stream:
        raise Refusal(400, "`stream_options` needs `stream` to be true", "invalid_value", "stream_options")
    if len(request.stops) > 4 or not all(request.stops):
        raise Refusal(400, "`stop` is up to 4 texts, none of them empty", "invalid_value", "stop")


def _places(
    request: CompletionRequest, answers: Sequence[Answer], texts: Sequence[str]
) -> list[tuple[int, Answer, str, str]]:
    """Every choice as (index, answer, text, prompt)."""
    asked = zip(answers, texts, request.prompts, strict=True)
    rows = [row for row in asked for _ in range(request.choices)]
    return [(index, *row) for index, row in enumerate(rows)]


def _choice(
    request: CompletionRequest, answer: Answer, index: int, text: str, prompt: str, reason: str | None
) -> dict[str, Any]:
    return {
        "index": index,
        "text": prompt + text if request.echo else text,
        "logprobs": _logprobs(request, answer, text),
        "finish_reason": reason,
        "shokunin": about(answer),
    }


def _chunk_head(request: CompletionRequest, served: Served, request_id: str, created: int) -> dict[str, Any]:
    head = _head(request, served, request_id, created)
    with_usage = request.stream_options is not None and bool(request.stream_options.include_usage)
    return {**head, "usage": None} if with_usage else head


def _head(request: CompletionRequest, served: Served, request_id: str, created: int) -> dict[str, Any]:
    return {
        "id": f"cmpl-{request_id}",
        "object": "text_completion",
        "created": created,
        "model": request.model,
        "system_fingerprint": served.id,
    }


def _logprobs(request: CompletionRequest, answer: Answer, text: str) -> dict[str, Any] | None:
    """The one token that a reply is, in the older shape: the token itself is always among the likeliest."""
    if request.logprobs is None:
        return None
    top = {text: logarithm(answer.confidence)}
    top |= {t: logarithm(p) for t, p in likeliest(answer, text, request.logprobs)}
    return {
        "tokens": [text],
        "token_logprobs": [logarithm(answer.confidence)],
        "top_logprobs": [top] if request.logprobs else None,
        "text_offset": [0],
    }
