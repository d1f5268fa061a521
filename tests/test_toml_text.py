"""Whatever a value holds, TOML reads it back the same; and what people should be able to read looks as they would write it."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin.errors import ProjectError
from shokunin.toml_text import told_value, toml_key, toml_value

AWKWARD = st.text(st.sampled_from("\"'\\\n\r\t{} ab#=[]\x00\x7f\x85\u2028\ufeffé語😀"), max_size=12)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | AWKWARD


@given(key=TEXT, value=TEXT | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False))
def test_there_and_back(key: str, value: str | bool | int | float) -> None:
    assert tomllib.loads(f"{toml_key(key)} = {toml_value(value)} # a comment") == {key: value}


@given(value=st.lists(TEXT, max_size=4))
def test_lists_of_texts(value: list[str]) -> None:
    assert tomllib.loads(f"x = {toml_value(value)}") == {"x": value}


@given(value=st.lists(st.dictionaries(TEXT, TEXT | st.lists(TEXT, max_size=2), max_size=3), max_size=3))
def test_lists_of_tables(value: list[dict[str, str | list[str]]]) -> None:
    assert tomllib.loads(f"x = {toml_value(value)}") == {"x": value}


def test_no_value_has_no_word() -> None:
    with pytest.raises(ProjectError, match="leave the key out"):
        toml_value({"a": None})


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", '"plain"'),
        ('{"intent": "{{answer}}"}', '\'{"intent": "{{answer}}"}\''),
        ("it's a \\d", '"it\'s a \\\\d"'),
        ("a\nb", '"""\na\nb"""'),
        ('say "yes"\nor "no"', "'''\nsay \"yes\"\nor \"no\"'''"),
        ('"yes"\nor no', '"""\n"yes"\nor no"""'),
        ("zero\u200bwidth", '"zero\\u200bwidth"'),
        (["a", "b"], '["a", "b"]'),
        (True, "true"),
    ],
)
def test_how_it_looks(value: str | list[str] | bool, written: str) -> None:
    assert toml_value(value) == written


def test_half_of_a_surrogate_pair_cannot_be_written() -> None:
    with pytest.raises(ProjectError, match="surrogate"):
        toml_value("a\ud800")


@given(st.one_of(st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False), st.text(max_size=30)))
def test_what_is_told_is_read_as_it_was_written(value: object) -> None:
    assert told_value(toml_value(value)) == value


def test_what_is_told_may_be_a_list_json_or_plain_text() -> None:
    assert told_value("[1, 2]") == [1, 2] and told_value("null") is None
    assert told_value("pump 3") == "pump 3" and told_value("2025-01-0x") == "2025-01-0x" and told_value("") == ""
