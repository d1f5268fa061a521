"""Writing at once, locks, scratch folders and safe names."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin import files
from shokunin.errors import ArtefactError, ProjectError
from shokunin.files import (
    contained,
    exclusive,
    folder_in_making,
    publish_folder,
    read_json,
    sha256_of,
    sweep_folders,
    write_json,
    write_text,
    writing,
    writing_bytes,
)


def test_text_is_replaced_at_once_and_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    write_text(path, "eins\nzwei\n")
    assert path.read_bytes() == b"eins\nzwei\n"
    path.chmod(0o640)
    write_text(path, "三\n")
    assert (path.read_text(encoding="utf-8"), stat.S_IMODE(path.stat().st_mode)) == ("三\n", 0o640)
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_a_new_file_is_as_open_as_its_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    write_text(tmp_path / "a.txt", "x")
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


@pytest.mark.skipif(os.name != "posix", reason="the umask is of POSIX systems")
def test_a_new_file_respects_the_umask(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    before = os.umask(0o077)
    try:
        with writing(tmp_path / "new" / "a.txt") as file:
            file.write("line\r\nline\n")
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new" / "a.txt").stat().st_mode) == 0o600
    assert (tmp_path / "new" / "a.txt").read_bytes() == b"line\r\nline\n"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError()])
@pytest.mark.parametrize("open_beside", [writing, writing_bytes])
def test_what_goes_wrong_while_writing_leaves_the_old_file(
    tmp_path: Path, error: BaseException, open_beside: Callable[[Path], Any]
) -> None:
    write_text(tmp_path / "a.txt", "old")
    wanted = ProjectError if isinstance(error, OSError) else type(error)
    with pytest.raises(wanted), open_beside(tmp_path / "a.txt") as file:
        file.write("new" if open_beside is writing else b"new")
        raise error
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("failing", ["fsync", "fchmod_or_replace"])
def test_a_full_disk_leaves_the_old_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full) if failing == "fsync" else monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ProjectError, match=r"the disk is full while writing .*a\.txt.*free some space"):
        write_text(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ProjectError, match="cannot write"):
        write_text(tmp_path / "file" / "a.txt", "x")
    with pytest.raises(ProjectError, match="cannot write"), folder_in_making(tmp_path / "file"):
        pass
    with pytest.raises(ProjectError, match="cannot write"), exclusive(tmp_path / "file" / ".lock"):
        pass


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b"9" * 5000, b"NaN", b"[1e999]"])
def test_what_is_no_json(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ArtefactError, match=r"a\.json.*not readable JSON"):
        read_json(tmp_path / "a.json")


def test_json_is_bounded_and_its_absence_named(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="missing"):
        read_json(tmp_path / "a.json")
    write_json(tmp_path / "a.json", {"text": "line\u2028end"})
    assert read_json(tmp_path / "a.json") == {"text": "line\u2028end"}
    assert (tmp_path / "a.json").read_bytes().isascii()
    with pytest.raises(ArtefactError, match="at most 10 are read"):
        read_json(tmp_path / "a.json", limit=10)
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "nan.json", float("nan"))
    assert not (tmp_path / "nan.json").exists()


def test_digest(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_scratch_folder_is_gone_afterwards_unless_published(tmp_path: Path) -> None:
    with folder_in_making(tmp_path) as made:
        (made / "a.txt").write_text("x")
        publish_folder(made, tmp_path / "place")
    with pytest.raises(ZeroDivisionError), folder_in_making(tmp_path) as made:
        (made / "b.txt").write_text("x")
        raise ZeroDivisionError
    assert [p.relative_to(tmp_path).as_posix() for p in sorted(tmp_path.rglob("*"))] == ["place", "place/a.txt"]


@pytest.mark.parametrize("there", ["empty folder", "full folder", "file", "dangling link"])
def test_publishing_never_replaces(tmp_path: Path, there: str) -> None:
    place = tmp_path / "place"
    if there == "file":
        place.write_text("mine")
    elif there == "dangling link":
        place.symlink_to(tmp_path / "nowhere")
    else:
        place.mkdir()
        if there == "full folder":
            (place / "mine.txt").write_text("mine")
    with pytest.raises(ProjectError, match="exists already"), folder_in_making(tmp_path) as made:
        (made / "a.txt").write_text("x")
        publish_folder(made, place)
    assert not (place / "a.txt").exists()


def test_one_that_appears_at_the_last_moment_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "theirs.txt").write_text("theirs")
    monkeypatch.setattr(Path, "exists", lambda path: False)
    with pytest.raises(ProjectError, match="exists already"), folder_in_making(tmp_path) as made:
        (made / "ours.txt").write_text("ours")
        publish_folder(made, tmp_path / "place")
    assert [p.name for p in (tmp_path / "place").iterdir()] == ["theirs.txt"]


def test_a_living_scratch_folder_is_not_swept(tmp_path: Path) -> None:
    (tmp_path / ".making-dead").mkdir()
    (tmp_path / ".making-dead" / "half").write_text("x")
    (tmp_path / ".making-file").write_text("not a folder")
    (tmp_path / ".making-link").symlink_to(tmp_path / ".making-dead")
    with folder_in_making(tmp_path) as living:
        assert not (tmp_path / ".making-dead").exists(), "swept by whoever makes the next one"
        (tmp_path / ".making-dead").mkdir()
        assert sweep_folders(tmp_path) == [tmp_path / ".making-dead"]
        with folder_in_making(tmp_path) as other:
            assert living.is_dir() and other.is_dir()
    assert sorted(p.name for p in tmp_path.iterdir()) == [".making-file", ".making-link"]


def test_where_folders_cannot_be_locked_age_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_hold", lambda folder, wait: None)
    for name, age in ((".making-young", 60), (".making-old", 2 * files.ABANDONED_SECONDS)):
        (tmp_path / name).mkdir()
        then = (tmp_path / name).stat().st_mtime - age
        os.utime(tmp_path / name, (then, then))
    assert sweep_folders(tmp_path) == [tmp_path / ".making-old"]
    with folder_in_making(tmp_path) as made:
        assert made.is_dir()


@pytest.mark.parametrize("moment", ["before it is opened", "before it is locked"])
def test_a_folder_swept_before_it_was_held_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    hold, seen = files._hold, []

    def late(folder: Path, *, wait: bool) -> int | None:
        seen.append(folder)
        if len(seen) == 1 and moment == "before it is opened":
            folder.rmdir()
        handle = hold(folder, wait=wait)
        if len(seen) == 1:
            folder.rmdir()
        return handle

    monkeypatch.setattr(files, "_hold", late)
    with folder_in_making(tmp_path) as made:
        assert made.is_dir()
        assert made == seen[1] != seen[0]


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(20):
            with exclusive(tmp_path / ".lock"):
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (inside, most) == (0, 1)


def test_waiting_for_a_lock_has_an_end(tmp_path: Path) -> None:
    with (
        exclusive(tmp_path / ".lock"),
        pytest.raises(ProjectError, match=r"another process.*\.lock"),
        exclusive(tmp_path / ".lock", seconds=0),
    ):
        pass
    with exclusive(tmp_path / ".lock", seconds=0):
        pass


@given(st.text(max_size=30) | st.text("./\\:a ", max_size=12))
def test_contained_names_stay_inside_everywhere(name: str) -> None:
    if contained(name):
        posix, windows = PurePosixPath(name), PureWindowsPath(name)
        assert not posix.is_absolute() and not windows.is_absolute() and not windows.drive
        assert ".." not in posix.parts and ".." not in windows.parts
        assert posix.as_posix() == windows.as_posix() == name


@pytest.mark.parametrize("name", ["a", "weights/model.safetensors", "side_files/日本.json", "a-b_c.d/e f.json"])
def test_ordinary_names_are_contained(name: str) -> None:
    assert contained(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "/a",
        "a/",
        "a//b",
        "a/../b",
        "./a",
        "a\\b",
        "c:a",
        "a\0b",
        "a\nb",
        "a.",
        "a ",
        "x" * 500,
        "\ud800",
    ],
)
def test_other_names_are_not(name: str) -> None:
    assert not contained(name)
