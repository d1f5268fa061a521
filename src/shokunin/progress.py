"""How long work tells how far it is: a callable that stages call and only the command line draws."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told after each piece of work: what is going on, how many pieces are done, of how many (None: not known)."""

    def __call__(self, what: str, done: float, total: float | None) -> None:
        """Take note; must be quick and must not raise, except to cancel the work."""


def silent(what: str, done: float, total: float | None) -> None:
    """Say nothing."""
