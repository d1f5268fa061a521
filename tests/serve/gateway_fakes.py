"""A gateway in a thread: the lengths specialist with a template, a scripted upstream behind it, and a record in memory."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from serve_fakes import LABELS, SHAPED, LengthPredictor, lengths, running_app

from shokunin.exchange import Exchange
from shokunin.serve.app import create_app
from shokunin.serve.auditing import Audits
from shokunin.serve.edge import Gate, loopback_only
from shokunin.serve.parts import Parts
from shokunin.serve.routing import Routes, Target, TaskPolicy
from shokunin.serve.scripted_upstream import Script, ScriptedUpstream, by_model
from shokunin.serve.served import Served
from shokunin.serve.shelf import Shelf
from shokunin.serve.upstream import UpstreamClient, UpstreamSettings
from shokunin.serve.watching import Watches
from shokunin.template import Template, TemplateMessage
from shokunin.watch.promise import PromiseWatch

MODEL = "big-1"
TEMPLATE = Template(
    (TemplateMessage("system", SHAPED), TemplateMessage("user", "Text: {{text}}")), (MODEL,), '{"length": "{{answer}}"}'
)
BIG = Target("big", MODEL)


@dataclass
class Kept:
    """A recorder that keeps exchanges in a list."""

    exchanges: list[Exchange] = field(default_factory=list)
    good: bool = True
    problem: str | None = None
    dropped: int = 0
    waiting: int = 0

    @property
    def recorded(self) -> int:
        return len(self.exchanges)

    def record(self, exchange: Exchange) -> bool:
        if self.good:
            self.exchanges.append(exchange)
        return self.good

    def close(self) -> None:
        pass

    def of(self, route: str) -> list[Exchange]:
        return [e for e in self.exchanges if e.route == route]


@dataclass
class House:
    """The gateway under test and what stands around it."""

    url: str
    upstream: ScriptedUpstream
    kept: Kept
    watches: dict[str, PromiseWatch]
    predictor: LengthPredictor
    parts: Parts


def says(messages: Any) -> str:
    """What a large model says that is always right about lengths."""
    return f'{{"length": "{LABELS[len(str(messages[-1]["content"]).removeprefix("Text: ")) % 2]}"}}'


@contextmanager
def gateway(
    script: Script | str | None = None,
    *,
    policy: TaskPolicy | None = None,
    threshold: float = 0.0,
    audit_share: float = 0.0,
    default: str | None = "big",
    predictor: LengthPredictor | None = None,
    gate: Gate = loopback_only,
    breaker_failures: int = 100,
    settle: int | None = None,
    mask: Callable[[str], str] = lambda text: text.replace("secret", "[masked]"),
    **others: Any,
) -> Iterator[House]:
    """A gateway; an answer is given from `threshold` on, if the specialist says that it is sure (4 characters or more)."""
    watches: dict[str, PromiseWatch] = {}

    def make(one: Served) -> PromiseWatch:
        watches[one.id] = PromiseWatch(
            max_error=0.2,
            confidence=0.9,
            threshold=threshold,
            audit_share=audit_share,
            rng=random.Random(1),
            settle=settle,
        )
        return watches[one.id]

    predictor = predictor or LengthPredictor()
    served = {key: replace(one, templates=(TEMPLATE,)) for key, one in lengths(predictor).items()}
    kept = Kept()
    with ScriptedUpstream(script if script is not None else by_model(says)) as upstream:
        settings = UpstreamSettings(
            name="big",
            base_url=upstream.base_url,
            timeout_seconds=3.0,
            idle_seconds=1.0,
            retries=0,
            breaker_failures=breaker_failures,
        )
        others.setdefault("audits", Audits(pauses=()))
        parts = Parts(
            Shelf(served),
            upstreams={"big": UpstreamClient(settings)},
            routes=Routes({"big": (MODEL, ("gpt-*", "error-*", "hang", "html", "reset", "drip"))}, default),
            policy_of=lambda task: policy or TaskPolicy(BIG),
            watches=Watches(make),
            recorder=kept,
            mask=mask,
            lookup=lambda name: next((e for e in kept.exchanges if e.id == name), None),
            price=lambda model, prompt, completion: 1e-6 * (prompt + completion) if model == MODEL else None,
            **others,
        )
        with running_app(create_app(parts, gate=gate)) as url:
            yield House(url, upstream, kept, watches, predictor, parts)


def asks(text: str, model: str = MODEL, **more: Any) -> dict[str, Any]:
    """A request phrased as the template says."""
    messages = [{"role": "system", "content": SHAPED}, {"role": "user", "content": f"Text: {text}"}]
    return {"model": model, "messages": messages, **more}
