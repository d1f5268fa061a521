"""How a specialist for labels speaks: it reads a request, answers in the recorded shape, asks and understands others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shokunin.answer import Answer
from shokunin.calibration import Calibration
from shokunin.errors import TaskError
from shokunin.files import write_json
from shokunin.task import Task
from shokunin.tasks import Codec, kind
from shokunin.tasks.classify_text import TextCodec
from shokunin.template import Template, TemplateMessage
from shokunin.template.labels import plain_question

SHOP = "You sort messages of our shop. The labels: parcel_status, refund."
LABELS = ("parcel_status", "refund")
JSON = Template(
    (TemplateMessage("system", SHOP), TemplateMessage("user", "Text: {{text}}\nLabel:")),
    reply='{"intent": "{{answer}}"}',
    spellings={"none_of_these": '{"intent": null}'},
)
FIELDS = Template(
    (TemplateMessage("user", f"{SHOP}\nSubject: {{{{subject}}}}\nBody: {{{{body}}}}\nLevel: {{{{_level}}}}"),)
)


def codec(template: Template | None = None, calibration: Calibration | None = None, **task: Any) -> Codec:
    inputs = ("text",) if template is None else template.inputs
    return TextCodec(Task("inquiries", inputs=inputs, template=template, **task), LABELS, calibration or Calibration())


def said(role: str, text: Any) -> dict[str, Any]:
    return {"role": role, "content": text}


def test_the_kind_gives_the_codec_its_task_s_template(tmp_path: Path) -> None:
    write_json(tmp_path / "labels.json", list(LABELS))
    made = kind("classify_text").codec(Task("inquiries", template=JSON), tmp_path)
    assert made.write_chat(Answer("refund", 1.0, "x"), JSON) == '{"intent": "refund"}'


def test_a_request_in_the_recorded_wording_is_read_by_its_slots() -> None:
    for text in ("where is it?", "", "Text: x\nLabel:"):
        messages = JSON.render({"text": text})
        assert codec(JSON).read_chat(messages) == {"text": text}
        assert codec(JSON).phrased(messages) == JSON
    values = {"subject": "a", "body": "b", "_level": "gold"}
    assert codec(FIELDS).read_chat(FIELDS.render(values)) == {"subject": "a", "body": "b"}


def test_any_other_request_is_read_as_without_a_template() -> None:
    for template in (None, JSON):
        messages = [said("system", "Hi."), said("user", "first"), said("assistant", "x"), said("user", "where is it?")]
        assert codec(template).read_chat(messages) == {"text": "where is it?"}
        assert not codec(template).phrased(messages)
        with pytest.raises(TaskError, match="no user message"):
            codec(template).read_chat([said("system", SHOP)])
    assert codec(FIELDS).read_chat([said("user", '{"subject": "a", "body": "b"}')]) == {"subject": "a", "body": "b"}
    with pytest.raises(TaskError, match="a JSON object with the text fields 'subject', 'body'"):
        codec(FIELDS).read_chat([said("user", "a")])


def test_a_bare_text_does_not_ask_for_the_recorded_shape() -> None:
    bare = Template((TemplateMessage("user", "{{text}}"),), reply="Category: {{answer}}")
    assert not codec(bare).phrased([said("user", "where is it?")])
    assert codec(bare).read_chat([said("user", "where is it?")]) == {"text": "where is it?"}


@pytest.mark.parametrize(
    ("template", "value", "bare", "shaped"),
    [
        (None, "refund", "refund", "refund"),
        (None, None, "", ""),
        (JSON, "refund", "refund", '{"intent": "refund"}'),
        (JSON, "none_of_these", "none_of_these", '{"intent": null}'),
        (JSON, None, "", ""),
    ],
)
def test_replies(template: Template | None, value: str | None, bare: str, shaped: str) -> None:
    answer = Answer(value, 0.9, "inquiries@1")
    assert codec(template).write_chat(answer) == bare
    assert codec(template).write_chat(answer, template) == shaped


def test_none_of_these_is_said_in_the_application_s_words() -> None:
    template = Template(JSON.messages, reply="Category: {{answer}}")
    answer = Answer("none_of_these", 0.4, "inquiries@1")
    assert codec(template, none_labels=("other",)).write_chat(answer, template) == "Category: other"
    assert codec(template).write_chat(answer, template) == "Category: none_of_these"


@pytest.mark.parametrize(
    ("template", "reply", "label"),
    [
        (None, "refund", "refund"),
        (None, "The label is: parcel status.", "parcel_status"),
        (None, "none of these", "none_of_these"),
        (None, "oos", "oos"),
        (None, "I cannot say.", None),
        (None, "refund or parcel_status", None),
        (JSON, '{"intent": "refund"}', "refund"),
        (JSON, '```json\n{"intent": "Parcel Status"}\n```', "parcel_status"),
        (JSON, '{"intent": null}', "none_of_these"),
        (JSON, "refund", "refund"),
        (JSON, "It is a refund.", "refund"),
        (JSON, '{"intent": "exchange", "instead": "refund"}', None),  # what it answers is no label
        (JSON, '{"intent": "exchange"}', None),
        (JSON, "", None),
    ],
)
def test_what_a_reply_means(template: Template | None, reply: str, label: str | None) -> None:
    assert codec(template).read_reply(reply) == label


@pytest.mark.parametrize("template", [None, JSON])
@pytest.mark.parametrize("label", LABELS)
def test_its_own_replies_are_understood(template: Template | None, label: str) -> None:
    own = codec(template)
    for wording in (template, None):
        assert own.read_reply(own.write_chat(Answer(label, 1.0, "x"), wording)) == label


LETTERS = Template(
    (TemplateMessage("user", f"{SHOP}\nP or R? {{{{text}}}}"),),
    reply="-{{answer}}-",
    spellings={"parcel_status": "P", "refund": "R"},
)


def test_several_wordings_each_with_its_own_replies() -> None:
    own = TextCodec(Task("inquiries", template=JSON, wordings=(LETTERS,)), LABELS, Calibration())
    for wording, reply in ((JSON, '{"intent": "refund"}'), (LETTERS, "R")):
        asked = wording.render({"text": "where is it?"})
        assert own.phrased(asked) == wording and own.read_chat(asked) == {"text": "where is it?"}
        assert own.write_chat(Answer("refund", 1.0, "x"), wording) == reply
        assert own.ask_chat({"text": "where is it?"}, wording) == asked
        assert own.read_reply(reply, wording) == "refund"
    assert own.read_reply("R") is None, "the most used wording has no such reply"
    assert own.ask_chat({"text": "x"}) == JSON.render({"text": "x"})


def test_of_two_wordings_that_fit_the_one_that_says_more_is_meant() -> None:
    longer = Template((JSON.messages[0], TemplateMessage("user", "Text: {{text}}\nLabel:")), reply="Label {{answer}}")
    shorter = Template((JSON.messages[0], TemplateMessage("user", "{{text}}")))
    for templates in ((longer, shorter), (shorter, longer)):
        own = TextCodec(Task("inquiries", template=templates[0], wordings=templates[1:]), LABELS, Calibration())
        assert own.phrased(longer.render({"text": "x"})) == longer
        assert own.read_chat(longer.render({"text": "x"})) == {"text": "x"}
        assert own.phrased(shorter.render({"text": "x"})) == shorter


def test_a_large_model_is_asked_as_the_application_asks_it_or_in_plain_words() -> None:
    assert codec(JSON).ask_chat({"text": "x"}) == JSON.render({"text": "x"})
    assert codec().ask_chat({"text": "x"}) == plain_question({"text": "x"}, LABELS)
    told, asked = codec(FIELDS).ask_chat({"subject": "a", "body": "b"})  # nobody says what `_level` is
    assert "- refund\n" in told["content"] and "none_of_these" not in told["content"]
    assert asked == said("user", "subject: a\nbody: b")
    declines = codec(calibration=Calibration(scope_threshold=0.1))
    assert "- none_of_these\n" in declines.ask_chat({"text": "x"})[0]["content"]
