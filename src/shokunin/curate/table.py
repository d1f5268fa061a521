"""Table: raw rows from a file, streamed, with what could not be read kept beside them."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shokunin.errors import DataError
from shokunin.template import Template

Row = dict[str, str]
Broken = list[tuple[str, str]]

LONGEST_CELL = 1_000_000
"""Characters; a longer cell is no text that a classifier could learn from, so its row is set aside."""

SET_ASIDE_BYTES = "bytes that are not valid in the file's encoding"
SET_ASIDE_LONG = f"a cell of more than {LONGEST_CELL:,} characters"
SET_ASIDE_SURROGATE = "half a surrogate pair, which is no character"
SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")  # what the error handler `surrogateescape` makes of a byte


@dataclass
class Table:
    """Raw rows of one file.

    Attributes:
        columns: the names of the columns, in the order of the file.
        about: `name`, `format`, and where they apply `encoding`, `separator`, `sheet`.
        broken: (origin, reason) of the rows that could not be read, filled anew by every pass over `rows()`.
        given: how many rows the last pass has handed out; rows in are `given` and `broken` together.
        templates: of recorded conversations, how they are phrased, the most used wording first.
    """

    columns: tuple[str, ...]
    about: dict[str, Any]
    start: Callable[[Broken], Iterator[tuple[str, Row]]] = field(repr=False)
    broken: Broken = field(default_factory=list, repr=False)
    given: int = 0
    templates: tuple[Template, ...] = ()

    def rows(self) -> Iterator[tuple[str, Row]]:
        """(origin, row) for every readable row, from the beginning; origin is `file:record`, the header is record 1.

        Raises:
            DataError: the file stops making sense (a quote that is never closed, a damaged archive).
        """
        self.broken, self.given = [], 0
        for origin, row in self.start(self.broken):
            self.given += 1
            yield origin, row

    def sample(self, count: int = 1000, within: int = 20_000) -> list[Row]:
        """At most `count` rows drawn evenly, and always the same, from the first `within` rows."""
        draw = random.Random(0)
        kept: list[Row] = []
        for number, (_, row) in enumerate(self.rows()):
            if number >= within:
                break
            if len(kept) < count:
                kept.append(row)
            elif (place := draw.randint(0, number)) < count:
                kept[place] = row
        self.broken, self.given = [], 0
        return kept

    @staticmethod
    def of_rows(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Table:
        """Rows that are in memory already, as a Table; values that are no strings are written as in a file."""
        names = tuple(columns)

        def start(broken: Broken) -> Iterator[tuple[str, Row]]:
            for number, given in enumerate(rows, 1):
                if not isinstance(given, Mapping):
                    raise DataError(f"row {number} is {type(given).__name__!r}; expected a dictionary of columns")
                row = {name: as_text(given.get(name)) for name in names}
                if problem := fault(row):
                    broken.append((f"rows:{number}", problem))
                    continue
                yield f"rows:{number}", row

        return Table(names, {"name": "rows", "format": "rows"}, start)


def check_header(names: list[str], where: str) -> tuple[str, ...]:
    """The column names, trimmed; a column without a name is called by its place (`column_3`).

    Raises:
        DataError: a name occurs twice, or there is none.
    """
    columns = [name.strip().lstrip("\ufeff") or f"column_{place}" for place, name in enumerate(names, 1)]
    if not columns:
        raise DataError(f"{where} has no header; expected the column names in the first line")
    seen: dict[str, int] = {}
    for place, name in enumerate(columns, 1):
        if name in seen:
            raise DataError(
                f"{where} has two columns named {name!r} (columns {seen[name]} and {place}); "
                "rename one of them in the first line"
            )
        seen[name] = place
    return tuple(columns)


def fault(row: Row) -> str | None:
    """Why a row cannot be used whatever its columns mean, or None."""
    for value in row.values():
        if len(value) > LONGEST_CELL:
            return SET_ASIDE_LONG
        if not value.isascii() and SURROGATE.search(value):
            return SET_ASIDE_BYTES if _ESCAPED_BYTE.search(value) else SET_ASIDE_SURROGATE
    return None


def as_text(value: Any) -> str:
    """A cell: strings as they are, nothing as an empty cell, numbers and what is made of parts as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, bool | int | float | list | tuple | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def quoted(names: Sequence[str]) -> str:
    """Names for a message: quoted, shortened, and not too many of them."""
    shown = ", ".join(repr(name if len(name) <= 60 else name[:59] + "…") for name in names[:12])
    return shown + (f" and {len(names) - 12} more" if len(names) > 12 else "")
