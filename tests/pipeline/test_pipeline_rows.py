"""From what the user names to a dataset in the project: nothing that was asked for is left out silently."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from rows import rows
from shokunin import pipeline
from shokunin.dataset import read_dataset
from shokunin.errors import ArtefactError, UsageError
from shokunin.pipeline.rows import curate
from shokunin.project import open_project
from shokunin.task import Task


def write(path: Path, made: list[dict[str, str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(made[0]))
        writer.writeheader()
        writer.writerows(made)
    return path


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a dataset in another project, opened once."""
    place = tmp_path_factory.mktemp("elsewhere")
    _, folder = pipeline.curate(write(place / "inquiries.csv", rows(80)), project=place)
    read_dataset(folder).sealed.open("a proof there")
    return folder


def test_a_dataset_from_elsewhere_is_kept_in_the_project(elsewhere: Path, tmp_path: Path) -> None:
    for data in (elsewhere, read_dataset(elsewhere)):
        dataset, folder = curate(data, project=open_project(tmp_path))
        assert folder == open_project(tmp_path).datasets("inquiries") / dataset.digest[:16]
        assert dataset == read_dataset(folder)
        assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in elsewhere.iterdir())
        for part in ("train", "test"):
            assert (folder / f"{part}.jsonl").read_bytes() == (elsewhere / f"{part}.jsonl").read_bytes()
        assert dataset.sealed.openings() == 1
    assert len(list(folder.parent.iterdir())) == 1


def test_goals_apply_to_a_finished_dataset(elsewhere: Path, tmp_path: Path) -> None:
    wishes = {"metric": "macro_f1", "target_score": 0.5, "max_error": 0.2, "kind": None}
    dataset, folder = curate(elsewhere, project=open_project(tmp_path), wishes=wishes)
    assert (dataset.task.metric, dataset.task.target_score, dataset.task.max_error) == ("macro_f1", 0.5, 0.2)
    assert dataset.digest == read_dataset(elsewhere).digest and folder.name == dataset.digest[:16]
    with pytest.raises(UsageError, match="train"):
        pipeline.curate(elsewhere, project=tmp_path, max_error=0.2)


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("--name", {"name": "other"}),
        ("--test", {"test": "rows.csv"}),
        ("--input", {"inputs": ["text"]}),
        ("--target", {"target": "label"}),
        ("--mask", {"mask": True}),
        ("--keep-leaks", {"keep_leaks": True}),
        ("a task", {"task": Task("inquiries")}),
    ],
)
def test_what_would_have_made_another_dataset_is_refused(
    elsewhere: Path, tmp_path: Path, option: str, given: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match=rf"{option} cannot be heeded; .*shokunin curate ROWS"):
        curate(elsewhere, project=open_project(tmp_path), **given)
    assert list(tmp_path.iterdir()) == []


def test_the_digest_of_a_foreign_dataset_names_no_place_of_its_choice(elsewhere: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for file in elsewhere.iterdir():
        (foreign / file.name).write_bytes(file.read_bytes())
    about = json.loads((foreign / "dataset.json").read_text())
    (foreign / "dataset.json").write_text(json.dumps({**about, "digest": "../../outside"}))
    with pytest.raises(ArtefactError, match="no digest"):
        curate(foreign, project=open_project(tmp_path))


def test_a_tasks_folder_keeps_its_word_but_for_what_is_asked(tmp_path: Path) -> None:
    folder = tmp_path / "tasks" / "inquiries"
    made = [{**row, "customer": f"c{i // 4}"} for i, row in enumerate(rows(80))]
    write(folder / "rows" / "rows.csv", made)
    (folder / "task.toml").write_text('name = "inquiries"\nmax_error = 0.1\nmetric = "macro_f1"\n')
    dataset, _ = curate(folder, project=open_project(tmp_path), name="renamed", wishes={"max_error": 0.3, "kind": None})
    assert (dataset.task.name, dataset.task.max_error, dataset.task.metric) == ("renamed", 0.3, "macro_f1")
    assert dataset.task.group is None and "group" not in " ".join(dataset.facts["columns"]["why"])
    (folder / "task.toml").write_text('name = "inquiries"\ngroup = "customer"\n')
    dataset, _ = curate(folder, project=open_project(tmp_path))
    assert dataset.task.group == "customer" and "'customer', as you said" in " ".join(dataset.facts["columns"]["why"])


def test_a_group_is_guessed_only_where_no_task_is_given(tmp_path: Path) -> None:
    made = [{**row, "customer": f"c{i // 4}"} for i, row in enumerate(rows(80))]
    dataset, _ = curate(made, project=open_project(tmp_path))
    assert dataset.task.group == "customer"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Inquiries 2024.csv", "inquiries-2024"),
        ("inquiries/train.csv", "inquiries"),
        ("Café.csv", "cafe"),
        ("問い合わせ.csv", "task-[0-9a-f]{6}"),
        ("請求-2024.csv", "2024-[0-9a-f]{6}"),
        ("!!!.csv", "task"),
    ],
)
def test_names_of_tasks(tmp_path: Path, file: str, name: str) -> None:
    dataset, _ = pipeline.curate(write(tmp_path / file, rows(60)), project=tmp_path)
    assert re.fullmatch(name, dataset.task.name)


def test_files_of_other_names_are_other_tasks(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{stem}.csv", rows(60)) for stem in ("問い合わせ", "請求", "請求-2024", "返品-2024")]
    assert len({pipeline.curate(file, project=tmp_path)[0].task.name for file in files}) == 4
