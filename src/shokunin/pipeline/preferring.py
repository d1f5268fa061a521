"""Which of two written answers a judge prefers, row by row: the model that is named as the judge of a proof is asked."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

from shokunin.curate.redact import mask_together
from shokunin.distill.judge import Bias, question, settled, verdict
from shokunin.distill.teacher import FailedError, Question, cost_of
from shokunin.errors import DataError, UsageError
from shokunin.pipeline.answering import codec_of
from shokunin.pipeline.teachers import ServerTeacher, hiding, teacher
from shokunin.progress import Progress, silent
from shokunin.project import Project
from shokunin.prove.win_rate import Pair, win_rate
from shokunin.report import Case
from shokunin.specialist import Specialist
from shokunin.tasks import WrittenCodec

AT_ONCE = 4


def judge_of(named: str, specialist: Specialist, place: Project, *, against: object) -> ServerTeacher:
    """The judge of that name, if this is work that it can judge.

    Raises:
        UsageError: the answers are not written texts, there is nobody to compare with, or there is no such model.
    """
    if not isinstance(codec_of(specialist), WrittenCodec):
        raise UsageError(
            f"a judge compares written answers, and those of {specialist.id!r} are of the kind {specialist.task.kind!r}, where "
            "right and wrong can be looked up; leave out --judge"
        )
    if against is None:
        raise UsageError(
            "a judge compares two answers to each row; say with --against whose stand beside the specialist's"
        )
    return teacher(named, place)


def preferred(
    cases: Sequence[Case],
    judge: ServerTeacher,
    specialist: Specialist,
    place: Project,
    *,
    rival: str,
    itself: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """What `prove.win_rate.win_rate` makes of the judge's verdicts about the cases, each with the other's answer in `against`.

    The judge sees requests and answers as the task's egress allows. `cost` is in US dollars, None where the price is not known.

    Raises:
        DataError: the judge did not answer once.
        UsageError: nothing of this task may leave the house, and the judge is outside.
    """
    hiding([judge], place, specialist.task.name)  # raises where nothing may leave
    masked = not judge.local and place.gateway.route(specialist.task.name).egress == "masked"
    codec, bias = codec_of(specialist), Bias()
    spent: list[float] = []
    failures: list[str] = []

    def ask(asked: Question) -> str | None:
        try:
            reply = judge.ask(asked, _Uncounted())
        except FailedError as error:
            failures.append(str(error))
            return None
        spent.append(cost_of(asked, reply, judge.price))
        return reply.text

    def one(case: Case) -> Pair:
        ours, theirs = (None if text is None else text.strip() for text in (case.value, case.against))
        if not ours or not theirs:  # no answer is worse than any
            return Pair("won" if ours else "lost" if theirs else "tied", False, case.group)
        if ours == theirs:
            return Pair("tied", False, case.group)
        texts = [*case.inputs.values(), ours, theirs]
        *inputs, first, second = mask_together(texts) if masked else texts
        messages = codec.ask_chat(dict(zip(case.inputs, inputs, strict=True)))
        forward, backward = ask(question(messages, first, second)), ask(question(messages, second, first))
        if forward is None or backward is None:
            return Pair("unread", True, case.group)
        bias.note(verdict(forward), verdict(backward))
        return Pair(settled(forward, backward), True, case.group)

    pairs = []
    with closing(judge.client), ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        for pair in pool.map(one, cases):
            pairs.append(pair)
            progress("asking the judge", len(pairs), len(cases))
    asked = sum(pair.asked for pair in pairs)
    if asked and len(failures) == 2 * asked:
        raise DataError(f"the judge {judge.name!r} answered none of {2 * asked:,} questions; the first: {failures[0]}")
    found = win_rate(pairs, judge=judge.name, rival=rival, bias=bias.facts(), itself=itself)
    return found | {"cost": None if judge.price is None else sum(spent)}


class _Uncounted:
    """Attempts that nobody has set a limit to."""

    def begin(self) -> None:
        """A request is about to be sent."""

    def refused(self) -> None:
        """Nothing is charged for it."""

    def lost(self) -> None:
        """Nobody knows whether it is charged for."""
