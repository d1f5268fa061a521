"""The parts that replies of all endpoints share: headers of the route, token counts, log-probabilities, events."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from shokunin.answer import Answer
from shokunin.exchange import Route
from shokunin.serve.served import Served
from shokunin.template.tokens import BYTES_PER_TOKEN

LEAST = 1e-30
"""Probabilities below this are given as this, so that their logarithm is a number."""
DONE = b"data: [DONE]\n\n"


class Pieces(Protocol):
    """Writes the events of a stream whose text comes in pieces."""

    def begin(self) -> bytes:
        """What comes before the text."""

    def more(self, text: str) -> bytes:
        """The next piece of the text."""

    def end(self, answer: Answer, text: str) -> bytes:
        """What comes after the whole text: why it ended, whose answer it was and how sure, token counts if asked for."""


def route_headers(served: Served | None, answer: Answer | None, route: Route = "local") -> dict[str, str]:
    """Who answered and how sure, for those who only see headers; an answer that was not given is told too."""
    headers: dict[str, str] = {"x-shokunin-route": route}
    if served is not None:
        headers["x-shokunin-specialist"] = served.id
    if answer is not None:
        headers["x-shokunin-confidence"] = f"{answer.confidence:.6f}"
        headers["x-shokunin-sure"] = "true" if answer.sure else "false"
    return headers


def least_sure(answers: Sequence[Answer]) -> Answer:
    """Of several answers the one that stands for all in the headers."""
    return min(answers, key=lambda answer: (answer.sure, answer.confidence))


def about(answer: Answer) -> dict[str, Any]:
    """What the body of a reply says of an answer beside the fields that OpenAI's have."""
    return {
        "answered_by": answer.answered_by,
        "confidence": answer.confidence,
        "sure": answer.sure,
        "seconds": answer.seconds,
        "cost": answer.cost,
    }


def prompt_tokens(chat: Sequence[Mapping[str, Any]]) -> int:
    """How many tokens messages have, estimated: their UTF-8 bytes by four, rounded up.

    A specialist need not have the large model's tokenizer.
    """
    return math.ceil(sum(_bytes(message["content"]) for message in chat) / BYTES_PER_TOKEN)


def written_tokens(served: Served, answer: Answer, text: str) -> int:
    """How many tokens a reply has: a label is one; of what was written as many as the model's tokenizer counted.

    Where the specialist has no tokenizer, or somebody else wrote it, they are estimated as those of a prompt are.
    """
    if not served.writes:
        return 1
    return answer.tokens or max(1, math.ceil(len(text.encode()) / BYTES_PER_TOKEN))


def usage(prompt: int, completion: int) -> dict[str, Any]:
    """Token counts of a chat or text completion."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def cut(text: str, stops: Sequence[str]) -> str:
    """The text up to the first stop sequence in it."""
    return text[: min((at for stop in stops if (at := text.find(stop)) >= 0), default=len(text))]


def token(text: str, probability: float) -> dict[str, Any]:
    """A token with its log-probability."""
    return {"token": text, "logprob": logarithm(probability), "bytes": list(text.encode())}


def likeliest(answer: Answer, text: str, most: int) -> list[tuple[str, float]]:
    """Up to `most` texts with their probabilities, likeliest first; the answer stands there as it was written."""
    scores = {text if value == answer.value else value: p for value, p in answer.scores.items()}
    scores.setdefault(text, answer.confidence)
    return sorted(scores.items(), key=lambda item: -item[1])[:most]


def logarithm(probability: float) -> float:
    """Its logarithm, never infinite."""
    return math.log(min(max(probability, LEAST), 1.0))


def to_json(value: Any) -> bytes:
    """Compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def events(values: Sequence[Mapping[str, Any]]) -> bytes:
    """Values as server-sent events without a name."""
    return b"".join(b"data: " + to_json(value) + b"\n\n" for value in values)


def _bytes(content: Any) -> int:
    if isinstance(content, list):
        return sum(len(part["text"].encode()) for part in content)
    return len((content or "").encode())
