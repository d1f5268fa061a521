"""What a `task.toml` or a manifest may say of a task, and what is said when it says something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin.errors import TaskError
from shokunin.task import Task, read_task, task_from_dict, task_to_dict


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
