"""Open the specialists that are to be served and run the server."""

from __future__ import annotations

import calendar
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from shokunin import registry
from shokunin.errors import ProjectError
from shokunin.pipeline.answering import codec_of, open_specialist
from shokunin.project import Project, open_project
from shokunin.serve.app import create_app
from shokunin.serve.process import bind, run
from shokunin.serve.served import Served
from shokunin.specialist import Specialist, read_specialist


def serve(
    names: Sequence[str],
    *,
    folders: Sequence[Path] = (),
    host: str | None = None,
    port: int | None = None,
    threads: int | None = None,
    project: str | Path | None = None,
    started: Callable[[str, list[str]], None] = lambda url, ids: None,
) -> None:
    """Serve until stopped; `started` is told the address and what answers there.

    Without names or folders: of each specialist the champion, else the newest version.

    Raises:
        ProjectError: there is nothing to serve, or a name is not there.
        UsageError: the port is in use, or the address is not loopback.
    """
    place = open_project(None if project is None else Path(project))
    host, port = host or place.serve.host, place.serve.port if port is None else port
    bind(host, port).close()  # an address that cannot be had is said before anything is loaded
    found = [registry.read(place.specialists, name) for name in names or ([] if folders else names_of(place))]
    found += [read_specialist(folder) for folder in folders]
    opened = {s.id: open_specialist(s, threads=threads or place.limits.threads) for s in found}
    served = {key: served_of(one, place) for key, one in opened.items()}
    run(create_app(served), host, port, started=lambda url: started(url, list(served)))


def names_of(place: Project) -> list[str]:
    """Every specialist on the shelf.

    Raises:
        ProjectError: there is none.
    """
    names = sorted({s.name for s in registry.list_specialists(place.specialists)})
    if not names:
        raise ProjectError(f"there is no specialist in {str(place.specialists)!r}; train one: shokunin train ROWS.csv")
    return names


def served_of(specialist: Specialist, place: Project) -> Served:
    """What the server needs to know of one specialist."""
    assert specialist.predictor is not None
    aliases = registry.aliases(place.specialists, specialist.name)
    return Served(
        id=specialist.id,
        name=specialist.name,
        version=specialist.version,
        aliases=tuple(a for a, version in aliases.items() if version == specialist.version),
        kind=specialist.task.kind,
        predictor=specialist.predictor,
        codec=codec_of(specialist),
        created=calendar.timegm(time.strptime(specialist.manifest["created"], "%Y-%m-%dT%H:%M:%SZ")),
        about={"parent": specialist.manifest["parent"], "labels": list(specialist.labels)},
    )
