"""Recorded traffic in files and folders as a stream of calls, however large they are, every record counted."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from shokunin.discover.counts import Counts
from shokunin.discover.lines import lines
from shokunin.discover.opened import opened
from shokunin.errors import DataError
from shokunin.recorded import call_of, records_in
from shokunin.recorded.call import Call


@dataclass(frozen=True, slots=True)
class Source:
    """A file to be read: its path, the name that origins have, its size in bytes when it was first looked at."""

    path: Path
    name: str
    size: int


class Traffic:
    """Recorded calls in files, to be gone through as often as one likes, each time with the same result.

    Attributes:
        sources: the files, in the order in which they are read.
        counts: what became of the records of the last pass, so far.
        done: bytes on disk that the last pass has read.
        total: bytes on disk of all files.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = tuple(sources)
        self.counts = Counts()
        self.done = 0
        self.total = sum(source.size for source in sources)

    def __iter__(self) -> Iterator[Call]:
        self.counts, self.done = Counts(), 0
        before = 0
        for source in self.sources:
            try:
                with opened(source.path, source.size) as (stream, measured):
                    for number, value in lines(stream):
                        yield from self._calls(value, f"{source.name}:{number}")
                        self.done = before + measured.done
            except (OSError, EOFError, zlib.error) as error:
                raise DataError(f"cannot read {str(source.path)!r}: {error}; nothing was written") from error
            before += source.size
        self.done = self.total

    def _calls(self, value: object, origin: str) -> Iterator[Call]:
        counts = self.counts
        if isinstance(value, dict):
            for part in records_in(value):
                call = call_of(part, origin)
                if isinstance(call, str):
                    counts.put_aside(call, origin)
                else:
                    counts.used += 1
                    yield call
        else:
            counts.put_aside(str(value), origin)


def read_traffic(paths: Sequence[Path]) -> Traffic:
    """The traffic in files."""
    return Traffic([Source(path, path.name, path.stat().st_size) for path in paths])
