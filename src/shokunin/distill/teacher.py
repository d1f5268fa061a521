"""Teacher: whatever model is asked for answers; what it is asked, what it says, and what that costs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from shokunin.cost import Price

MESSAGE_OVERHEAD = 32
"""Tokens that a chat template may put around one message; more than any known one does."""


@dataclass(frozen=True, slots=True)
class Question:
    """One request.

    Attributes:
        messages: each with `role` and `content`.
        temperature: 0 asks for the likeliest reply.
        max_tokens: the reply has at most so many.
        draw: tells requests apart that are the same but for chance: 0, 1, 2 …
    """

    messages: tuple[Mapping[str, str], ...]
    temperature: float = 0.0
    max_tokens: int = 512
    draw: int = 0

    def key(self, model: str) -> str:
        """The name under which the reply is kept: the same request to the same model has the same name."""
        asked = [model, [dict(m) for m in self.messages], self.temperature, self.max_tokens, self.draw]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of what is said."""
        return sum(len(text.encode("utf-8", "replace")) for m in self.messages for text in m.values())

    @property
    def most_tokens(self) -> int:
        """Tokens that the prompt cannot have more than: a token is at least one byte."""
        return self.size + MESSAGE_OVERHEAD * (1 + len(self.messages))


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back.

    Attributes:
        text: may be empty.
        tokens_in: of the prompt, as the server counted them; 0 where it does not say.
        tokens_out: of the reply, likewise.
        finished: False where the reply was cut off.
    """

    text: str
    tokens_in: int = 0
    tokens_out: int = 0
    finished: bool = True


class FailedError(Exception):
    """One request came to nothing; the message says why."""


class Attempts(Protocol):
    """Told of every attempt at a request; what it raises in `begin` ends the request."""

    def begin(self) -> None:
        """A request is about to be sent."""

    def refused(self) -> None:
        """Nothing is charged for it."""

    def lost(self) -> None:
        """Nobody knows whether it is charged for."""


class Teacher(Protocol):
    """A model that can be asked; safe to call from many threads."""

    @property
    def name(self) -> str:
        """The model's name, which stays on every row that it labels."""

    @property
    def price(self) -> Price | None:
        """What its tokens cost; None: nobody knows."""

    def ask(self, question: Question, attempts: Attempts) -> Reply:
        """The reply.

        Raises:
            FailedError: there is none.
        """


def most_it_can_cost(question: Question, price: Price | None) -> float:
    """US dollars that one attempt at a request cannot cost more than; 0 where there is no price."""
    return 0.0 if price is None else price.of(question.most_tokens, question.max_tokens)


def cost_of(question: Question, reply: Reply, price: Price | None) -> float:
    """US dollars of a reply; what the server did not count is taken at its most."""
    if price is None:
        return 0.0
    tokens_out = reply.tokens_out or len(reply.text.encode("utf-8", "replace"))
    return price.of(reply.tokens_in or question.most_tokens, tokens_out)
