"""Found: a task that was discovered, with everything that the table, the page and the project's folder say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shokunin.metrics import Interval
from shokunin.template import Template

Verdict = Literal["TRAIN", "TRY", "COLLECT MORE", "LEAVE"]


@dataclass(frozen=True)
class Rehearsal:
    """What a training on a sample of the rows came to; a forecast of the real one.

    Attributes:
        share: of the requests, the share that a specialist trained on all rows would be sure of, 0 to 1.
        error: of those answers, the share that would differ from the recorded ones.
        accuracy: of all its answers, sure or not.
        rows: distinct rows that it learnt from, was tuned on and was tried on.
        rung: the learner that was chosen.
        promised: the share of answers that may differ, and `confidence`, with which that holds.
        lacking: about how many more rows are needed before anything can be promised; 0: none; None: more rows would not help.
        curve: pairs (rows, share) that the forecast rests on.
        kept: over the first week, month and year of requests, the share that is answered while the promise is kept online,
            and of those answers the share that is audited.
        likely: the share of draws of the calibrating rows in which it would be worth having.
    """

    share: float
    error: float
    accuracy: Interval
    rows: int
    rung: str
    promised: float
    confidence: float
    lacking: int | None = 0
    curve: tuple[tuple[int, float], ...] = ()
    kept: tuple[tuple[float, float], ...] = ()
    likely: float = 1.0

    @property
    def given(self) -> float:
        """The share that is answered in the first year."""
        return self.kept[-1][0] if self.kept else self.share


@dataclass(frozen=True)
class Money:
    """What a task costs, US dollars a month; None where a price is not known.

    Attributes:
        cost: what is paid now.
        saving: what is not paid any more: the local answers, less the audits; the mean month of the first year.
        first_saving: the same in the first month, when more is audited.
        audit_share: of the local answers the share that is audited, over the first year.
    """

    cost: float | None
    saving: float | None
    first_saving: float | None = None
    audit_share: float = 0.0


@dataclass(frozen=True)
class Found:
    """One task.

    Attributes:
        name: readable words from its prompt, fit for a folder's name.
        kind: the kind of work.
        records: calls in the log.
        per_month: calls a month.
        ids: the ids of its records.
        templates: how it is phrased, the most used wording first; those that a gateway can recognise.
        labels: of a classification, the commonest first.
        schema: of JSON replies.
        models: which models were asked, and how often.
        tokens: `input` and `output` of one call, on average, and `estimated`: the share of calls without counts.
        latency_ms: `p50` and `p95` of the recorded replies, if they are recorded.
        recognised: of the calls, the share that fits one of the templates.
        readable: of the replies, the share that says something within the labels, fields or numbers.
        patternedness: how well a cheap learner foretells the answers.
        rehearsal: what training on a sample came to; None where this release does not train the kind.
        money: what it costs and what owning would save.
        verdict: what to do.
        reason: why, in a sentence.
        quote: the beginning of the prompt, for people.
    """

    name: str
    kind: str
    records: int
    per_month: float
    ids: tuple[str, ...]
    templates: tuple[Template, ...]
    labels: tuple[str, ...]
    schema: Mapping[str, Any] | None
    models: Mapping[str, int]
    tokens: Mapping[str, float]
    latency_ms: Mapping[str, float]
    recognised: float
    readable: float
    patternedness: Interval
    rehearsal: Rehearsal | None
    money: Money
    verdict: Verdict
    reason: str
    quote: str
    next_command: str = ""
    sql: bool = False
    clients: Mapping[str, int] = field(default_factory=dict)

    @property
    def share_local(self) -> float:
        """The share of all its requests that would be answered here, over the first year."""
        return self.recognised * self.rehearsal.given if self.rehearsal is not None else 0.0
