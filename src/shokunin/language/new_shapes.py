"""Shapes that no lesson has, made by the substitutions that the lessons show.

Where two queries differ only in `MAX` and `MIN`, and two others do too, the same substitution may be made in a third. What comes
of it is offered to the scorer, which has to find the words of a prompt that speak for it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

from sqlglot import exp

from shokunin.language.answer_shapes import Shape, fill, one_spelling
from shokunin.language.mentions import Mention
from shokunin.language.sql import read_tree

TOKEN = re.compile(r"'\{\d+:[^{}]+\}'|\{\d+:[^{}]+\}|'(?:[^']|'')*'|[\w.]+|\S")
SLOT = re.compile(r"\{(\d+):([^{}:]+)\}")
SHOWN = 3
"""A substitution counts when so many pairs of shapes show it."""
LONGEST = 30
"""Tokens of both stretches of a substitution together."""
AROUND = 6
"""Tokens that the two shapes of a pair must share."""
MOST_NAMES = 3
"""Different tokens that one substitution may replace wherever they stand."""
COMPARED = 800
"""Shapes that are compared with each other, the most frequent ones."""

Tokens = tuple[str, ...]
Names = tuple[tuple[str, str], ...]


def new_shapes(shapes: Sequence[Shape], *, most: int, runs: Callable[[str], bool] | None = None) -> list[Shape]:
    """Further shapes of queries, those first that the most pairs speak for.

    Every one parses, and its columns are those of its tables as the lessons have them.

    Args:
        shapes: the shapes of the lessons in one spelling, the most frequent first.
        most: at most so many new ones.
        runs: whether a query runs on the database, where there is one.
    """
    rows = [tokens_of(shape.text) for shape in shapes[:COMPARED]]
    support: Counter[Tokens] = Counter()
    for tokens, count in _made(rows):
        support[tokens] = max(support[tokens], count)
    known = {shape.text for shape in shapes}
    columns = {token for row in rows for token in row if "." in token and not token.startswith("'")}
    made: list[Shape] = []
    for tokens, _ in sorted(support.items(), key=lambda item: (-item[1], len(item[0]), item[0])):
        if len(made) == most:
            break
        shape = _checked(tokens, columns, runs)
        if shape is not None and shape.text not in known:
            known.add(shape.text)
            made.append(shape)
    return made


def tokens_of(text: str) -> Tokens:
    """The tokens of a shape, without white space."""
    return tuple(TOKEN.findall(text))


def _made(rows: Sequence[Tokens]) -> Iterator[tuple[Tokens, int]]:
    """What the substitutions make of every shape, with the number of pairs that show the substitution."""
    stretches, names = _substitutions(rows)
    starting = defaultdict(list)
    for (old, new), count in stretches.items():
        if count >= SHOWN and old:
            starting[old[0]].append((old, new, count))
    often = [(dict(change), count) for change, count in names.items() if count >= SHOWN]
    for row in rows:
        present = set(row)
        for first in present:
            for old, new, count in starting.get(first, ()):
                places = [i for i in range(len(row) - len(old) + 1) if row[i : i + len(old)] == old]
                yield from (((*row[:i], *new, *row[i + len(old) :]), count) for i in places)
        for change, count in often:
            if present >= change.keys():
                yield tuple(change.get(token, token) for token in row), count


def _substitutions(rows: Sequence[Tokens]) -> tuple[Counter[tuple[Tokens, Tokens]], Counter[Names]]:
    """How many pairs of shapes differ in one stretch only, by stretch, and in names only, by names."""
    stretches: Counter[tuple[Tokens, Tokens]] = Counter()
    names: Counter[Names] = Counter()
    for a, b in combinations(rows, 2):
        before = 0
        while before < min(len(a), len(b)) and a[before] == b[before]:
            before += 1
        after = 0
        while after < min(len(a), len(b)) - before and a[-1 - after] == b[-1 - after]:
            after += 1
        old, new = a[before : len(a) - after], b[before : len(b) - after]
        if len(old) + len(new) <= LONGEST and before + after >= AROUND:
            stretches[old, new] += 1
            stretches[new, old] += 1
        if len(a) == len(b) and len(old) > 1:
            for one, other in ((a, b), (b, a)):
                change = _names(one, other)
                if change:
                    names[change] += 1
    return stretches, names


def _names(a: Tokens, b: Tokens) -> Names | None:
    """The tokens that have another in their stead wherever they stand; None if there are many, or not wherever."""
    change: dict[str, str] = {}
    for old, new in zip(a, b, strict=True):
        if change.setdefault(old, new) != new:
            return None
    found = tuple(sorted((old, new) for old, new in change.items() if old != new))
    return found if len(found) <= MOST_NAMES else None


def _checked(tokens: Tokens, columns: set[str], runs: Callable[[str], bool] | None) -> Shape | None:
    if any("." in token and not token.startswith("'") and token not in columns for token in tokens):
        return None
    text = " ".join(tokens)
    sorts: dict[int, str] = {}
    for number, sort in SLOT.findall(text):
        if sorts.setdefault(int(number), sort) != sort:
            return None
    if sorted(sorts) != list(range(len(sorts))):
        return None
    rough = Shape(text, tuple(sorts[i] for i in range(len(sorts))))
    shape = one_spelling(rough)
    if shape is rough:
        return None
    query = fill(shape, [Mention(0, 0, sort, "1") for sort in shape.sorts], sql=True)
    tree = read_tree(query).tree
    if tree is None:
        return None
    tables = {table.alias_or_name for table in tree.find_all(exp.Table, exp.Subquery)}
    if any(column.table and column.table not in tables for column in tree.find_all(exp.Column)):
        return None
    return shape if runs is None or runs(query) else None
