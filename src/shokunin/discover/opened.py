"""One file as a stream of bytes, unpacked if it is compressed, that says how far it has been read."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

BUFFER = 1 << 20
GZIP = b"\x1f\x8b"


class Measured(io.RawIOBase):
    """The first `size` bytes of a file; `done` says how many of them were read.

    What is appended to a log after it was first looked at is not read, so that every pass gives the same.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size, self.done = file, size, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: object) -> int:
        """As every raw stream."""
        room = memoryview(cast("bytearray", buffer))[: self._size - self.done]
        count = self._file.readinto(room) if len(room) else 0  # type: ignore[attr-defined]
        self.done += count
        return int(count)


@contextmanager
def opened(path: Path, size: int) -> Iterator[tuple[IO[bytes], Measured]]:
    """The unpacked bytes of a file, and what measures how many bytes on disk they took.

    Raises:
        OSError: it cannot be opened or read, or the archive is damaged (also `EOFError`, `zlib.error`).
    """
    with path.open("rb", buffering=0) as file:
        measured = Measured(cast("BinaryIO", file), size)
        stream: IO[bytes] = io.BufferedReader(measured, BUFFER)
        if cast("io.BufferedReader", stream).peek(2)[:2] == GZIP:
            stream = io.BufferedReader(gzip.GzipFile(fileobj=stream, mode="rb"), BUFFER)
        yield stream, measured
