"""Writing so that a crash leaves the old thing or the new thing, never half of one; locks; digests; reading JSON.

Two promises carry the rest. A *name* appears only after everything behind it is on disk (write beside, fsync, rename).
And a process that dies lets go of what it held: locks and scratch folders are held by `flock`, which the kernel
releases, so no lock ever has to be broken, and nobody guesses from a process number whether its owner still lives.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import math
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from shokunin.errors import ArtefactError, ProjectError

CHUNK = 1 << 20
MAKING = ".making-"
ABANDONED_SECONDS = 7 * 24 * 3600.0
"""Where folders cannot be locked (Windows, some network disks) a scratch folder this old is taken to be abandoned."""

_UNSAFE = re.compile(r'[\x00-\x1f\x7f\ud800-\udfff\\:*?"<>|]')


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def contained(name: str) -> bool:
    """Whether `name` is a relative POSIX path that stays inside its folder, on every operating system."""
    if not 0 < len(name) <= 400 or _UNSAFE.search(name):
        return False
    return not any(part in ("", ".", "..") or part[-1] in ". " for part in name.split("/"))


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Replace `path` by `text` (UTF-8, `\\n`) at once. Its permissions stay; `private` leaves them to its owner alone.

    Raises:
        ProjectError: the disk is full or the folder cannot be written; `path` is as it was.
    """
    with writing(path, newline="\n", private=private) as file:
        file.write(text)


@contextmanager
def writing(path: Path, *, newline: str | None = "", private: bool = False) -> Iterator[TextIO]:
    """A text file (UTF-8) that takes the place of `path` at the end of the block, or never: as `writing_bytes`."""
    with writing_bytes(path, private=private) as raw:
        file = io.TextIOWrapper(raw, encoding="utf-8", newline=newline)
        try:
            yield file
        finally:
            file.detach()  # flushes, and leaves the bytes to be put on disk


@contextmanager
def writing_bytes(path: Path, *, private: bool = False) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` at the end of the block: written beside it, flushed to disk, renamed.

    An existing file's permissions stay; a new one gets those that its folder and the process's umask allow; a `private`
    one is for its owner alone in any case. Missing folders are made.

    Raises:
        ProjectError: the disk is full or the folder cannot be written, in here or in the body; `path` is as it was.
    """
    beside: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        beside = Path(name)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp is private to its owner; a new file should be as open as the folder it lies in.
        open_as = path.stat().st_mode if path.exists() else path.parent.stat().st_mode & 0o666 & ~_umask()
        beside.chmod(0o600 if private else stat.S_IMODE(open_as))
        beside.replace(path)
        beside = None
        _sync_folder(path.parent)
    except OSError as error:
        raise disk_error(error, path) from error
    finally:
        if beside is not None:
            beside.unlink(missing_ok=True)


def write_json(path: Path, value: Any, *, private: bool = False) -> None:
    """Replace `path` by `value` as indented, ASCII-safe JSON, at once; `private` as in `write_text`."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=True, allow_nan=False) + "\n", private=private)


def read_json(path: Path, *, limit: int | None = None) -> Any:
    """The value in a JSON file of at most `limit` bytes.

    Raises:
        ArtefactError: the file is missing, too large, or not JSON.
    """
    try:
        if limit is not None and path.stat().st_size > limit:
            raise ArtefactError(f"{str(path)!r} has {path.stat().st_size} bytes; at most {limit} are read")
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_finite, parse_float=_finite)
    except FileNotFoundError as error:
        raise ArtefactError(f"{str(path)!r} is missing") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ArtefactError(f"{str(path)!r} is not readable JSON: {error}") from error


@contextmanager
def exclusive(path: Path, *, seconds: float = 60.0) -> Iterator[None]:
    """Hold the lock file `path`, one holder at a time among all processes and threads; wait for it at most `seconds`.

    The file stays behind, empty: removing it would let two processes hold two different locks of the same name.

    Raises:
        ProjectError: somebody else kept it too long, or the disk does not know locks.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
    except OSError as error:
        raise disk_error(error, path) from error
    try:
        deadline = time.monotonic() + seconds
        while not _locked(handle, path):
            if time.monotonic() > deadline:
                raise ProjectError(
                    f"another process keeps {str(path)!r} locked for {seconds:.0f} seconds; wait for it, or end it"
                )
            time.sleep(0.02)
        yield
    finally:
        os.close(handle)


@contextmanager
def folder_in_making(parent: Path, prefix: str = MAKING) -> Iterator[Path]:
    """A scratch folder inside `parent`, gone afterwards unless `publish_folder` has moved it into place.

    It is held while this process lives; what killed processes left in `parent` is swept away first.

    Raises:
        ProjectError: the operating system refused to read or write something, in here or in the body.
    """
    folder: Path | None = None
    hold: int | None = None
    try:
        parent.mkdir(parents=True, exist_ok=True)
        sweep_folders(parent)
        folder, hold = _made_and_held(parent, prefix)
        yield folder
    except OSError as error:
        raise disk_error(error, folder or parent) from error
    finally:
        if folder is not None:
            remove_folder(folder)
        if hold is not None:
            os.close(hold)


def sweep_folders(parent: Path, prefix: str = MAKING) -> list[Path]:
    """Remove the scratch folders in `parent` whose maker is gone; returns them."""
    swept = []
    for folder in sorted(parent.glob(f"{prefix}*")):
        if folder.is_symlink() or not folder.is_dir():
            continue
        try:
            hold = _hold(folder, wait=False)
            if hold is None and time.time() - folder.stat().st_mtime < ABANDONED_SECONDS:
                continue
        except (BlockingIOError, FileNotFoundError):
            continue  # its maker lives, or somebody else has swept it
        remove_folder(folder)
        swept.append(folder)
        if hold is not None:
            os.close(hold)
    return swept


def publish_folder(made: Path, place: Path, *, read_only: bool = False) -> None:
    """Move the finished folder `made` to `place` at once; every file is on disk before the name exists.

    Args:
        made: the finished folder; it may lie on another disk than `place`.
        place: its new name.
        read_only: take the write permission off the files.

    Raises:
        ProjectError: `place` exists already, or the disk is full.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if made.stat().st_dev != place.parent.stat().st_dev:
            with folder_in_making(place.parent) as near:
                shutil.copytree(made, near, dirs_exist_ok=True)
                publish_folder(near, place, read_only=read_only)
            return
        _settle(made, open_as=place.parent.stat().st_mode, read_only=read_only)
        if place.exists() or place.is_symlink():
            raise _exists(place)
        made.rename(place)
        _sync_folder(place.parent)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            raise _exists(place) from error
        raise disk_error(error, place) from error


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that is in it, read-only files too; what cannot be removed stays."""
    if os.name == "nt":
        for path in folder.rglob("*"):
            path.chmod(stat.S_IWRITE)
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)  # one Ctrl-C does not stop the tidying up; a second one does
        raise


def disk_error(error: OSError, path: Path) -> ProjectError:
    """Say in our words what the operating system refused."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ProjectError(f"the disk is full while writing {str(path)!r}; free some space and run this again")
    return ProjectError(f"cannot write {str(error.filename or path)!r}: {error.strerror or error}")


def _umask() -> int:
    """The permissions that new files do without. Linux tells; elsewhere it can only be learnt by setting it."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        status = ""
    if found := re.search(r"^Umask:\s*([0-7]+)$", status, re.MULTILINE):
        return int(found[1], 8)
    old = os.umask(0o077)
    os.umask(old)
    return old


def _made_and_held(parent: Path, prefix: str) -> tuple[Path, int | None]:
    while True:
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
        try:
            hold = _hold(folder, wait=True)
        except FileNotFoundError:
            continue  # somebody's sweep came between the two calls
        if hold is None or _is_still(folder, hold):
            return folder, hold
        os.close(hold)  # the same, while this waited


def _finite(text: str) -> float:
    """A number as JSON means it: Python would also take NaN, Infinity and 1e999."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a number in JSON")
    return value


def _settle(folder: Path, *, open_as: int, read_only: bool) -> None:
    """Flush every file and folder to disk and make them as open as the folder they will lie in."""
    writable = 0o444 if read_only else 0o666
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("r+b" if os.name == "nt" else "rb") as file:
                os.fsync(file.fileno())
            path.chmod(open_as & writable)
        elif path.is_dir():
            path.chmod(open_as & 0o777)
            _sync_folder(path)
    folder.chmod(open_as & 0o777)
    _sync_folder(folder)


def _exists(place: Path) -> ProjectError:
    return ProjectError(f"{str(place)!r} exists already; nothing was overwritten")


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return  # Windows cannot open a folder to flush it
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_still(folder: Path, hold: int) -> bool:
    try:
        return folder.stat().st_ino == os.fstat(hold).st_ino
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _locked(handle: int, path: Path) -> bool:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EDEADLK):
                return False
            raise disk_error(error, path) from error
        return True

    def _hold(folder: Path, *, wait: bool) -> int | None:
        return None  # a folder cannot be locked here; age decides

else:
    import fcntl

    def _locked(handle: int, path: Path) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            why = error.strerror
            raise ProjectError(f"the disk of {str(path)!r} does not know locks ({why}); use a local disk") from error
        return True

    def _hold(folder: Path, *, wait: bool) -> int | None:
        """A descriptor that holds `folder`, or None where the disk cannot lock one; BlockingIOError if it is held."""
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise
        except OSError:
            os.close(handle)
            return None
        return handle
