"""Documents to fields: what is read off the rows, what is set aside, what an answer says, and what counts as right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin.calibration import Calibration, Promise
from shokunin.errors import TaskError
from shokunin.forms import Conversations, FieldLessons, Found, Written
from shokunin.task import Task, read_task, task_to_toml
from shokunin.tasks import extract_fields as kind

TEXT = "ACME LTD\nDATE: 25/12/2018\nTOTAL 9.00"
FIELDS = {"company": "text", "date": "date", "total": "money"}
RIGHT = json.dumps({"company": "ACME LTD", "date": "25/12/2018", "total": "9.00"})


def task_of(**options: Any) -> Task:
    return Task("receipts", "extract_fields", target="answer", options={"fields": FIELDS, **options})


def codec(calibration: Calibration | None = None, **options: Any) -> kind.FieldsCodec:
    return kind.FieldsCodec(task_of(**options), calibration or Calibration())


def found(**values: Any) -> dict[str, Found]:
    return {name: Found(value, 3.0, (0, 8) if name == "company" else None) for name, value in values.items()}


def test_fields_and_date_order_are_read_off_the_rows(tmp_path: Path) -> None:
    rows = [{"text": TEXT.replace("25", f"{day}"), "answer": RIGHT.replace("25", f"{day}")} for day in (13, 25, 28)]
    task = kind.settle(Task("receipts", "extract_fields", target="answer"), rows)
    assert task.options["fields"] == FIELDS and task.options["date_order"] == "dmy"
    assert task.options["grounded"] == ["company", "date", "total"]
    path = tmp_path / "task.toml"
    path.write_text(task_to_toml(task))
    assert read_task(path) == task and kind.check(read_task(path)) is None


def test_recorded_answers_may_stand_in_a_fence() -> None:
    rows = [{"text": TEXT, "answer": f"```json\n{RIGHT}\n```"}]
    task = kind.settle(Task("receipts", "extract_fields", target="answer"), rows)
    assert task.options["fields"] == FIELDS
    [example] = kind.gather(task, [("a:2", rows[0])])
    assert (example.expected, example.problem) == (RIGHT, None)


@pytest.mark.parametrize(
    ("layout", "fine"), [("portrait", False), ("[null]", False), ("[null, null, null]", True), ("", True)]
)
def test_a_layout_of_something_else_is_set_aside(layout: str, fine: bool) -> None:
    [example] = kind.gather(task_of(), [("a:2", {"text": TEXT, "answer": RIGHT, "layout": layout})])
    assert (example.problem is None) is fine


def test_a_field_that_documents_do_not_say_is_not_grounded() -> None:
    answers = [json.dumps({"company": "ACME LTD", "currency": "Malaysian ringgit"}) for _ in range(4)]
    rows = [{"text": TEXT, "answer": answer} for answer in answers]
    task = kind.settle(Task("receipts", "extract_fields", target="answer"), rows)
    assert task.options["grounded"] == ["company"]


def test_without_any_answer_nobody_knows_the_fields() -> None:
    with pytest.raises(TaskError, match="--target company,date,total"):
        kind.settle(Task("receipts", "extract_fields", target="answer"), [{"text": "x", "answer": ""}])


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("9.00", "not a JSON object"),
        ("[1]", "not a JSON object"),
        ('{"company": "A", "tax": "1"}', "'tax' that the task has not"),
        ('{"company": ["A"]}', "'company' of the answer is no single value"),
    ],
)
def test_answers_that_break_their_schema_are_set_aside_with_the_reason(answer: str, reason: str) -> None:
    [example] = kind.gather(task_of(), [("a:1", {"text": TEXT, "answer": answer})])
    assert example.expected is None and example.problem is not None and reason in example.problem


def test_a_row_may_have_a_column_for_each_field_and_places() -> None:
    row = {"text": TEXT, "company": "ACME LTD", "date": "", "total": "9.00", "layout": "[]"}
    [example] = kind.gather(task_of(), [("a:1", row)])
    assert json.loads(example.expected or "") == {"company": "ACME LTD", "date": None, "total": "9.00"}
    assert example.inputs == {"text": TEXT, "layout": "[]"}
    [empty] = kind.gather(task_of(), [("a:2", {"text": TEXT, "company": "", "date": "", "total": ""})])
    assert empty.expected is None and empty.problem is None


def test_unknown_options_are_named() -> None:
    with pytest.raises(TaskError, match=r"colour.*known are fields"):
        kind.check(task_of(colour="red"))
    with pytest.raises(TaskError, match="nonsense"):
        kind.check(Task("receipts", "extract_fields", options={"fields": {"a": "nonsense"}}))


def test_both_forms_hold_the_same_lessons() -> None:
    [example] = kind.gather(task_of(), [("a:1", {"text": TEXT, "answer": RIGHT})])
    fields = codec().lessons([example])
    talk = codec().lessons([example], "conversation")
    assert isinstance(fields, FieldLessons) and isinstance(talk, Conversations)
    assert fields.documents[0].text == TEXT and fields.expected[0] == json.loads(talk.answers[0])
    assert json.loads(talk.asked[0].schema or "")["required"] == list(FIELDS)


def test_an_answer_is_json_with_every_field_and_says_where_each_came_from() -> None:
    raw = [found(company="ACME LTD", date=None, total="9.00")]
    [answer] = codec().decode(raw, "receipts@1")
    assert json.loads(answer.value or "") == {"company": "ACME LTD", "date": None, "total": "9.00"}
    assert answer.details["fields"]["company"]["span"] == [0, 8]
    assert 0.94 < answer.details["fields"]["total"]["confidence"] < 0.96
    assert answer.confidence < min(f["confidence"] for f in answer.details["fields"].values())


def test_a_written_value_that_the_document_does_not_say_is_never_given() -> None:
    text = json.dumps({"company": "ACME LTD", "date": "24/12/2018", "total": "9.00"})
    strict, loose = codec(grounded=["date"]), codec()
    [given] = strict.decode([Written(text, (-0.1,))], "x", [{"text": TEXT}])
    assert json.loads(given.value or "")["date"] is None
    assert given.details["fields"]["total"]["span"] == [TEXT.index("9.00"), len(TEXT)]
    [free] = loose.decode([Written(text, (-0.1,))], "x", [{"text": TEXT}])
    assert json.loads(free.value or "")["date"] == "24/12/2018"
    assert "'date' is '24/12/2018'" in (strict.verify({"text": TEXT}, text) or "")


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (Written("no JSON", (-0.1,)), "not a JSON object"),
        (Written('{"company": "AC', (-0.1,), finished=False), "did not end"),
        (Written("", problem="the prompt has 9,000 tokens"), "9,000 tokens"),
    ],
)
def test_what_is_no_answer_is_a_problem(written: Written, problem: str) -> None:
    [answer] = codec().decode([written], "x", [{"text": TEXT}])
    assert answer.value is None and problem in (answer.problem or "") and not answer.sure


def test_right_is_what_says_the_same() -> None:
    same = json.dumps({"company": "Acme Ltd.", "date": "25 DEC 2018", "total": "RM 9.00"})
    other = json.dumps({"company": "ACME LTD", "date": "25/12/2018", "total": "9.10"})
    one = codec()
    assert one.correct(RIGHT, same) and not one.correct(RIGHT, other) and not one.correct(RIGHT, None)
    scores = one.scores([RIGHT, RIGHT], [same, other], [0, 1])
    assert scores["field_f1"].value == pytest.approx(5 / 6) and scores["document_exact"].value == 0.5
    assert scores["f1[total]"].value == 0.5 and scores["f1[date]"].value == 1
    assert one.scores([RIGHT], [None], [0])["field_f1"].value == 0
    empty = json.dumps(dict.fromkeys(FIELDS))
    assert one.scores([empty], [None], [0])["document_exact"].value == 0, (
        "not to answer is not to say that nothing is there"
    )


def test_two_readers_are_compared_pair_by_pair() -> None:
    wrong = RIGHT.replace("9.00", "1.00")
    found = codec().compare([RIGHT] * 40, [wrong] * 40, [RIGHT] * 40, list(range(40)))
    assert found.difference.value == pytest.approx(-1 / 3) and found.p_worse < 0.01 < found.p_better


def test_a_promise_decides_what_is_sure() -> None:
    promise = Promise(0.9, 0.5, 0.05, 0.95, 300, True)
    raw = [found(company="A", date="B", total="C")]
    assert not codec(Calibration(promise=promise)).decode(raw, "x")[0].sure
    assert codec(Calibration(promise=promise, offset=3.0)).decode(raw, "x")[0].sure


def test_chat_carries_text_or_text_with_places() -> None:
    one = codec()
    said = json.dumps({"text": TEXT, "layout": "[null, null, null]"})
    assert one.read_chat([{"role": "user", "content": TEXT}]) == {"text": TEXT}
    assert one.read_chat([{"role": "user", "content": said}])["layout"] == "[null, null, null]"
    assert "they must agree" in (one.problem({"text": TEXT, "layout": "[null]"}) or "")
    assert one.problem({"text": TEXT, "layout": "nonsense"}) is not None


def test_a_large_models_reply_is_read_with_or_without_a_fence() -> None:
    one = codec()
    assert one.read_reply(f"```json\n{RIGHT}\n```") == one.read_reply(RIGHT) == RIGHT
    assert one.read_reply(f"Here it is: {RIGHT}\nAnything else?") == RIGHT
    assert one.read_reply("I cannot read it.") is None
    assert one.read_reply(f"{RIGHT} or {RIGHT}") is None, "which of them it means, nobody knows"
    assert "company (text)" in one.ask_chat({"text": TEXT})[0]["content"]


@given(st.text(max_size=80))
def test_any_text_as_an_answer_is_read_or_refused(text: str) -> None:
    [answer] = codec().decode([Written(text, (-0.5,))], "x", [{"text": TEXT}])
    assert (answer.value is None) == (answer.problem is not None)
    assert np.isfinite(codec().evidence([Written(text, (-0.5,))])).all()
