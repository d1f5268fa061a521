"""Labelling: a row's question put to the teachers, their replies read by the kind's codec, verified, and voted on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from shokunin.answer import Inputs
from shokunin.dataset import Example
from shokunin.distill.judge import MOST, Bias, best_of
from shokunin.distill.purse import BudgetSpentError, Purse
from shokunin.distill.teacher import FailedError, Question, Teacher
from shokunin.distill.votes import DISAGREED, TIED, UNREADABLE, Elected, Vote, elect
from shokunin.errors import DataError
from shokunin.tasks import Verifier

NO_BUDGET = "the budget was spent"
NO_REPLY = "the teacher gave no reply"
CUT_OFF = "the reply was cut off at the longest that was allowed"
UNSURE = "the judge could not tell the answers apart"
UNVERIFIED = "the answer does not stand up"
PATIENCE = 8
"""Failed rows before the first answered one, after which the teacher is given up."""


class Options(BaseModel):
    """How rows are labelled.

    Attributes:
        best_of: draws from each teacher for one row.
        temperature: of the draws where there are several; a single one is the likeliest reply.
        least_agreement: the least share of all draws that must agree on an answer.
        max_tokens: the longest reply.
        shots: labelled rows that are shown to the teacher as examples before each question.
        concurrency: rows that are asked about at a time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    best_of: int = Field(default=1, ge=1, le=32)
    temperature: float = Field(default=0.7, gt=0, le=2)
    least_agreement: float = Field(default=0.5, gt=0, le=1)
    max_tokens: int = Field(default=512, ge=1, le=32_768)
    shots: int = Field(default=0, ge=0, le=64)
    concurrency: int = Field(default=4, ge=1, le=64)


class Reader(Protocol):
    """What labelling needs of a kind's codec; one that can verify answers is asked to."""

    def ask_chat(self, inputs: Inputs) -> list[dict[str, str]]:
        """The messages that ask a large model."""

    def read_reply(self, reply: str) -> str | None:
        """The answer in a reply."""

    def correct(self, expected: str, value: str | None) -> bool:
        """Whether two answers are the same."""

    def problem(self, inputs: Inputs) -> str | None:
        """Why an input cannot be answered."""


@dataclass(frozen=True)
class Desk:
    """Everything that labelling one row takes.

    Attributes:
        codec: of the kind.
        teachers: one, or a committee; the first also judges where nobody else is named.
        purse: pays.
        options: how.
        shots: messages of examples, before each question.
        judge: who decides between free texts that do not agree; None: they are dropped.
        bias: where the judge's verdicts are counted.
        hide: what is done to an input before it leaves the house.
    """

    codec: Reader
    teachers: Sequence[Teacher]
    purse: Purse
    options: Options
    shots: tuple[dict[str, str], ...] = ()
    judge: Teacher | None = None
    bias: Bias = field(default_factory=Bias)
    hide: Callable[[Inputs], Inputs] = lambda inputs: inputs

    def messages(self, inputs: Inputs) -> tuple[dict[str, str], ...]:
        """The question about one row: instructions, examples, the row itself."""
        asked = self.codec.ask_chat(self.hide(inputs))
        told = [m for m in asked if m["role"] in ("system", "developer")]
        return (*told, *self.shots, *(m for m in asked if m not in told))

    def questions(self, inputs: Inputs) -> Iterator[Question]:
        """One question a draw."""
        several = self.options.best_of > 1
        messages = self.messages(inputs)
        for draw in range(self.options.best_of):
            yield Question(messages, self.options.temperature if several else 0.0, self.options.max_tokens, draw)


@dataclass(frozen=True, slots=True)
class Labelled:
    """What came of one row.

    Attributes:
        example: the row; with an answer if it has got one.
        agreement: the share of the draws that agree with the answer.
        reason: why there is no answer.
    """

    example: Example
    agreement: float = 0.0
    reason: str | None = None


def label(examples: Iterable[Example], desk: Desk, purpose: str) -> Iterator[Labelled]:
    """The examples with the teachers' answers, in their order.

    Once the budget is spent, rows whose replies were bought before still get their answers; the others do not.

    Raises:
        DataError: the first rows all fail: nobody answers there.
    """
    answered, failed = False, 0
    for one in in_order(lambda example: _label(example, desk, purpose), examples, desk.options.concurrency):
        answered = answered or one.reason is None or not one.reason.startswith(NO_REPLY)
        failed += one.reason is not None and one.reason.startswith(NO_REPLY)
        if not answered and failed >= PATIENCE:
            names = ", ".join(repr(t.name) for t in desk.teachers)
            raise DataError(f"{names} answered none of the first {failed} rows; {one.reason}")
        yield one


def in_order(work: Callable[[Any], Any], items: Iterable[Any], at_a_time: int) -> Iterator[Any]:
    """What `work` makes of each item, in order, a few at a time and never many items ahead."""
    waiting: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(max_workers=at_a_time) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= 4 * at_a_time:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _label(example: Example, desk: Desk, purpose: str) -> Labelled:
    if problem := desk.codec.problem(example.inputs):
        return Labelled(example, reason=problem)
    votes: list[Vote] = []
    try:
        for question in desk.questions(example.inputs):
            votes += [_vote(teacher, question, example.inputs, desk, purpose) for teacher in desk.teachers]
        elected = elect(votes, desk.codec.correct, desk.options.least_agreement)
        if elected.reason in (TIED, DISAGREED) and desk.judge is not None:
            elected = _judged(votes, example.inputs, desk)
    except BudgetSpentError:
        return Labelled(example, reason=NO_BUDGET)
    if elected.value is None:
        return Labelled(example, elected.agreement, elected.reason)
    by = " + ".join(elected.by)
    told = Example(example.inputs, elected.value, example.origin, example.group, by)
    return Labelled(told, elected.agreement)


def _vote(teacher: Teacher, question: Question, inputs: Inputs, desk: Desk, purpose: str) -> Vote:
    try:
        reply = desk.purse.buy(teacher, question, purpose)
    except FailedError as error:
        return Vote(None, teacher.name, f"{NO_REPLY}: {error}")
    if not reply.finished:
        return Vote(None, teacher.name, CUT_OFF)
    value = desk.codec.read_reply(reply.text)
    if value is None:
        return Vote(None, teacher.name, UNREADABLE)
    problem = desk.codec.verify(inputs, value) if isinstance(desk.codec, Verifier) else None
    return Vote(None, teacher.name, f"{UNVERIFIED}: {problem}") if problem else Vote(value, teacher.name)


def _judged(votes: Sequence[Vote], inputs: Inputs, desk: Desk) -> Elected:
    """The best of the answers that differ, as the judge sees it."""
    assert desk.judge is not None
    judge = desk.judge
    first: dict[str, Vote] = {}
    for vote in votes:
        if vote.value is not None:
            first.setdefault(vote.value, vote)
    candidates = list(first.values())[:MOST]
    if len(candidates) < 2:
        return Elected(None, 0.0, reason=DISAGREED)
    try:
        found = best_of(
            desk.codec.ask_chat(desk.hide(inputs)),
            [vote.value or "" for vote in candidates],
            lambda question: desk.purse.buy(judge, question, "judge").text,
            desk.bias,
        )
    except FailedError as error:
        return Elected(None, 0.0, reason=f"{NO_REPLY}: {error}")
    if found.place is None:
        return Elected(None, 0.0, reason=UNSURE)
    best = candidates[found.place]
    return Elected(best.value, found.share, (best.by,))
