"""Out into one file and in again; and what an archive from somewhere else must not do."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_specialist import publish

from shokunin import registry
from shokunin.errors import ArtefactError, ProjectError, UsageError
from shokunin.registry import archive

ENDINGS = (".zip", ".tar.gz", ".tgz")


def _everything(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


@pytest.mark.parametrize("ending", ENDINGS)
def test_there_and_back(shelf: Path, tmp_path: Path, ending: str) -> None:
    for _ in range(3):
        before = publish(shelf)
    file = tmp_path / f"out{ending}"
    registry.export(shelf, "inquiries@3", file)
    other = tmp_path / "other"
    imported = registry.import_archive(other, file)
    assert (imported.id, imported.digest) == ("inquiries@3", before.digest)
    assert registry.verify(other, "inquiries").folder == other / "inquiries" / "3"
    assert _everything(other / "inquiries" / "3") == _everything(shelf / "inquiries" / "3")
    assert sorted(p.name for p in other.iterdir()) == ["inquiries"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_same_specialist_same_bytes(shelf: Path, tmp_path: Path, ending: str) -> None:
    folder = publish(shelf).folder
    registry.export(shelf, "inquiries", tmp_path / f"a{ending}")
    for path in folder.rglob("*"):
        path.touch()
    registry.export(shelf, "inquiries", tmp_path / f"b{ending}")
    assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()


def test_an_existing_file_or_unknown_ending_is_refused(shelf: Path, tmp_path: Path) -> None:
    publish(shelf)
    (tmp_path / "out.zip").write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists already"):
        registry.export(shelf, "inquiries", tmp_path / "out.zip")
    assert (tmp_path / "out.zip").read_bytes() == b"mine"
    with pytest.raises(UsageError, match=r"\.tar\.gz"):
        registry.export(shelf, "inquiries", tmp_path / "out.rar")
    with pytest.raises(UsageError, match="cannot read"):
        registry.import_archive(shelf, tmp_path / "absent.zip")
    with pytest.raises(ProjectError, match="cannot write"):
        registry.export(shelf, "inquiries", tmp_path / "out.zip" / "out.zip")


def test_a_taken_number_becomes_the_next_and_says_where_it_came_from(shelf: Path, tmp_path: Path) -> None:
    before = publish(shelf)
    registry.export(shelf, "inquiries@1", tmp_path / "out.zip")
    imported = registry.import_archive(shelf, tmp_path / "out.zip")
    assert imported.version == 2
    assert imported.manifest["origin"] == {"id": "inquiries@1", "digest": before.digest}
    assert registry.verify(shelf, "inquiries@2").digest != before.digest


def test_a_removed_specialist_comes_back_under_its_number_and_another_one_does_not(shelf: Path, tmp_path: Path) -> None:
    publish(shelf)
    publish(shelf)
    registry.export(shelf, "inquiries@2", tmp_path / "same.zip")
    publish(tmp_path / "other", version=2, card="a stranger of the same number")
    registry.export(tmp_path / "other", "inquiries@2", tmp_path / "stranger.zip")
    registry.remove(shelf, "inquiries@2")
    assert registry.import_archive(shelf, tmp_path / "stranger.zip").version == 3
    assert registry.import_archive(shelf, tmp_path / "same.zip").version == 2


@pytest.mark.parametrize("flat", [True, False])
def test_archives_packed_by_hand(shelf: Path, tmp_path: Path, flat: bool) -> None:
    folder = publish(shelf).folder
    with tarfile.open(tmp_path / "by-hand.tar.gz", "w:gz") as by_hand:
        by_hand.add(folder, arcname="." if flat else "3 (copy)")
    assert registry.import_archive(tmp_path / "other", tmp_path / "by-hand.tar.gz").id == "inquiries@1"


def _zip_with(
    name: str, content: bytes = b"{}", mode: int = 0, method: int = zipfile.ZIP_DEFLATED
) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        info = zipfile.ZipInfo(name)
        info.external_attr, info.compress_type = mode << 16, method
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr(info, content)

    return write


def _tar_with(name: str, content: bytes = b"{}", **about: object) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        with tarfile.open(file) as old:
            kept = [(member, old.extractfile(member).read()) for member in old.getmembers()]
        info = tarfile.TarInfo(name)
        info.size = len(content)
        for key, value in about.items():
            setattr(info, key, value)
        with tarfile.open(file, "w:gz") as archive:
            for member, data in kept:
                archive.addfile(member, io.BytesIO(data))
            archive.addfile(info, io.BytesIO(content))

    return write


MALICIOUS: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "zip: out by dots": (".zip", _zip_with("inquiries-1/../../../evil.json"), "stays inside"),
    "zip: out by an absolute name": (".zip", _zip_with("/tmp/shokunin-evil.json"), "stays inside"),
    "zip: out by a drive": (".zip", _zip_with("C:/evil.json"), "stays inside"),
    "zip: out by a backslash": (".zip", _zip_with("..\\evil.json"), "stays inside"),
    "zip: a name with a control character": (".zip", _zip_with("inquiries-1/a\nb.json"), "stays inside"),
    "zip: a link": (".zip", _zip_with("inquiries-1/x.json", b"/etc/passwd", stat.S_IFLNK | 0o777), "link"),
    "zip: a pickle": (".zip", _zip_with("inquiries-1/weights/model.pkl"), "never loaded"),
    "zip: a script": (".zip", _zip_with("inquiries-1/setup.py"), "never loaded"),
    "zip: a file too many": (".zip", _zip_with("inquiries-1/more.json"), "not in the manifest"),
    "zip: a bomb": (".zip", _zip_with("inquiries-1/more.json", bytes(80 << 20)), "unfolds to more"),
    "zip: another packing": (".zip", _zip_with("inquiries-1/more.json", method=zipfile.ZIP_BZIP2), "deflate"),
    "zip: names that differ in case": (".zip", _zip_with("inquiries-1/CARD.md"), "twice"),
    "zip: a file where a folder is": (".zip", _zip_with("inquiries-1/card.md/x.json"), "file and a folder"),
    "tar: out by dots": (".tar.gz", _tar_with("inquiries-1/../../evil.json"), "stays inside"),
    "tar: out by an absolute name": (".tar.gz", _tar_with("/tmp/shokunin-evil.json"), "stays inside"),
    "tar: a link": (".tar.gz", _tar_with("inquiries-1/x.json", b"", type=tarfile.SYMTYPE, linkname="/etc"), "link"),
    "tar: a hard link": (
        ".tar.gz", _tar_with("inquiries-1/x.json", b"", type=tarfile.LNKTYPE, linkname="inquiries-1/card.md"), "link",
    ),
    "tar: a device": (".tar.gz", _tar_with("inquiries-1/x.json", b"", type=tarfile.CHRTYPE), "device"),
    "tar: a pickle": (".tar.gz", _tar_with("inquiries-1/weights/model.pkl"), "never loaded"),
    "tar: a bomb": (".tar.gz", _tar_with("inquiries-1/more.json", bytes(80 << 20)), "unfolds to more"),
    "tar: an endless header": (
        ".tar.gz", _tar_with("inquiries-1/x.json", pax_headers={"comment": "x" * (5 << 20)}), "oversized header",
    ),
    "tar: twice the same": (".tar.gz", _tar_with("inquiries-1/card.md"), "twice"),
}  # fmt: skip


@pytest.mark.parametrize("what", MALICIOUS)
def test_a_malicious_archive_is_refused_and_leaves_nothing(shelf: Path, tmp_path: Path, what: str) -> None:
    ending, spoil, said = MALICIOUS[what]
    publish(shelf)
    file = tmp_path / f"out{ending}"
    registry.export(shelf, "inquiries", file)
    spoil(file)
    other = tmp_path / "a" / "b" / "other"
    with pytest.raises(ArtefactError, match=said):
        registry.import_archive(other, file)
    assert _everything(tmp_path / "a") == ["b", "b/other"], "nothing was written beside, above or in the shelf"
    assert not Path("/tmp/shokunin-evil.json").exists()


def test_too_many_files(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(shelf)
    registry.export(shelf, "inquiries", tmp_path / "out.zip")
    monkeypatch.setattr(archive, "MOST_FILES", 3)
    with pytest.raises(ArtefactError, match="more than 3 files"):
        registry.import_archive(tmp_path / "other", tmp_path / "out.zip")


def test_an_archive_larger_than_the_free_disk_is_refused(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(shelf)
    registry.export(shelf, "inquiries", tmp_path / "out.zip")
    monkeypatch.setattr(archive, "SPARE_DISK", 1 << 60)
    with pytest.raises(ArtefactError, match="than the disk can hold"):
        registry.import_archive(tmp_path / "other", tmp_path / "out.zip")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("content", [b"", b"PK", b"\x1f\x8b", b"not an archive at all" * 50, bytes(2000)])
def test_what_is_no_archive(shelf: Path, tmp_path: Path, ending: str, content: bytes) -> None:
    file = tmp_path / f"out{ending}"
    file.write_bytes(content)
    with pytest.raises(ArtefactError):
        registry.import_archive(shelf, file)
    assert list(shelf.iterdir()) == []


@pytest.mark.parametrize("ending", [".zip", ".tar.gz"])
@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_damage_is_refused_or_changes_nothing(tmp_path: Path, ending: str, data: st.DataObject) -> None:
    """Cut it anywhere, or change any bytes: either the very same specialist comes out or an error that we raise."""
    shelf, file = tmp_path / "specialists", tmp_path / f"out{ending}"
    if not file.exists():
        publish(shelf)
        registry.export(shelf, "inquiries", file)
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(content)))
    spoilt = tmp_path / f"spoilt{ending}"
    spoilt.write_bytes(bytes(content[:cut]) if data.draw(st.booleans()) else bytes(content))
    other = tmp_path / "other"
    try:
        imported = registry.import_archive(other, spoilt)
    except (ArtefactError, UsageError):
        assert not other.exists() or list(other.rglob("*.json")) == []
    else:
        assert imported.manifest["files"] == registry.read(shelf, "inquiries").manifest["files"]
        registry.remove(other, imported.id)
        for path in (other / "inquiries").iterdir():
            path.unlink()
