"""State: what the server is doing at this moment, as the metrics and the page show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, get_args

PromiseWord = Literal["kept", "tightened", "handed_back", "unwatched"]
PROMISE_WORDS: tuple[PromiseWord, ...] = get_args(PromiseWord)
BreakerWord = Literal["closed", "half_open", "open"]
BREAKER_WORDS: tuple[BreakerWord, ...] = get_args(BreakerWord)


class WatchStatus(Protocol):
    """What a watch says of itself."""

    @property
    def state(self) -> PromiseWord:
        """How it stands."""

    @property
    def threshold(self) -> float:
        """The confidence from which answers are given."""

    @property
    def given(self) -> int:
        """Answers given."""

    @property
    def audited(self) -> int:
        """Audits with an outcome."""

    @property
    def disagreements(self) -> int:
        """Audits that disagreed."""

    @property
    def lost(self) -> int:
        """Audits without an outcome."""

    @property
    def bound(self) -> int | None:
        """Disagreements at most."""

    @property
    def settle(self) -> int:
        """Answers until which a fixed number may differ."""

    @property
    def max_error(self) -> float:
        """The share that may differ."""

    @property
    def confidence(self) -> float:
        """Of the promise."""

    @property
    def rate(self) -> float:
        """The share audited."""

    @property
    def reason(self) -> str:
        """A sentence."""

    @property
    def would_resume(self) -> bool:
        """Whether it would be safe again."""


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
            than that, of `settle`; None without audits. Audits thin out as far as the limit allows, so that it is usual
            for the bound to come near the limit; it does not pass it.
        given: local answers so far.
        audited: how many of them the upstream was asked about.
        disagreements: how often it said something else.
        lost: how many audits brought no answer.
        settle: answers after which the limit holds for every number of them.
        audit_rate: the share audited at the moment.
        reason: why the state is what it is, in one sentence.
        would_resume: after handing back, whether it would be safe again.
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
    would_resume: bool = False

    @property
    def made(self) -> bool:
        """Whether anything could be promised at all; without that the threshold is one that no answer reaches."""
        return self.threshold <= 1 or self.at_risk

    @property
    def at_risk(self) -> bool:
        """Whether someone should look: the watch had to act."""
        return self.state in ("tightened", "handed_back")


def promise_of(task: str, specialist: str, status: WatchStatus) -> PromiseState:
    """The promise of a task as its watch sees it."""
    bound = status.bound
    return PromiseState(
        task=task,
        specialist=specialist,
        state=status.state,
        threshold=status.threshold,
        limit=status.max_error,
        confidence=status.confidence,
        bound=None if bound is None else bound / max(status.given, status.settle),
        given=status.given,
        audited=status.audited,
        disagreements=status.disagreements,
        lost=status.lost,
        settle=status.settle,
        audit_rate=status.rate,
        reason=status.reason,
        would_resume=status.would_resume,
    )


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
