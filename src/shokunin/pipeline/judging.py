"""Judging: what one task is worth: its answers foretold, a training rehearsed, its cost and its saving, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shokunin.cost import Price, price_of
from shokunin.discover import verdict
from shokunin.discover.answers import CHAT, CLASSIFY, EXTRACT, GENERATE, Answers
from shokunin.discover.found import Found, Money, Rehearsal
from shokunin.discover.groups import Group
from shokunin.discover.patterned import patternedness
from shokunin.discover.tally import Tally
from shokunin.metrics import Interval
from shokunin.pipeline.rehearsing import rehearse
from shokunin.progress import Progress
from shokunin.project import Project
from shokunin.task import KINDS, Task

MONTH = 365.25 / 12
HORIZONS = (7 / MONTH, 1.0, 12.0)
"""Months over which it is foreseen what becomes of a promise: a week, a month, a year."""
REST = "unsorted"
SHARE_OF_REPLIES = 20_000
"""So many short replies, in the proportions of all, say what the labels are."""


@dataclass(frozen=True)
class Setting:
    """By what tasks are judged."""

    place: Project
    own: Mapping[str, Price]
    model: str | None
    days: float | None
    max_error: float
    budget: float
    learners: Sequence[str]
    seed: int

    @property
    def months(self) -> float:
        """How often the log's calls come in a month."""
        return 1.0 if self.days is None else MONTH / self.days


@dataclass(frozen=True)
class Judged:
    """A task with what it was made of."""

    found: Found
    group: Group | None
    answers: Answers | None
    tally: Tally


def judge(group: Group, tally: Tally, setting: Setting, progress: Progress) -> Judged:
    """A task by its counts and its sample of calls; a training is rehearsed where this release trains the kind."""
    answers = final_answers(group, tally)
    rows = [row for row in tally.rows if row.inputs is not None]
    recognised = len(rows) / len(tally.rows)
    replies = [row for row in rows if row.reply is not None]
    read_answer = answers.reader()
    pairs = [(row.inputs or {}, read_answer(row.reply or "")) for row in replies]
    known = [(inputs, label) for inputs, label in pairs if label is not None]
    per_month = tally.records * setting.months
    rehearsal: Rehearsal | None = None
    rehearsed = group.kind == CLASSIFY
    trainable = group.kind in KINDS and (group.kind != GENERATE or answers.sql)
    if rehearsed and len(known) >= verdict.FEWEST:
        task = task_of("rehearsal", group, answers, setting.max_error)
        total = round(tally.records * recognised * len(known) / max(1, len(replies)))
        rehearsal = rehearse(
            known, task, total=total, seconds=60 * setting.budget,
            requests=[max(1, round(recognised * per_month * months)) for months in HORIZONS],
            least=setting.place.gateway.audit_share, learners=setting.learners, seed=setting.seed, progress=progress,
        )  # fmt: skip
    if group.kind == CLASSIFY and rehearsal is not None:
        pattern = rehearsal.accuracy
    elif group.kind in (CLASSIFY, CHAT) and not known:
        pattern = Interval(0.0, 0.0, 1.0)
    else:
        texts = ["\n".join((row.inputs or {}).values()) for row in replies]
        pattern = patternedness(texts, [row.reply or "" for row in replies], answers)
    cost = _cost(tally, setting)
    cost = None if cost is None else cost * setting.months
    money = Money(cost, None)
    if cost is not None:
        _, (first, early), (given, later) = rehearsal.kept if rehearsal is not None else ((0.0, 0.0),) * 3
        saving, first_saving = (cost * recognised * g * (1 - a) for g, a in ((given, later), (first, early)))
        money = Money(cost, saving, first_saving, later)
    told = verdict.verdict_of(
        group.kind,
        trainable=trainable,
        rehearsed=rehearsed,
        records=tally.records,
        recognised=recognised,
        patternedness=pattern,
        rehearsal=rehearsal,
        money=money,
        served=tally.local / tally.records,
    )
    seconds = sorted(tally.seconds)
    found = Found(
        name="",
        kind=group.kind,
        records=tally.records,
        per_month=per_month,
        ids=tuple(tally.ids),
        templates=group.templates(answers),
        labels=answers.labels,
        schema=answers.schema if group.kind == EXTRACT else None,
        models={name or "": spend.calls for name, spend in sorted(tally.by_model.items(), key=lambda m: -m[1].calls)},
        tokens={
            "input": tally.prompt_tokens,
            "output": tally.completion_tokens,
            "estimated": tally.estimated / tally.records,
        },
        latency_ms={} if not seconds else {
            "p50": 1000 * seconds[len(seconds) // 2], "p95": 1000 * seconds[int(0.95 * (len(seconds) - 1))],
        },
        recognised=recognised,
        readable=len(known) / max(1, len(replies)),
        patternedness=pattern,
        rehearsal=rehearsal,
        money=money,
        verdict=told[0],
        reason=told[1],
        quote=group.quote,
        sql=answers.sql,
        clients=dict(tally.clients.most_common(10)),
    )  # fmt: skip
    return Judged(found, group, answers, tally)


def final_answers(group: Group, tally: Tally) -> Answers:
    """What the replies are, by all short replies that were counted; by the sample for other work."""
    if group.answers.kind != CLASSIFY:
        return group.answers
    part = min(1.0, SHARE_OF_REPLIES / max(1, tally.said.total()))
    replies: list[str] = []
    owed = 0.0
    for reply, n in tally.said.items():
        owed += n * part  # what is left of one reply counts for the next, so that rare ones together keep their share
        replies += [reply] * int(owed)
        owed -= int(owed)
    return group.answers_in(replies)


def task_of(name: str, group: Group, answers: Answers, max_error: float) -> Task:
    """The task of a group: its inputs, and the wordings that a gateway can recognise."""
    first, *more = group.templates(answers) or (None,)
    inputs = first.inputs if first is not None else ("text",)
    kind = group.kind if group.kind in KINDS else CLASSIFY
    return Task(name, kind, inputs, max_error=max_error, template=first, wordings=tuple(more))


def _cost(tally: Tally, setting: Setting) -> float | None:
    """US dollars for all calls of a task; None where a model is neither named nor priced in the log."""
    total = 0.0
    for name, spend in tally.by_model.items():
        total += spend.cost
        if spend.priced < spend.calls:
            price = price_of(name or setting.model or "", setting.own)
            if price is None:
                return None
            total += price.of(spend.unpriced_prompt, spend.unpriced_completion)
    return total


def judge_rest(tally: Tally, setting: Setting) -> Judged:
    """What is phrased like nothing else."""
    cost = _cost(tally, setting)
    money = Money(None if cost is None else cost * setting.months, None if cost is None else 0.0, 0.0)
    return Judged(
        Found(
            name=REST, kind=CHAT, records=tally.records, per_month=tally.records * setting.months, ids=tuple(tally.ids),
            templates=(), labels=(), schema=None,
            models={name: spend.calls for name, spend in tally.by_model.items()},
            tokens={"input": tally.prompt_tokens, "output": tally.completion_tokens,
                    "estimated": tally.estimated / tally.records},
            latency_ms={}, recognised=0.0, readable=0.0, patternedness=Interval(0.0, 0.0, 1.0), rehearsal=None,
            money=money, verdict="LEAVE", reason="phrased like nothing else in the log", quote="",
        ),
        None,
        None,
        tally,
    )  # fmt: skip
