"""Counts: what became of the records that were read, so that every one of them is accounted for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SHOWN = 5
"""Places that are named for each reason."""


@dataclass(slots=True)
class Aside:
    """Records that were set aside for one reason: how many, and where the first of them stand, as `file:line`."""

    count: int = 0
    places: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Counts:
    """What became of the records: `read` is always `used` and all that is in `set_aside` together."""

    used: int = 0
    set_aside: dict[str, Aside] = field(default_factory=dict)

    @property
    def read(self) -> int:
        """How many records there were."""
        return self.used + sum(aside.count for aside in self.set_aside.values())

    def put_aside(self, reason: str, place: str) -> None:
        """One more that is not used."""
        aside = self.set_aside.setdefault(reason, Aside())
        aside.count += 1
        if len(aside.places) < SHOWN:
            aside.places.append(place)

    def to_dict(self) -> dict[str, Any]:
        """The plain values, ready for JSON; reasons with the most records first."""
        most = sorted(self.set_aside.items(), key=lambda item: (-item[1].count, item[0]))
        aside = [{"reason": reason, "records": one.count, "first": one.places} for reason, one in most]
        return {"in": self.read, "used": self.used, "set_aside": aside}
