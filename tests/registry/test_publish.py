"""Publishing: complete, at once, read-only, under a number that nobody else has."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from small_specialist import fill, publish

from shokunin import registry
from shokunin.errors import ArtefactError, ProjectError
from shokunin.specialist import read_specialist


def test_versions_count_up_and_are_whole(shelf: Path) -> None:
    published = [publish(shelf) for _ in range(3)]
    assert [s.version for s in published] == [1, 2, 3]
    assert registry.versions(shelf, "inquiries") == [1, 2, 3]
    assert registry.next_version(shelf, "inquiries") == 4
    assert registry.verify(shelf, "inquiries@2").id == "inquiries@2"
    assert sorted(p.name for p in (shelf / "inquiries").iterdir()) == [".lock", "1", "2", "3"]


def test_published_files_are_read_only_and_no_more_open_than_the_shelf(shelf: Path) -> None:
    (shelf / "inquiries").mkdir(parents=True)
    (shelf / "inquiries").chmod(0o750)
    folder = publish(shelf).folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    assert {stat.S_IMODE(p.stat().st_mode) for p in folder.rglob("*") if p.is_file()} == {0o440}
    assert {stat.S_IMODE(p.stat().st_mode) for p in folder.rglob("*") if p.is_dir()} == {0o750}


def test_a_number_being_made_is_taken(shelf: Path) -> None:
    with registry.making(shelf, "inquiries") as (_, first), registry.making(shelf, "inquiries") as (_, second):
        assert (first, second) == (1, 2)
        assert registry.next_version(shelf, "inquiries") == 3
        assert registry.list_specialists(shelf) == []
    assert registry.next_version(shelf, "inquiries") == 1
    assert [p.name for p in (shelf / "inquiries").iterdir()] == [".lock"]


def test_an_error_while_making_leaves_nothing(shelf: Path) -> None:
    with pytest.raises(KeyboardInterrupt), registry.making(shelf, "inquiries") as (made, _):
        fill(made)
        raise KeyboardInterrupt
    assert [p.name for p in (shelf / "inquiries").iterdir()] == [".lock"]


def test_an_existing_version_is_never_overwritten(shelf: Path, tmp_path: Path) -> None:
    before = publish(shelf)
    made = tmp_path / "made"
    made.mkdir()
    fill(made, card="another")
    with pytest.raises(ProjectError, match="exists already"):
        registry.publish(made, shelf, "inquiries", 1)
    assert registry.verify(shelf, "inquiries@1").digest == before.digest


def test_what_is_not_sealed_or_was_changed_since_is_not_published(shelf: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    with pytest.raises(ArtefactError, match=r"no manifest\.json"):
        registry.publish(made, shelf, "inquiries", 1)
    fill(made)
    (made / "card.md").write_text("# changed after sealing\n")
    with pytest.raises(ArtefactError, match=r"'card\.md'"):
        registry.publish(made, shelf, "inquiries", 1)
    assert registry.list_specialists(shelf) == []


def test_a_specialist_without_golden_samples_is_not_published(shelf: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    manifest = fill(made).manifest
    (made / "side_files" / "golden.json").write_text("[]")
    registry.seal(made, manifest)
    with pytest.raises(ArtefactError, match="no sample"):
        registry.publish(made, shelf, "inquiries", 1)


@pytest.mark.parametrize(("name", "version"), [("others", 1), ("inquiries", 2)])
def test_the_manifest_must_agree(shelf: Path, tmp_path: Path, name: str, version: int) -> None:
    made = tmp_path / "made"
    made.mkdir()
    fill(made)
    with pytest.raises(ProjectError, match="inquiries@1"):
        registry.publish(made, shelf, name, version)


def test_moving_the_whole_shelf_or_one_folder_works(shelf: Path, tmp_path: Path) -> None:
    publish(shelf)
    registry.promote(shelf, "inquiries", 1)
    moved = tmp_path / "elsewhere" / "models"
    moved.parent.mkdir()
    shelf.rename(moved)
    assert registry.verify(moved, "inquiries@champion").id == "inquiries@1"
    alone = tmp_path / "a folder of any name"
    shutil.copytree(moved / "inquiries" / "1", alone)
    shutil.rmtree(moved)
    assert registry.verify(moved, str(alone)).id == "inquiries@1"
    assert read_specialist(alone).labels == ("invoice", "parcel", "refund")


def test_a_shelf_on_another_disk(shelf: Path) -> None:
    memory = Path("/dev/shm")
    if not memory.is_dir() or not os.access(memory, os.W_OK) or memory.stat().st_dev == shelf.parent.stat().st_dev:
        pytest.skip("needs a second disk")
    with tempfile.TemporaryDirectory(dir=memory) as other:
        made = Path(other) / "made"
        made.mkdir()
        fill(made)
        assert registry.publish(made, shelf, "inquiries", 1).folder == shelf / "inquiries" / "1"
    assert registry.verify(shelf, "inquiries").id == "inquiries@1"
    assert sorted(p.name for p in (shelf / "inquiries").iterdir()) == [".lock", "1"]


def test_a_copied_version_is_listed_as_damaged_and_not_read(shelf: Path) -> None:
    publish(shelf)
    shutil.copytree(shelf / "inquiries" / "1", shelf / "inquiries" / "2")
    first, second = registry.list_specialists(shelf)
    assert first.damaged is None
    assert second.damaged is not None and "inquiries@1" in second.damaged
    with pytest.raises(ArtefactError, match="says that it is 'inquiries@1'"):
        registry.read(shelf, "inquiries@2")


def test_the_list_says_what_is_there(shelf: Path) -> None:
    assert registry.list_specialists(shelf) == []
    publish(shelf, "parcels")
    publish(shelf)
    registry.promote(shelf, "inquiries", 1)
    registry.set_alias(shelf, "inquiries", "candidate", 1)
    inquiries, parcels = registry.list_specialists(shelf)
    assert (inquiries.name, inquiries.version, inquiries.aliases) == ("inquiries", 1, ("candidate", "champion"))
    assert (inquiries.kind, inquiries.learner, inquiries.verdict) == ("classify_text", "baseline", "pass")
    assert inquiries.score == {"value": 0.91, "low": 0.88, "high": 0.94}
    assert inquiries.size_bytes == sum(
        p.stat().st_size for p in inquiries.folder.rglob("*") if p.is_file() and p.name != "manifest.json"
    )
    assert (parcels.name, parcels.aliases) == ("parcels", ())


def test_a_garbled_report_or_alias_file_is_damage_not_silence(shelf: Path) -> None:
    publish(shelf)
    (shelf / "inquiries" / "aliases.json").write_text('{"format": 1, "aliases": {"champion": "three"}}')
    (only,) = registry.list_specialists(shelf)
    assert only.damaged is not None and "aliases.json" in only.damaged
    with pytest.raises(ArtefactError, match=r"aliases\.json"):
        registry.promote(shelf, "inquiries", 1)


def test_what_a_dead_process_left_is_swept_and_what_a_living_one_makes_is_not(shelf: Path) -> None:
    publish(shelf)
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom shokunin import registry\n"
        "with registry.making(Path(sys.argv[1]), 'inquiries') as (made, version):\n"
        "    (made / 'half.json').write_text('{')\n    os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(shelf)], check=False, timeout=60)
    (left,) = (shelf / "inquiries").glob(".making-*")
    half = shelf / "inquiries" / ".aliases.json.abc123"
    half.write_text("{")
    with registry.making(shelf, "parcels") as (living, _):
        assert set(registry.sweep(shelf)) == {left, half}
        assert living.is_dir()
    assert [p.name for p in shelf.rglob(".*")] == [".lock", ".lock"]
    assert registry.next_version(shelf, "inquiries") == 2


def test_removal(shelf: Path) -> None:
    for _ in range(3):
        publish(shelf)
    registry.promote(shelf, "inquiries", 2)
    registry.set_alias(shelf, "inquiries", "candidate", 3)
    for unclear in ("inquiries", "inquiries@", "../inquiries@1"):
        with pytest.raises(ProjectError):
            registry.remove(shelf, unclear)
    with pytest.raises(ProjectError, match="champion"):
        registry.remove(shelf, "inquiries@2")
    assert registry.remove(shelf, "inquiries@candidate") == ("inquiries", 3)
    assert registry.versions(shelf, "inquiries") == [1, 2]
    assert registry.aliases(shelf, "inquiries") == {"champion": 2}
    assert publish(shelf).version == 4, "a removed number is not used again"
    assert registry.remove(shelf, "inquiries@2", force=True) == ("inquiries", 2)
    assert registry.find(shelf, "inquiries").name == "4"
    (shelf / "inquiries" / "4" / "card.md").unlink()
    assert registry.remove(shelf, "inquiries@4") == ("inquiries", 4), "a damaged one can be removed"
