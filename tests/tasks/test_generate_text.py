"""Written answers: what is read off the rows, what counts as right, and that SQL is parsed before it is given."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin.calibration import Calibration
from shokunin.errors import TaskError
from shokunin.forms import Conversations, Written
from shokunin.task import Task
from shokunin.tasks import generate_text as kind

GOLD = "SELECT name FROM shops WHERE town = 'Kobe'"
ALIKE = "select S.name from shops as S where S.town = 'Kobe'"
OTHER = "SELECT name FROM shops WHERE town = 'Nara'"


@pytest.fixture
def shops(tmp_path: Path) -> str:
    path = tmp_path / "shops.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE shops (name TEXT, town TEXT)")
        connection.executemany("INSERT INTO shops VALUES (?, ?)", [("Mori", "Kobe"), ("Sato", "Nara")])
    return str(path)


def codec(metric: str = "exact_match", **options: Any) -> kind.WritingCodec:
    return kind.WritingCodec(Task("writer", "generate_text", metric=metric, options=options), Calibration())


def test_sql_is_seen_in_the_rows_and_replies_are_not_sql() -> None:
    task = Task("writer", "generate_text", inputs=("question",), target="sql")
    rows = [{"question": "which shops?", "sql": GOLD}] * 3
    assert kind.settle(task, rows).options["language"] == "sql"
    rows = [{"question": "hello", "sql": "Select your size from the list, then press OK."}] * 3
    assert kind.settle(task, rows).options["language"] == "text"


def test_a_dialect_or_database_that_is_not_there_is_told_before_anything_is_learnt() -> None:
    for told, message in (
        ({"dialect": "sqlitee"}, "'sqlitee', which is unknown"),
        ({"database": "gone.db"}, "'gone.db', which is no file in the project's folder"),
        ({"database": "/gone.db"}, "'/gone.db', which is no file; expected an SQLite file"),
    ):
        with pytest.raises(TaskError, match=message):
            kind.check(Task("writer", "generate_text", options={"language": "sql", **told}))
    kind.check(Task("writer", "generate_text", options={"language": "sql", "dialect": "postgres"}))


def test_rows_whose_sql_cannot_be_parsed_are_set_aside() -> None:
    task = Task("writer", "generate_text", options={"language": "sql"}, target="sql")
    good, bad = kind.gather(task, [("a:1", {"text": "q", "sql": GOLD}), ("a:2", {"text": "q", "sql": "SELECT FROM ("})])
    assert good.problem is None and bad.problem == "the answer is no SQL that can be parsed"


@pytest.mark.parametrize(
    ("metric", "options", "message"),
    [
        ("execution", {"language": "sql"}, "needs a database"),
        ("exact_match", {"database": "x.sqlite"}, "language"),
        ("exact_match", {"tone": "kind"}, "tone"),
    ],
)
def test_options_that_do_not_fit_are_refused(metric: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        kind.check(Task("writer", "generate_text", metric=metric, options=options))


def test_a_database_is_found_beside_the_project_wherever_that_is(
    shops: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "shop"
    side_files = project / "specialists" / "writer" / "1" / "side_files"
    side_files.mkdir(parents=True)
    (project / "data").mkdir()
    Path(shops).rename(project / "data" / "shops.sqlite")
    task = Task(
        "writer", "generate_text", metric="execution", options={"language": "sql", "database": "data/shops.sqlite"}
    )
    kind.check(task, project)
    with pytest.raises(TaskError, match="no file in the project's folder"):
        kind.check(task, tmp_path)
    monkeypatch.chdir("/")
    assert kind.codec(task, side_files).correct(GOLD, ALIKE)
    moved = project.rename(tmp_path / "moved")
    assert kind.codec(task, moved / "specialists" / "writer" / "1" / "side_files").correct(GOLD, ALIKE)
    (moved / "data" / "shops.sqlite").unlink()
    without = kind.codec(task, moved / "specialists" / "writer" / "1" / "side_files")
    assert without.correct(GOLD, ALIKE) and not without.correct(GOLD, OTHER)  # as texts
    with pytest.raises(TaskError, match=r"'data/shops\.sqlite', which is not there"):
        without.scores([GOLD], [ALIKE], [0])


def test_sql_is_right_when_it_finds_the_same(shops: str) -> None:
    one = codec("execution", language="sql", database=shops)
    assert (
        one.correct(GOLD, ALIKE) and not one.correct(GOLD, OTHER) and not one.correct(GOLD, "SELECT nothing FROM shops")
    )
    scores = one.scores([GOLD, GOLD], [ALIKE, None], [0, 1])
    assert scores["execution"].value == 0.5 and set(scores) == {"execution", "exact_match", "rouge_l", "chrf"}
    assert one.verify({"text": "q"}, "SELECT nothing FROM shops") and one.verify({"text": "q"}, GOLD) is None


def test_without_a_database_spellings_of_one_query_are_the_same() -> None:
    one = codec(language="sql")
    assert one.correct(GOLD, GOLD.lower().replace("'kobe'", "'Kobe'")) and not one.correct(GOLD, OTHER)


def test_likeness_is_right_from_a_stated_value_on() -> None:
    one = codec("rouge_l", good_enough=0.6)
    assert one.correct("the order is on its way", "your order is on its way") and not one.correct("the order", "no")
    found = one.compare(["a b c d"] * 30, ["a b c x"] * 30, ["a b c d"] * 30, list(range(30)))
    assert found.difference.value == pytest.approx(-0.25) and found.p_worse < 0.01


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (Written("SELECT FROM (", (-0.1,)), "no SQL that can be parsed"),
        (Written("DROP TABLE shops", (-0.1,)), "no SQL that can be parsed"),
        (Written("SELECT name", (-0.1,), finished=False), "did not end within"),
        (Written(" ", (-0.1,)), "wrote nothing"),
        (Written("", problem="the prompt is too long"), "too long"),
    ],
)
def test_what_is_no_answer_is_a_problem(written: Written, problem: str) -> None:
    [answer] = codec(language="sql").decode([written], "writer@1")
    assert answer.value is None and problem in (answer.problem or "") and answer.confidence == 0


def test_the_surer_the_model_the_more_confident_the_answer() -> None:
    sure, unsure = codec().decode([Written("yes", (-0.01,)), Written("yes", (-2.0, -1.0))], "x")
    assert sure.confidence > 0.95 > 0.1 > unsure.confidence


def test_sql_is_learnt_in_one_spelling() -> None:
    task = Task("writer", "generate_text", options={"language": "sql"}, target="sql")
    examples = list(
        kind.gather(task, [("a:1", {"text": "q", "sql": ALIKE}), ("a:2", {"text": "q", "sql": GOLD + " ;"})])
    )
    lessons = codec(language="sql").lessons(examples)
    assert isinstance(lessons, Conversations) and lessons.answers[1].endswith("town = 'Kobe'")


def test_instructions_and_tables_are_told_where_they_help(shops: str) -> None:
    one = codec("execution", language="sql", database=shops, instructions="Be brief.")
    [asked] = one.encode([{"text": "which shops?"}])
    assert [m["role"] for m in asked.messages] == ["system", "user"], "a tuned model needs no tables"
    assert "town" in one.ask_chat({"text": "which shops?"})[0]["content"], "a large model does"
    assert one.read_reply(f"```sql\n{GOLD}\n```") == GOLD and one.read_reply("I do not know.") is None


@given(st.text(max_size=60))
def test_any_written_text_is_an_answer_or_a_problem(text: str) -> None:
    for language in ("text", "sql"):
        [answer] = codec(language=language).decode([Written(text, (-0.3,))], "x")
        assert (answer.value is None) == (answer.problem is not None)
    assert np.isfinite(codec().evidence([Written(text, (-0.3,))])).all()
