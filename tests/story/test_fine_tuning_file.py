"""The story of a fine-tuning file: two versions of a prompt, one specialist that answers the old application and the new one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from typer.testing import CliRunner, Result

from rows import rows
from shokunin import pipeline
from shokunin.cli import app
from shokunin.serve.process import ServerProcess
from shokunin.specialist import Specialist
from shokunin.task import read_task, task_to_toml

SYSTEM = "Sort the messages of our shop into delivery, refund and invoice. Answer in JSON."
OLDER = "Which of delivery, refund and invoice is this message about? Say `Category: ` and the word.\n\n"


def newer(text: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": f"Message:\n{text}\n\nIntent:"}]


def older(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": OLDER + text}]


def write(path: Path, count: int, seed: int) -> Path:
    """Every third line is of the older version."""
    with path.open("w", encoding="utf-8") as file:
        for number, row in enumerate(rows(count, seed)):
            asked, answer, model = newer(row["text"]), json.dumps({"intent": row["label"]}), "gpt-4o-mini"
            if number % 3 == 0:
                asked, answer, model = older(row["text"]), f"Category: {row['label']}", "gpt-3.5-turbo"
            messages = [*asked, {"role": "assistant", "content": answer}]
            file.write(json.dumps({"messages": messages, "model": model}) + "\n")
    return path


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("shop")
    write(place / "inquiries.jsonl", 300, 0)
    write(place / "held-out.jsonl", 90, 1)
    return place


@pytest.fixture(scope="module")
def trained(place: Path) -> Result:
    return run(
        "train", place / "inquiries.jsonl", "--validation", place / "held-out.jsonl", "--project", place,
        "--learner", "baseline", "--learner", "text_linear",
    )  # fmt: skip


@pytest.fixture(scope="module")
def specialist(trained: Result, place: Path) -> Specialist:
    assert trained.exit_code == 0, trained.output
    return pipeline.load("inquiries", project=place)


def test_every_version_of_the_prompt_is_kept(specialist: Specialist) -> None:
    assert specialist.task.template is not None
    new, old = specialist.task.templates
    assert new.messages[0].pattern == SYSTEM and new.reply == '{"intent": "{{answer}}"}'
    assert old.messages[0].pattern == OLDER + "{{text}}" and old.reply == "Category: {{answer}}"
    assert (new.models, old.models) == (("gpt-4o-mini",), ("gpt-3.5-turbo",))
    assert specialist.labels == ("delivery", "invoice", "refund")


def test_the_proof_says_that_it_compares_with_the_recorded_answers(
    trained: Result, specialist: Specialist, place: Path
) -> None:
    report = pipeline.read_report(specialist)
    held_out = {row["text"] for row in rows(90, 1)}
    assert report.rows == 90 and {case.inputs["text"] for case in report.cases} == held_out
    assert report.dataset["recorded"] == {"models": ["gpt-4o-mini", "gpt-3.5-turbo"]}
    told = " ".join(trained.output.split())
    assert "It agrees with the recorded answers of gpt-4o-mini and gpt-3.5-turbo in" in told
    assert "of 90 cases it had never seen" in told
    assert "answered when the conversations were recorded" in told
    page = (specialist.folder / "report.html").read_text(encoding="utf-8")
    assert "agrees with the recorded answers of gpt-4o-mini and gpt-3.5-turbo" in page
    assert "of answers are as recorded" in page and "of answers are right" not in page
    again = run("prove", "inquiries", place / "held-out.jsonl", "--project", place)
    assert "agrees with the recorded answers of gpt-4o-mini" in " ".join(again.output.split())


@pytest.mark.parametrize("model", ["auto", "inquiries"])
def test_both_applications_get_the_replies_they_are_used_to(specialist: Specialist, place: Path, model: str) -> None:
    text = "please return my money for order 12"
    asked: list[tuple[Any, str]] = [(newer(text), '{"intent": "refund"}'), (older(text), "Category: refund")]
    with ServerProcess(["--project", str(place), "--no-record"]) as server:
        client = openai.OpenAI(base_url=f"{server.base_url}/v1", api_key="unused", max_retries=0)
        for messages, expected in asked:
            reply = client.chat.completions.create(model=model, messages=messages)
            assert reply.choices[0].message.content == expected
        for messages, own in ((asked[0][0], "gpt-4o-mini"), (asked[1][0], "gpt-3.5-turbo")):
            raw = client.chat.completions.with_raw_response.create(model=own, messages=messages)
            assert raw.headers["x-shokunin-specialist"] == "inquiries@1"


def test_a_file_is_sealed_once(place: Path) -> None:
    held_out = place / "held-out.jsonl"
    found = run("train", place / "inquiries.jsonl", "--test", held_out, "--validation", held_out, "--project", place)
    assert found.exit_code == 2 and "`--test` and `--validation` both name" in " ".join(found.output.split())


def test_the_task_as_a_folder_is_the_same_work(specialist: Specialist, place: Path) -> None:
    folder = place / "tasks" / "again"
    (folder / "rows").mkdir(parents=True)
    (folder / "task.toml").write_text(task_to_toml(specialist.task), encoding="utf-8", newline="\n")
    write(folder / "rows" / "past.jsonl", 120, 2)
    assert read_task(folder / "task.toml") == specialist.task
    dataset, _ = pipeline.curate(folder, project=place)
    assert dataset.task == specialist.task
    assert {e.inputs["text"] for e in dataset.train} <= {row["text"] for row in rows(120, 2)}
