"""Reloading: a server follows the shelf on disk; what was promoted, rolled back, added or removed is served within moments.

The server's aliases and folders are looked at once a second. A new version is read, verified, opened and asked its golden
samples in this thread while requests go on; only then do all names change at once. One that cannot be opened changes
nothing: what answered before goes on answering, and the log says why.
"""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from shokunin import registry
from shokunin.errors import ProjectError, ShokuninError
from shokunin.registry.aliases import FILE
from shokunin.serve.served import Served
from shokunin.serve.shelf import Shelf, changed
from shokunin.specialist import Specialist, known_name

EVERY = 1.0
"""Seconds between two looks."""
SETTLED = 2.0
"""A file changed less than this many seconds ago may change again without its time telling."""
_log = logging.getLogger("shokunin.serve")


@dataclass(frozen=True)
class Wanted:
    """One specialist that should be served.

    Attributes:
        id: `name@version`.
        digest: of its content.
        aliases: those that mean this version.
    """

    id: str
    digest: str
    aliases: tuple[str, ...]


class Reloader:
    """Keeps what a server serves as the shelf on disk says.

    Args:
        folder: the shelf on disk.
        shelf: what the server serves.
        open: makes a specialist that was read and verified ready to be served, golden check included.
        opened: digests by id of what `shelf` serves from `folder` already; it is not opened again.
        names: references to follow, as `registry.find` takes them; by default each name's champion, else its newest version.
        fixed: served whatever is on disk: specialists from folders of their own.
        told: told what is served, after each change.
    """

    def __init__(
        self,
        folder: Path,
        shelf: Shelf,
        open: Callable[[Specialist], Served],
        *,
        opened: Mapping[str, str] | None = None,
        names: Sequence[str] = (),
        fixed: Mapping[str, Served] | None = None,
        told: Callable[[Mapping[str, Served]], None] = lambda served: None,
    ) -> None:
        self._folder = folder
        self._shelf = shelf
        self._open = open
        self._names = tuple(names)
        self._fixed = dict(fixed or {})
        self._told = told
        self._states: dict[str, tuple[int, ...]] = {}
        self._wanted: dict[str, Wanted] = {}
        self._served = {(one.id, (opened or {}).get(one.id)): one for one in shelf.served.values()}
        self._failed: set[Wanted] = set()
        self._unreadable: set[str] = set()

    @contextmanager
    def following(self, every: float = EVERY) -> Iterator[None]:
        """Look every so many seconds, in a thread of its own, until the end of the block."""
        over = threading.Event()

        def follow() -> None:
            while not over.wait(every):
                try:
                    self.look()
                except Exception:  # whatever is wrong with the shelf, the server goes on with what it has
                    _log.exception("the shelf could not be looked at; what is served stays as it is")

        thread = threading.Thread(target=follow, name="reload", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def look(self, now: float | None = None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Look once and let the server follow; returns the ids that came and those that went.

        Args:
            now: seconds since 1970; by default the present.
        """
        self._read(time.time() if now is None else now)
        served: dict[tuple[str, str | None], Served] = {}
        old: dict[tuple[str, str | None], Served] = {}
        for reference in {**self._wanted, **dict.fromkeys(self._unreadable)}:
            wanted = self._wanted.get(reference)
            one = self._ready(wanted) if wanted and reference not in self._unreadable else None
            if wanted and one:
                served[wanted.id, wanted.digest] = one
            else:
                name = reference.partition("@")[0]
                old |= {key: was for key, was in self._served.items() if was.name == name}
        self._failed &= set(self._wanted.values())
        taken = {f"{one.name}@{alias}" for one in served.values() for alias in one.aliases}
        for key, was in old.items():  # aliases that mean something else by now go with it, the others stay
            left = tuple(a for a in was.aliases if f"{was.name}@{a}" not in taken)
            aliases = (*served[key].aliases, *left) if key in served else left
            served[key] = replace(served.get(key, was), aliases=aliases)
        after = {**{one.id: one for one in served.values()}, **self._fixed}
        came, went = changed(self._shelf.served, after)
        if came or went:
            self._shelf.replace(after)
            said = (("served from now on", came), ("no longer served", [key for key in went if key not in after]))
            _log.info("%s", "; ".join(f"{what}: {', '.join(ids)}" for what, ids in said if ids))
            self._told(after)
            if gc.get_freeze_count():  # as at the start of the server: what is loaded is no garbage
                gc.collect()
                gc.freeze()
        self._served = served
        return came, went

    def _read(self, now: float) -> None:
        """Bring `_wanted` up to date; names whose files are as they were are not read again."""
        references = self._names or _names_in(self._folder)
        for gone in self._states.keys() - set(references):
            self._forget(gone)
            del self._states[gone]
        for reference in references:
            state = _state(self._folder / reference.partition("@")[0])
            if self._states.get(reference) == state:
                continue
            self._states[reference] = state if now - max(state[:2]) / 1e9 > SETTLED else ()
            try:
                self._wanted[reference] = _wanted(self._folder, reference)
                self._unreadable.discard(reference)
            except ProjectError:  # not there any more, or not yet
                self._forget(reference)
            except ShokuninError as error:
                if reference not in self._unreadable:
                    _log.error("%s stays as it is: %s", reference, error)
                self._unreadable.add(reference)

    def _forget(self, reference: str) -> None:
        self._wanted.pop(reference, None)
        self._unreadable.discard(reference)

    def _ready(self, wanted: Wanted) -> Served | None:
        """What answers to this content already, with the aliases of now; else newly opened; None if it cannot be."""
        known = self._served.get((wanted.id, wanted.digest))
        if known is not None:
            return known if set(known.aliases) == set(wanted.aliases) else replace(known, aliases=wanted.aliases)
        if wanted in self._failed:
            return None
        try:
            return self._open(registry.read(self._folder, wanted.id))
        except Exception as error:  # whatever is wrong with it, the server goes on with what it has
            self._failed.add(wanted)
            expected = isinstance(error, ShokuninError)
            _log.error("%s cannot be served and changes nothing: %s", wanted.id, error, exc_info=not expected)
            return None


def _names_in(folder: Path) -> tuple[str, ...]:
    try:
        with os.scandir(folder) as entries:
            return tuple(sorted(e.name for e in entries if known_name(e.name) and e.is_dir()))
    except FileNotFoundError:
        return ()


def _state(home: Path) -> tuple[int, ...]:
    """What differs once an alias or a version of a name has changed; first the two times, in nanoseconds."""
    times, rest = [], []
    for path in (home, home / FILE):
        try:
            status = path.stat()
        except FileNotFoundError:
            times.append(0)
            continue
        times.append(status.st_mtime_ns)
        rest += [status.st_ino, status.st_size]
    return (*times, *rest)


def _wanted(folder: Path, reference: str) -> Wanted:
    specialist = registry.read(folder, reference, verify=False)
    meant = registry.aliases(folder, specialist.name)
    aliases = tuple(sorted(alias for alias, version in meant.items() if version == specialist.version))
    return Wanted(specialist.id, specialist.digest, aliases)
