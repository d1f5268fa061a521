"""The customer's folder: where things are, and `shokunin.toml`, which says how the work is done.

```
my-shop/
├── shokunin.toml                        limits, server, gateway, upstreams, prices, money (HOW); no secrets in it
├── tasks/<name>/task.toml               what the task is (WHAT); copied into every specialist
├── tasks/<name>/rows/                   raw rows, never edited
├── tasks/<name>/datasets/<digest>/      curated rows with a fixed split
├── specialists/<name>/<version>/        published specialists
├── reports/                             reports made by `prove` and `discover`
├── traffic/                             the server's record
└── .shokunin/work/                      scratch; may be deleted at any time
```

A folder without a `shokunin.toml` works with the defaults below.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from shokunin.cost import Price
from shokunin.errors import ProjectError
from shokunin.files import disk_error, write_text
from shokunin.project.reading import known, no_secret, read_section, read_sections
from shokunin.project.settings import Gateway, Limits, Money, Serve, TaskRoute, Upstream
from shokunin.project.texts import CONFIG_TEXT, IGNORE_TEXT, TASK_TEXT

__all__ = [
    "CONFIG",
    "Gateway",
    "Limits",
    "Money",
    "Price",
    "Project",
    "Serve",
    "TaskRoute",
    "Upstream",
    "init_project",
    "open_project",
]

CONFIG = "shokunin.toml"


@dataclass(frozen=True)
class Project:
    """A customer's folder and its settings."""

    root: Path
    limits: Limits = field(default_factory=Limits)
    serve: Serve = field(default_factory=Serve)
    gateway: Gateway = field(default_factory=Gateway)
    upstreams: Mapping[str, Upstream] = field(default_factory=dict)
    prices: Mapping[str, Price] = field(default_factory=dict)
    money: Money = field(default_factory=Money)

    @property
    def specialists(self) -> Path:
        """The shelf of published specialists."""
        return self.root / "specialists"

    @property
    def tasks(self) -> Path:
        """One folder a task."""
        return self.root / "tasks"

    @property
    def traffic(self) -> Path:
        """The server's record."""
        return self.root / "traffic"

    @property
    def keys(self) -> Path:
        """The keys of those who may use the server."""
        return self.root / ".shokunin" / "keys.json"

    @property
    def usage(self) -> Path:
        """What each key has used."""
        return self.root / ".shokunin" / "usage.json"

    @property
    def units(self) -> Path:
        """The newest readings of each unit that the server was told of."""
        return self.root / ".shokunin" / "units.sqlite3"

    @property
    def reports(self) -> Path:
        """Reports made after publication."""
        return self.root / "reports"

    @property
    def work(self) -> Path:
        """Scratch for training that can be resumed; may be deleted at any time."""
        return self.root / ".shokunin" / "work"

    def task_file(self, task: str) -> Path:
        """Where a task is defined."""
        return self.tasks / task / "task.toml"

    def rows(self, task: str) -> Path:
        """A task's raw rows."""
        return self.tasks / task / "rows"

    def datasets(self, task: str) -> Path:
        """A task's curated datasets."""
        return self.tasks / task / "datasets"


def open_project(folder: Path | None = None) -> Project:
    """The project in `folder`, by default the current one, with the settings of its `shokunin.toml` if there is one.

    Raises:
        ProjectError: there is no such folder, or the file has an unknown key, a wrong value or a secret in it.
    """
    root = (folder or Path()).absolute()
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist; `shokunin init DIR` makes a project"
        raise ProjectError(f"the project folder {str(folder)!r} {what}")
    path = root / CONFIG
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return Project(root)
    except (OSError, UnicodeDecodeError) as error:
        raise ProjectError(f"cannot read {str(path)!r} as UTF-8 text: {error}") from error
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProjectError(f"{str(path)!r} is not TOML: {error}") from error
    return _project(root, value, repr(str(path)))


def init_project(folder: Path) -> list[Path]:
    """Write a commented `shokunin.toml`, an example task and a `.gitignore` into `folder`, each only if absent.

    Returns:
        The files that were written.

    Raises:
        ProjectError: the folder cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise ProjectError(f"{str(folder)!r} is a file, not a folder; choose another name")
    written = []
    for name, text in ((CONFIG, CONFIG_TEXT), ("tasks/example/task.toml", TASK_TEXT), (".gitignore", IGNORE_TEXT)):
        path = folder / name
        if not path.exists():
            write_text(path, text)
            written.append(path)
    try:
        (folder / "tasks" / "example" / "rows").mkdir(exist_ok=True)
    except OSError as error:
        raise disk_error(error, folder) from error
    return written


def _project(root: Path, value: dict[str, Any], where: str) -> Project:
    no_secret(value, where)
    sections = ("limits", "serve", "gateway", "upstreams", "prices", "money")
    for name, section in value.items():
        known(name, sections, "section" if isinstance(section, dict) else "key", where)
        if not isinstance(section, dict):
            raise ProjectError(f"{name!r} in {where} is a section: write [{name}] and its keys below it")
    upstreams = read_sections(Upstream, value.get("upstreams", {}), "upstreams", where)
    return Project(
        root,
        read_section(Limits, value.get("limits", {}), "[limits]", where),
        read_section(Serve, value.get("serve", {}), "[serve]", where),
        _gateway(value.get("gateway", {}), upstreams, where),
        upstreams,
        read_sections(Price, value.get("prices", {}), "prices", where),
        read_section(Money, value.get("money", {}), "[money]", where),
    )


def _gateway(value: dict[str, Any], upstreams: Mapping[str, Upstream], where: str) -> Gateway:
    tasks = value.get("tasks", {})
    if not isinstance(tasks, dict):
        raise ProjectError(f"'tasks' in [gateway] of {where} is a section: write [gateway.tasks.NAME]")
    own = {key: given for key, given in value.items() if key != "tasks"}
    gateway = read_section(Gateway, own, "[gateway]", where)
    gateway = replace(gateway, tasks=read_sections(TaskRoute, tasks, "gateway.tasks", where))
    named = {"[gateway]": gateway.upstream} | {f'[gateway.tasks."{n}"]': r.upstream for n, r in gateway.tasks.items()}
    for title, upstream in named.items():
        if upstream is not None:
            known(upstream, tuple(upstreams), "upstream", f"{title} of {where}")
    return gateway
