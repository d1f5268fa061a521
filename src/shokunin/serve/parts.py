"""Parts: everything that the server is made of, passed in by whoever composes it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from shokunin.exchange import Exchange, Recorder
from shokunin.serve.auditing import Audits
from shokunin.serve.documents import Documents
from shokunin.serve.embedding import Embeddings
from shokunin.serve.entry import Entry, Price, Span
from shokunin.serve.limits import Limits
from shokunin.serve.metrics import Metrics
from shokunin.serve.model_client import ModelClient
from shokunin.serve.outgoing import Mask
from shokunin.serve.quota import Quota
from shokunin.serve.recognise import Recogniser
from shokunin.serve.routing import Routes, TaskPolicy
from shokunin.serve.served import Served
from shokunin.serve.shelf import Shelf
from shokunin.serve.watching import Watches

_log = logging.getLogger("shokunin.serve")


def _no_price(model: str, prompt: int, completion: int) -> float | None:
    return None


def _nobody(task: str) -> TaskPolicy:
    return TaskPolicy()


@dataclass
class Parts:
    """What the routes share.

    Attributes:
        shelf: the specialists.
        limits: how much one request may ask for.
        upstreams: the large models, by name.
        routes: which upstream a model's name means.
        policy_of: what holds for a task.
        watches: the promises that are watched.
        recorder: keeps exchanges; None: nothing is kept.
        quota: what each key may use.
        price: what an upstream's tokens cost.
        mask: takes personal data out of a text.
        embeddings: the encoders.
        documents: reads those that come with a request.
        metrics: counts exchanges; None: nothing is counted.
        lookup: finds an exchange by its id in the record, in any thread; None: nothing is kept.
        observers: others that are told of every exchange.
        trace: begins the trace of a request, given its headers and when it came; None: nothing is traced.
        audits: puts answers to upstreams in the shadow.
        in_flight: how many requests are being answered.
    """

    shelf: Shelf
    limits: Limits = field(default_factory=Limits)
    upstreams: Mapping[str, ModelClient] = field(default_factory=dict)
    routes: Routes = field(default_factory=lambda: Routes({}))
    policy_of: Callable[[str], TaskPolicy] = _nobody
    watches: Watches = field(default_factory=lambda: Watches(lambda one: None))
    recorder: Recorder | None = None
    quota: Quota = field(default_factory=Quota)
    price: Price = _no_price
    mask: Mask | None = None
    embeddings: Embeddings = field(default_factory=lambda: Embeddings({}))
    documents: Documents = field(default_factory=Documents)
    metrics: Metrics | None = None
    lookup: Callable[[str], Exchange | None] | None = None
    observers: Sequence[Callable[[Exchange], None]] = ()
    trace: Callable[[Mapping[str, str], float], Span] | None = None
    audits: Audits = field(default_factory=Audits)
    in_flight: Callable[[], int] = lambda: 0
    _recogniser: tuple[Mapping[str, Served], Recogniser] | None = None

    def recogniser(self, names: Mapping[str, Served]) -> Recogniser:
        """Recognises the tasks on this state of the shelf, by their specialists' names."""
        if self._recogniser is None or self._recogniser[0] is not names:
            tasks = {one.name: names[one.name].templates for one in names.values()}
            made = Recogniser((name, template) for name, templates in tasks.items() for template in templates)
            self._recogniser = (names, made)
            for task in made.unspecific:
                _log.warning("%s: a template of it has too little fixed text to recognise requests by", task)
            for alike in made.unclear:
                _log.warning("%s cannot be told apart by their templates; ask for them by name", ", ".join(alike))
        return self._recogniser[1]

    def policy(self, task: str) -> TaskPolicy:
        """What holds for a task."""
        one = self.shelf.names.get(task)
        return self.policy_of(task) if one is None else self.policy_of_served(one)

    def policy_of_served(self, one: Served) -> TaskPolicy:
        """What holds for a specialist's task; where its inputs stay in this house, whatever the settings say, they stay."""
        policy = self.policy_of(one.name)
        return replace(policy, egress="never") if one.stays else policy

    def mask_for(self, policy: TaskPolicy | None) -> Mask | None:
        """What takes personal data out of a task's requests, if that is wanted."""
        if policy is None or policy.egress != "masked":
            return None
        assert self.mask is not None  # a task with masked egress comes with something to mask
        return self.mask

    def observe(self, entry: Entry, exchange: Exchange) -> None:
        """An exchange is over."""
        if self.metrics is not None:
            self.metrics.observe(exchange, reason=entry.reason, upstream_seconds=entry.upstream_seconds)
        if entry.span is not None:
            entry.span.end(exchange)
        for observer in self.observers:
            observer(exchange)
