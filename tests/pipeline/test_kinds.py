"""Recorded answers that are no labels are told for what they are, before anything is trained or written."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

import shokunin
from rows import rows
from shokunin import pipeline
from shokunin.errors import DataError
from shokunin.pipeline.kinds import kind_of_answers

WORDS = ["cat", "dog", "house", "tree", "river", "stone", "blue", "light", "old", "boat", "far", "sings"]
Answer = Callable[[random.Random, str], str]
KINDS: dict[str, tuple[str, Answer]] = {
    "receipts": (
        "extract_fields",
        lambda draw, text: json.dumps({"total": f"{draw.randint(1, 9999)}.00", "company": draw.choice(WORDS), "text": text}),
    ),
    "fenced": (
        "extract_fields",
        lambda draw, text: f'```json\n{{"total": {draw.randint(1, 10**6)}, "date": "{draw.randint(1, 28)} May"}}\n```',
    ),
    "numbers": ("estimate_values", lambda draw, text: str(draw.randint(1, 10**6) / 100)),
    "prices": ("estimate_values", lambda draw, text: f"${draw.randint(1, 10**6):,}"),
    "minutes": ("estimate_values", lambda draw, text: f"{draw.randint(1, 10**6)} min"),
    "sql": ("generate_text", lambda draw, text: f"SELECT {draw.choice(WORDS)} FROM t WHERE id = {draw.randint(1, 10**6)}"),
    "codes": ("short", lambda draw, text: f"{draw.choice(WORDS)} {draw.choice(WORDS)} {draw.choice(WORDS)}"),
    "chat": ("chat", lambda draw, text: " ".join(draw.choices(WORDS, k=12))),
}  # fmt: skip


SAID = {
    "estimate_values": "numbers, .*'estimate_values'",
    "short": "short texts",
    "chat": "texts that are written anew",
}


def answers(name: str, count: int = 60) -> list[str]:
    draw = random.Random(0)
    return [KINDS[name][1](draw, row["text"]) for row in rows(count)]


@pytest.mark.parametrize("name", KINDS)
def test_what_is_no_label(name: str) -> None:
    assert kind_of_answers(answers(name)) == KINDS[name][0]
    assert kind_of_answers(["", " ", *answers(name)]) == KINDS[name][0], "what nobody answered says nothing"


@pytest.mark.parametrize(
    "told",
    [
        [row["label"] for row in rows(60)],
        [str(number % 5) for number in range(60)],  # stars
        [f"label {number % 40}" for number in range(100)],  # most of them twice or three times
        [json.dumps({"intent": row["label"], "urgent": number % 2}) for number, row in enumerate(rows(60))],
        answers("chat", 9),  # too few to say
        [],
    ],
)
def test_what_may_be_labels(told: list[str]) -> None:
    assert kind_of_answers(told) == "classify_text"


def test_a_few_that_differ_do_not_matter() -> None:
    labels = [row["label"] for row in rows(60)]
    assert kind_of_answers([*labels, *answers("chat", 30)]) == "classify_text"
    assert kind_of_answers([*labels[:8], *answers("chat", 60)]) == "chat"


@pytest.mark.parametrize("name", [name for name, (kind, _) in KINDS.items() if kind in SAID])
def test_training_stops_before_anything_is_written(name: str, tmp_path: Path) -> None:
    path, project = tmp_path / "past.jsonl", tmp_path / "project"
    project.mkdir()
    with path.open("w", encoding="utf-8") as file:
        for row, answer in zip(rows(60), answers(name), strict=True):
            messages = [
                ("system", "Do the work that you are told to do here."),
                ("user", row["text"]),
                ("assistant", answer),
            ]
            file.write(json.dumps({"messages": [{"role": role, "content": text} for role, text in messages]}) + "\n")
    with pytest.raises(DataError, match=f"'past.jsonl' are {SAID[KINDS[name][0]]}.*--kind generate_text"):
        shokunin.train(path, project=project)
    assert not list(project.rglob("*")), "nothing was written"


def test_rows_of_a_table_and_other_columns_are_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "past.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for row, answer in zip(rows(60), answers("chat"), strict=True):
            messages = [{"role": "user", "content": row["text"]}, {"role": "assistant", "content": answer}]
            file.write(json.dumps({"messages": messages, "team": row["label"]}) + "\n")
    dataset, _ = pipeline.curate(path, target="team", project=tmp_path)
    assert dataset.labels == ("delivery", "invoice", "refund")
