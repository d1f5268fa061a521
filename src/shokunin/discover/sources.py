"""Which files there are to read: those that are named, and in folders those whose names end as logs do."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from shokunin.errors import DataError

ENDINGS = (".jsonl", ".ndjson", ".jsonlines", ".json", ".log", ".txt", ".csv", ".tsv")
"""With or without `.gz` behind them."""
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Source:
    """A file to be read.

    Attributes:
        path: where it is.
        name: what origins call it: its path within the folder that was given, or its name.
        size: its bytes on disk when it was first looked at.
    """

    path: Path
    name: str
    size: int


def sources_in(paths: Sequence[Path]) -> tuple[list[Source], list[Path]]:
    """The files to read, each once, and those in folders that are passed over since their names end otherwise.

    Folders are gone through with all that is in them, in the order of names; what is hidden is left out.

    Raises:
        DataError: a path is missing or no file; a file cannot be opened; there is none, or all are empty.
    """
    found: list[Source] = []
    passed_over: list[Path] = []
    seen: set[tuple[int, int]] = set()
    unreadable: list[str] = []
    for path, name in _files(paths, passed_over):
        try:
            with path.open("rb") as file:
                about = os.fstat(file.fileno())
        except OSError as error:
            unreadable.append(f"{str(path)!r} ({error.strerror})")
            continue
        if (about.st_dev, about.st_ino) not in seen:
            seen.add((about.st_dev, about.st_ino))
            found.append(Source(path, name, about.st_size))
    if unreadable:
        more = f" and {len(unreadable) - _NAMED} more" if len(unreadable) > _NAMED else ""
        raise DataError(f"cannot read {', '.join(unreadable[:_NAMED])}{more}; make them readable, or name the others")
    shown = ", ".join(repr(str(path)) for path in paths[:_NAMED])
    if not found:
        ends = ", ".join(ENDINGS)
        raise DataError(f"there is no log in {shown}; expected files that end in {ends}, or in one of these and .gz")
    if not any(source.size for source in found):
        raise DataError(f"{shown} is empty: there is no record; expected recorded calls, one JSON object a line")
    return _told_apart(found), passed_over


def _files(paths: Sequence[Path], passed_over: list[Path]) -> Iterator[tuple[Path, str]]:
    for path in paths:
        if path.is_dir():
            for file in _below(path):
                if file.name.lower().removesuffix(".gz").endswith(ENDINGS):
                    yield file, file.relative_to(path).as_posix()
                else:
                    passed_over.append(file)
        elif not path.exists():
            raise DataError(f"{str(path)!r} does not exist; expected a log, or a folder of logs")
        elif not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"{str(path)!r} is not a regular file; it is read twice, so save the records to disk first")
        else:
            yield path, path.name


def _below(folder: Path) -> list[Path]:
    found = []
    for at, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(at, name) for name in files if not name.startswith(".")]
    return sorted(found, key=Path.as_posix)


def _told_apart(found: list[Source]) -> list[Source]:
    """The same, where two names are one with whole paths instead, so that no two records have one origin."""
    names = [source.name for source in found]
    twice = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    return [Source(s.path, str(s.path), s.size) if s.name in twice else s for s in found]
