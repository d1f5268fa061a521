"""The specialist's folder: sealing, reading, golden samples."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from shokunin.answer import Answer
from shokunin.errors import ArtefactError, UsageError
from shokunin.files import write_json
from shokunin.specialist import MANIFEST_LIMIT, Specialist, read_golden, read_specialist, seal
from shokunin.task import Task, task_to_dict

ABOUT: dict[str, Any] = {
    "name": "inquiries",
    "version": 3,
    "task": task_to_dict(Task("inquiries")),
    "labels": ["parcel", "refund"],
    "weights": {"form": "labelled_text", "format": "constant", "exact": True, "facts": {"parameters": 2}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "made"
    write_json(place / "weights" / "constant.json", {"scores": [math.log(0.5)] * 2})
    write_json(place / "side_files" / "golden.json", [{"inputs": {"text": "hi"}, "value": "parcel", "confidence": 1}])
    return place


def test_what_was_sealed_is_read(folder: Path) -> None:
    sealed = seal(folder, {**ABOUT, "note": {"any": [1, "thing", None]}})
    specialist = read_specialist(folder)
    assert specialist == sealed
    assert (specialist.id, specialist.labels, specialist.task) == (
        "inquiries@3",
        ("parcel", "refund"),
        Task("inquiries"),
    )
    assert specialist.weights.folder == folder / "weights"
    assert specialist.manifest["note"] == {"any": [1, "thing", None]}
    assert list(specialist.manifest["files"]) == ["side_files/golden.json", "weights/constant.json"]
    assert specialist.weights.size_bytes() == specialist.manifest["files"]["weights/constant.json"]["bytes"]


def test_sealing_again_covers_what_was_added(folder: Path) -> None:
    first = seal(folder, ABOUT)
    (folder / "card.md").write_text("# inquiries\n")
    with pytest.raises(ArtefactError, match=r"'card\.md'"):
        read_specialist(folder)
    again = seal(folder, first.manifest)
    assert "card.md" in again.manifest["files"]
    assert again.digest != first.digest
    assert read_specialist(folder) == again


def test_the_digest_is_the_same_for_the_same_content(folder: Path) -> None:
    assert seal(folder, ABOUT).digest == seal(folder, dict(reversed(ABOUT.items()))).digest
    assert seal(folder, {**ABOUT, "version": 4}).digest != seal(folder, ABOUT).digest
    numbered = seal(folder, {**ABOUT, "counts": {2: "two", 10: "ten"}})
    assert read_specialist(folder).digest == numbered.digest, "keys become text before they are counted"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "Inquiries"}, "name 'Inquiries'"),
        ({"name": "../x"}, "name '../x'"),
        ({"name": ""}, "name ''"),
        ({"name": 3}, "name 3"),
        ({"version": 0}, "version 0"),
        ({"version": True}, "version True"),
        ({"version": "3"}, "version '3'"),
        ({"labels": "parcel"}, "no list of labels"),
        ({"labels": [1]}, "no list of labels"),
        ({"weights": {}}, "lacks or garbles 'form'"),
        ({"weights": None}, "lacks or garbles"),
        ({"task": {"name": "x", "kind": "paint"}}, "unknown kind 'paint'"),
        ({"task": {"name": "x", "colour": 3}}, "unknown key 'colour'"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_not_sealed(folder: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(ArtefactError, match=said):
        seal(folder, {**ABOUT, **change})
    assert not (folder / "manifest.json").exists()


@pytest.mark.parametrize("name", ["weights/model.pkl", "weights/run.py", "LICENSE", "weights/model.JSON", "a:b.json"])
def test_what_may_not_be_published_is_not_sealed(folder: Path, name: str) -> None:
    (folder / name).write_text("x")
    with pytest.raises(ArtefactError, match=name):
        seal(folder, ABOUT)


def test_another_format_or_no_format(folder: Path) -> None:
    seal(folder, ABOUT)
    manifest = json.loads((folder / "manifest.json").read_text())
    for other in (2, "1", None):
        (folder / "manifest.json").write_text(json.dumps({**manifest, "format": other}))
        with pytest.raises(ArtefactError, match="not of format 1; update shokunin"):
            read_specialist(folder)


def test_a_huge_manifest_is_not_read(folder: Path) -> None:
    seal(folder, ABOUT)
    with (folder / "manifest.json").open("r+b") as file:
        file.truncate(MANIFEST_LIMIT + 1)
    with pytest.raises(ArtefactError, match="at most"):
        read_specialist(folder)


def test_without_digests_sizes_still_count(folder: Path) -> None:
    seal(folder, ABOUT)
    path = folder / "weights" / "constant.json"
    content = path.read_text()
    path.write_text(content.replace("0", "1"))
    assert read_specialist(folder, verify=False).version == 3
    with pytest.raises(ArtefactError, match=r"constant\.json"):
        read_specialist(folder)
    path.write_text(content + " ")
    with pytest.raises(ArtefactError, match=r"constant\.json"):
        read_specialist(folder, verify=False)


def test_golden_samples(folder: Path) -> None:
    specialist = seal(folder, ABOUT)
    assert read_golden(specialist) == [{"inputs": {"text": "hi"}, "value": "parcel", "confidence": 1.0}]
    path = folder / "side_files" / "golden.json"
    for garbled in ([], {}, [3], [{"inputs": {}}], [{"inputs": 3, "value": "x", "confidence": 1}], [{"value": "x"}]):
        write_json(path, garbled)
        with pytest.raises(ArtefactError, match=r"golden\.json"):
            read_golden(specialist)
    path.unlink()
    with pytest.raises(ArtefactError, match=r"golden\.json.*missing"):
        read_golden(specialist)


def test_answering_needs_an_engine(folder: Path) -> None:
    specialist: Specialist = seal(folder, ABOUT)
    with pytest.raises(UsageError, match=r"shokunin\.load"):
        specialist.predict("hi")

    class Echo:
        def predict(self, batch: Any) -> list[Answer]:
            return [Answer(row["text"], 1.0, "echo") for row in batch]

    able = specialist.with_predictor(Echo())
    assert able.predict("a").value == "a"
    assert able.predict({"text": "b"}).value == "b"
    assert [a.value for a in able.predict(["a", {"text": "b"}])] == ["a", "b"]
    assert specialist.predictor is None
