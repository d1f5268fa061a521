"""Recorded conversations to rows: the inputs are what varies in the requests, the label what the replies say."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import logged
from rows import rows
from shokunin import pipeline
from shokunin.curate.conversations import ANOTHER_SHAPE, OTHERWISE, OURS
from shokunin.curate.read import read_rows
from shokunin.curate.table import Table
from shokunin.dataset import read_dataset
from shokunin.errors import DataError, TaskError
from shokunin.pipeline.rows import curate, examples_of
from shokunin.project import open_project
from shokunin.recorded.record import NO_MODEL_CALL
from shokunin.task import Task
from shokunin.template import Template, TemplateMessage

SHOP = "You sort messages of our shop. The labels: delivery, refund, invoice."
Style = Callable[[str, str], dict[str, Any]]


def chat(*messages: tuple[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in messages], **more}


def exchange(*messages: tuple[str, Any], reply: str | None, **more: Any) -> dict[str, Any]:
    response = {"error": {"message": "busy"}} if reply is None else {"choices": [{"message": {"content": reply}}]}
    request = {"model": "gpt-4o-mini", "temperature": 0, **chat(*messages)}
    return {"timestamp": 1.5, "workload_id": "", "client_id": "app", "request": request, "response": response, **more}


STYLES: dict[str, Style] = {
    "plain": lambda text, label: chat(("user", text), ("assistant", label)),
    "prompt": lambda text, label: chat(("system", SHOP), ("user", f"Text: {text}\nLabel:"), ("assistant", label)),
    "json": lambda text, label: chat(
        ("developer", SHOP), ("user", f'"{text}"'), ("assistant", json.dumps({"intent": label})), model="ft:shop"
    ),
    "words": lambda text, label: chat(("user", f"{SHOP}\n\n{text}"), ("assistant", f"Category: {label}.")),
    "traffic": lambda text, label: exchange(
        ("system", SHOP), ("user", text), reply=f'```json\n{{"label": "{label}"}}\n```'
    ),
}


def write(path: Path, values: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return path


def styled(path: Path, style: Style, count: int = 60, seed: int = 0) -> Path:
    return write(path, [style(row["text"], row["label"]) for row in rows(count, seed)])


def read(path: Path, *templates: Template) -> tuple[list[dict[str, str]], Table]:
    table = read_rows(path, templates, find_template=not templates)
    return [row for _, row in table.rows()], table


@pytest.mark.parametrize("style", STYLES)
def test_text_and_label_are_what_varies(style: str, tmp_path: Path) -> None:
    found, table = read(styled(tmp_path / "past.jsonl", STYLES[style]))
    assert [{"text": r["text"], "label": r["label"]} for r in found] == rows(60)
    assert table.columns[:3] == ("text", "label", "system") and not table.broken
    assert {r["system"] for r in found} == {SHOP if style in ("prompt", "json", "traffic") else ""}
    [template] = table.templates
    assert template.models == {"json": ("ft:shop",), "traffic": ("gpt-4o-mini",)}.get(style, ())
    assert table.about["template"] == template.fingerprint
    first, row = json.loads(Path(tmp_path / "past.jsonl").read_text().split("\n")[0]), rows(1)[0]
    recorded = first.get("messages") or [*first["request"]["messages"], first["response"]["choices"][0]["message"]]
    asked = [{**m, "role": m["role"].replace("developer", "system")} for m in recorded[:-1]]
    assert template.render({"text": row["text"]}) == asked
    assert template.write(row["label"]) == recorded[-1]["content"]


def test_without_being_asked_for_no_template_is_looked_for(tmp_path: Path) -> None:
    path = styled(tmp_path / "past.jsonl", STYLES["json"])
    table = read_rows(path)
    assert table.templates == () and "template" not in table.about
    _, row = next(table.rows())
    assert (row["text"], row["label"]) == (f'"{rows(1)[0]["text"]}"', json.dumps({"intent": rows(1)[0]["label"]}))


def test_strays_are_set_aside_with_a_reason(tmp_path: Path) -> None:
    values = [STYLES["json"](row["text"], row["label"]) for row in rows(40)]
    values[3] = chat(("developer", SHOP), ("user", '"hi"'), ("assistant", "I cannot say."))
    values[5] = chat(("user", "hello"), ("assistant", "Good day!"))
    values[7] = chat(("developer", SHOP), ("user", '"not answered yet"'))
    found, table = read(write(tmp_path / "past.jsonl", values))
    assert table.broken == [("past.jsonl:4", ANOTHER_SHAPE), ("past.jsonl:6", OTHERWISE)]
    assert [r["label"] for r in found if r["text"] == "not answered yet"] == [""]
    assert len(found) == 38


def test_two_versions_of_a_prompt_are_both_read(tmp_path: Path) -> None:
    made = rows(90)
    values = [(STYLES["prompt"] if i % 3 else STYLES["words"])(row["text"], row["label"]) for i, row in enumerate(made)]
    found, table = read(write(tmp_path / "past.jsonl", values))
    assert [{"text": r["text"], "label": r["label"]} for r in found] == made
    assert [len(t.messages) for t in table.templates] == [2, 1]


def test_all_versions_become_wordings_of_the_task(tmp_path: Path) -> None:
    made = rows(120)
    styles = [
        STYLES["prompt"],
        STYLES["prompt"],
        STYLES["words"],
        lambda text, label: chat(
            ("system", f"V2. {SHOP}"), ("user", text), ("assistant", json.dumps({"intent": label})), model="ft:shop"
        ),
    ]
    values = [styles[i % 4](row["text"], row["label"]) for i, row in enumerate(made)]
    path = write(tmp_path / "past.jsonl", values)
    dataset, folder = pipeline.curate(path, project=tmp_path)
    task = read_dataset(folder).task
    assert task == dataset.task and task.template is not None
    assert [t.reply for t in task.templates] == ["{{answer}}", "Category: {{answer}}.", '{"intent": "{{answer}}"}']
    assert task.wordings[1].models == ("ft:shop",)
    assert dataset.labels == ("delivery", "invoice", "refund")
    assert {e.inputs["text"] for e in dataset.train} <= {row["text"] for row in made}
    label, text = dataset.facts["columns"]["why"][:2]
    assert "'{{answer}}' or 'Category: {{answer}}.' or" in label
    assert all(t.fingerprint in text for t in task.templates)
    # A task that has its wordings reads rows by all of them, whichever is asked first.
    again = replace(task, template=task.wordings[1], wordings=(task.wordings[0], task.template))
    examples, table = examples_of(path, again, needs_target=True)
    assert len(examples) == 120 and not table.broken
    assert [e.inputs["text"] for e in examples] == [row["text"] for row in made]
    reread, _ = curate(path, task=again, project=open_project(tmp_path))
    assert reread.task == again and {e.inputs["text"] for e in reread.train} <= {row["text"] for row in made}


def test_a_row_is_read_by_the_wording_that_says_most(tmp_path: Path) -> None:
    loose = Template((TemplateMessage("system", SHOP), TemplateMessage("user", "{{text}}")))
    exact = Template((TemplateMessage("system", SHOP), TemplateMessage("user", "Text: {{text}}\nLabel:")))
    found, _ = read(styled(tmp_path / "past.jsonl", STYLES["prompt"]), loose, exact)
    assert [r["text"] for r in found] == [row["text"] for row in rows(60)]


def test_every_wording_says_none_of_these_in_its_own_way(tmp_path: Path) -> None:
    made = [*rows(90), *({"text": f"what is the weather in town {i}", "label": "oos"} for i in range(20))]
    styles = [STYLES["json"], STYLES["words"]]
    values = [styles[i % 2](row["text"], row["label"]) for i, row in enumerate(made)]
    dataset, _ = pipeline.curate(write(tmp_path / "inquiries.jsonl", values), project=tmp_path)
    said = {t.write("none_of_these") for t in dataset.task.templates}
    assert said == {'{"intent": "oos"}', "Category: oos."}


def test_three_versions_of_a_prompt_none_of_which_most_rows_have(tmp_path: Path) -> None:
    made = rows(90)
    styles = [
        STYLES["prompt"],
        STYLES["words"],
        lambda text, label: chat(("system", f"V1. {SHOP}"), ("user", text), ("assistant", label)),
    ]
    values = [styles[i % 3](row["text"], row["label"]) for i, row in enumerate(made)]
    found, table = read(write(tmp_path / "past.jsonl", values))
    assert [{"text": r["text"], "label": r["label"]} for r in found] == made and len(table.templates) == 3


def test_conversations_without_a_common_wording_are_read_as_they_are(tmp_path: Path) -> None:
    values = [
        chat(("system", f"Prompt {i % 7} of seven"), ("user", f"{i % 7} {row['text']}"), ("assistant", row["label"]))
        if i % 2
        else chat(("user", "x" * (i % 5)), ("assistant", "y"), ("user", row["text"]), ("assistant", row["label"]))
        if i % 4
        else chat(("system", "One"), ("system", "Two"), ("user", row["text"]), ("assistant", row["label"]))
        for i, row in enumerate(rows(60))
    ]
    found, table = read(write(tmp_path / "past.jsonl", values))
    assert table.templates == () and len(found) == 60
    assert [r["label"] for r in found] == [row["label"] for row in rows(60)]


def test_traffic_of_several_applications_gives_the_rows_of_the_commonest(tmp_path: Path) -> None:
    ours = [STYLES["traffic"](row["text"], row["label"]) for row in rows(60)]
    others = [exchange(("system", "Chat."), ("user", row["text"]), reply="Well, well.") for row in rows(30, 1)]
    mixed = [*ours, *others]
    random.Random(0).shuffle(mixed)
    found, table = read(write(tmp_path / "traffic.jsonl", mixed))
    assert table.about["format"] == "traffic"
    assert len(found) == 60 and {reason for _, reason in table.broken} == {OTHERWISE}
    assert {r["client_id"] for r in found} == {"app"} and "request" not in table.columns


def test_in_traffic_failures_have_no_label_and_own_answers_are_left_out(tmp_path: Path) -> None:
    values = [STYLES["traffic"](row["text"], row["label"]) for row in rows(40)]
    values[1]["route"], values[2]["route"], values[3]["route"] = "local", "fallback", "escalated"
    values[4] = exchange(("system", SHOP), ("user", "an error"), reply=None, status=503)
    values[5]["response"] = None
    found, table = read(write(tmp_path / "traffic.jsonl", values))
    assert table.broken == [("traffic.jsonl:2", OURS), ("traffic.jsonl:3", OURS)]
    assert [r["text"] for r in found if not r["label"]] == ["an error", rows(6)[5]["text"]]


def test_given_templates_are_used_where_they_fit(tmp_path: Path) -> None:
    template = Template(
        (TemplateMessage("system", SHOP), TemplateMessage("user", "Text: {{message}}\nLabel:")),
        spellings={"other": "refund"},
    )
    path = styled(tmp_path / "past.jsonl", STYLES["prompt"])
    found, table = read(path, template)
    assert table.columns[0] == "message" and table.templates == (template,)
    assert [r["message"] for r in found] == [row["text"] for row in rows(60)]
    assert {r["label"] for r in found} == {"delivery", "other", "invoice"}
    found, table = read(styled(tmp_path / "bare.jsonl", STYLES["plain"]), template)
    assert table.templates == () and found[0]["text"] == rows(1)[0]["text"]


@pytest.mark.parametrize("shape", [name for name in logged.WRITERS if name not in ("fine_tuning", "prompt_completion")])
def test_every_shape_of_a_log_gives_rows(shape: str, tmp_path: Path) -> None:
    values = [logged.WRITERS[shape](SHOP, f'Text: "{r["text"]}"', json.dumps({"intent": r["label"]})) for r in rows(60)]
    found, table = read(write(tmp_path / "log.jsonl", values))
    assert table.about["format"] == "traffic" and not table.broken
    assert [{"text": r["text"], "label": r["label"]} for r in found] == rows(60)
    assert {r["system"] for r in found} == {SHOP}
    assert not any(SHOP in cell for r in found for name, cell in r.items() if name != "system"), "said in a column"


def test_spans_that_stand_many_on_a_line_are_rows_of_their_own(tmp_path: Path) -> None:
    spans = [logged.otlp(SHOP, r["text"], r["label"]) for r in rows(60)]
    values = [logged.resource_spans(*spans[at : at + 20]) for at in (0, 20, 40)]
    path = write(tmp_path / "trace.jsonl", values)
    found = list(read_rows(path, find_template=True).rows())
    assert [{"text": r["text"], "label": r["label"]} for _, r in found] == rows(60)
    assert [origin for origin, _ in found][19:22] == ["trace.jsonl:1.19", "trace.jsonl:2", "trace.jsonl:2.1"]


def test_what_a_tracer_has_beside_calls_is_set_aside(tmp_path: Path) -> None:
    calls = [logged.langfuse(SHOP, r["text"], r["label"]) for r in rows(30)]
    values = [one for call in calls for one in ({**call, "type": "SPAN"}, {**call, "type": "TOOL"}, call)]
    found, table = read(write(tmp_path / "log.jsonl", values))
    assert [r["text"] for r in found] == [r["text"] for r in rows(30)]
    assert len(table.broken) == 60 and {reason for _, reason in table.broken} == {NO_MODEL_CALL}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Where is it?", "completion": "delivery"},
        {"input": "Where is it?", "output": "delivery"},
        {"request": "Where is it?", "response": "delivery"},
        {"text": "Where is it?", "items": [{"messages": [1]}], "data": [{"price": 3}]},
        {"messages": "three", "type": "GENERATION"},
    ],
)
def test_a_table_whose_columns_are_called_like_parts_of_a_log_stays_a_table(
    row: dict[str, Any], tmp_path: Path
) -> None:
    found, table = read(write(tmp_path / "rows.jsonl", [row] * 9))
    assert table.about["format"] == "jsonl" and table.columns == tuple(row) and len(found) == 9


# -- through to the dataset and its task ------------------------------------------------------------------------------


@pytest.mark.parametrize("style", STYLES)
def test_a_task_learns_its_template_from_its_rows(style: str, tmp_path: Path) -> None:
    path = styled(tmp_path / "inquiries.jsonl", STYLES[style], 90)
    dataset, folder = pipeline.curate(
        path, test=styled(tmp_path / "test.jsonl", STYLES[style], 30, 1), project=tmp_path
    )
    assert dataset.labels == ("delivery", "invoice", "refund")
    assert read_dataset(folder).task == dataset.task and dataset.task.template is not None
    assert dataset.task.inputs == ("text",) == dataset.task.template.inputs
    texts = {row["text"] for row in rows(90)}
    assert {e.inputs["text"] for e in dataset.train} <= texts
    assert {e.inputs["text"] for e in dataset.sealed.open("a test")} <= {row["text"] for row in rows(30, 1)}
    why = dataset.facts["columns"]["why"]
    assert "the answer in the replies" in why[0] and dataset.task.template.fingerprint in why[1]
    assert ("too little fixed text" in why[1]) is (style == "plain")


@pytest.mark.parametrize("shape", ["openpipe", "langfuse", "litellm"])
def test_an_export_of_another_tool_becomes_a_dataset(shape: str, tmp_path: Path) -> None:
    values = [logged.WRITERS[shape](SHOP, r["text"], json.dumps({"intent": r["label"]})) for r in rows(120)]
    dataset, _ = pipeline.curate(write(tmp_path / "inquiries.jsonl", values), project=tmp_path)
    assert dataset.labels == ("delivery", "invoice", "refund") and dataset.task.inputs == ("text",)
    assert dataset.task.template is not None and dataset.task.template.models == (logged.MODEL,)


def test_several_slots_are_several_inputs(tmp_path: Path) -> None:
    values = [
        chat(
            ("system", SHOP), ("user", f"Subject: {row['text'][:9]}\nBody: {row['text']}"), ("assistant", row["label"])
        )
        for row in rows(90)
    ]
    dataset, _ = pipeline.curate(write(tmp_path / "mail.jsonl", values), project=tmp_path)
    assert dataset.task.inputs == ("subject", "body")
    assert all(e.inputs["body"].startswith(e.inputs["subject"].strip()) for e in dataset.train)


def test_a_wish_that_the_template_does_not_fit_is_granted_without_it(tmp_path: Path) -> None:
    values = [{**STYLES["prompt"](row["text"], row["label"]), "team": row["label"].upper()} for row in rows(90)]
    path = write(tmp_path / "inquiries.jsonl", values)
    dataset, _ = pipeline.curate(path, target="team", project=tmp_path)
    assert dataset.task.template is None and dataset.labels == ("DELIVERY", "INVOICE", "REFUND")
    dataset, _ = pipeline.curate(path, inputs=["system", "text"], project=tmp_path)
    assert dataset.task.template is None and dataset.train[0].inputs["text"].startswith("Text: ")


def test_a_template_written_by_hand_holds(tmp_path: Path) -> None:
    template = Template(
        (TemplateMessage("system", SHOP), TemplateMessage("user", "Text: {{message}}\nLabel:")), ("gpt",)
    )
    task = Task("inquiries", inputs=("message",), template=template)
    path = styled(tmp_path / "past.jsonl", STYLES["prompt"], 90)
    dataset, _ = curate(path, task=task, project=open_project(tmp_path))
    assert dataset.task.template == template and {*dataset.train[0].inputs} == {"message"}
    with pytest.raises(TaskError, match="name them alike"):
        curate(path, task=task, inputs=["system"], project=open_project(tmp_path))
    with pytest.raises(DataError, match="'message'"):
        curate(styled(tmp_path / "bare.jsonl", STYLES["plain"], 90), task=task, project=open_project(tmp_path))


def test_a_task_file_without_a_template_gets_the_one_of_its_rows(tmp_path: Path) -> None:
    (tmp_path / "tasks" / "mail" / "rows").mkdir(parents=True)
    (tmp_path / "tasks" / "mail" / "task.toml").write_text('name = "mail"\n')
    styled(tmp_path / "tasks" / "mail" / "rows" / "past.jsonl", STYLES["words"], 90)
    dataset, _ = pipeline.curate(tmp_path / "tasks" / "mail", project=tmp_path)
    assert dataset.task.template is not None and dataset.task.template.reply == "Category: {{answer}}."
    assert dataset.task.group is None


def test_the_application_s_word_for_none_of_these_is_kept(tmp_path: Path) -> None:
    values = [STYLES["json"](row["text"], row["label"]) for row in rows(90)]
    values += [STYLES["json"](f"what is the weather in town {i}", "oos") for i in range(20)]
    dataset, _ = pipeline.curate(write(tmp_path / "inquiries.jsonl", values), project=tmp_path)
    assert dataset.none and dataset.task.template is not None
    assert dataset.task.template.write("none_of_these") == '{"intent": "oos"}'
    assert dataset.task.template.read('{"intent": "refund"}') == "refund"
