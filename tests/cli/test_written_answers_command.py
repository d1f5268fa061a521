"""Work that is written, from the command line: which kind it is, a judge, and a project that is moved with its database."""

from __future__ import annotations

import json
import logging
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import shokunin
from shokunin.cli import app
from shokunin.pipeline.serving import served_of
from shokunin.project import open_project
from shokunin.serve.scripted_upstream import Act, ScriptedUpstream, Seen
from shokunin.task import Task

TOWNS = [f"{a}{b}" for a in ("Kobe", "Nara", "Otsu", "Tsu", "Gifu", "Saga") for b in ("", "ri", "maki", "zawa", "hara")]


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(w) for w in words])


def questions(count: int, start: int = 0) -> list[dict[str, str]]:
    made = []
    for number in range(start, start + count):
        draw = random.Random(number)
        noise = " ".join("".join(draw.choices("klmnopq", k=6)) for _ in range(5))
        town, (asked, column) = (
            draw.choice(TOWNS),
            draw.choice([("How many live in", "people"), ("What country has", "country")]),
        )
        made.append({"question": f"{asked} {town}? {noise}", "sql": f"SELECT {column} FROM town WHERE name = '{town}'"})
    return made


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a database in it, and a specialist of the metric `execution`; the current folder is another."""
    project = tmp_path_factory.mktemp("house") / "first"
    project.mkdir()
    with closing(sqlite3.connect(project / "towns.sqlite")) as database, database:
        database.execute("CREATE TABLE town (name text, people int, country text)")
        database.executemany("INSERT INTO town VALUES (?, ?, ?)", [(t, 10 * i, f"c{i}") for i, t in enumerate(TOWNS)])
    task = Task(
        "towns", "generate_text", ("question",), "sql", metric="execution", options={"database": "towns.sqlite"}
    )
    shokunin.train(
        questions(150), task=task, learners=["nearest_answer", "answer_templates"], project=project, replayed=False
    )
    return project


def test_the_database_goes_with_the_project(
    house: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    moved = house.rename(house.with_name("moved"))
    try:
        later = write(tmp_path / "later.jsonl", questions(30, 500))
        found = run("prove", "towns", later, "--project", moved, "--output", "json")
        assert json.loads(found.stdout)["scores"]["execution"]["value"] > 0.9, found.output
        specialist = shokunin.load("towns", project=moved)
        with caplog.at_level(logging.WARNING, "shokunin.serve"):
            served_of(specialist, open_project(moved))
            assert not caplog.records
            aside = (moved / "towns.sqlite").rename(tmp_path / "aside.sqlite")
            served_of(specialist, open_project(moved))
        assert "the database 'towns.sqlite' is not there" in caplog.text
        found = run("prove", "towns", later, "--project", moved)
        assert found.exit_code == 2 and "'towns.sqlite'" in found.output
        aside.rename(moved / "towns.sqlite")
    finally:
        moved.rename(house)


def test_a_judge_from_the_command_line(house: Path, tmp_path: Path) -> None:
    rows = [
        {**row, "large": row["sql"] if i % 2 else "SELECT name FROM town"} for i, row in enumerate(questions(20, 700))
    ]

    def script(seen: Seen) -> Act:
        shown = json.loads(seen.json["messages"][-1]["content"])
        return Act("B" if shown["answer A"] == "SELECT name FROM town" else "A")

    later = write(tmp_path / "later.jsonl", rows)
    with ScriptedUpstream(script) as server:
        judge = ("--against", "column:large", "--judge", f"{server.base_url}#wise", "--project", house)
        judged = json.loads(run("prove", "towns", later, *judge, "--output", "json").stdout)["against"]["judge"]
        assert judged["won"] >= 9 and judged["lost"] == 0
        assert "wise holds the specialist's answer to be better" in " ".join(
            run("prove", "towns", later, *judge).stdout.split()
        )
    refused = run("prove", "towns", later, "--judge", "wise", "--project", house)
    assert refused.exit_code == 2 and "--against" in refused.output


def test_curate_takes_the_kind(tmp_path: Path) -> None:
    rows = [{"question": row["question"], "number": f"{n % 7}.50 EUR"} for n, row in enumerate(questions(80))]
    path = write(tmp_path / "numbers.jsonl", rows)
    found = run(
        "curate", path, "--kind", "extract_fields", "--target", "number", "--project", tmp_path, "--output", "json"
    )
    assert found.exit_code == 0, found.output
    folder = Path(json.loads(found.stdout)["folder"])
    task = json.loads((folder / "dataset.json").read_text())["task"]
    assert (task["kind"], task["target"], list(task["options"]["fields"])) == ("extract_fields", "fields", ["number"])
    assert run("curate", path, "--kind", "poems", "--project", tmp_path).exit_code == 2
