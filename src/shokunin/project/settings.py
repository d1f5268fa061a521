"""Settings: what may be written in `shokunin.toml`, section by section, with the defaults."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.parse import urlsplit

from shokunin.cost import Currency, currency
from shokunin.errors import ProjectError

EGRESS = ("allowed", "masked", "never")
WHEN_UPSTREAM_FAILS = ("answer", "error")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,100}")


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
        embeddings: base models that answer at `/v1/embeddings`; None: the usual encoder, if it is installed.
        units: of so many machines the newest readings are kept, so that a caller sends only what is new.
    """

    host: str = "127.0.0.1"
    port: int = 8321
    embeddings: tuple[str, ...] | None = None
    units: int = 10_000

    def __post_init__(self) -> None:
        _positive("units", self.units)
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
        api_key_file: a file that holds the key and nothing else, instead; a relative path starts at the project.
        client_keys: pass the caller's own key on instead; only while this server has no keys of its own.
        models: other names of models that are passed on to this upstream; `*` stands for anything: `gpt-*`.
        timeout_seconds: how long one answer may take.
        connect_seconds: how long connecting may take.
        idle_seconds: how long a stream may be silent.
        connections: requests under way at a time; more wait.
    """

    base_url: str
    model: str
    api_key_env: str | None = None
    api_key_file: str | None = None
    client_keys: bool = False
    models: tuple[str, ...] = ()
    timeout_seconds: float = 60.0
    connect_seconds: float = 5.0
    idle_seconds: float = 60.0
    connections: int = 100

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
        if (self.api_key_env is not None) + (self.api_key_file is not None) + self.client_keys > 1:
            raise ValueError("`api_key_env`, `api_key_file` and `client_keys` exclude each other; keep one")
        for name in ("timeout_seconds", "connect_seconds", "idle_seconds", "connections"):
            _positive(name, getattr(self, name))

    def api_key(self, environment: Mapping[str, str] | None = None, root: Path | None = None) -> str | None:
        """The key from the environment or the key file (relative to `root`), or None when none is asked for.

        Raises:
            ProjectError: the variable is not set, or the file cannot be read or is empty.
        """
        if self.api_key_file is not None:
            return self._key_in(Path(root or "") / self.api_key_file)
        if self.api_key_env is None:
            return None
        key = (os.environ if environment is None else environment).get(self.api_key_env, "").strip()
        if not key:
            raise ProjectError(
                f"the environment variable {self.api_key_env!r} is not set; it should hold the key of {self.base_url!r}"
            )
        return key

    def _key_in(self, path: Path) -> str:
        try:
            key = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ProjectError(f"cannot read the key of {self.base_url!r} from {str(path)!r}") from error
        if not key or len(key.split()) != 1:
            raise ProjectError(f"{str(path)!r} should hold the key of {self.base_url!r} and nothing else")
        return key


@dataclass(frozen=True)
class TaskRoute:
    """`[gateway.tasks.NAME]`: what may leave the house for one task. What is left out is as in `[gateway]`.

    Attributes:
        upstream: the upstream that is asked when the specialist is not sure.
        egress: `allowed`; `masked`, personal data is masked before; `never`, the specialist answers everything.
        when_upstream_fails: `answer`, the specialist's unsure answer is given and flagged; `error`.
        audit_share: the least share of given answers that is compared with the upstream.
    """

    upstream: str | None = None
    egress: str | None = None
    when_upstream_fails: str | None = None
    audit_share: float | None = None

    def __post_init__(self) -> None:
        _check_route(self)


@dataclass(frozen=True)
class Gateway:
    """`[gateway]`: what is passed on, what is kept.

    Attributes:
        upstream: the upstream for models that nobody here has a name for, and for tasks that name none; None: such models
            are refused, and specialists answer everything themselves.
        egress: as in `TaskRoute`, for tasks that do not say.
        when_upstream_fails: likewise.
        audit_share: likewise; 0: nothing is compared, and the promise rests on the validation rows alone.
        bodies: whether requests and replies are kept; without them only who, when, how long and by which route.
        retention_days: after how many days an exchange is deleted; None: never.
        database: where exchanges are kept, a SQLAlchemy URL without a password; None: `traffic/traffic.sqlite3`.
        database_env: the environment variable that holds such a URL, password included, instead.
        tasks: exceptions by task.
    """

    upstream: str | None = None
    egress: str = "allowed"
    when_upstream_fails: str = "answer"
    audit_share: float = 0.05
    bodies: bool = True
    retention_days: float | None = None
    database: str | None = None
    database_env: str | None = None
    tasks: Mapping[str, TaskRoute] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_route(self)
        if self.retention_days is not None:
            _positive("retention_days", self.retention_days)
        if self.database is not None and self.database_env is not None:
            raise ValueError("`database` and `database_env` exclude each other; keep one")
        if self.database is not None and urlsplit(self.database).password:
            raise ValueError("`database` carries a password; put the URL into a variable, named in `database_env`")

    def route(self, task: str) -> TaskRoute:
        """What holds for one task, its exceptions taken into account."""
        own = self.tasks.get(task, TaskRoute())
        return TaskRoute(
            own.upstream or self.upstream,
            own.egress or self.egress,
            own.when_upstream_fails or self.when_upstream_fails,
            self.audit_share if own.audit_share is None else own.audit_share,
        )

    def database_url(self, environment: Mapping[str, str] | None = None) -> str | None:
        """The URL of the database; None: the file in the project.

        Raises:
            ProjectError: the variable that is to hold it is not set.
        """
        if self.database_env is None:
            return self.database
        url = (os.environ if environment is None else environment).get(self.database_env, "").strip()
        if not url:
            raise ProjectError(
                f"the environment variable {self.database_env!r} is not set; it should hold the database's URL"
            )
        return url


@dataclass(frozen=True)
class Money:
    """`[money]`: the currency, and what owning costs. Amounts are in the currency; what is left out is as in `cost.Plan`.

    Attributes:
        currency: `USD`, `EUR` or `JPY`: in which amounts are given here, and shown on pages, in reports and tables.
        per_usd: how many units of it one US dollar is, as prices of rented models are in US dollars; needed unless it is USD.
        energy_price: of a kilowatt-hour.
        machine_price: of a machine that is bought; 0: there is one already.
        machine_months: how long it lasts.
        machine_per_month: of a machine that is rented.
        watts: what the machine draws on average, around the clock.
        busy_watts: what it draws more than that while it works at full load, as in a training.
        hourly_rate: of the people who look after it.
        setup_hours: how many hours they need, once.
        upkeep_hours: how many they need every month.
        trainings_per_year: how often a specialist is trained anew.
        training_per_hour: of a machine that is rented to train on.
    """

    currency: str = "USD"
    per_usd: float | None = None
    energy_price: float | None = None
    machine_price: float | None = None
    machine_months: float | None = None
    machine_per_month: float | None = None
    watts: float | None = None
    busy_watts: float | None = None
    hourly_rate: float | None = None
    setup_hours: float | None = None
    upkeep_hours: float | None = None
    trainings_per_year: float | None = None
    training_per_hour: float | None = None

    def __post_init__(self) -> None:
        self.unit()
        for name, value in self.given().items():
            if not 0 <= value < float("inf"):
                raise ValueError(f"`{name}` is 0 or more, not {value!r}")
        if self.machine_months is not None:
            _positive("machine_months", self.machine_months)

    def unit(self) -> Currency:
        """The currency with its rate.

        Raises:
            ValueError: it is not a known one, or its rate is missing or wrong.
        """
        return currency(self.currency, self.per_usd)

    def given(self) -> dict[str, float]:
        """What was written here of what owning costs, by the names of `cost.Plan`, as it was written."""
        names = [f.name for f in fields(self) if f.name not in ("currency", "per_usd")]
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def _positive(name: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise ValueError(f"`{name}` is more than 0, not {value!r}")


def _check_route(route: TaskRoute | Gateway) -> None:
    for name, choices in (("egress", EGRESS), ("when_upstream_fails", WHEN_UPSTREAM_FAILS)):
        given = getattr(route, name)
        if given is not None and given not in choices:
            raise ValueError(f"`{name}` is one of {', '.join(map(repr, choices))}, not {given!r}")
    if route.audit_share is not None and not 0 <= route.audit_share <= 1:
        raise ValueError(f"`audit_share` is a share from 0 to 1, not {route.audit_share!r}; 5 % is 0.05")
