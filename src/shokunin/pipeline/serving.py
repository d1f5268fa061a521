"""Open the specialists that are to be served, compose the gateway around them and run the server."""

from __future__ import annotations

import asyncio
import calendar
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from shokunin import registry
from shokunin.cost import price_of, quote
from shokunin.curate.documents.apart import ApartReader
from shokunin.curate.documents.limits import DocumentLimits
from shokunin.curate.documents.rows import inputs_of
from shokunin.curate.redact import mask
from shokunin.errors import ProjectError, ShokuninError
from shokunin.exchange import Exchange
from shokunin.files import sha256_of
from shokunin.pipeline.answering import codec_of, open_specialist
from shokunin.pipeline.embedding import embedders
from shokunin.pipeline.local_models import Local, open_local
from shokunin.pipeline.promises import Promises
from shokunin.pipeline.reloading import Reloader
from shokunin.progress import Progress, silent
from shokunin.project import CONFIG, Project, open_project
from shokunin.serve.app import create_app
from shokunin.serve.decisions import DecisionLog
from shokunin.serve.documents import Documents
from shokunin.serve.embedding import Embeddings
from shokunin.serve.gate import KeyGate
from shokunin.serve.keys import KeyFile
from shokunin.serve.ledger import Ledger
from shokunin.serve.limits import Limits
from shokunin.serve.logs import Logs, Style, setup_logging
from shokunin.serve.metrics import Metrics
from shokunin.serve.model_client import ModelClient
from shokunin.serve.parts import Parts
from shokunin.serve.process import bind, run
from shokunin.serve.quota import Quota
from shokunin.serve.recognise import AUTO
from shokunin.serve.routing import Routes, TaskPolicy
from shokunin.serve.served import Served
from shokunin.serve.shelf import Shelf
from shokunin.serve.tally import Tally
from shokunin.serve.telemetry import open_telemetry
from shokunin.serve.unit_histories import UnitHistories
from shokunin.serve.upstream import UpstreamClient, UpstreamSettings
from shokunin.serve.watching import Watches
from shokunin.specialist import Specialist, read_specialist
from shokunin.tasks import HistoryCodec
from shokunin.traffic.reading import get
from shokunin.traffic.recorder import TrafficRecorder, open_recorder

_log = logging.getLogger("shokunin.serve")


def serve(
    names: Sequence[str],
    *,
    folders: Sequence[Path] = (),
    bases: Sequence[str] = (),
    host: str | None = None,
    port: int | None = None,
    threads: int | None = None,
    project: str | Path | None = None,
    record: bool = True,
    log: Style | None = None,
    log_file: Path | None = None,
    started: Callable[[str, list[str]], None] = lambda url, ids: None,
    progress: Progress = silent,
) -> None:
    """Serve until stopped; `started` is told the address and what answers there, `progress` what is done once before.

    Without names or folders: of each specialist the champion, else the newest version. Without any specialist the server
    passes everything on to the upstream, and keeps it. `bases` are base language models to answer with beside them.

    Raises:
        BaseModelError: a base model cannot be found or read.
        ProjectError: there is nothing to serve and no upstream, a name is not there, or somebody else records here.
        UsageError: the port is in use, or the address is not loopback and there are no keys.
    """
    place = open_project(None if project is None else Path(project))
    host, port = host or place.serve.host, place.serve.port if port is None else port
    keys = KeyFile(place.keys)
    keyed = keys.any_valid()
    _check_client_keys(place, keyed)
    bind(host, port, keyed=keyed).close()  # an address that cannot be had is said before anything is loaded
    with ExitStack() as stack:
        style: Style = log or ("text" if sys.stderr.isatty() or log_file else "off")
        logs = setup_logging(style, file=log_file)
        stack.callback(logs.close)
        found = [registry.read(place.specialists, name) for name in names or ([] if folders else names_of(place))]
        fixed = [read_specialist(folder) for folder in folders]
        count = threads or place.limits.threads
        histories = UnitHistories(place.units if record else None, most=place.serve.units)
        stack.callback(histories.close)

        def ready(specialist: Specialist) -> Served:
            return served_of(open_specialist(specialist, threads=count), place, histories)

        opened = {s.id: ready(s) for s in (*found, *fixed)}
        if not opened and not place.gateway.upstream and not bases:
            names_or_error(place)
        local = open_local(bases, place.upstreams, threads=count, progress=progress)
        shelf = Shelf(opened)
        recorder = stack.enter_context(_recorder(place)) if record else None
        decisions = DecisionLog(place.traffic / "decisions.jsonl") if recorder else None
        if not folders:
            reloader = Reloader(
                place.specialists,
                shelf,
                ready,
                opened={s.id: s.digest for s in found},
                names=names,
                told=lambda served: _note(decisions, "specialists_changed", specialists=_digests(served)),
            )
            stack.enter_context(reloader.following())
        promises = Promises(place, recorder.store if recorder else None, decisions)
        ledger = Ledger(place.usage)
        parts, tally = compose(
            place, shelf, recorder=recorder, promises=promises, logs=logs, ledger=ledger, threads=count, local=local
        )
        for one in shelf.served.values():
            parts.watches.of(one)  # what was known of a promise is read now, not while a client waits
        telemetry = open_telemetry()
        if telemetry is not None:
            stack.callback(telemetry.close)
            parts.trace = telemetry.begin
        app = create_app(
            parts,
            gate=KeyGate(keys),
            around=(ledger.kept, promises.kept, _noted(decisions, shelf, place)),
            tally=tally,
            name=place.root.name or "shokunin",
        )
        run(app, host, port, started=lambda url: started(url, [*opened, *bases]), keyed=keyed)


def compose(
    place: Project,
    shelf: Shelf,
    *,
    recorder: TrafficRecorder | None,
    promises: Promises,
    logs: Logs | None = None,
    ledger: Ledger | None = None,
    threads: int | None = None,
    limits: Limits | None = None,
    local: Mapping[str, Local] | None = None,
) -> tuple[Parts, Tally]:
    """What the project's settings make of the server, and what counts for its page.

    `local` are models in this process, asked like upstreams.

    Raises:
        ProjectError: the key of an upstream is not where the settings say.
    """
    prices = place.prices
    local = local or {}
    clients: dict[str, ModelClient] = {name: one.client for name, one in local.items()}
    clients |= {name: UpstreamClient(settings) for name, settings in upstream_settings(place).items()}

    def price(model: str, prompt: int, completion: int) -> float | None:
        known = price_of(model, prices)
        return None if known is None else known.of(prompt, completion)

    def policy_of(task: str) -> TaskPolicy:
        return _policy(place, routes, task)

    def saving(exchange: Exchange) -> float | None:
        target = policy_of(exchange.workload_id).target if exchange.workload_id else None
        one = shelf.names.get(exchange.workload_id) if exchange.workload_id else None
        if target is None or (one is not None and one.stays):
            return None
        if exchange.model != AUTO and exchange.model not in shelf.names:
            target = routes.instead_of(target, exchange.model)
        return price(target.model, exchange.prompt_tokens, exchange.completion_tokens)

    routes = Routes(
        {name: (upstream.model, upstream.models) for name, upstream in place.upstreams.items()}
        | {name: (one.model.name, ()) for name, one in local.items()},
        place.gateway.upstream,
    )
    metrics = Metrics(
        models=[
            *shelf.names,
            *local,
            *(one.model.name for one in local.values()),
            *(u.model for u in place.upstreams.values()),
            *prices,
            "auto",
        ],
        tasks=sorted({one.name for one in shelf.served.values()}),
        upstreams=list(clients),
        served=lambda: shelf.names,
        saving=saving,
    )
    quotes = [quote(upstream.model, prices) for upstream in place.upstreams.values()]
    as_of = next((one.as_of for one in quotes if one is not None and one.as_of is not None), None)
    tally = Tally(saving=saving, prices_as_of=as_of, currency=place.money.unit())
    parts = Parts(
        shelf,
        limits=limits or Limits(),
        upstreams=clients,
        routes=routes,
        policy_of=policy_of,
        watches=Watches(promises.make, changed=promises.changed, told=promises.told),
        recorder=recorder,
        quota=Quota(ledger),
        price=price,
        mask=mask,
        embeddings=Embeddings(embedders(place.serve.embeddings, threads=threads)),
        documents=_documents(),
        metrics=metrics,
        lookup=None if recorder is None else partial(get, recorder.store),
        observers=(tally.observe, *(() if logs is None else (logs.observe,))),
    )
    return parts, tally


def _documents() -> Documents:
    """What reads documents in requests, if its libraries are installed; smaller ones than on the command line."""
    if find_spec("pypdfium2") is None:
        return Documents()
    reader = ApartReader(DocumentLimits(pages=20, page_seconds=60.0))
    return Documents(lambda data: inputs_of(reader.read(data)), reader.close)


def upstream_settings(place: Project) -> dict[str, UpstreamSettings]:
    """The upstreams of a project, their keys fetched.

    Raises:
        ProjectError: a key is not where the settings say.
    """
    found = {}
    for name, upstream in place.upstreams.items():
        key = upstream.api_key(root=place.root)
        found[name] = UpstreamSettings(
            name=name,
            base_url=upstream.base_url,
            key=None if key is None else SecretStr(key),
            timeout_seconds=upstream.timeout_seconds,
            connect_seconds=upstream.connect_seconds,
            idle_seconds=upstream.idle_seconds,
            connections=upstream.connections,
            forward_client_key=upstream.client_keys,
        )
    return found


def names_of(place: Project) -> list[str]:
    """Every name on the shelf."""
    return sorted({s.name for s in registry.list_specialists(place.specialists)})


def names_or_error(place: Project) -> list[str]:
    """Every name on the shelf.

    Raises:
        ProjectError: there is none.
    """
    names = names_of(place)
    if not names:
        raise ProjectError(
            f"there is no specialist in {str(place.specialists)!r} and no `upstream` in [gateway] to pass requests to; "
            "train one: shokunin train ROWS.csv"
        )
    return names


def served_of(specialist: Specialist, place: Project, histories: UnitHistories | None = None) -> Served:
    """What the server needs to know of one specialist, and of the units it has heard of where it reads their readings.

    What reads readings answers everything itself: no language model could in its place, and none is shown them.
    """
    assert specialist.predictor is not None
    codec = codec_of(specialist)
    database = codec.hints.get("database")
    if database is not None and not Path(database).is_file():
        _log.warning(
            "%s: the database %r is not there, so that no answer can be run to be compared with the upstream's; only the same "
            "query counts as the same answer",
            specialist.id, specialist.task.options.get("database"),
        )  # fmt: skip
    aliases = registry.aliases(place.specialists, specialist.name)
    return Served(
        id=specialist.id,
        name=specialist.name,
        version=specialist.version,
        aliases=tuple(a for a, version in aliases.items() if version == specialist.version),
        kind=specialist.task.kind,
        predictor=specialist.predictor,
        codec=codec,
        created=calendar.timegm(time.strptime(specialist.manifest["created"], "%Y-%m-%dT%H:%M:%SZ")),
        about={"parent": specialist.manifest["parent"], "labels": list(specialist.labels), "digest": specialist.digest},
        templates=specialist.task.templates,
        memory=histories.memory(specialist.name, codec.shape)
        if histories and isinstance(codec, HistoryCodec)
        else None,
        stays=isinstance(codec, HistoryCodec),
    )


def _policy(place: Project, routes: Routes, task: str) -> TaskPolicy:
    route = place.gateway.route(task)
    target = None if route.upstream is None else routes.of_upstream(route.upstream)
    egress: Any = route.egress
    return TaskPolicy(target, egress, answer_anyway=route.when_upstream_fails == "answer")


def _check_client_keys(place: Project, keyed: bool) -> None:
    """Refuse settings by which an upstream would get no key at all.

    Raises:
        ProjectError: callers send keys of this server, and are to bring those of an upstream too.
    """
    for name, upstream in place.upstreams.items():
        if keyed and upstream.client_keys:
            raise ProjectError(
                f"upstream {name!r} takes its key from the caller (`client_keys`), but callers send this server's own; "
                "name the upstream's key in `api_key_env` or `api_key_file`"
            )


def _recorder(place: Project) -> Any:
    from contextlib import closing

    gateway = place.gateway
    return closing(
        open_recorder(
            place.traffic,
            url=gateway.database_url(),
            bodies=gateway.bodies,
            retention_days=gateway.retention_days,
        )
    )


def _noted(decisions: DecisionLog | None, shelf: Shelf, place: Project) -> Callable[[], Any]:
    """Writes into the log of decisions when the server starts and stops, and by which settings it works."""
    settings = place.root / CONFIG
    digest = sha256_of(settings) if settings.exists() else None

    @asynccontextmanager
    async def noted() -> AsyncIterator[None]:
        served = _digests(shelf.served)
        await asyncio.to_thread(_note, decisions, "server_started", specialists=served, settings_sha256=digest)
        try:
            yield
        finally:
            await asyncio.to_thread(_note, decisions, "server_stopped", specialists=sorted(shelf.served))

    return noted


def _digests(served: Mapping[str, Served]) -> dict[str, Any]:
    return {key: one.about.get("digest") for key, one in sorted(served.items())}


def _note(decisions: DecisionLog | None, what: Any, **details: Any) -> None:
    if decisions is not None:
        try:
            decisions.append(what, "shokunin", **details)
        except ShokuninError as error:
            _log.error("the log of decisions could not be written: %s", error)
