"""The page for people at `/`: what is served, who answered, what it cost, and whether the promise holds; one file."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template

from shokunin.cost import US_DOLLARS, Currency
from shokunin.serve.charts import bound_bar, hour_columns, route_bar
from shokunin.serve.state import CaptureState, PromiseState, ServerState
from shokunin.serve.tally import REPLIES, Hour

TEMPLATE = Path(__file__).with_name("page.html.jinja")
SHOWN = 8
"""Promises in good order that are shown at once; the others are behind a click."""
ROUTES = {
    "local": "answered here",
    "fallback": "answered here although unsure, the large model was out of reach",
    "escalated": "passed on, the specialist was not sure",
    "passed": "passed on, no specialist for it",
    "refused": "turned away",
}
PROMISES = {"kept": "kept", "tightened": "tightened", "handed_back": "handed back", "unwatched": "unwatched"}
BREAKERS = {
    "closed": "answers",
    "half_open": "is being tried again",
    "open": "fails and is left alone for a moment",
}


@dataclass(frozen=True, kw_only=True)
class ServedFact:
    """One specialist as the page names it."""

    id: str
    aliases: Sequence[str] = ()
    kind: str = ""


@dataclass(frozen=True, kw_only=True)
class PageFacts:
    """Everything that the page says.

    Attributes:
        name: what the owner calls this, for instance the project folder's name.
        version: the release that runs.
        now: seconds since 1970.
        since: since when requests are counted, seconds since 1970.
        base_url: what an application puts where the large model's address was.
        state: what is true now.
        served: the specialists.
        today: since midnight.
        this_hour: the running hour.
        hours: the last day by the hour, oldest first.
        prices_as_of: the day of the price book that amounts rest on; None: they rest on none.
        currency: in which amounts are shown.
        links: addresses of this server that exist, with a word on what is there.
    """

    name: str
    version: str
    now: float
    since: float
    base_url: str
    state: ServerState
    today: Hour
    this_hour: Hour
    hours: Sequence[Hour]
    served: Sequence[ServedFact] = ()
    prices_as_of: str | None = None
    currency: Currency = US_DOLLARS
    links: Sequence[tuple[str, str]] = (
        ("/v1/models", "the models an application may name"),
        ("/metrics", "all figures, for Prometheus"),
        ("/openapi.json", "the HTTP surface, for programs"),
    )


def render_page(facts: PageFacts) -> str:
    """The page as HTML; it loads nothing, and every name in it is escaped."""
    order = ("handed_back", "tightened", "unwatched", "kept")
    promises = sorted(facts.state.promises, key=lambda p: (order.index(p.state), p.task))
    risky = sum(p.at_risk for p in promises)
    now, later = concerns(facts.state)
    page = _template().render(
        f=facts,
        concerns=now + later,
        tone="look" if now else "mild" if later else "well",
        headline="Needs a look." if now else "Worth a look." if later else "All is well.",
        promises=promises,
        shown=max(SHOWN, risky),
        routes=[(route, ROUTES[route]) for route in REPLIES],
        waiting=sum(facts.state.queues.values()),
    )
    return page.encode("utf-8", "replace").decode()  # a name from a client may be no text at all


def page_headers() -> dict[str, str]:
    """The headers to send with the page: nothing may be loaded, run, framed or sent from it."""
    return {
        "content-security-policy": (
            f"default-src 'none'; style-src 'sha256-{_style_digest()}'; img-src data:; base-uri 'none'; "
            "form-action 'none'; frame-ancestors 'none'"
        ),
        "referrer-policy": "no-referrer",
        "vary": "accept",
    }


def wants_page(accept: str) -> bool:
    """Whether an `Accept` header asks for a page; clients that say nothing, or `*/*`, get JSON."""
    kinds = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return "text/html" in kinds


def concerns(state: ServerState) -> tuple[list[str], list[str]]:
    """What someone should look at now, and what may wait; nothing if all is well."""
    now, later = [], []
    if not state.ready:
        now.append("The server is not taking requests.")
    if state.capture.problem is not None:
        now.append(f"Requests are answered but not recorded: {state.capture.problem}.")
    elif state.capture.dropped:
        later.append(f"{_plural(state.capture.dropped, 'exchange')} could not be recorded since the start.")
    for upstream in state.upstreams:
        if upstream.breaker != "closed":
            why = f" ({upstream.problem})" if upstream.problem else ""
            found = now if upstream.breaker == "open" else later
            found.append(f"The large model “{upstream.name}” {BREAKERS[upstream.breaker]}{why}.")
    for promise in state.promises:
        if promise.state == "handed_back":
            now.append(f"“{promise.task}” was handed back to the large model.")
        elif promise.state == "tightened":
            later.append(f"“{promise.task}” is tightened: it passes on more than before.")
    return now, later


@cache
def _style_digest() -> str:
    style = re.search(r"<style>(.*?)</style>", TEMPLATE.read_text(encoding="utf-8"), re.DOTALL)
    assert style is not None
    return base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "count": lambda n: f"{n:,}",
        "percent": _percent,
        "exact": _exact,
        "clock": lambda seconds: time.strftime("%H:%M", time.localtime(seconds)),
        "moment": lambda seconds: time.strftime("%d %B, %H:%M", time.localtime(seconds)),
        "promise_word": lambda promise: PROMISES[promise.state] if promise.made else "none",
        "breaker_word": BREAKERS.__getitem__,
        "promise_sentence": _promise_sentence,
        "checked": _checked,
        "capture_sentence": _capture_sentence,
        "route_bar": route_bar,
        "hour_columns": hour_columns,
        "bound_bar": lambda promise: bound_bar(promise.bound, promise.limit),
        "plural": _plural,
    }
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def _promise_sentence(one: PromiseState) -> str:
    """What the promise says, and what is known of it."""
    if not one.made:
        return "When it was trained no threshold could be promised; its report says why. So it is never sure, and passes on."
    promised = f"at most {_exact(one.limit)} of its answers may differ from the large model's"
    sure = f"with {_exact(one.confidence)} confidence"
    if one.state == "unwatched":
        return f"Promised when it was trained: {promised}, {sure}. Nothing may be sent out to check that."
    if one.state == "handed_back":
        last = "It would be safe to resume." if one.would_resume else "It answers nothing until you resume it."
        return f"Promised: {promised}. To keep that, the large model answers everything for now. {last}"
    if not one.given or one.bound is None:
        return f"Promised: {promised}, {sure}. It has not answered anything yet."
    if one.bound == 0:
        return f"None of its answers so far differs from the large model's. Promised: {promised}, {sure}."
    if one.given < one.settle:
        may, allowed = round(one.bound * one.settle), math.floor(one.limit * one.settle + 1e-9)
        return (
            f"Of its {_plural(one.given, 'answer')} so far at most {may:,} {_differ(may)} from the large model's, {sure}. "
            f"Promised: at most {allowed:,} of the first {one.settle:,}, then at most {_exact(one.limit)}."
        )
    return (
        f"Of its {one.given:,} answers at most {_percent(one.bound)} differ from the large model's, {sure}. "
        f"Promised: at most {_exact(one.limit)}."
    )


def _differ(number: int) -> str:
    return "differs" if number == 1 else "differ"


def _checked(one: PromiseState) -> str:
    """The evidence in figures."""
    if not one.made:
        return "More rows, or a larger max_error in its task, may make a promise possible."
    given, threshold = _plural(one.given, "answer"), f"It answers when its confidence is at least {one.threshold:.3f}."
    if one.state == "unwatched":
        return f"{given} given, none checked. {threshold}"
    lost = f"; {_plural(one.lost, 'check')} brought no reply and count as different" if one.lost else ""
    evidence = f"{given} given, {one.audited:,} checked against the large model, {one.disagreements:,} of those differed{lost}."
    if one.state == "handed_back":
        return evidence
    return f"{evidence} At the moment {_percent(one.audit_rate)} are checked. {threshold}"


def _capture_sentence(kept: CaptureState) -> str:
    if not kept.on:
        return "Nothing is recorded: this is how it was set."
    waiting = f" {kept.waiting:,} of them are still on their way into the database." if kept.waiting else ""
    dropped = f" {_plural(kept.dropped, 'exchange')} could not be kept." if kept.dropped else " None was lost."
    return f"{_plural(kept.recorded, 'exchange')} recorded since the start.{waiting}{dropped}"


def _percent(share: float) -> str:
    digits = 0 if share >= 0.1 or share == 0 else 1 if share >= 0.01 else 2
    text = f"{100 * share:.{digits}f}"
    if share < 1 and text == "100":
        text = "over 99"
    return f"{text}\u00a0%"


def _exact(share: float) -> str:
    """A share that was set, not measured: as it was set."""
    return f"{100 * share:.6g}\u00a0%"


def _plural(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
