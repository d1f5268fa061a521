"""Limits: how much one request may ask for, how deep its JSON may be nested, and how many may wait."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

import numpy as np

from shokunin.errors import UsageError
from shokunin.serve.refusal import Refusal


@dataclass(frozen=True)
class Limits:
    """What the server accepts; everything beyond is refused with the limit named.

    Attributes:
        body_bytes: size of a request body.
        body_seconds: time a client may take to send it.
        nesting: how deep lists and objects of a body may lie in each other.
        messages: messages of one chat.
        max_tokens: the most that `max_tokens` and its like may ask an upstream for.
        text_chars: characters of one input, all fields together.
        choices: the largest `n` that a specialist answers.
        passed_choices: the largest `n` that is passed on.
        rows: inputs in one request to the typed endpoint.
        batch: rows that are handed to a specialist at once.
        waiting: rows that may wait for one specialist; more are turned away with 503 and `Retry-After`.
        seconds: time an answer may take, waiting included.
        in_flight: requests that are answered at the same time; more are turned away with 503 and `Retry-After`.
        held_bytes: size of all their bodies together, likewise.
    """

    body_bytes: int = 8 << 20
    body_seconds: float = 30.0
    nesting: int = 64
    messages: int = 4096
    max_tokens: int = 1_000_000
    text_chars: int = 1_000_000
    choices: int = 8
    passed_choices: int = 128
    rows: int = 1024
    batch: int = 32
    waiting: int = 4096
    seconds: float = 60.0
    in_flight: int = 1024
    held_bytes: int = 256 << 20

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise UsageError(f"the limit `{field.name}` is a number above 0, not {getattr(self, field.name)!r}")

    def check(self, *, messages: int, choices: int, max_tokens: int | None) -> None:
        """Look at what a request asks for, whoever is to answer it.

        Raises:
            Refusal: 400, naming the field and its limit.
        """
        for param, asked, most in (
            ("messages", messages, self.messages),
            ("n", choices, self.passed_choices),
            ("max_tokens", max_tokens or 0, self.max_tokens),
        ):
            if asked > most:
                raise Refusal(400, f"`{param}` is at most {most} here", "invalid_value", param)


_TEXT = re.compile(rb'"[^"]*"?')
"""A text in JSON of which only quotes and brackets are left. The end may be missing, so that it is not searched for twice."""
_OPEN, _CLOSE = b"[{", b"]}"
_OTHERS = bytes(sorted(set(range(256)) - set(_OPEN + _CLOSE + b'"')))
_PIECE = 1 << 16
CONTAINERS = 100_000
"""Lists and objects in one body. Each takes some twenty times its two bytes in memory, and millions of them seconds."""
_STEPS = np.zeros(256, np.int8)
_STEPS[list(_OPEN)], _STEPS[list(_CLOSE)] = 1, -1


def check_nesting(body: bytes, limit: int) -> None:
    """Look how deep the brackets of a body lie in each other, before anything that recurses reads it.

    Most bodies have fewer brackets than the limit, which is all that has to be counted.

    Raises:
        Refusal: 400 `too_deeply_nested`, or `too_many_values`, there are more than `CONTAINERS` of them.
    """
    if body.count(b"[") + body.count(b"{") <= limit:
        return
    if b"\\" in body:  # after this every quote begins or ends a text
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = _TEXT.sub(b"", body.translate(None, _OTHERS))
    if len(brackets) > 2 * CONTAINERS:
        raise Refusal(400, f"the body has more than {CONTAINERS} lists and objects; send less", "too_many_values")
    depth = 0
    for first in range(0, len(brackets), _PIECE):
        depths = depth + _STEPS[np.frombuffer(brackets[first : first + _PIECE], np.uint8)].cumsum(dtype=np.int32)
        if int(depths.max()) > limit:
            raise Refusal(
                400, f"the body is nested deeper than {limit} lists and objects; flatten it", "too_deeply_nested"
            )
        depth = int(depths[-1])
