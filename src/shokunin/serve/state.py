"""State: what the server is doing at this moment, as the metrics and the page show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

PromiseWord = Literal["kept", "tightened", "handed_back", "unwatched"]
PROMISE_WORDS: tuple[PromiseWord, ...] = get_args(PromiseWord)
BreakerWord = Literal["closed", "half_open", "open"]
BREAKER_WORDS: tuple[BreakerWord, ...] = get_args(BreakerWord)
AT_RISK = 0.7
"""The promise is at risk when the bound has used this share of what the limit allows."""


@dataclass(frozen=True, kw_only=True)
class PromiseState:
    """The promise of one task: local answers differ from the upstream's in at most `limit` of the cases.

    Attributes:
        task: the task.
        specialist: `name@version` of what answers.
        state: `kept`; `tightened`, the threshold was raised; `handed_back`, the upstream answers everything;
            `unwatched`, nothing is audited.
        threshold: the confidence from which a local answer is given.
        limit: the share that may differ.
        confidence: the probability with which that holds.
        bound: the share that may have differed by the evidence so far, out of `given` answers or, while there are fewer
            than that, of `settle`; None without audits.
        given: local answers so far.
        audited: how many of them the upstream was asked about.
        disagreements: how often it said something else.
        lost: how many audits brought no answer.
        settle: answers after which the limit holds for every number of them.
        audit_rate: the share audited at the moment.
        reason: why the state is what it is, in one sentence.
    """

    task: str
    specialist: str
    state: PromiseWord
    threshold: float
    limit: float
    confidence: float
    bound: float | None = None
    given: int = 0
    audited: int = 0
    disagreements: int = 0
    lost: int = 0
    settle: int = 0
    audit_rate: float = 0.0
    reason: str = ""

    @property
    def at_risk(self) -> bool:
        """Whether someone should look: the watch had to act, or the bound comes near the limit."""
        near = self.bound is not None and self.bound > AT_RISK * self.limit
        return self.state in ("tightened", "handed_back") or near


@dataclass(frozen=True, kw_only=True)
class UpstreamState:
    """An upstream's health: its circuit breaker, and the last thing that went wrong if it is not closed."""

    name: str
    breaker: BreakerWord = "closed"
    problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class CaptureState:
    """The record of traffic: whether it is kept, how much, and why some of it is being lost if it is."""

    on: bool = True
    recorded: int = 0
    waiting: int = 0
    dropped: int = 0
    problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class ServerState:
    """Everything that is true now and is not a sum over requests.

    Attributes:
        ready: what `/ready` says.
        in_flight: requests that have come and are not answered yet.
        queues: rows that wait, by specialist.
        promises: one a task that a specialist answers.
        upstreams: one a configured upstream.
        capture: the record of traffic.
    """

    ready: bool = False
    in_flight: int = 0
    queues: Mapping[str, int] = field(default_factory=dict)
    promises: Sequence[PromiseState] = ()
    upstreams: Sequence[UpstreamState] = ()
    capture: CaptureState = field(default_factory=lambda: CaptureState(on=False))
