"""A folder as one file that is the same on every run, and back again, distrusting every byte of it.

An archive comes from somewhere else. So nothing in it decides where a file goes, what kind of file it is, or how much
room it takes: names must stay inside, links and special files are refused, only listed endings are written, and what it
may unfold to is bounded by its own size and by the free disk. The caller verifies the digests afterwards.
"""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, cast

from shokunin.errors import ArtefactError, UsageError
from shokunin.files import CHUNK, contained, writing_bytes

ENDINGS = (".zip", ".tar.gz", ".tgz")
MOST_FILES = 10_000
MOST_UNFOLDING = 100
"""An archive may unfold to at most so many times its own size; weights and text stay far below, bombs do not."""
SLACK = 16 << 20
SPARE_DISK = 64 << 20


def pack(folder: Path, file: Path, *, top: str) -> None:
    """Write the files of `folder`, below one top folder `top`, into `file`: .zip, .tar.gz or .tgz.

    Same files, same bytes: names are sorted, times and owners left out. `file` appears at once, when it is complete.

    Raises:
        UsageError: the ending is none of these, or `file` exists already.
        ProjectError: the disk is full.
    """
    write = _pack_zip if _ending(file) == ".zip" else _pack_tar
    if file.exists():
        raise UsageError(f"{str(file)!r} exists already; remove it or choose another name")
    members = [(f"{top}/{p.relative_to(folder).as_posix()}", p) for p in sorted(folder.rglob("*")) if p.is_file()]
    with writing_bytes(file) as raw:
        write(raw, members)


def unpack(file: Path, folder: Path, *, allowed: frozenset[str]) -> Path:
    """Write the files of the archive into the existing, empty `folder`; nothing is ever written outside of it.

    Args:
        file: a .zip, .tar.gz or .tgz.
        folder: where to.
        allowed: the only file endings that are written.

    Returns:
        The folder that holds the files: the archive's only top folder if it has one, else `folder`.

    Raises:
        UsageError: the ending is none of these, or the file cannot be read.
        ArtefactError: the archive is damaged, or holds something that is refused; the message names it.
        OSError: the disk is full; `folder_in_making` puts that in our words.
    """
    read = _read_zip if _ending(file) == ".zip" else _read_tar
    where = repr(str(file))
    try:
        source = file.open("rb")
    except OSError as error:
        raise UsageError(f"cannot read {where}: {error.strerror}") from error
    with source:
        size = os.fstat(source.fileno()).st_size
        room = min(size * MOST_UNFOLDING + SLACK, shutil.disk_usage(folder).free - SPARE_DISK)
        seen: set[str] = set()
        try:
            for name, member in read(source, room, where):
                _check(name, seen, allowed, where)
                room = _write(member, folder / name, room, where)
        except (zipfile.BadZipFile, tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError) as error:
            raise ArtefactError(f"{where} is damaged or not an archive ({error}); fetch it again") from error
        except (NotImplementedError, RuntimeError, ValueError) as error:  # encrypted, or packed in an unknown way
            raise ArtefactError(f"{where} cannot be unpacked: {error}") from error
        except (FileExistsError, NotADirectoryError) as error:
            raise ArtefactError(
                f"{where} holds a file and a folder of one name; it was not made by `models export`"
            ) from error
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _ending(file: Path) -> str:
    for ending in ENDINGS:
        if file.name.endswith(ending):
            return ending
    raise UsageError(f"{str(file)!r} is no archive that is known here; expected a name ending in {', '.join(ENDINGS)}")


def _check(name: str, seen: set[str], allowed: frozenset[str], where: str) -> None:
    if not contained(name):
        raise ArtefactError(f"{name!r} in {where} is not a name that stays inside a folder; do not trust this archive")
    if PurePosixPath(name).suffix not in allowed:
        raise ArtefactError(f"{name!r} in {where} is of a kind that is never loaded; do not trust this archive")
    if name.casefold() in seen:
        raise ArtefactError(f"{name!r} is in {where} twice; it was not made by `models export`")
    seen.add(name.casefold())
    if len(seen) > MOST_FILES:
        raise ArtefactError(f"{where} has more than {MOST_FILES} files; no specialist has so many")


def _write(member: IO[bytes], place: Path, room: int, where: str) -> int:
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("xb") as file:
        while chunk := member.read(CHUNK):
            room -= len(chunk)
            if room < 0:
                raise _too_large(where)
            file.write(chunk)
    return room


def _too_large(where: str) -> ArtefactError:
    return ArtefactError(
        f"{where} unfolds to more than {MOST_UNFOLDING} times its size, or to more than the disk can hold"
    )


def _pack_zip(raw: IO[bytes], members: list[tuple[str, Path]]) -> None:
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, path in members:
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type, info.create_system, info.external_attr = zipfile.ZIP_DEFLATED, 3, 0o100644 << 16
            info.file_size = path.stat().st_size
            with archive.open(info, "w") as to, path.open("rb") as file:
                shutil.copyfileobj(file, to, CHUNK)


def _pack_tar(raw: IO[bytes], members: list[tuple[str, Path]]) -> None:
    with (
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6, mtime=0) as folded,
        tarfile.open(fileobj=folded, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, path in members:
            info = tarfile.TarInfo(name)
            info.size, info.mode = path.stat().st_size, 0o644
            with path.open("rb") as file:
                archive.addfile(info, file)


def _read_zip(source: IO[bytes], room: int, where: str) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(source) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
                raise ArtefactError(f"{info.filename!r} in {where} is a link or a device; do not trust this archive")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ArtefactError(
                    f"{info.filename!r} in {where} is packed in a way that is not read here; use deflate"
                )
            with archive.open(info) as member:
                yield info.filename.removeprefix("./"), member


def _read_tar(source: IO[bytes], room: int, where: str) -> Iterator[tuple[str, IO[bytes]]]:
    with gzip.GzipFile(fileobj=source, mode="rb") as unfolded:
        stream = cast(IO[bytes], _Bounded(unfolded, room + MOST_FILES * 1024, where))
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            for info in archive:
                if info.isdir():
                    continue
                if not info.isreg() or info.issparse():
                    raise ArtefactError(f"{info.name!r} in {where} is a link or a device; do not trust this archive")
                member = archive.extractfile(info)
                assert member is not None
                yield info.name.removeprefix("./"), member


class _Bounded:
    """Reads forward, in small pieces, up to a total: a tar header can ask for any length, and a skip unfolds too."""

    def __init__(self, source: IO[bytes] | gzip.GzipFile, room: int, where: str) -> None:
        self._source = source
        self._room = room
        self._where = where
        self._position = 0

    def read(self, size: int) -> bytes:
        if not 0 <= size <= 2 * CHUNK:
            raise ArtefactError(f"{self._where} has an oversized header; do not trust this archive")
        chunk = self._source.read(size)
        self._position += len(chunk)
        if self._position > self._room:
            raise _too_large(self._where)
        return chunk

    def seek(self, position: int) -> int:
        while self._position < position and self.read(min(CHUNK, position - self._position)):
            pass
        return self._position

    def tell(self) -> int:
        return self._position
