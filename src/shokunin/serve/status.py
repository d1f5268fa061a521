"""Status: the server's state at this moment, gathered from its parts."""

from __future__ import annotations

import time

from shokunin.exchange import Recorder
from shokunin.serve.page import PageFacts, ServedFact
from shokunin.serve.parts import Parts
from shokunin.serve.state import CaptureState, ServerState, UpstreamState, promise_of
from shokunin.serve.tally import Tally
from shokunin.version import __version__


def server_state(parts: Parts, *, ready: bool) -> ServerState:
    """What is true now, for metrics and the page."""
    return ServerState(
        ready=ready,
        in_flight=parts.in_flight(),
        queues=parts.shelf.waiting(),
        promises=tuple(promise_of(name.partition("@")[0], name, watch.status) for name, watch in parts.watches.all()),
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
    return PageFacts(
        name=name,
        version=__version__,
        now=now,
        since=tally.since,
        base_url=base_url,
        state=server_state(parts, ready=ready),
        today=tally.today(),
        this_hour=tally.this_hour(),
        hours=tally.hours(),
        served=tuple(ServedFact(id=one.id, aliases=one.aliases, kind=one.kind) for one in parts.shelf.served.values()),
    )
