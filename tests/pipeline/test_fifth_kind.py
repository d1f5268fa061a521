"""What a kind costs that is not there yet: one file and one line. Nobody else knows kinds by their names."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from test_other_kinds import replies

import shokunin
from rows import rows
from shokunin import pipeline
from shokunin.task import KINDS, Task
from shokunin.tasks import kind

PACKAGE = Path(shokunin.__file__).parent
NAMED = {
    "task.py",  # the table, and the kind of a task that does not say
    "discover/answers.py",  # what replies can be
    "pipeline/rows.py",  # the option that helps, in an error
    "project/texts.py",  # the example of a task.toml
}
FLEETS = re.compile(r"pipeline/(fleet|normal)_\w+\.py")
"""The path of its own that a kind has whose input is a history and not a row."""


def test_nobody_else_knows_kinds_by_their_names() -> None:
    names = re.compile(rf"\b({'|'.join(KINDS)})\b")
    named: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*"):
        place = path.relative_to(PACKAGE).as_posix()
        if path.suffix in (".py", ".jinja", ".toml") and not place.startswith("tasks/"):
            named[place] = set(names.findall(path.read_text(encoding="utf-8")))
    assert {place for place, found in named.items() if found and not FLEETS.fullmatch(place)} == NAMED
    assert set().union(*(found for place, found in named.items() if FLEETS.fullmatch(place))) == {"anticipate_failures"}


@pytest.mark.parametrize(
    ("like", "learner", "table"), [("classify_text", "text_linear", rows), ("generate_text", "nearest_answer", replies)]
)
def test_a_file_and_a_line_are_enough(
    like: str, learner: str, table: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kind that does as another does and is called otherwise is trained, proven, described and answers."""
    module = ModuleType("shokunin.tasks.fifth_kind")
    vars(module).update({name: value for name, value in vars(kind(like)).items() if not name.startswith("__")})
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(KINDS, "fifth_kind", KINDS[like])
    past = table(300)  # type: ignore[operator]
    text, answer = past[0]
    pipeline.train(past[:240], kind="fifth_kind", name="fifth", learners=[learner], project=tmp_path, replayed=False)
    known = pipeline.train(past[:240], kind=like, name="known", learners=[learner], project=tmp_path, replayed=False)
    made = pipeline.load("fifth@1", project=tmp_path)
    assert made.task == Task(**{**vars(known.task), "name": "fifth", "kind": "fifth_kind"})
    said = [one.predict(past[250][text]).value for one in (made, known)]
    assert said[0] == said[1] and said[0] is not None
    given = [{**row, "large": row[answer]} for row in past[240:]]
    reports = [pipeline.prove(one, given, against="column:large", project=tmp_path) for one in (made, known)]
    assert reports[0].scores == reports[1].scores and reports[0].kind == "fifth_kind"
    cards = [(one.folder / "card.md").read_text(encoding="utf-8").split("## ")[1] for one in (made, known)]
    assert cards[0] == cards[1] and cards[0].startswith("What it does")
