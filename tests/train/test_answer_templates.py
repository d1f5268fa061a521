from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from shokunin.engines import answer_templates as engine
from shokunin.engines import nearest_answer as nearest_engine
from shokunin.errors import ArtefactError, UsageError
from shokunin.forms import Conversation, Conversations
from shokunin.progress import silent
from shokunin.train import answer_templates, nearest_answer
from shokunin.weights import Weights

LANDS = ["France", "Italy", "Spain", "Norway", "Peru", "Chile", "New Zealand", "Japan"]
ASKED = {
    "capital": ("what is the capital of {}", "tell me the capital of {}", "which town is the capital of {}"),
    "people": ("how many people live in {}", "what is the population of {}", "how many inhabitants has {}"),
    "area": ("how large is {}", "what is the area of {}", "how big is {}"),
}


def asked(text: str) -> Conversation:
    return Conversation(({"role": "system", "content": "Write SQL."}, {"role": "user", "content": text}))


def lessons() -> Conversations:
    rows = [
        (wording.format(land), f"SELECT {column} FROM land WHERE name = '{land}'")
        for column, wordings in ASKED.items()
        for wording in wordings
        for land in LANDS[:6]
    ]
    return Conversations(tuple(asked(q) for q, _ in rows), tuple(a for _, a in rows), np.arange(len(rows)))


def replies() -> Conversations:
    rows = []
    for i in range(30):
        name, order = ("Mori", "Sato", "Ueda", "Abe", "Kato")[i % 5], f"A-{100 + 7 * i}"
        rows.append((f"Hi, {name} here. Where is my order {order}?", f"Dear {name}, order {order} is on its way."))
        rows.append((f"Hello, I am {name}. Please cancel {order}.", f"Dear {name}, {order} has been cancelled."))
    return Conversations(tuple(asked(q) for q, _ in rows), tuple(a for _, a in rows), np.arange(len(rows)))


@pytest.fixture(scope="module")
def queries(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    folder = tmp_path_factory.mktemp("queries")
    return answer_templates.fit(lessons(), answer_templates.Options(), folder, seed=0, progress=silent)


def test_a_question_about_something_else_gets_a_query_that_no_lesson_has(tmp_path: Path) -> None:
    taught = lessons()
    keep = np.array([i for i, a in enumerate(taught.answers) if not ("area" in a and "Peru" in a)])
    weights = answer_templates.fit(taught.take(keep), answer_templates.Options(), tmp_path, seed=0, progress=silent)
    (written,) = engine.load(weights).run([asked("how big is Peru")])
    assert written.text == "SELECT area FROM land WHERE name = 'Peru'" and written.problem is None


def test_the_chance_of_the_answer_is_told_and_does_not_depend_on_neighbours(queries: Weights) -> None:
    session = engine.load(queries)
    forms = [asked("what is the capital of Italy"), asked("the weather in Italy?")]
    together = session.run(forms)
    assert together == [session.run([form])[0] for form in forms]
    sure, unsure = (written.logprobs[0] for written in together)
    assert 0 >= sure > unsure


def test_replies_are_written_with_the_names_and_numbers_of_the_prompt(tmp_path: Path) -> None:
    weights = answer_templates.fit(replies(), answer_templates.Options(), tmp_path, seed=0, progress=silent)
    # A name and a number that no lesson has.
    (written,) = engine.load(weights).run([asked("Hello, I am Endo. Please cancel Z-9981.")])
    assert written.text == "Dear Endo, Z-9981 has been cancelled."


def test_two_fits_with_one_seed_are_the_same(queries: Weights, tmp_path: Path) -> None:
    again = answer_templates.fit(lessons(), answer_templates.Options(), tmp_path, seed=0, progress=silent)
    for name in ("shapes.json", "shapes.safetensors", "vocabulary.json", "idf.safetensors"):
        assert (again.folder / name).read_bytes() == (queries.folder / name).read_bytes()


def test_no_conversations_no_answers(queries: Weights) -> None:
    assert engine.load(queries).run([]) == []


def test_answers_that_are_said_to_be_sql_must_be() -> None:
    with pytest.raises(UsageError, match="said to be SQL, but 'Dear Mori"):
        answer_templates.fit(
            replies(), answer_templates.Options(answers="sql"), Path("unused"), seed=0, progress=silent
        )


def test_one_lesson_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least two lessons; got 1"):
        answer_templates.fit(
            lessons().take(np.array([0])), answer_templates.Options(), tmp_path, seed=0, progress=silent
        )


@pytest.mark.parametrize(
    "damage",
    [
        lambda about: about.pop("shapes"),
        lambda about: about["shapes"].pop(),
        lambda about: about.update(frame=None),
        lambda about: about.update(lexicon=[]),
    ],
)
def test_damaged_weights_are_refused(queries: Weights, tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    for path in queries.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    about = json.loads((tmp_path / "shapes.json").read_text())
    damage(about)
    (tmp_path / "shapes.json").write_text(json.dumps(about))
    with pytest.raises(ArtefactError, match="damaged"):
        engine.load(Weights(tmp_path, "conversation", "answer_templates"))


def test_the_nearest_lesson_answers(tmp_path: Path) -> None:
    weights = nearest_answer.fit(lessons(), nearest_answer.Options(), tmp_path, seed=0, progress=silent)
    session = nearest_engine.load(weights)
    same, other, far = session.run([asked(q) for q in ("how large is Chile", "how large was Chile then", "?")])
    assert same.text == "SELECT area FROM land WHERE name = 'Chile'" == other.text
    assert same.logprobs[0] == pytest.approx(0, abs=1e-5) and same.logprobs[0] > other.logprobs[0] > far.logprobs[0]
    assert session.run([]) == []


def test_answers_that_do_not_fit_the_prompts_are_refused(tmp_path: Path) -> None:
    nearest_answer.fit(lessons(), nearest_answer.Options(), tmp_path, seed=0, progress=silent)
    about = json.loads((tmp_path / "answers.json").read_text())
    about["answers"].pop()
    (tmp_path / "answers.json").write_text(json.dumps(about))
    with pytest.raises(ArtefactError, match="damaged"):
        nearest_engine.load(Weights(tmp_path, "conversation", "nearest_answer"))


def test_no_lessons_no_neighbour(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="got none"):
        nearest_answer.fit(
            lessons().take(np.array([], np.int64)), nearest_answer.Options(), tmp_path, seed=0, progress=silent
        )
