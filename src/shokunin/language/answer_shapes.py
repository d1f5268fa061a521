"""Shapes: what is left of an answer when the stretches that it copies from its prompt are taken out.

`SELECT capital FROM state WHERE name = "texas"` to a prompt about Texas has the shape `… = "{0:state.name}"`: the first of the
prompt's mentions goes there. Many answers have one shape, and a shape with another prompt's mentions is a new answer.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, pairwise

from sqlglot import exp

from shokunin.language.mentions import PATTERNS, WORD, Lexicon, Mention, key_of
from shokunin.language.sql import Node, parse, read_tree, string_like

SLOT = re.compile(r"\{\{|\}\}|\{(\d+):([^{}:]+)(?::(upper|lower|title))?\}")
CASES = {"upper": str.upper, "lower": str.lower, "title": str.title}
MOST_CHOSEN = 5
"""Mentions of one prompt among which the copied ones are chosen: every subset is tried."""
LONGEST_RUN = 5
"""Words of the longest value that is taken to be copied because its words are rare."""
MARK = 9007199
"""A number that no query has, to stand for a value while its query is parsed."""
FEW = 0.02
"""A word in more than this share of the answers belongs to the wording; one in fewer may be a value."""
ALIKE, SHARED = 0.5, 3
"""Columns hold the same sort of value when of the smaller one's values at least this share, and so many, are in the other."""


@dataclass(frozen=True, slots=True)
class Shape:
    """An answer without what it copies.

    Attributes:
        text: the answer with `{number:sort}` for what is copied; braces of its own are doubled.
        sorts: the sorts of the mentions it needs, in the order of the prompt.
    """

    text: str
    sorts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shaped:
    """An answer's shape and the mentions of its prompt that fill it."""

    shape: Shape
    mentions: tuple[Mention, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """A value in an answer: where it stands, and the column it is compared with (`number` for numbers; None: any)."""

    start: int
    end: int
    key: str
    sort: str | None = None


def fill(shape: Shape, mentions: Sequence[Mention], *, sql: bool) -> str:
    """The answer that the shape makes of these mentions; in SQL quotes inside a value are doubled."""

    def write(found: re.Match[str]) -> str:
        if found.group(1) is None:
            return found.group()[0]
        value = mentions[int(found.group(1))].value
        value = CASES[found.group(3)](value) if found.group(3) else value
        quote = shape.text[found.start() - 1 : found.start()]
        return value.replace(quote, quote * 2) if sql and quote in ("'", '"') else value

    return SLOT.sub(write, shape.text)


def sql_lexicon(answers: Iterable[str], columns: Mapping[str, Sequence[str]]) -> tuple[Lexicon, dict[str, str]]:
    """The values that queries compare with, by column, and which columns hold the same sort of value.

    Args:
        answers: queries.
        columns: values by `table.column`, for instance from the database.

    Returns:
        The lexicon, and the sort of each column.
    """
    values: dict[str, Counter[str]] = defaultdict(Counter)
    for column, of_column in columns.items():
        values[column].update(of_column)
    for answer in answers:
        for place in sql_places(answer):
            if place.sort not in (None, "number"):
                values[str(place.sort)][_unquoted(answer[place.start : place.end])] += 1
    sorts = _sorts({column: {key_of(v) for v in found} - {""} for column, found in values.items()})
    known: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for column, found in values.items():
        for value, count in found.items():
            if key_of(value):
                known[key_of(value)][sorts[column]][value] += count
    chosen = {key: {s: c.most_common(1)[0][0] for s, c in by.items()} for key, by in sorted(known.items())}
    return Lexicon(chosen, ("number",)), sorts


def text_lexicon(prompts: Sequence[str], answers: Sequence[str]) -> Lexicon:
    """Runs of rare words that answers copied from their prompts; what looks like a number, a name and so on counts as well."""
    answered = [WORD.findall(answer) for answer in answers]
    frequency = Counter(word for words in answered for word in {key_of(w) for w in words})
    most = max(2.0, FEW * len(answers))
    known: dict[str, dict[str, str]] = {}
    for prompt, words in zip(prompts, answered, strict=True):
        asked = [key_of(w) for w in WORD.findall(prompt)]
        places = {n: {tuple(asked[i : i + n]) for i in range(len(asked) - n + 1)} for n in range(1, LONGEST_RUN + 1)}
        keys = [key_of(w) for w in words]
        i = 0
        while i < len(keys):
            n = next(
                (n for n in range(LONGEST_RUN, 0, -1) if tuple(keys[i : i + n]) in places[n] and i + n <= len(keys)), 0
            )
            if n and all(frequency[k] <= most for k in keys[i : i + n]):
                known.setdefault(" ".join(keys[i : i + n]), {"value": " ".join(words[i : i + n])})
            i += max(n, 1)
    return Lexicon(dict(sorted(known.items())), (*PATTERNS, "name"))


def sql_shaped(answer: str, found: Sequence[Mention], sorts: Mapping[str, str]) -> Shaped:
    """The query's shape: every value that the prompt mentions is taken out."""
    used: dict[int, Mention] = {}
    edits: list[tuple[Place, Mention, str]] = []
    for place in sql_places(answer):
        sort = sorts.get(place.sort or "", place.sort)
        fits = [m for m in found if m.sort == sort and key_of(m.value) == place.key]
        fits = [m for m in fits if all(o is m or o.end <= m.start or m.end <= o.start for o in used.values())]
        if fits:
            used[fits[0].start] = fits[0]
            edits.append((place, fits[0], ""))
    return _shaped(answer, edits, inner=True)


def text_shaped(answers: Sequence[str], found: Sequence[Sequence[Mention]]) -> list[Shaped]:
    """Every answer's shape: of what it may have copied, that is taken out which makes its shape the most common."""
    variants = [_variants(answer, mentions) for answer, mentions in zip(answers, found, strict=True)]
    support = Counter(text for of_row in variants for text in {v.shape.text for v in of_row})
    return [max(of_row, key=lambda v: (support[v.shape.text], -len(v.mentions))) for of_row in variants]


def sql_places(answer: str) -> list[Place]:
    """The texts and numbers in a query that something is compared with, in their order; none if it cannot be parsed."""
    tree = read_tree(answer).tree
    if tree is None:
        return []
    tables = {t.alias_or_name.lower(): t.name.lower() for t in tree.find_all(exp.Table)}
    places = []
    for node in tree.walk():
        number = isinstance(node, exp.Literal) and not node.is_string
        if not number and not string_like(node):
            continue
        meta = (node.this if isinstance(node, exp.Column) else node).meta
        if "start" not in meta:
            continue
        sort = "number" if number else _column(node, tables)
        places.append(Place(meta["start"], meta["end"] + 1, key_of(node.name), sort))
    return sorted(places, key=lambda p: p.start)


def one_spelling(shape: Shape) -> Shape:
    """A query's shape in its canonical spelling (`parse`); the shape itself where it cannot be parsed."""
    marked = SLOT.sub(lambda m: f"{MARK}{m.group(1)}" if m.group(1) else m.group()[0], shape.text)
    text = parse(marked).text
    if text is None:
        return shape
    numbered = re.sub(rf"{MARK}(\d+)", lambda m: "\0" + m.group(1) + "\1", text)
    slots = re.sub(
        "\0(\\d+)\1", lambda m: "{" + f"{m.group(1)}:{shape.sorts[int(m.group(1))]}" + "}", _braced(numbered)
    )
    return Shape(slots, shape.sorts)


def _shaped(answer: str, edits: Sequence[tuple[Place, Mention, str]], *, inner: bool) -> Shaped:
    """Put slots in the edited places (`inner`: inside their quotes, if they have any)."""
    mentions = tuple(sorted({m for _, m, _ in edits}, key=lambda m: m.start))
    number = {m: i for i, m in enumerate(mentions)}
    parts, at = [], 0
    for place, mention, case in sorted(edits, key=lambda e: e[0].start):
        quoted = inner and answer[place.start] in "'\"`["
        start, end = (place.start + 1, place.end - 1) if quoted else (place.start, place.end)
        parts += [
            _braced(answer[at:start]),
            "{" + f"{number[mention]}:{mention.sort}{':' + case if case else ''}" + "}",
        ]
        at = end
    text = "".join([*parts, _braced(answer[at:])])
    return Shaped(Shape(text, tuple(m.sort for m in mentions)), mentions)


def _variants(answer: str, found: Sequence[Mention]) -> list[Shaped]:
    words = list(WORD.finditer(answer))
    keys = [key_of(w.group()) for w in words]
    runs: dict[tuple[str, ...], list[tuple[int, int]]] = defaultdict(list)
    for i in range(len(words)):
        for j in range(i + 1, min(len(words), i + LONGEST_RUN) + 1):
            runs[tuple(keys[i:j])].append((words[i].start(), words[j - 1].end()))
    copied: dict[str, Mention] = {}
    # What looks like something is preferred to what is only known, so that values never seen are found as well.
    for mention in sorted(found, key=lambda m: (m.sort == "value", m.start - m.end)):
        key = key_of(mention.value)
        if key and tuple(key.split()) in runs:
            copied.setdefault(key, mention)
    chosen = sorted(copied.values(), key=lambda m: (m.sort == "value", m.start - m.end, m.start))[:MOST_CHOSEN]
    variants: dict[str, Shaped] = {}
    for subset in chain.from_iterable(combinations(chosen, n) for n in range(len(chosen) + 1)):
        shaped = _copied_from(answer, subset, runs)
        if shaped is not None:
            variants.setdefault(shaped.shape.text, shaped)
    return list(variants.values())


def _copied_from(
    answer: str, subset: Sequence[Mention], runs: Mapping[tuple[str, ...], Sequence[tuple[int, int]]]
) -> Shaped | None:
    """The answer's shape if it copied just these; None if they overlap, or are not spelled as in the prompt."""
    ordered = sorted(subset, key=lambda m: m.start)
    if any(a.end > b.start for a, b in pairwise(ordered)):
        return None
    edits: list[tuple[Place, Mention, str]] = []
    for mention in sorted(subset, key=lambda m: m.start - m.end):
        key, before = key_of(mention.value), len(edits)
        for start, end in runs[tuple(key.split())]:
            case = _case(mention.value, answer[start:end])
            if case is not None and all(end <= p.start or p.end <= start for p, _, _ in edits):
                edits.append((Place(start, end, key), mention, case))
        if len(edits) == before:
            return None
    return _shaped(answer, edits, inner=False)


def _case(value: str, written: str) -> str | None:
    if value == written:
        return ""
    return next((name for name, change in CASES.items() if change(value) == written), None)


def _column(node: Node, tables: Mapping[str, str]) -> str | None:
    """The column that a value is compared with, as `table.column` in lower case."""
    parent = node.parent
    if parent is None:
        return None
    for column in parent.find_all(exp.Column):
        if (
            column is node
            or string_like(column)
            or column.find_ancestor(exp.Select) is not node.find_ancestor(exp.Select)
        ):
            continue
        name = column.name.lower()
        if column.table:
            return f"{tables.get(column.table.lower(), column.table.lower())}.{name}"
        return f"{next(iter(tables.values()))}.{name}" if len(set(tables.values())) == 1 else name
    return None


def _sorts(values: Mapping[str, set[str]]) -> dict[str, str]:
    """For each column the name of its sort: the column among those alike that has the most values."""
    order = sorted(values, key=lambda column: (-len(values[column]), column))
    sorts: dict[str, str] = {}
    for at, column in enumerate(order):
        mine = values[column]
        for larger in order[:at]:
            both = len(mine & values[larger])
            if sorts[larger] == larger and both >= min(SHARED, len(mine)) and both >= ALIKE * len(mine):
                sorts[column] = larger
                break
        else:
            sorts[column] = column
    return sorts


def _unquoted(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1].replace(text[0] * 2, text[0])
    return text


def _braced(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
