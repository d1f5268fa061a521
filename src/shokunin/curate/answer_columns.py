"""Which column holds the answers where they are no labels: texts that are written, or fields that are found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from shokunin.curate.columns import Columns, guess_columns
from shokunin.curate.table import quoted
from shokunin.errors import DataError

ANSWER_NAMES = (
    *(
        "answer",
        "answers",
        "completion",
        "output",
        "response",
        "reply",
        "fields",
        "extracted",
        "json",
        "sql",
        "expected",
    ),
    *("target", "label", "result", "回答", "返信", "正解", "答え"),
)
FIELDS = "fields"
"""What the answer is called where several columns are its fields."""


def answer_column(columns: Sequence[str]) -> str | None:
    """The column that is called like an answer, the likeliest name first; None: none is."""
    plain = {name.strip().casefold(): name for name in reversed(columns)}
    return next((plain[name] for name in ANSWER_NAMES if name in plain), None)


def columns_of_fields(target: str | None, columns: Sequence[str]) -> tuple[str, ...]:
    """The columns in a target that names several, `company,date,total`; none where it is a column itself.

    Raises:
        DataError: one of them does not exist.
    """
    if target is None or target in columns or "," not in target:
        return ()
    names = tuple(dict.fromkeys(name.strip() for name in target.split(",") if name.strip()))
    for name in names:
        if name not in columns:
            raise DataError(f"there is no column {name!r} (--target); the columns are {quoted(columns)}")
    return names


def guess_answer_columns(
    columns: Sequence[str],
    sample_rows: Sequence[Mapping[str, str]],
    *,
    inputs: Sequence[str] | None = None,
    target: str | None = None,
    group: str | None = None,
    guess_group: bool = True,
) -> Columns:
    """The text, answer and group columns; what is given is taken as it is, the rest is guessed.

    Where `target` names several columns, they are the fields of the answer, which is then called `fields`.

    Raises:
        DataError: a given column does not exist, or nothing is called like an answer.
    """
    fields = columns_of_fields(target, columns)
    chosen = fields[0] if fields else target or answer_column(columns)
    if chosen is None:
        raise DataError(
            f"no column is called like an answer; the columns are {quoted(columns)}. Say which: --target COL"
        )
    open_columns = [name for name in columns if name not in fields or name == chosen]
    guessed = guess_columns(
        open_columns,
        sample_rows,
        inputs=inputs,
        target=chosen,
        group=group,
        guess_group=guess_group,
        called="answer",
    )
    how = "as you said" if target else "by its name"
    first = f"fields: {quoted(fields)}, as you said" if fields else f"answer: column {chosen!r}, {how}"
    return replace(guessed, target=FIELDS if fields else chosen, why=(first, *guessed.why[1:]))
