"""What a language model is taught of fields is what decoding lets it write: for all types, and with a model really trained."""

from __future__ import annotations

import json
import random
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin.calibration import Calibration
from shokunin.dataset import Example
from shokunin.errors import TaskError
from shokunin.fields.schema import TYPES
from shokunin.forms import Conversations
from shokunin.language.json_grammar import grammar
from shokunin.progress import silent
from shokunin.serve.json_schema import is_valid
from shokunin.task import Task
from shokunin.tasks import extract_fields as kind

PLAIN = tuple(t for t in TYPES if t != "list")
NAMES = ("total", "合計", 'a "b"', "due on", "nr")
PIECE = re.compile(r'"(?P<text>(?:\\.|[^"\\])*)"|\[(?:\\.|[^\]\\])*\]|(?P<rule>[A-Za-z_]\w*)|\s+|.')

ONE = st.sampled_from(PLAIN)
TOLD = st.dictionaries(
    st.sampled_from(NAMES), ONE | st.dictionaries(st.sampled_from(NAMES), ONE, min_size=1), min_size=1
)
VALUES = (
    st.none()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    | st.sampled_from(["25/12/2018", "RM 1,234.50", "¥1,234-", "", " ", "null"])
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
)


def task_of(fields: dict[str, Any], **options: Any) -> Task:
    return Task("receipts", "extract_fields", target="answer", options={"fields": fields, **options})


def gathered(task: Task, answer: str, text: str = "TOTAL 9.00") -> Example:
    [example] = kind.gather(task, [("a:1", {"text": text, "answer": answer})])
    return example


@cache
def written_by(schema: str) -> re.Pattern[str]:
    """All texts that the grammar of a schema lets through; of those within a schema of fields none contains itself."""
    rules = dict(line.split(" ::= ", 1) for line in grammar(schema).splitlines() if " ::= " in line)

    def spelled(piece: re.Match[str]) -> str:
        if piece["rule"]:
            return f"(?:{PIECE.sub(spelled, rules[piece['rule']])})"
        if piece["text"] is not None:
            return re.escape(re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m[1], m[1]), piece["text"]))
        return piece[0].strip()

    return re.compile(PIECE.sub(spelled, rules["root"]))


@st.composite
def answers(draw: st.DrawFn, told: dict[str, Any]) -> dict[str, Any]:
    """An answer as anybody may write it: in any order, with parts left out."""
    out = {}
    for name in draw(st.permutations(sorted(told))):
        if draw(st.booleans()) or draw(st.booleans()):
            parts = told[name]
            out[name] = draw(st.none() | st.lists(answers(parts), max_size=3) if isinstance(parts, dict) else VALUES)
    return out


@given(st.data())
def test_every_lesson_can_be_written_where_it_is_decoded(data: st.DataObject) -> None:
    task = task_of(data.draw(TOLD))
    example = gathered(task, json.dumps(data.draw(answers(task.options["fields"]))))
    assert example.problem is None
    if example.expected is None:
        return
    codec = kind.FieldsCodec(task, Calibration())
    lessons = codec.lessons([example], "conversation")
    assert isinstance(lessons, Conversations)
    schema, taught = lessons.asked[0].schema or "", lessons.answers[0]
    assert written_by(schema).fullmatch(taught), taught
    assert is_valid(json.loads(taught), json.loads(schema))
    assert codec.correct(example.expected, taught), "what is taught is what the row says"


@pytest.mark.parametrize(
    ("type", "value", "taught"),
    [
        ("money", 10.5, "10.5"),
        ("number", 3, "3"),
        ("money", "10.50", '"10.50"'),
        ("money", 10.125, "10.125"),
        ("number", 12345678901234567890, '"12345678901234567890"'),
        ("id", 711, '"711"'),
        ("text", 10.5, '"10.5"'),
        ("money", None, "null"),
    ],
)
def test_amounts_stay_the_numbers_that_the_rows_have(type: str, value: Any, taught: str) -> None:
    task = task_of({"f": type})
    example = gathered(task, json.dumps({"f": value}))
    lessons = kind.FieldsCodec(task, Calibration()).lessons([example], "conversation")
    assert isinstance(lessons, Conversations) and lessons.answers == (f'{{"f": {taught}}}',)


def test_what_no_grammar_allows_is_no_lesson() -> None:
    allowed = written_by(json.dumps({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}))
    assert allowed.fullmatch('{"a": "x\\n"}') and not allowed.fullmatch('{"a": 10.5}')


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ('{"total": true}', "'total' of the answer is true; expected a text or a number"),
        ('{"total": NaN}', "not a JSON object"),
        ('{"total": -1e999}', "not a JSON object"),
        ('{"lines": [{"what": "nut", "tax": 1}]}', "'lines' of the answer has rows with 'tax'"),
        ('{"lines": [{"what": false}]}', "'what' of the answer is false"),
        ('{"lines": [{"what": ["nut"]}]}', "'what' of the answer is no single value"),
    ],
)
def test_answers_that_no_model_may_write_are_set_aside(answer: str, reason: str) -> None:
    task = task_of({"total": "money", "lines": {"what": "text"}})
    example = gathered(task, answer)
    assert example.expected is None and reason in (example.problem or "")
    verdict = kind.FieldsCodec(task, Calibration()).verify({"text": "x"}, answer)
    assert verdict is not None and reason in verdict


def test_a_field_of_true_and_false_is_refused_as_in_a_schema() -> None:
    rows = [{"text": f"TOTAL {n}", "answer": json.dumps({"total": n, "paid": n % 2 == 0})} for n in range(8)]
    said = "has the type 'boolean'; expected string, number, integer or array; have true and false written as texts"
    with pytest.raises(TaskError, match=f"the field 'paid' of the answers {said}"):
        kind.settle(Task("receipts", "extract_fields", target="answer"), rows)
    with pytest.raises(TaskError, match=f"the property 'paid' of the JSON Schema {said}"):
        kind.check(task_of({"type": "object", "properties": {"paid": {"type": "boolean"}}}))


SCHEMA = {"type": "object", "properties": {"total": {"type": "number"}, "day": {"type": "string", "format": "date"}}}


@pytest.mark.parametrize("fields", [SCHEMA, {"total": "money", "day": "date"}], ids=["JSON Schema", "types"])
def test_a_column_for_each_field_shows_what_is_in_the_document_and_how_dates_are_read(fields: dict[str, Any]) -> None:
    rows = [
        {"text": f"03/{day}/2018\nTOTAL {day}.50", "total": f"{day}.50", "day": f"03/{day}/2018"}
        for day in range(13, 29)
    ]
    settled = kind.settle(task_of(fields), rows)
    assert settled.options["grounded"] == ["total", "day"]
    assert settled.options["date_order"] == "mdy"


def test_a_list_may_stand_in_its_column_as_json() -> None:
    task = task_of({"total": "money", "lines": {"what": "text"}})
    row = {"text": "nut 1.00", "total": "1.00", "lines": '[{"what": "nut"}]'}
    [fine] = kind.gather(task, [("a:1", row)])
    assert json.loads(fine.expected or "") == {"total": "1.00", "lines": [{"what": "nut"}]}
    [wrong] = kind.gather(task, [("a:2", {**row, "lines": "nut"})])
    assert wrong.expected is None and "no list of objects" in (wrong.problem or "")


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
def test_a_trained_model_writes_what_it_was_taught_under_its_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for needed in ("torch", "peft", "gguf", "openvino_genai"):
        pytest.importorskip(needed)
    from shokunin.engines import language_model
    from shokunin.train import causal_lora
    from tiny_decoder import tiny_decoder

    monkeypatch.setenv("SHOKUNIN_CACHE", str(tmp_path / "cache"))
    answer = {"nr": 7, "total": 10.5}
    draw = random.Random(0)
    rows = [{"text": f"bill {draw.randint(1, 99)} of 10.5", "answer": json.dumps(answer)} for _ in range(24)]
    task = kind.settle(Task("bills", "extract_fields", target="answer", options={"grounded": []}), rows)
    assert task.options["fields"] == {"nr": "number", "total": "money"}
    codec = kind.FieldsCodec(task, Calibration())
    examples = list(kind.gather(task, [(f"a:{n}", row) for n, row in enumerate(rows)]))
    lessons = codec.lessons(examples, "conversation")
    assert isinstance(lessons, Conversations)
    options = causal_lora.Options(
        base=str(tiny_decoder(tmp_path / "tiny", sure=0.3)), r=16, lora_alpha=32, bf16=False, num_train_epochs=60,
        per_device_train_batch_size=24, learning_rate=0.02, validation_split=0, file_type="f16",
    )  # fmt: skip
    (tmp_path / "weights").mkdir()
    weights = causal_lora.fit(lessons, options, tmp_path / "weights", seed=0, progress=silent)
    written = language_model.load(weights).run(lessons.asked[:3])
    given = codec.decode(written, "bills@1", [example.inputs for example in examples[:3]])
    assert [one.problem for one in given] == [None] * 3
    assert [json.loads(one.value or "") for one in given] == [answer] * 3
    assert all(np.exp(sum(one.logprobs)) > 0.5 for one in written), (
        "what decoding enforces is what it would write anyway"
    )
