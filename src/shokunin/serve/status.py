"""Status: the server's state at this moment, gathered from its parts."""

from __future__ import annotations

import time
from dataclasses import replace

from shokunin.exchange import Recorder
from shokunin.serve.page import PageFacts, ServedFact
from shokunin.serve.parts import Parts
from shokunin.serve.state import CaptureState, ServerState, UpstreamState, promise_of
from shokunin.serve.tally import Tally
from shokunin.version import __version__


def server_state(parts: Parts, *, ready: bool) -> ServerState:
    """What is true now, for metrics and the page. A task has one promise: that of the version its plain name stands for."""
    promised = ((name, one) for name, one in parts.shelf.names.items() if name == one.name)
    watched = ((task, one.id, parts.watches.of(one)) for task, one in promised)
    return ServerState(
        ready=ready,
        in_flight=parts.in_flight(),
        queues=parts.shelf.waiting(),
        promises=tuple(promise_of(task, id_, watch.status) for task, id_, watch in watched if watch is not None),
        upstreams=tuple(
            UpstreamState(name=name, breaker=client.breaker.state) for name, client in parts.upstreams.items()
        ),
        capture=_capture(parts.recorder),
    )


def _capture(recorder: Recorder | None) -> CaptureState:
    if recorder is None:
        return CaptureState(on=False)
    return CaptureState(
        on=True,
        recorded=recorder.recorded,
        waiting=recorder.waiting,
        dropped=recorder.dropped,
        problem=recorder.problem,
    )


def page_facts(parts: Parts, tally: Tally, *, name: str, base_url: str, ready: bool) -> PageFacts:
    """Everything that the page for people says."""
    now = time.time()
    state = server_state(parts, ready=ready)
    return PageFacts(
        name=name,
        version=__version__,
        now=now,
        since=tally.since,
        base_url=base_url,
        state=replace(state, in_flight=max(0, state.in_flight - 1)),  # the request for this page is none of them
        today=tally.today(),
        this_hour=tally.this_hour(),
        hours=tally.hours(),
        prices_as_of=tally.prices_as_of,
        currency=tally.currency,
        served=tuple(ServedFact(id=one.id, aliases=one.aliases, kind=one.kind) for one in parts.shelf.served.values()),
    )
