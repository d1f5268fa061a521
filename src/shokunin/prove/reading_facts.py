"""What was found in a table of readings and in those beside it, in words: the same on the page and in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NAMED = 12
"""So many names are written out."""


def tables_told(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and sentence of everything that is worth knowing of the tables; nothing of what was not found.

    Args:
        found: what only reports on machines have, with `read`, `taken` and `split`.
    """
    read, taken, split = found["read"], found["taken"], found["split"]
    out = [line for name in ("failures", "equipment") if taken.get(name) for line in _book(name, taken[name])]
    if read.get("averaged"):
        out.append(("averaged", f"{read['averaged']:,} readings of a step that had one already"))
    if read["units"]["too_short"]:
        out.append(("too short for a window", _names(read["units"]["too_short"])))
    if split.get("by") == "time":
        for side, told in (("train", "only in the training time"), ("test", "only in the sealed time")):
            if split.get(f"units_only_in_{side}"):
                out.append((told, _names(split[f"units_only_in_{side}"], split.get("units_apart", {}).get(side))))
    if read["constant_channels"]:
        out.append(("never move", _names(read["constant_channels"])))
    if read["cells_that_are_no_numbers"]:
        cells = [f"{count:,} in {name}" for name, count in read["cells_that_are_no_numbers"].items()]
        out.append(("cells that are no numbers", _names(cells)))
    if read["long_gaps"]:
        out.append(("long gaps", f"{read['long_gaps']:,}, where a unit's history is cut"))
    return out


def _book(name: str, book: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows in and used; and those set aside by reason, each with an example."""
    aside = [(f"{name} set aside", f"{n:,} {why}, such as {book['first'][why][0]}") for why, n in book["aside"].items()]
    return [(f"{name} file", f"{book['in']:,} in, {book['used']:,} used"), *aside]


def _names(names: Sequence[Any], count: int | None = None) -> str:
    """The first of `count` names (default: those that are given), and how many more there are."""
    more = (count or len(names)) - NAMED
    return ", ".join(map(str, names[:NAMED])) + (f" and {more:,} more" if more > 0 else "")
