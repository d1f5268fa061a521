"""Which version each alias of a name means: one small file, replaced at once, with its history.

```
{"format": 1,
 "aliases": {"champion": 3},                  what each alias means
 "before":  {"champion": [1, 2]},             what it meant earlier, oldest first; a rollback takes the last
 "removed": {"4": "5f0c…"},                   digests of removed versions: their numbers are not used again
 "changes": [{"at": "2025-…", "alias": "champion", "from": 2, "to": 3, "by": "set"}]}
```
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shokunin.errors import ArtefactError
from shokunin.files import read_json, write_json

FILE = "aliases.json"
FORMAT = 1
LIMIT = 32 << 20


@dataclass
class Aliases:
    """What `aliases.json` says; the keys are explained at the top of this file."""

    aliases: dict[str, int] = field(default_factory=dict)
    before: dict[str, list[int]] = field(default_factory=dict)
    removed: dict[int, str] = field(default_factory=dict)
    changes: list[dict[str, Any]] = field(default_factory=list)

    def point(self, alias: str, version: int | None, by: str, at: float | None) -> None:
        """Let `alias` mean `version` (None: nothing any more) and write it into the log, at `at` seconds since 1970."""
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
        self.changes.append({"at": when, "alias": alias, "from": self.aliases.get(alias), "to": version, "by": by})
        if version is None:
            self.aliases.pop(alias, None)
        else:
            self.aliases[alias] = version


def read_aliases(home: Path) -> Aliases:
    """The aliases in the folder of a name; none if there is no file yet.

    Raises:
        ArtefactError: the file is damaged or from a later release.
    """
    path = home / FILE
    if not path.exists():
        return Aliases()
    value = read_json(path, limit=LIMIT)
    try:
        if value["format"] != FORMAT:
            raise ArtefactError(f"{str(path)!r} is not of format {FORMAT}; update shokunin to read it")
        meant = {str(a): int(v) for a, v in value["aliases"].items()}
        before = {str(a): [int(v) for v in vs] for a, vs in value["before"].items()}
        removed = {int(v): str(d) for v, d in value["removed"].items()}
        return Aliases(meant, before, removed, list(value["changes"]))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        advice = "restore it from a copy, or remove it and promote a version again"
        raise ArtefactError(f"{str(path)!r} lacks or garbles {error}; {advice}") from error


@contextmanager
def changing(home: Path) -> Iterator[Aliases]:
    """The aliases to change; written at the end of the block unless that raises. The caller holds the name's lock."""
    state = read_aliases(home)
    yield state
    removed = {str(version): digest for version, digest in sorted(state.removed.items())}
    content = {"aliases": state.aliases, "before": state.before, "removed": removed, "changes": state.changes}
    write_json(home / FILE, {"format": FORMAT, **content})


def sweep_halves(home: Path) -> list[Path]:
    """Remove what a process killed while writing left behind; returns it. The caller holds the lock of the name."""
    halves = sorted(home.glob(f".{FILE}.*"))
    for half in halves:
        half.unlink(missing_ok=True)
    return halves
