"""Routing: which upstream a model's name means, and what one task may send there."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Egress = Literal["allowed", "masked", "never"]


@dataclass(frozen=True)
class Target:
    """An upstream and the model to ask for there."""

    upstream: str
    model: str


@dataclass(frozen=True)
class TaskPolicy:
    """What holds for one task.

    Attributes:
        target: who is asked when the specialist is not sure; None: nobody.
        egress: whether requests of this task may leave, and how.
        answer_anyway: when the upstream fails, give the specialist's unsure answer, flagged; else an error.
    """

    target: Target | None = None
    egress: Egress = "allowed"
    answer_anyway: bool = True

    @property
    def asks(self) -> bool:
        """Whether anybody is asked."""
        return self.target is not None and self.egress != "never"


class Routes:
    """Model names to upstreams.

    Args:
        models: of each upstream its own model, and patterns of other names (`gpt-*`) that go there.
        default: the upstream for every other name; None: such names are unknown.
    """

    def __init__(self, models: Mapping[str, tuple[str, Sequence[str]]], default: str | None = None) -> None:
        self._models = models
        self._default = default
        self._patterns = [
            (re.compile(fnmatch.translate(pattern)), name)
            for name, (_, patterns) in models.items()
            for pattern in patterns
        ]

    @property
    def default(self) -> Target | None:
        """Where what nobody here can answer goes."""
        return None if self._default is None else self.of_upstream(self._default)

    def named(self) -> list[tuple[str, str]]:
        """The models known by name, each with its upstream; patterns stand for names that nobody has listed."""
        return [(model, name) for name, (model, _) in self._models.items()]

    def of_upstream(self, name: str) -> Target:
        """An upstream with its own model."""
        return Target(name, self._models[name][0])

    def find(self, model: str) -> Target | None:
        """Where a model's name leads: `NAME`, `NAME/model`, an upstream's own model, a pattern, else the default.

        The model is asked for there under the name that the client gave, but for `NAME` and `NAME/model`.
        """
        if model in self._models:
            return self.of_upstream(model)
        head, slash, rest = model.partition("/")
        if slash and rest and head in self._models:
            return Target(head, rest)
        for name, (own, _) in self._models.items():
            if model == own:
                return Target(name, model)
        for pattern, name in self._patterns:
            if pattern.fullmatch(model):
                return Target(name, model)
        return None if self._default is None else Target(self._default, model)

    def instead_of(self, target: Target, asked: str) -> Target:
        """Whom to ask in a specialist's place: the model that the application asked for, if the task's upstream has it.

        Its answers are the ones that were recorded, and the price is the one that it was to cost.
        """
        found = self.find(asked)
        return found if found is not None and found.upstream == target.upstream else target
