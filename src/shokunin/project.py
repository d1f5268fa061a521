"""The customer's folder: where things are, and `shokunin.toml`, which says how the work is done.

```
my-shop/
├── shokunin.toml                        limits, server, upstreams, prices (HOW); no secrets in it
├── tasks/<name>/task.toml               what the task is (WHAT); copied into every specialist
├── tasks/<name>/rows/                   raw rows, never edited
├── tasks/<name>/datasets/<digest>/      curated rows with a fixed split
├── specialists/<name>/<version>/        published specialists
├── reports/                             reports made by `prove`
├── traffic/                             the server's record
└── .shokunin/work/                      scratch; may be deleted at any time
```

A folder without a `shokunin.toml` works with the defaults below.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from shokunin.errors import ProjectError
from shokunin.files import disk_error, write_text

CONFIG = "shokunin.toml"
_SECRET = re.compile(r"(?i)(^|_)(api_?)?(key|token|secret|password|authorization)$")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,100}")
T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """`[limits]`: how much of this machine may be used.

    Attributes:
        budget_minutes: how long a training may take.
        threads: threads with which a model answers; None: one for each core. Training takes all cores.
    """

    budget_minutes: float = 30.0
    threads: int | None = None

    def __post_init__(self) -> None:
        _positive("budget_minutes", self.budget_minutes)
        if self.threads is not None:
            _positive("threads", self.threads)


@dataclass(frozen=True)
class Serve:
    """`[serve]`: where the server listens.

    Attributes:
        host: the address; only this machine's own can be reached without keys.
        port: 0 takes any free one.
    """

    host: str = "127.0.0.1"
    port: int = 8321

    def __post_init__(self) -> None:
        if not self.host.strip():
            raise ValueError("`host` is empty; expected an address such as '127.0.0.1'")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"`port` is between 0 and 65535, not {self.port!r}")


@dataclass(frozen=True)
class Upstream:
    """`[upstreams.NAME]`: the endpoint of a large model.

    Attributes:
        base_url: the OpenAI-compatible address, up to and with `/v1`.
        model: the model to ask for.
        api_key_env: the environment variable that holds the key; None: no key is sent.
        timeout_seconds: how long one answer may take.
    """

    base_url: str
    model: str
    api_key_env: str | None = None
    timeout_seconds: float = 60.0

    def __post_init__(self) -> None:
        address = urlsplit(self.base_url)
        if address.username or address.password or address.query:
            raise ValueError("`base_url` carries a name, password or query; name a variable in `api_key_env` instead")
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError(
                f"`base_url` is an http(s) address such as 'https://api.openai.com/v1', not {self.base_url!r}"
            )
        if self.api_key_env is not None and not _VARIABLE.fullmatch(self.api_key_env):
            raise ValueError(
                "`api_key_env` is not the name of an environment variable; write the name, never the key itself"
            )
        _positive("timeout_seconds", self.timeout_seconds)

    def api_key(self, environment: Mapping[str, str] | None = None) -> str | None:
        """The key from the environment, or None when none is asked for.

        Raises:
            ProjectError: the variable is not set.
        """
        if self.api_key_env is None:
            return None
        key = (os.environ if environment is None else environment).get(self.api_key_env, "").strip()
        if not key:
            raise ProjectError(
                f"the environment variable {self.api_key_env!r} is not set; it should hold the key of {self.base_url!r}"
            )
        return key


@dataclass(frozen=True)
class Price:
    """`[prices."MODEL"]`: what a rented model costs, in US dollars per million tokens."""

    input: float
    output: float

    def __post_init__(self) -> None:
        for name, value in (("input", self.input), ("output", self.output)):
            if not 0 <= value < float("inf"):
                raise ValueError(f"`{name}` is US dollars per million tokens, 0 or more, not {value!r}")


@dataclass(frozen=True)
class Project:
    """A customer's folder and its settings."""

    root: Path
    limits: Limits = field(default_factory=Limits)
    serve: Serve = field(default_factory=Serve)
    upstreams: Mapping[str, Upstream] = field(default_factory=dict)
    prices: Mapping[str, Price] = field(default_factory=dict)

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
    for name, text in ((CONFIG, _CONFIG_TEXT), ("tasks/example/task.toml", _TASK_TEXT), (".gitignore", _IGNORE_TEXT)):
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
    _no_secret(value, where)
    sections = ("limits", "serve", "upstreams", "prices")
    for name, section in value.items():
        _known(name, sections, "section" if isinstance(section, dict) else "key", where)
        if not isinstance(section, dict):
            raise ProjectError(f"{name!r} in {where} is a section: write [{name}] and its keys below it")
    return Project(
        root,
        _section(Limits, value.get("limits", {}), "[limits]", where),
        _section(Serve, value.get("serve", {}), "[serve]", where),
        _sections(Upstream, value.get("upstreams", {}), "upstreams", where),
        _sections(Price, value.get("prices", {}), "prices", where),
    )


def _sections(made: type[T], value: dict[str, Any], name: str, where: str) -> dict[str, T]:
    for key, section in value.items():
        if not isinstance(section, dict):
            raise ProjectError(
                f"{key!r} in [{name}] of {where} is a section: write [{name}.NAME] and its keys below it"
            )
    return {key: _section(made, section, f'[{name}."{key}"]', where) for key, section in value.items()}


def _section(made: type[T], value: dict[str, Any], title: str, where: str) -> T:
    kinds = {f.name: str(f.type) for f in fields(made)}  # type: ignore[arg-type]  # only dataclasses come here
    for key, given in value.items():
        _known(key, tuple(kinds), "key", f"{title} of {where}")
        wanted = kinds[key].removesuffix(" | None")
        right = {"str": (str,), "int": (int,), "float": (int, float)}[wanted]
        if not isinstance(given, right) or isinstance(given, bool):
            shown = {"str": "text in quotes", "int": "a whole number", "float": "a number"}[wanted]
            raise ProjectError(f"{key!r} in {title} of {where} is {shown}, not {given!r}")
    try:
        return made(**value)
    except TypeError:
        missing = [k for k in kinds if k not in value and not hasattr(made, k)]
        raise ProjectError(f"{title} of {where} lacks {', '.join(map(repr, missing))}") from None
    except ValueError as error:
        raise ProjectError(f"{title} of {where}: {error}") from None


def _no_secret(value: Mapping[str, Any], where: str) -> None:
    """Refuse anything that looks like a key; the message does not repeat it."""
    for key, given in value.items():
        if isinstance(given, dict):
            _no_secret(given, where)
        elif _SECRET.search(key) or (isinstance(given, str) and given.startswith(("sk-", "hf_", "Bearer "))):
            raise ProjectError(
                f"{key!r} in {where} holds a secret; put it into an environment variable and name that: "
                'api_key_env = "OPENAI_API_KEY"'
            )


def _known(name: str, known: Sequence[str], what: str, where: str) -> None:
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ProjectError(f"unknown {what} {name!r} in {where}{hint}; known: {', '.join(known)}")


def _positive(name: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise ValueError(f"`{name}` is more than 0, not {value!r}")


_CONFIG_TEXT = """\
# How Shokunin works in this folder. Every line may be left out; what is shown after a # is the default.
# No secrets belong in here: name the environment variable that holds a key.

[limits]
# budget_minutes = 30.0        # how long a training may take
# threads = 4                  # threads with which a model answers; by default one for each core

[serve]
# host = "127.0.0.1"           # only this machine; any other address needs keys
# port = 8321

# The large model to compare with, and to ask when a specialist is not sure.
# [upstreams.openai]
# base_url = "https://api.openai.com/v1"
# model = "gpt-4o-mini"
# api_key_env = "OPENAI_API_KEY"
# timeout_seconds = 60.0

# What a rented model costs, in US dollars per million tokens; take the figures from your bill.
# [prices."gpt-4o-mini"]
# input = 0.15
# output = 0.60
"""

_TASK_TEXT = """\
# What one task is. Copy this folder, name it after your task, and put one file of past rows into rows/.
# Then: shokunin train tasks/example
name = "example"
kind = "classify_text"
inputs = ["text"]              # the columns to read
target = "label"               # the column with the answer

metric = "accuracy"            # or "macro_f1", when rare labels count as much as common ones
# target_score = 0.9           # pass only if the lower end of the metric's 95 % interval reaches this
max_error = 0.05               # of the answers given without asking a large model, at most this share may be wrong …
promise_confidence = 0.95      # … with this probability
# group = "customer"           # rows of one customer stay on one side of every split
# time = "received"            # the newest rows are the test, instead of rows at random
"""

_IGNORE_TEXT = """\
.shokunin/
traffic/
specialists/*/.lock
specialists/*/.making-*
specialists/.making-*
"""
