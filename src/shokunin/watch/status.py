"""What the watch tells others: a decision, its state for people and machines, and changes of that state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["kept", "tightened", "handed_back", "unwatched"]
"""`kept`: answers at the calibrated threshold; `tightened`: at a higher one; `handed_back`: no answers, everything goes to
the upstream; `unwatched`: answers at the calibrated threshold, and nothing may be audited."""

Change = Literal["tightened", "relaxed", "handed_back", "resumed"]
"""What the watch did: raised the threshold, lowered it again, stopped answering, or began a new term when it was told to."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with one answer of the specialist.

    Attributes:
        give: give it; otherwise ask the upstream.
        audit: ask the upstream as well, in the shadow, and report with `PromiseWatch.audited`. Only if `give`.
        rate: the probability with which it was to be audited; to be recorded with the answer. 0 unless `give`.
        reason: a word for records and metrics: `sure`, `unsure`, `audits_outstanding`, `not_auditable`, `handed_back`.
        term: which term of the promise it belongs to; to be given back with the audit's outcome.
    """

    give: bool
    audit: bool
    rate: float
    reason: str
    term: int


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """The state or the threshold changed.

    Attributes:
        what: in a word.
        term: of the promise.
        before: the state until now.
        after: the state from now on; the same as before where only the threshold changed.
        threshold: from now on.
        given: answers given so far in this term.
        bound: disagreements among them at most.
        limit: disagreements allowed at this number of answers.
        reason: a sentence.
    """

    what: Change
    term: int
    before: State
    after: State
    threshold: float
    given: int
    bound: int
    limit: int
    reason: str


@dataclass(frozen=True, slots=True)
class WatchStatus:
    """How the promise stands.

    Attributes:
        promise: what is promised in this term, a sentence.
        state: see `State`.
        term: 1, and one more after every `resume`.
        threshold: an answer with at least this confidence is given.
        given: answers given in this term.
        audited: audits with an outcome.
        disagreements: audits in which the upstream said something else.
        pending: audits whose outcome is outstanding.
        lost: audits that will never have one; counted as disagreements.
        bound: with probability `confidence`, at no time in this term are there more disagreements; None if unwatched.
        bound_share: `bound` as a share of the answers given; None before the first, or if unwatched.
        limit: disagreements that are allowed now.
        settle: until so many answers, as many disagreements are allowed as at that number.
        max_error: the share that is allowed afterwards.
        confidence: of the bound, and of the promise.
        rate: the probability with which the next answer would be audited.
        reason: why the state is what it is, a sentence.
        would_resume: whether the last rows after handing back say that it would be safe again.
        resume_threshold: the threshold at which; None otherwise.
    """

    promise: str
    state: State
    term: int
    threshold: float
    given: int
    audited: int
    disagreements: int
    pending: int
    lost: int
    bound: int | None
    bound_share: float | None
    limit: int
    settle: int
    max_error: float
    confidence: float
    rate: float
    reason: str
    would_resume: bool
    resume_threshold: float | None
