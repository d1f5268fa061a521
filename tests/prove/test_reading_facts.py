"""What was found in the tables is told, and nothing of what was not; long lists are cut and counted."""

from __future__ import annotations

from typing import Any

from shokunin.prove.reading_facts import NAMED, tables_told


def found(**read: Any) -> dict[str, Any]:
    whole = {"units": {"too_short": []}, "constant_channels": [], "cells_that_are_no_numbers": {}, "long_gaps": 0}
    return {"read": whole | read, "taken": {}, "split": {"by": "time"}}


def test_of_a_clean_table_nothing_is_told() -> None:
    assert tables_told(found()) == []


def test_long_lists_are_cut_and_counted() -> None:
    short = [f"u{n}" for n in range(NAMED + 3)]
    told = dict(tables_told(found(units={"too_short": short}, averaged=1200)))
    assert told["too short for a window"].endswith(f"u{NAMED - 1} and 3 more")
    assert told["averaged"] == "1,200 readings of a step that had one already"


def test_units_of_one_time_only_are_named_where_time_splits() -> None:
    about = found()
    about["split"] = {"by": "time", "units_only_in_test": ["a", "b"], "units_apart": {"train": 0, "test": 2}}
    assert tables_told(about) == [("only in the sealed time", "a, b")]
    about["split"] |= {"units_only_in_test": [f"u{n}" for n in range(50)], "units_apart": {"train": 0, "test": 400}}
    assert dict(tables_told(about))["only in the sealed time"].endswith("and 388 more")
    about["split"]["by"] = "unit"
    assert tables_told(about) == []


def test_the_book_of_failures_names_an_example_of_each_reason() -> None:
    about = found()
    why = "no readings of that unit"
    book = {"in": 3, "used": 1, "aside": {why: 2}, "first": {why: ["f.csv:2 (x)", "f.csv:4 (y)"]}}
    about["taken"] = {"failures": book, "equipment": None}
    assert tables_told(about) == [
        ("failures file", "3 in, 1 used"), ("failures set aside", "2 no readings of that unit, such as f.csv:2 (x)"),
    ]  # fmt: skip
