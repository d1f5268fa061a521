"""Served: a specialist as the server sees it, and the names by which clients may ask for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from shokunin.answer import Inputs, Predictor
from shokunin.errors import UsageError
from shokunin.serve.refusal import Refusal
from shokunin.serve.unit_histories import Memory
from shokunin.tasks import Codec, kind
from shokunin.template import Template


@dataclass(frozen=True)
class Served:
    """What answers under a name.

    Attributes:
        id: `name@version`.
        name: the specialist's name.
        version: its version.
        aliases: aliases that point at this version, for instance `champion`.
        kind: the task kind.
        predictor: what answers.
        codec: reads the input from a chat and writes the reply.
        created: when it was made, seconds since 1970.
        about: plain facts shown in `/v1/models`.
        templates: how the application phrases the task, the most used wording first, where that is known.
        memory: puts what is known of a unit into a request; None: requests are answered as they are.
        stays: what it reads never leaves this house: no upstream is asked in its place, and none audits it.
    """

    id: str
    name: str
    version: int
    aliases: tuple[str, ...]
    kind: str
    predictor: Predictor
    codec: Codec
    created: int = 0
    about: Mapping[str, Any] = field(default_factory=dict)
    templates: tuple[Template, ...] = ()
    memory: Memory | None = field(default=None, compare=False)
    stays: bool = False

    @property
    def writes(self) -> bool:
        """Whether its answers are written rather than labels, so that their tokens are counted."""
        return not kind(self.kind).LABELS

    async def completed(self, inputs: Inputs) -> tuple[Inputs, str | None]:
        """The inputs with what is known put in, and why they cannot be answered, or None.

        Raises:
            Refusal: 503, what came could not be kept.
        """
        if self.memory is None:
            return inputs, self.codec.problem(inputs)
        return await asyncio.to_thread(self._completed, inputs)

    def _completed(self, inputs: Inputs) -> tuple[Inputs, str | None]:
        assert self.memory is not None
        whole, problem = self.memory.complete(inputs)
        return whole, problem or self.codec.problem(whole)


def names_of(served: Mapping[str, Served]) -> dict[str, Served]:
    """Every name a client may use: `name@version`, `name@alias`, and `name` for the champion, else the newest version.

    Raises:
        UsageError: nothing is served, a key is not the specialist's id, or an alias points at two versions.
    """
    if not served:
        raise UsageError(
            "there is no specialist to serve; `shokunin train FILE` makes one, `shokunin models list` shows them"
        )
    names: dict[str, Served] = {}
    for key, one in served.items():
        if key != one.id or not one.id.isascii() or not one.id.isprintable():
            raise UsageError(f"a specialist is served under its id {one.id!r} in printable ASCII, not {key!r}")
        for alias in (str(one.version), *one.aliases):
            if names.setdefault(f"{one.name}@{alias}", one) is not one:
                raise UsageError(f"{one.name}@{alias} would be two specialists; serve one of them")
        names.setdefault(one.id, one)
    for one in sorted(served.values(), key=lambda s: ("champion" in s.aliases, s.version)):
        names[one.name] = one
    return names


def find(names: Mapping[str, Served], asked: str) -> Served:
    """The specialist a client asks for.

    Raises:
        Refusal: 404 `model_not_found`, with the nearest name.
    """
    if asked in names:
        return names[asked]
    near = get_close_matches(asked[:100], names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "GET /v1/models lists the names served here"
    raise Refusal(404, f"there is no model {asked[:100]!r}; {hint}", "model_not_found", "model")
