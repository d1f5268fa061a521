"""Limits: how much one request may ask for, and how many may wait."""

from __future__ import annotations

from dataclasses import dataclass, fields

from shokunin.errors import UsageError


@dataclass(frozen=True)
class Limits:
    """What the server accepts; everything beyond is refused with the limit named.

    Attributes:
        body_bytes: size of a request body.
        body_seconds: time a client may take to send it.
        text_chars: characters of one input, all fields together.
        choices: the largest `n` of a chat request.
        rows: inputs in one request to the typed endpoint.
        batch: rows that are handed to a specialist at once.
        waiting: rows that may wait for one specialist; more are turned away with 503 and `Retry-After`.
        seconds: time an answer may take, waiting included.
    """

    body_bytes: int = 8 << 20
    body_seconds: float = 30.0
    text_chars: int = 1_000_000
    choices: int = 8
    rows: int = 1024
    batch: int = 32
    waiting: int = 4096
    seconds: float = 60.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise UsageError(f"the limit `{field.name}` is a number above 0, not {getattr(self, field.name)!r}")
