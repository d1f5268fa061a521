"""What a `task.toml` or a manifest may say of a task, and what is said when it says something else."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin.errors import TaskError
from shokunin.task import Task, read_task, task_from_dict, task_to_dict, task_to_toml
from shokunin.template import Template, TemplateMessage
from shokunin.template.pattern import escape


def test_there_and_back() -> None:
    task = Task("inquiries", inputs=("subject", "text"), group="customer", target_score=0.9, none_labels=())
    assert task_from_dict(task_to_dict(task)) == task


def test_one_text_stands_for_a_list_of_one() -> None:
    task = task_from_dict({"name": "x", "inputs": "body", "none_labels": "other"})
    assert (task.inputs, task.none_labels) == (("body",), ("other",))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": 3}, "'name' in task is a text, not 3"),
        ({"name": ""}, "1 to 100"),
        ({"name": "x" * 101}, "1 to 100"),
        ({"name": "Größe"}, "lower case"),
        ({"kind": "classify"}, "did you mean 'classify_text'"),
        ({"kind": 3}, "'kind' in task is a text"),
        ({"inputs": []}, "no input column"),
        ({"inputs": [3]}, r"'inputs' in task is a list of texts, not \(3,\)"),
        ({"inputs": None}, "'inputs' in task is a list of texts"),
        ({"none_labels": {"a": 1}}, "'none_labels' in task is a list of texts"),
        ({"target": "text"}, "both an input and the target"),
        ({"target": None}, "'target' in task is a text"),
        ({"group": 3}, "'group' in task is a text"),
        ({"metric": "f1"}, "unknown metric 'f1'"),
        ({"max_error": "5 %"}, "'max_error' in task is a number"),
        ({"max_error": True}, "'max_error' in task is a number"),
        ({"max_error": 5}, "between 0 and 1, not 5"),
        ({"promise_confidence": float("nan")}, "between 0 and 1"),
        ({"target_score": "high"}, "'target_score' in task is a number"),
        ({"target_score": 90}, "share from 0 to 1, not 90; 90 % is 0.9"),
        ({"target_score": float("nan")}, "share from 0 to 1"),
        ({"metrics": "accuracy"}, "unknown key 'metrics'.*did you mean 'metric'"),
    ],
)
def test_what_does_not_fit(change: dict[str, Any], said: str) -> None:
    with pytest.raises(TaskError, match=said):
        task_from_dict({"name": "x", **change})


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "task.toml"
    with pytest.raises(TaskError, match="shokunin init"):
        read_task(path)
    path.write_bytes(b'\xef\xbb\xbfname = "inquiries"\r\n')
    assert read_task(path) == Task("inquiries")
    path.write_text("name = ")
    with pytest.raises(TaskError, match="not TOML"):
        read_task(path)
    path.write_text("")
    with pytest.raises(TaskError, match="has no `name`"):
        read_task(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(value=st.dictionaries(st.sampled_from([*Task.__dataclass_fields__, "other"]), JSON, max_size=4))
def test_anything_gives_a_task_or_our_own_error(value: dict[str, Any]) -> None:
    try:
        task = task_from_dict({"name": "x", **value})
    except TaskError:
        return
    assert all(isinstance(name, str) for name in (*task.inputs, *task.none_labels, task.target))


def test_a_template_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "task.toml"
    path.write_text(
        """
name = "inquiries"
inputs = ["subject", "body"]

[template]
models = ["gpt-4o-mini"]
reply = '{"intent": "{{answer}}"}'

[[template.messages]]
role = "system"
pattern = "Sort the mail."

[[template.messages]]
role = "user"
pattern = \"\"\"
Subject: {{subject}}
Body: {{body}}\"\"\"

[template.spellings]
other = '{"intent": null}'
""",
        encoding="utf-8",
    )
    task = read_task(path)
    assert task.template is not None
    assert task.template.messages[1].pattern == "Subject: {{subject}}\nBody: {{body}}"
    assert task.template.models == ("gpt-4o-mini",) and task.template.is_json
    assert task.template.write("other") == '{"intent": null}'
    assert task_from_dict(json.loads(json.dumps(task_to_dict(task)))) == task
    assert hash(task) == hash(read_task(path))


def test_a_task_without_template_is_written_as_before_there_were_any() -> None:
    assert "template" not in task_to_dict(Task("x"))
    assert task_from_dict({"name": "x", "template": None}) == Task("x")


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("Text: {{text}}", "`template` of task is a table"),
        (
            {"messages": [{"role": "user", "pattern": "{{body}}"}]},
            r"slots \('body',\), the task the inputs \('text',\)",
        ),
        ({"messages": [{"role": "user", "pattern": "{{text}}"}], "replies": ""}, "'replies'.*did you mean 'reply'"),
    ],
)
def test_a_template_that_does_not_fit(template: Any, said: str) -> None:
    with pytest.raises(TaskError, match=said):
        task_from_dict({"name": "x", "template": template})


OLD = Template((TemplateMessage("user", "Sort this mail: {{text}}"),), ("gpt-4o",))
NEW = Template(
    (TemplateMessage("system", "Today is {{_date}}. Sort the mail."), TemplateMessage("user", "{{text}}")),
    ("gpt-4o-mini",),
    '{"intent": "{{answer}}"}',
    {"other": '{"intent": null}'},
)


def test_several_wordings_there_and_back() -> None:
    task = Task("x", template=NEW, wordings=(OLD,))
    assert task.templates == (NEW, OLD) and Task("x").templates == ()
    assert task_from_dict(json.loads(json.dumps(task_to_dict(task)))) == task
    assert "wordings" not in task_to_dict(Task("x", template=NEW))
    assert task_from_dict({"name": "x", "wordings": []}) == Task("x")


def test_wordings_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "task.toml"
    path.write_text(
        """
name = "inquiries"
[[template.messages]]
role = "user"
pattern = "Sort this mail: {{text}}"

[[wordings]]
reply = "Category: {{answer}}"
[[wordings.messages]]
role = "developer"
pattern = "Sort the mail."
[[wordings.messages]]
role = "user"
pattern = "{{text}}"

[[wordings]]
models = ["gpt-5"]
[[wordings.messages]]
role = "user"
pattern = "Which department gets this: {{text}}"
"""
    )
    task = read_task(path)
    assert [t.roles for t in task.templates] == [("user",), ("system", "user"), ("user",)]
    assert [t.reply for t in task.wordings] == ["Category: {{answer}}", "{{answer}}"]
    assert task.wordings[1].models == ("gpt-5",)


def _plain(pattern: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "pattern": pattern}], **more}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"wordings": [_plain("b {{text}}")]}, "has `wordings` but no `template`"),
        (
            {"template": _plain("a {{text}}"), "wordings": _plain("b {{text}}")},
            r"a list of tables; write \[\[wordings\]\]",
        ),
        ({"template": _plain("a {{text}}"), "wordings": ["b {{text}}"]}, r"`wordings\[0\]` of task is a table"),
        (
            {"template": _plain("a {{text}}"), "wordings": [_plain("b {{text}}"), _plain("{{text}}", replys="x")]},
            r"'replys' in `wordings\[1\]` of task.*did you mean 'reply'",
        ),
        (
            {"template": _plain("a {{text}}"), "wordings": [_plain("b {{body}}")]},
            r"a wording of task 'x' has the slots",
        ),
        (
            {"template": _plain("a {{text}}"), "wordings": [_plain("a {{text}}", models=["m"])]},
            "two wordings of task 'x' have the same messages",
        ),
        ({"wording": []}, "unknown key 'wording'.*did you mean 'wordings'"),
    ],
)
def test_wordings_that_do_not_fit(given: dict[str, Any], said: str) -> None:
    with pytest.raises(TaskError, match=said):
        task_from_dict({"name": "x", **given})


WRITTEN = """\
# What one task is.
name = "mail"                  # also the specialist's name
kind = "classify_text"         # which sort of work
inputs = ["text"]              # the columns to read
target = "label"               # the column with the answer
# group = "customer"           # rows with one value here stay on one side of every split
# time = "received"            # the newest rows are the test, instead of rows at random
metric = "accuracy"            # what the verdict is about; for labels also macro_f1, when rare ones count as much as common ones
# target_score = 0.9           # pass only if the lower end of the metric's 95 % interval reaches this
max_error = 0.05               # of the answers given without asking a large model, at most this share may be wrong …
promise_confidence = 0.95      # … with this probability
none_labels = ["other"]        # labels that mean "none of these"

# How the application phrases it: {{name}} is where something else stands each time.
[template]
models = ["gpt-4o-mini"]
reply = '{"intent": "{{answer}}"}'

[[template.messages]]
role = "system"
pattern = "Today is {{_date}}. Sort the mail."

[[template.messages]]
role = "user"
pattern = "{{text}}"

[template.spellings]
other = '{"intent": null}'

# Another version of the prompt, with replies of its own shape.
[[wordings]]
models = ["gpt-4o"]
reply = "{{answer}}"

[[wordings.messages]]
role = "user"
pattern = "Sort this mail: {{text}}"
"""


def test_a_task_written_for_people() -> None:
    assert task_to_toml(Task("mail", none_labels=("other",), template=NEW, wordings=(OLD,))) == WRITTEN


AWKWARD = st.text(st.sampled_from("\"'\\\n\r\t{} ab#=[]\x00\x85\u2028\ufeffé語😀"), max_size=12)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | AWKWARD
SPELLINGS = st.dictionaries(TEXT, TEXT.filter(bool), max_size=3)


@st.composite
def templates(draw: st.DrawFn, mark: str) -> Template:
    """A template with one slot `text`; the mark keeps it apart from another one."""
    fixed = st.builds(lambda text: escape(text, slot_follows=True), TEXT)
    before = draw(st.lists(st.builds(TemplateMessage, st.sampled_from(["system", "assistant"]), fixed), max_size=2))
    asked = TemplateMessage("user", mark + draw(fixed) + "{{text}}" + escape(draw(TEXT)))
    reply = draw(fixed) + "{{answer}}" + escape(draw(TEXT))
    models = draw(st.lists(TEXT.filter(bool), max_size=2))
    return Template((*before, asked), tuple(models), reply, draw(SPELLINGS))


@st.composite
def tasks(draw: st.DrawFn) -> Task:
    found = [draw(templates(mark)) for mark in "abc"[: draw(st.integers(0, 3))]]
    share = st.floats(0, 1, exclude_min=True, exclude_max=True)
    task = Task(
        draw(st.from_regex(r"[a-z0-9_-]{1,20}", fullmatch=True)),
        group=draw(st.none() | TEXT),
        time=draw(st.none() | TEXT),
        metric=draw(st.sampled_from(["accuracy", "macro_f1"])),
        target_score=draw(st.none() | st.floats(0, 1)),
        max_error=draw(share),
        promise_confidence=draw(share),
        none_labels=tuple(draw(st.lists(TEXT, max_size=2))),
    )
    if found:
        return replace(task, template=found[0], wordings=tuple(found[1:]))
    target, *inputs = draw(st.lists(TEXT, min_size=2, max_size=4, unique=True))
    return replace(task, target=target, inputs=tuple(inputs))


@given(task=tasks())
def test_whatever_a_task_says_its_file_says_it_too(task: Task) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "task.toml"
        path.write_text(task_to_toml(task), encoding="utf-8", newline="\n")
        assert read_task(path) == task
