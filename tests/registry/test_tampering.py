"""A published folder in which anything at all is not as it was is refused, with the file named."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_specialist import fill, publish

from shokunin import registry
from shokunin.errors import ArtefactError
from shokunin.specialist import read_specialist


def _flip(path: Path) -> None:
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _edit_manifest(folder: Path, **change: object) -> None:
    path = folder / "manifest.json"
    path.chmod(0o644)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))


def _add(folder: Path, name: str, content: bytes = b"{}") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


TAMPERINGS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a changed byte of the weights": (lambda f: _flip(f / "weights/constant.json"), "'weights/constant.json'"),
    "a changed byte of a side file": (lambda f: _flip(f / "side_files/golden.json"), "'side_files/golden.json'"),
    "a changed byte of the report": (lambda f: _flip(f / "report.json"), "'report.json'"),
    "another name in the manifest": (lambda f: _edit_manifest(f, name="others"), "manifest.json"),
    "another digest in the manifest": (lambda f: _edit_manifest(f, digest="0" * 64), "manifest.json"),
    "no file list in the manifest": (lambda f: _edit_manifest(f, files={}), "manifest.json"),
    "a garbled manifest": (lambda f: _add(f, "manifest.json", b"{"), "manifest.json"),
    "a manifest that is no object": (lambda f: _add(f, "manifest.json", b"[1]"), "manifest.json"),
    "a manifest nested too deep": (lambda f: _add(f, "manifest.json", b"[" * 200_000), "manifest.json"),
    "a removed file": (lambda f: (f / "weights/constant.json").unlink(), "'weights/constant.json' is missing"),
    "a removed manifest": (lambda f: (f / "manifest.json").unlink(), "no manifest.json"),
    "an added file": (lambda f: _add(f, "side_files/more.json"), "'side_files/more.json'"),
    "an added file beside it all": (lambda f: _add(f, "notes.txt"), "'notes.txt'"),
    "a pickle": (lambda f: _add(f, "weights/model.pkl", b"\x80\x04."), "'weights/model.pkl'"),
    "a pickle of another ending": (lambda f: _add(f, "weights/model.joblib"), "'weights/model.joblib'"),
    "a torch file": (lambda f: _add(f, "weights/pytorch_model.bin"), "'weights/pytorch_model.bin'"),
    "a script": (lambda f: _add(f, "weights/modeling.py"), "'weights/modeling.py'"),
    "a hidden file without an ending": (lambda f: _add(f, ".hidden"), "'.hidden'"),
    "a file in a new folder": (lambda f: _add(f, "more/deep/x.json"), "'more/deep/x.json'"),
    "a link to a file": (lambda f: (f / "side_files/x.json").symlink_to("/etc/hostname"), "'side_files/x.json'"),
    "a link to a folder": (lambda f: (f / "more").symlink_to("/etc"), "'more'"),
    "a link in the place of a file": (
        lambda f: ((f / "card.md").rename(f.parent / "card.md"), (f / "card.md").symlink_to(f.parent / "card.md")),
        "'card.md'",
    ),
    "a pipe": (lambda f: os.mkfifo(f / "side_files/x.json"), "'side_files/x.json'"),
}


@pytest.mark.parametrize("what", TAMPERINGS)
def test_tampering_is_refused_with_the_file_named(shelf: Path, what: str) -> None:
    tamper, named = TAMPERINGS[what]
    folder = publish(shelf).folder
    assert registry.verify(shelf, "inquiries").folder == folder
    tamper(folder)
    with pytest.raises(ArtefactError) as caught:
        read_specialist(folder)
    assert named in str(caught.value)
    with pytest.raises(ArtefactError):
        registry.promote(shelf, "inquiries", 1)
    with pytest.raises(ArtefactError):
        registry.export(shelf, "inquiries", shelf.parent / "out.zip")
    assert not (shelf.parent / "out.zip").exists()
    assert [s.version for s in registry.list_specialists(shelf)] == [1], "damaged, but listed"


def test_the_list_shows_damage_that_sizes_tell(shelf: Path) -> None:
    publish(shelf)
    publish(shelf)
    (shelf / "inquiries" / "2" / "weights" / "constant.json").unlink()
    first, second = registry.list_specialists(shelf)
    assert first.damaged is None
    assert second.damaged is not None and "'weights/constant.json' is missing" in second.damaged


@pytest.mark.parametrize(
    "name", ["../outside.json", "/etc/x.json", "weights/../../x.json", "C:/x.json", "a\\b.json", "weights//x.json"]
)
def test_a_manifest_that_lists_what_lies_outside_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    manifest = dict(fill(folder).manifest)
    (tmp_path / "outside.json").write_text("{}")
    from shokunin.specialist import _digest

    manifest["files"] = {**manifest["files"], name: {"bytes": 2, "sha256": "0" * 64}}
    manifest["digest"] = _digest(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtefactError, match="missing"):
        read_specialist(folder)


def test_a_pickle_is_refused_even_if_the_manifest_lists_it(tmp_path: Path) -> None:
    from shokunin.specialist import _digest

    folder = tmp_path / "made"
    folder.mkdir()
    manifest = dict(fill(folder).manifest)
    (folder / "weights" / "model.pkl").write_bytes(b"x")
    manifest["files"] = {**manifest["files"], "weights/model.pkl": {"bytes": 1, "sha256": sha256(b"x").hexdigest()}}
    manifest["digest"] = _digest(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtefactError, match=r"'weights/model\.pkl'.*never loaded"):
        read_specialist(folder)


@given(at=st.integers(0, 10**6), to=st.integers(0, 255))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_single_byte_can_change_unseen(tmp_path: Path, at: int, to: int) -> None:
    folder = tmp_path / "made"
    if not folder.exists():
        folder.mkdir()
        fill(folder)
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    at %= sum(p.stat().st_size for p in files)
    for path in files:
        if at < path.stat().st_size:
            break
        at -= path.stat().st_size
    before = path.read_bytes()
    path.write_bytes(before[:at] + bytes([to]) + before[at + 1 :])
    try:
        if path.read_bytes() == before:
            read_specialist(folder)
        elif path.name == "manifest.json" and _same_json(before, path.read_bytes()):
            read_specialist(folder)  # only the spacing differs
        else:
            with pytest.raises(ArtefactError):
                read_specialist(folder)
    finally:
        path.write_bytes(before)


def _same_json(one: bytes, other: bytes) -> bool:
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False
