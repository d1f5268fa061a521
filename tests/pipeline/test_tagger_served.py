# ruff: noqa: E402  (torch may be absent: the file is then skipped before it imports anything that needs it)
"""A token tagger from rows to a served specialist, beside the reader of candidates and together with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

import shokunin
from shokunin.encoders.tiny_model import write_tiny_model
from shokunin.files import read_json

pytestmark = [pytest.mark.torch, pytest.mark.slow]

LETTERS = "abcdefgh"


def slips(count: int) -> list[dict[str, str]]:
    made = []
    for row in range(count):
        code = "".join(LETTERS[(row * n + row // 8) % 8] for n in (1, 3, 5)) + LETTERS[row % 8]
        total = f"{10 + row * 7 % 89}.50"
        text = f"o {'jklmnopq'[row % 8]}{row % 10}\nx {code}\ns {total}\nv {11 + row * 5 % 80}.99"
        made.append({"document": text, "answer": json.dumps({"code": code, "sum": total})})
    return made


def test_it_is_chosen_among_rungs_served_and_answers_as_it_was_proved(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.mktemp("tiny")
    write_tiny_model(base)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        specialist = shokunin.train(
            slips(240), name="slips", kind="extract_fields", learners=["field_tagger"], base=str(base), project=tmp_path
        )
    finally:
        torch.set_num_threads(before)
    assert specialist.weights.format == "field_tagger"
    report = read_json(specialist.folder / "report.json")
    assert report["replay"]["rows"] > 0 and report["replay"]["disagreements"] == 0
    answer = specialist.predict({"document": "o q5\nx abcd\ns 77.50\nv 12.99"})
    told = answer.details["fields"]
    assert json.loads(answer.value or "{}").keys() == {"code", "sum"} and told["sum"]["value"] == "77.50"
    assert told["sum"]["span"] == [14, 19]
