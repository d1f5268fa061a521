"""SQL that a model wrote: whether it parses, what its one spelling is, and whether it finds what the right query finds.

What a model writes is never trusted. A query runs on a SQLite file that is opened unchangeable, behind an authorizer that lets
nothing through but one SELECT, and ends after so many steps of the database's machine and so many rows.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import Scope, traverse_scope

from shokunin.errors import DataError

STEPS = 50_000_000
"""Of the database's machine, about a second or two: enough for honest questions, the end of a runaway join."""
ROWS = 100_000
LONGEST_VALUE = 10_000_000
"""Bytes of one value that a query may make, and of a query."""
EVERY = 10_000
FIRST_WORD = re.compile(r"(?:\s|\(|--[^\n]*(?:\n|$)|/\*.*?\*/)*(\w*)", re.DOTALL)
DENIED = frozenset({"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"})
COMPARED = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Like, exp.ILike, exp.In, exp.Between, exp.Is)

Row = tuple[Any, ...]
Node = Any
"""A node of sqlglot's tree: the class at its root has another name from release to release."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A query in its one spelling, or why it is none.

    Attributes:
        text: the canonical text; None where there is a problem, or where only the tree was asked for.
        problem: what is wrong.
        tree: sqlglot's tree of the query as written.
    """

    text: str | None
    problem: str | None = None
    tree: Node | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What a query found, or why it did not run."""

    rows: tuple[Row, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Execution:
    """Whether a query finds what the right one finds.

    Attributes:
        right: None where the right query itself does not run, so that nothing can be said.
        problem: why the given query (or, with `right` None, the right one) did not run.
    """

    right: bool | None
    problem: str | None = None


def parse(sql: str, dialect: str = "sqlite") -> Parsed:
    """One SELECT in its canonical spelling: columns with their tables, texts in single quotes, names in lower case.

    An alias of a table is dropped where the table's own name is as clear, and is else t1, t2 ….

    Two queries of one canonical text mean the same; queries that mean the same may still differ in it.
    """
    read = read_tree(sql, dialect)
    if read.tree is None:
        return read
    try:
        # The tree is our own: sqlglot need not copy it once more.
        return Parsed(_canonical(read.tree.copy()).sql(dialect=dialect, copy=False), tree=read.tree)
    except (SqlglotError, RecursionError, ValueError) as error:
        return Parsed(None, f"it has no {dialect} spelling: {error}")


def read_tree(sql: str, dialect: str = "sqlite") -> Parsed:
    """One SELECT as a tree, without its spelling, which takes three times as long."""
    if (problem := _no_select(sql)) is not None:
        return Parsed(None, problem)
    try:
        trees = [tree for tree in sqlglot.parse(sql, dialect=dialect) if tree is not None]
    except (SqlglotError, RecursionError) as error:
        return Parsed(None, f"it is no {dialect} query: {str(error).splitlines()[0] if str(error) else 'too deep'}")
    except ValueError as error:
        return Parsed(None, f"it is no {dialect} query: {error}")
    if len(trees) != 1:
        return Parsed(None, f"expected one query, got {len(trees)}")
    if not isinstance(trees[0], exp.Query):
        return Parsed(None, f"expected a SELECT, got {trees[0].key.upper()}")
    return Parsed(None, tree=trees[0])


def sql_like(text: str) -> bool:
    """Whether a text begins as a query does; whether it is one, `parse` says."""
    return re.match(r"(?is)\s*(?:select\b.+\bfrom\b|with\b.+\bas\s*\()", text) is not None


def execution_match(gold: str, given: str, database: Path, *, steps: int = STEPS, rows: int = ROWS) -> Execution:
    """Whether both queries give the same rows on `database`: the same multiset, in the same order where `gold` says ORDER BY.

    Columns count in the order in which they were asked for; their names do not. Numbers that differ by less than a billionth
    of themselves are the same.

    Raises:
        DataError: the database cannot be read.
    """
    wanted = run(gold, database, steps=steps, rows=rows)
    if wanted.problem is not None:
        return Execution(None, f"the right query: {wanted.problem}")
    got = run(given, database, steps=steps, rows=rows)
    if got.problem is not None:
        return Execution(False, got.problem)
    return Execution(same_rows(wanted.rows, got.rows, ordered=is_ordered(gold)))


def run(sql: str, database: Path, *, steps: int = STEPS, rows: int = ROWS) -> Result:
    """What one SELECT finds in the SQLite file; nothing else is executed, and nothing is written.

    Raises:
        DataError: the database cannot be read.
    """
    if (problem := _no_select(sql)) is not None:
        return Result(problem=problem)
    with closing(_opened(database)) as connection:
        left = steps // EVERY

        def over() -> int:
            nonlocal left
            left -= 1
            return int(left < 0)

        connection.set_progress_handler(over, EVERY)
        connection.set_authorizer(_allowed)
        try:
            cursor = connection.execute(sql)
            found = cursor.fetchmany(rows + 1)
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
            # Before Python 3.12 two statements at once are a Warning.
            return Result(problem=f"it needs more than {steps} steps" if left < 0 else f"it does not run: {error}")
    if len(found) > rows:
        return Result(problem=f"it gives more than {rows} rows")
    return Result(tuple(found))


def same_rows(wanted: tuple[Row, ...], got: tuple[Row, ...], *, ordered: bool) -> bool:
    """Whether two results are the same, as sequences or as multisets."""
    a, b = ([tuple(_rounded(cell) for cell in row) for row in rows] for rows in (wanted, got))
    return a == b if ordered else Counter(a) == Counter(b)


def is_ordered(sql: str, dialect: str = "sqlite") -> bool:
    """Whether the query as a whole has an ORDER BY; a query that cannot be parsed counts as having none."""
    tree = read_tree(sql, dialect).tree
    return tree is not None and tree.args.get("order") is not None


def schema_text(database: Path) -> str:
    """The tables of a SQLite file for a prompt, one a line: `city(name text, population int)`, then the foreign keys.

    Raises:
        DataError: the database cannot be read.
    """
    lines, keys = [], []
    with closing(_opened(database)) as connection:
        for (table,) in _tables(connection):
            columns = connection.execute(f"PRAGMA table_info({_quoted(table)})").fetchall()
            lines.append(f"{table}({', '.join(f'{name} {kind}'.strip().lower() for _, name, kind, *_ in columns)})")
            for _, _, other, column, target, *_ in connection.execute(f"PRAGMA foreign_key_list({_quoted(table)})"):
                keys.append(f"{table}.{column} = {other}.{target or column}".lower())
    return "\n".join([*lines, *keys])


def text_values(database: Path, *, most: int = 20_000) -> dict[str, tuple[str, ...]]:
    """The different texts in every column that holds texts, by `table.column` in lower case; `most` of each at most.

    Raises:
        DataError: the database cannot be read.
    """
    found: dict[str, tuple[str, ...]] = {}
    with closing(_opened(database)) as connection:
        for (table,) in _tables(connection):
            for _, column, *_ in connection.execute(f"PRAGMA table_info({_quoted(table)})").fetchall():
                name = _quoted(column)
                rows = connection.execute(
                    f"SELECT DISTINCT {name} FROM {_quoted(table)} WHERE typeof({name}) = 'text' ORDER BY 1 LIMIT ?",
                    (most,),
                )
                values = tuple(str(value) for (value,) in rows)
                if values:
                    found[f"{table}.{column}".lower()] = values
    return found


def string_like(node: Node) -> bool:
    """Whether SQLite will take this for a text value: in quotes, or a name in double quotes that something is compared with.

    SQLite reads a name in double quotes that is no column as a text, and many people write texts so.
    """
    if isinstance(node, exp.Literal):
        return bool(node.is_string)
    if not isinstance(node, exp.Column) or node.table or not isinstance(node.this, exp.Identifier):
        return False
    return bool(node.this.quoted) and isinstance(node.parent, COMPARED) and node.arg_key != "this"


def _no_select(sql: str) -> str | None:
    """Why this is not even the beginning of a SELECT, or None."""
    found = FIRST_WORD.match(sql)
    word = found.group(1) if found else ""
    return None if word.lower() in ("select", "with") else f"expected a SELECT, got {word[:40] or 'something else'!r}"


def _canonical(tree: Node) -> Node:
    tree = tree.transform(lambda node: exp.Literal.string(node.name) if _is_text_name(node) else node, copy=False)
    for name in tree.find_all(exp.Identifier):
        if not name.quoted:
            name.set("this", name.name.lower())
    plans = [plan for scope in traverse_scope(tree) for plan in _plans(scope)]
    number = 0
    for node, columns, plain in plans:
        number += not plain
        new = node.name if plain else f"t{number}"
        node.set("alias", None if plain else exp.TableAlias(this=exp.to_identifier(new)))
        for column in columns:
            column.set("table", exp.to_identifier(new))
    return tree


def _plans(scope: Scope) -> list[tuple[Node, list[Node], bool]]:
    """The tables that one SELECT reads, the columns taken from each, and whether the table's own name can stand for it."""
    tables = [
        (alias, node) for alias, (node, source) in scope.selected_sources.items() if isinstance(source, exp.Table)
    ]
    times = Counter(node.name for _, node in tables)
    inner = [*scope.subquery_scopes, *scope.derived_table_scopes, *scope.cte_scopes]
    borrowed = {column.table for other in inner for column in other.external_columns}
    made = {projection.alias for projection in scope.expression.find_all(exp.Alias) if projection.alias}
    # In a query within a query a bare name may be a column of the outer one: only the database could tell.
    alone = scope.parent is None and len(scope.selected_sources) == 1
    plans = []
    for alias, node in tables:
        columns = [c for c in scope.columns if c.table == alias]
        if alone:
            bare = [c for c in scope.columns if not c.table and c.name not in made]
            columns += [c for c in bare if c.find_ancestor(exp.Select) is scope.expression]
        plans.append((node, columns, times[node.name] == 1 and alias not in borrowed))
    return plans


def _is_text_name(node: Node) -> bool:
    return isinstance(node, exp.Column) and string_like(node)


def _opened(database: Path) -> sqlite3.Connection:
    """The database, unchangeable: nobody's lock or journal is touched either."""
    if not database.is_file():
        raise DataError(f"there is no database {str(database)!r}; expected a SQLite file")
    uri = f"file:{quote(str(database.resolve()))}?mode=ro&immutable=1"
    try:
        connection = sqlite3.connect(uri, uri=True)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        # Texts in another encoding than UTF-8 are compared as they can be read, on both sides alike.
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        connection.execute("PRAGMA query_only = 1")
        connection.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.Error as error:
        raise DataError(f"{str(database)!r} cannot be read as a SQLite database: {error}") from error
    return connection


def _tables(connection: sqlite3.Connection) -> list[tuple[str]]:
    return connection.execute(
        "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid"
    ).fetchall()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _allowed(action: int, first: str | None, second: str | None, database: str | None, trigger: str | None) -> int:
    if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE):
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() not in DENIED:
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _rounded(cell: Any) -> Any:
    return float(f"{cell:.9g}") if isinstance(cell, float) else cell
