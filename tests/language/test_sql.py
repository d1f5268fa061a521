from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shokunin.errors import DataError
from shokunin.files import sha256_of
from shokunin.language.sql import execution_match, parse, run, schema_text, text_values

ROWS = [("Lyon", 500, "fr"), ("Nice", 340, "fr"), ("Bonn", 330, "de"), ("Köln", 1080, "de")]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "towns.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE land (code TEXT PRIMARY KEY, name TEXT)")
        connection.execute("CREATE TABLE Town (name TEXT, people INT, land TEXT REFERENCES land(code))")
        connection.executemany("INSERT INTO land VALUES (?, ?)", [("fr", "France"), ("de", "Germany")])
        connection.executemany("INSERT INTO Town VALUES (?, ?, ?)", ROWS)
        connection.commit()
    return path


class TestParse:
    def test_spellings_of_one_query_have_one_text(self) -> None:
        first = parse('select T.Name from TOWN as T where T.land = "fr" ;').text
        assert first == "SELECT town.name FROM town WHERE town.land = 'fr'"
        assert parse("SELECT name FROM town WHERE land='fr'").text == first

    def test_a_table_that_is_read_twice_keeps_aliases(self) -> None:
        text = parse("SELECT a.name FROM town AS a JOIN town AS b ON a.people > b.people").text
        assert text == "SELECT t1.name FROM town AS t1 JOIN town AS t2 ON t1.people > t2.people"

    def test_a_query_that_takes_a_column_from_outside_keeps_its_meaning(self, database: Path) -> None:
        sql = (
            "SELECT o.name FROM town AS o WHERE o.people = (SELECT MAX(i.people) FROM town AS i WHERE i.land = o.land)"
        )
        text = parse(sql).text
        assert text is not None and run(text, database).rows == run(sql, database).rows == (("Lyon",), ("Köln",))

    def test_a_bare_name_in_an_inner_query_is_left_alone(self) -> None:
        text = parse("SELECT name FROM land WHERE code IN (SELECT land FROM town WHERE people > 400)").text
        assert text == "SELECT land.name FROM land WHERE land.code IN (SELECT land FROM town WHERE people > 400)"

    @pytest.mark.parametrize(
        ("sql", "problem"),
        [
            ("DROP TABLE town", "expected a SELECT, got 'DROP'"),
            ("SELECT 1; SELECT 2", "expected one query, got 2"),
            ("SELECT name FRM town WHERE (", "it is no sqlite query"),
            ("", "expected a SELECT"),
            ("-- only a remark", "expected a SELECT"),
        ],
    )
    def test_what_is_no_query_has_a_problem(self, sql: str, problem: str) -> None:
        parsed = parse(sql)
        assert parsed.text is None and problem in str(parsed.problem)

    @settings(max_examples=60)
    @given(st.text(alphabet="SELECT FROM WHERE town name()'\",;=*1-/\x00é", max_size=60))
    def test_any_text_gives_a_text_or_a_problem(self, text: str) -> None:
        parsed = parse("SELECT " + text)
        assert (parsed.text is None) == (parsed.problem is not None)


class TestExecution:
    def test_rows_count_as_often_as_they_come_in_any_order(self, database: Path) -> None:
        gold = "SELECT land FROM town"
        assert execution_match(gold, "SELECT land FROM town ORDER BY name", database).right
        assert execution_match(gold, "SELECT DISTINCT land FROM town", database).right is False

    def test_order_counts_where_the_right_query_asks_for_it(self, database: Path) -> None:
        gold = "SELECT name FROM town ORDER BY people DESC"
        assert execution_match(gold, gold, database).right
        assert execution_match(gold, "SELECT name FROM town ORDER BY people", database).right is False
        inner = "SELECT name FROM (SELECT name FROM town ORDER BY people)"
        assert execution_match(inner, "SELECT name FROM town", database).right

    def test_columns_count_in_their_order_and_numbers_by_value(self, database: Path) -> None:
        assert (
            execution_match("SELECT name, people FROM town", "SELECT people, name FROM town", database).right is False
        )
        assert execution_match("SELECT 3", "SELECT 3.0", database).right
        assert execution_match("SELECT 0.3", "SELECT 0.1 + 0.2", database).right

    def test_a_right_query_that_does_not_run_is_said_and_not_scored(self, database: Path) -> None:
        found = execution_match("SELECT colour FROM town", "SELECT 1", database)
        assert found.right is None and "no such column" in str(found.problem)

    def test_a_given_query_that_does_not_run_is_wrong(self, database: Path) -> None:
        found = execution_match("SELECT 1", "SELECT colour FROM town", database)
        assert found.right is False and "no such column" in str(found.problem)


class TestSafety:
    @pytest.mark.parametrize(
        "sql",
        [
            "DELETE FROM town",
            "WITH gone AS (SELECT 1) DELETE FROM town",
            "SELECT 1; DELETE FROM town",
            "ATTACH 'other.sqlite' AS other",
            "PRAGMA query_only = 0",
            "EXPLAIN SELECT 1",
            "SELECT load_extension('x')",
            "SELECT * FROM pragma_table_info('town')",
            "SELECT zeroblob(1000000000)",
            "VACUUM INTO 'copy.sqlite'",
            "CREATE TABLE x (a)",
            "SELECT 1 INTO x",
        ],
    )
    def test_nothing_but_a_select_runs_and_nothing_changes(self, database: Path, sql: str) -> None:
        before = sha256_of(database), sorted(p.name for p in database.parent.iterdir())
        assert run(sql, database).problem is not None
        assert (sha256_of(database), sorted(p.name for p in database.parent.iterdir())) == before

    def test_a_query_without_end_is_ended(self, database: Path) -> None:
        endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
        assert run(endless, database, steps=100_000).problem == "it needs more than 100000 steps"

    def test_too_many_rows_are_refused(self, database: Path) -> None:
        assert run("SELECT 1 FROM town", database, rows=3).problem == "it gives more than 3 rows"
        assert len(run("SELECT 1 FROM town", database, rows=4).rows) == 4

    def test_what_is_no_database_is_said(self, tmp_path: Path) -> None:
        other = tmp_path / "notes.txt"
        other.write_text("not a database, but long enough to look at " * 40)
        with pytest.raises(DataError, match="notes"):
            run("SELECT 1", other)
        with pytest.raises(DataError, match="no database"):
            run("SELECT 1", tmp_path / "gone.sqlite")


def test_the_schema_for_a_prompt(database: Path) -> None:
    assert schema_text(database).splitlines() == [
        "land(code text, name text)",
        "Town(name text, people int, land text)",
        "town.land = land.code",
    ]


def test_the_texts_of_every_column(database: Path) -> None:
    assert text_values(database)["town.land"] == ("de", "fr") and "town.people" not in text_values(database)
