"""Writing so that a crash leaves the old thing or the new thing, never half of one; digests; reading JSON and TOML."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shokunin.errors import ArtefactError, ProjectError

CHUNK = 1 << 20


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` (UTF-8, `\\n`) at once: write beside it, fsync, rename.

    Raises:
        ProjectError: the disk is full or the folder cannot be written; `path` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise disk_error(error, path) from error
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by `value` as indented, ASCII-safe JSON, at once."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        ArtefactError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtefactError(f"{str(path)!r} is missing") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ArtefactError(f"{str(path)!r} is not readable JSON: {error}") from error


@contextmanager
def folder_in_making(parent: Path, prefix: str = ".making-") -> Iterator[Path]:
    """A scratch folder inside `parent`, gone afterwards unless `publish_folder` has moved it into place."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
    try:
        yield folder
    except OSError as error:
        raise disk_error(error, folder) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish_folder(made: Path, place: Path) -> None:
    """Move the finished folder `made` to `place` at once; every file is on disk before the name exists.

    Raises:
        ProjectError: `place` exists already, or the disk is full.
    """
    try:
        for path in made.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        _sync_folder(made)
        if place.exists():
            raise ProjectError(f"{str(place)!r} exists already; nothing was overwritten")
        made.chmod(0o755)
        made.rename(place)
        _sync_folder(place.parent)
    except OSError as error:
        raise disk_error(error, place) from error


def disk_error(error: OSError, path: Path) -> ProjectError:
    """Say in our words what the operating system refused."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ProjectError(f"the disk is full while writing {str(path)!r}; free some space and run the same command again")
    return ProjectError(f"cannot write {str(path)!r}: {error.strerror or error}")


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return  # Windows cannot open a folder to flush it
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
