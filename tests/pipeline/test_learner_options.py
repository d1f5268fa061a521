"""Options of learners: from the command line, Python and task.toml, checked before any work, kept apart while training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import shokunin
from rows import rows
from shokunin.cli import app
from shokunin.errors import TaskError, UsageError
from shokunin.files import read_json
from shokunin.pipeline.learner_options import learner_options, parse_learner_options
from shokunin.task import read_learners, read_task
from shokunin.toml_text import toml_value

VALUES = st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | st.text("abc \"'=.,é", max_size=8)


class TestPairs:
    def test_values_are_toml_or_json_or_a_text(self) -> None:
        pairs = [
            "causal_lora.r=8", "causal_lora.merge=false", "causal_lora.target_modules=all-linear", "causal_lora.bf16=null",
            'text_linear.list=["a", "b"]', "causal_lora.base= C:\\models\\x=y.gguf", "causal_lora.learning_rate=1e-4",
        ]  # fmt: skip
        assert parse_learner_options(pairs) == {
            "causal_lora": {
                "r": 8, "merge": False, "target_modules": "all-linear", "bf16": None, "base": "C:\\models\\x=y.gguf",
                "learning_rate": 1e-4,
            },
            "text_linear": {"list": ["a", "b"]},
        }  # fmt: skip

    @given(st.one_of(VALUES, st.lists(VALUES, max_size=3)))
    def test_what_toml_writes_is_read(self, value: Any) -> None:
        assert parse_learner_options([f"a.b={toml_value(value)}"]) == {"a": {"b": value}}

    @given(st.text(max_size=30))
    def test_anything_is_read_or_refused(self, pair: str) -> None:
        try:
            found = parse_learner_options([pair])
        except UsageError as error:
            assert "LEARNER.NAME=VALUE" in str(error)
        else:
            [(name, options)] = found.items()
            assert name and all(options)


class TestChecks:
    def test_what_is_right_is_given_as_json_knows_it(self) -> None:
        told = {"text_linear": {"C": 2}, "answer_templates": {"database": Path("x.sqlite"), "answers": "sql"}}
        assert learner_options([], told, None) == {
            "text_linear": {"C": 2.0},
            "answer_templates": {"database": "x.sqlite", "answers": "sql"},
        }
        assert learner_options([], {"text_linear": {}}, None) == {}

    @pytest.mark.parametrize(
        ("told", "said"),
        [
            ({"text_liner": {}}, r"unknown learner 'text_liner'; .*did you mean 'text_linear'"),
            (
                {"text_linear": {"tl": 1}},
                r"'text_linear' has no option 'tl'; it has C, max_features, tol \(did you mean 'tol'",
            ),
            ({"text_linear": {"C": -1}}, r"option 'C' of the learner 'text_linear' cannot be -1: .*greater than 0"),
            ({"text_linear": 3}, "'text_linear' are names with values, not 3"),
            ({"field_tagger": {}}, "there are options of 'field_tagger', but only text_linear shall be tried"),
        ],
    )
    def test_what_is_wrong_is_named_before_anything_is_read(self, told: Any, said: str, project: Path) -> None:
        with pytest.raises(UsageError, match=said):
            shokunin.train("no-such-rows.csv", learners=["text_linear"], learner_options=told)

    def test_a_learner_of_another_kind_is_named(self, project: Path) -> None:
        with pytest.raises(UsageError, match=r"'nearest_answer' does not fit this kind of work"):
            shokunin.train(rows(80), learner_options={"nearest_answer": {"max_features": 500}})
        assert not list(project.glob("specialists/*/[0-9]*"))

    def test_machines_have_options_of_their_own(self, project: Path) -> None:
        told = {"text_linear": {"C": 2}}
        with pytest.raises(
            UsageError, match=r"told by --option; leave out --learner-option, and \[learners\] in task.toml"
        ):
            shokunin.train("readings.csv", kind="anticipate_failures", learner_options=told)


class TestTaskFile:
    def test_they_are_no_part_of_the_task(self, tmp_path: Path) -> None:
        path = tmp_path / "task.toml"
        path.write_text('name = "x"\n')
        plain = read_task(path)
        assert read_learners(path) == {}
        path.write_text('name = "x"\n[learners.text_linear]\nC = 3\ntol = 0.2\n')
        assert read_task(path) == plain
        assert learner_options(tmp_path, {"text_linear": {"C": 4.0}}, None) == {"text_linear": {"C": 4.0, "tol": 0.2}}

    @pytest.mark.parametrize("text", ["learners = 3", '[learners]\ntext_linear = "C"'])
    def test_what_is_no_table_is_refused(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "task.toml").write_text(f'name = "x"\n{text}\n')
        with pytest.raises(TaskError, match=r"write \[learners\.causal_lora\]"):
            learner_options(tmp_path, None, None)


def test_the_specialist_says_which_options_it_had(project: Path) -> None:
    folder = project / "tasks" / "inquiries"
    (folder / "rows").mkdir(parents=True)
    (folder / "task.toml").write_text('name = "inquiries"\n[learners.text_linear]\nC = 0.3\n')
    (folder / "rows" / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows(120)))
    made = [
        shokunin.train(folder, learners=["text_linear"], learner_options=told, replayed=False)
        for told in (None, {"text_linear": {"C": 7, "max_features": 400}})
    ]
    assert [one.weights.facts["options"]["C"] for one in made] == [0.3, 7.0]
    manifests = [read_json(one.folder / "manifest.json") for one in made]
    assert [m["steps"][0]["learner_options"] for m in manifests] == [
        {"text_linear": {"C": 0.3}},
        {"text_linear": {"C": 7.0, "max_features": 400}},
    ]
    assert manifests[0]["dataset"] == manifests[1]["dataset"], "how it is learnt does not change the dataset"


def test_a_wrong_option_on_the_command_line(project: Path) -> None:
    (project / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows(60)))
    run = CliRunner().invoke(app, ["train", "rows.jsonl", "--learner-option", "text_linear.rank=8"])
    assert run.exit_code == 2 and "has no option 'rank'; it has C, max_features, tol" in " ".join(run.output.split())
