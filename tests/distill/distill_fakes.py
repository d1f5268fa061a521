"""A teacher in memory, and a codec of two labels, for the tests of distilling."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from shokunin.answer import Inputs
from shokunin.cost import Price
from shokunin.distill.teacher import Attempts, FailedError, Question, Reply
from shokunin.metrics import Interval, accuracy
from shokunin.template.labels import find_label

LABELS = ("delivery", "refund")


class Scripted:
    """A teacher whose replies are computed; it counts what it was asked and how many asked at the same time."""

    def __init__(
        self,
        say: Callable[[Question], str | Reply] | str,
        *,
        name: str = "large",
        price: Price | None = None,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.price = price
        self.asked: list[Question] = []
        self.most_at_once = 0
        self._say = say
        self._before = before
        self._now = 0
        self._lock = threading.Lock()

    def ask(self, question: Question, attempts: Attempts) -> Reply:
        attempts.begin()
        with self._lock:
            self.asked.append(question)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            self._before()
            said = self._say if isinstance(self._say, str) else self._say(question)
        finally:
            with self._lock:
                self._now -= 1
        if isinstance(said, Reply):
            return said
        return Reply(said, tokens_in=10, tokens_out=2)


class Refusing(Scripted):
    """A teacher that never answers; `refused` tells whether it is sure that nothing is charged."""

    def __init__(self, *, refused: bool, price: Price | None = None) -> None:
        super().__init__("", price=price)
        self._refused = refused

    def ask(self, question: Question, attempts: Attempts) -> Reply:
        attempts.begin()
        if self._refused:
            attempts.refused()
        raise FailedError("no answer")


class TwoLabels:
    """As much of a kind's codec as distilling uses."""

    none_labels = ("none_of_these",)

    def ask_chat(self, inputs: Inputs) -> list[dict[str, str]]:
        return [{"role": "system", "content": "delivery or refund?"}, {"role": "user", "content": inputs["text"]}]

    def read_reply(self, reply: str) -> str | None:
        return find_label(reply, LABELS)

    def correct(self, expected: str, value: str | None) -> bool:
        return expected == value

    def problem(self, inputs: Inputs) -> str | None:
        return None if inputs["text"].strip() else "the text is empty"

    def scores(
        self, expected: Sequence[str], given: Sequence[str | None], groups: Sequence[Any], *, seed: int = 0
    ) -> dict[str, Interval]:
        return {"accuracy": accuracy([e == g for e, g in zip(expected, given, strict=True)])}


def text_in(question: Question) -> str:
    """The row that a question is about."""
    return question.messages[-1]["content"]
