"""A dataset on disk: what is written is read back, changes are noticed, and openings of the test are counted."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shokunin.dataset import PARTS, Dataset, Example, SealedRows, digest_of, judging_none, read_dataset, write_dataset
from shokunin.errors import ArtefactError
from shokunin.task import Task

TASK = Task(name="t")


def dataset(texts: list[str]) -> Dataset:
    rows = tuple(Example({"text": t}, "a", f"f:{i}", group=i) for i, t in enumerate(texts))
    parts = {"train": rows, "validation": rows[:1], "test": rows[1:], "none": rows[:2]}
    sealed = SealedRows(count=len(parts["test"]), _rows=parts["test"])
    return Dataset(TASK, ("a", "b"), rows, rows[:1], rows[:2], {"rows": 3}, sealed, digest_of(TASK, parts))


@given(st.lists(st.text(), min_size=2, max_size=5))
@settings(max_examples=50, deadline=None)
def test_any_text_survives(tmp_path_factory, texts):
    made, folder = dataset(texts), tmp_path_factory.mktemp("d")
    write_dataset(made, folder)
    again = read_dataset(folder)
    assert (again.train, again.validation, again.none) == (made.train, made.validation, made.none)
    assert again.sealed.open("check") == made.sealed.open("check")
    assert (again.task, again.labels, again.facts, again.digest) == (made.task, made.labels, made.facts, made.digest)


def test_openings_are_counted_over_the_life_of_the_dataset(tmp_path):
    write_dataset(dataset(["x", "y"]), tmp_path)
    assert read_dataset(tmp_path).sealed.openings() == 0
    read_dataset(tmp_path).sealed.open("first")
    again = read_dataset(tmp_path)
    again.sealed.open("second")
    assert again.sealed.openings() == read_dataset(tmp_path).sealed.openings() == 2
    whys = [json.loads(line)["why"] for line in (tmp_path / "openings.jsonl").read_text().splitlines()]
    assert whys == ["first", "second"]


def test_a_dataset_read_from_disk_can_be_written_again_without_opening_the_test(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    write_dataset(dataset(["x", "y"]), tmp_path / "a")
    read = read_dataset(tmp_path / "a")
    write_dataset(read, tmp_path / "b")
    assert read.sealed.openings() == 0
    assert read_dataset(tmp_path / "b").sealed.open("t") == dataset(["x", "y"]).sealed.open("t")


@pytest.mark.parametrize("part", PARTS)
def test_changed_and_missing_files_are_named(tmp_path, part):
    write_dataset(dataset(["x", "y"]), tmp_path)
    path = tmp_path / f"{part}.jsonl"
    path.write_text(path.read_text() + path.read_text())
    with pytest.raises(ArtefactError, match=rf"{part}.jsonl' is missing or was changed"):
        read_dataset(tmp_path)
    path.unlink()
    with pytest.raises(ArtefactError, match=rf"{part}.jsonl' is missing or was changed"):
        read_dataset(tmp_path)


def test_the_digest_depends_on_rows_and_on_where_they_stand():
    rows = tuple(Example({"text": t}, "a", "f:1") for t in "xy")
    parts = {"train": rows, "validation": (), "test": (), "none": ()}
    moved = {"train": rows[:1], "validation": (), "test": rows[1:], "none": ()}
    other = Task(name="u")
    assert len({digest_of(TASK, parts), digest_of(TASK, moved), digest_of(other, parts)}) == 3
    assert digest_of(TASK, parts) == digest_of(TASK, dict(reversed(parts.items())))


def test_openings_are_those_of_the_same_test_rows_under_any_task(tmp_path):
    """Another name, metric or target makes another dataset, but the rows that were looked at stay looked at."""
    made = dataset(["x", "y", "z"])
    places = [tmp_path / "tasks" / name / "datasets" / digest for name, digest in (("t", "1"), ("t", "2"), ("u", "3"))]
    for place, task in zip(places, (TASK, Task(name="t", metric="macro_f1"), Task(name="u")), strict=True):
        place.mkdir(parents=True)
        write_dataset(replace(made, task=task), place)
    other = tmp_path / "tasks" / "t" / "datasets" / "4"
    other.mkdir()
    write_dataset(dataset(["x", "other"]), other)
    damaged = tmp_path / "tasks" / "t" / "datasets" / "5"
    damaged.mkdir()
    (damaged / "dataset.json").write_text("[]")
    for place in (*places, other):
        read_dataset(place).sealed.open("look")
    assert [read_dataset(place).sealed.openings() for place in (*places, other)] == [3, 3, 3, 1]


def test_none_rows_judge_in_the_share_that_validation_has():
    rows = tuple(Example({"text": str(i)}, "a", f"f:{i}", group=i) for i in range(90))
    none = tuple(Example({"text": f"n{i}"}, "oos", f"f:{i}") for i in range(45))
    made = replace(dataset(["x", "y"]), train=rows[:80], validation=rows[80:], none=none)
    drawn = judging_none(made, 3)
    assert len(drawn) == 5 and {e.origin for e in drawn} <= {e.origin for e in none}
    assert drawn == judging_none(made, 3) != judging_none(made, 4)
    assert judging_none(replace(made, validation=()), 3) == none
    assert judging_none(replace(made, none=()), 3) == ()
