"""Distilling: rows without answers get a large model's, as a dataset to train on; what it costs is said before and capped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from shokunin.answer import Answer, Inputs
from shokunin.dataset import OWNER, Dataset, Example
from shokunin.distill.extend import Extension, extend, requests, text_of
from shokunin.distill.forecast import Forecast, Measured, Range, forecast
from shokunin.distill.gate import ROWS, draw, judge_teacher
from shokunin.distill.journal import Journal, open_journal
from shokunin.distill.judge import MOST, Bias, question
from shokunin.distill.label import Desk, Labelled, Options, label
from shokunin.distill.outcome import Distilled, total
from shokunin.distill.page import summary_markdown
from shokunin.distill.purse import UNLIMITED, Purse
from shokunin.errors import UsageError
from shokunin.files import folder_in_making, write_json, write_text
from shokunin.pipeline import rows as row_stage
from shokunin.pipeline.distilled_rows import extended, keep_dataset, write_rows
from shokunin.pipeline.likeness import Likeness, of_sealed
from shokunin.pipeline.teachers import ServerTeacher, check_prices, hiding, teacher
from shokunin.pipeline.unlabelled import rows_to_label
from shokunin.progress import Progress, silent
from shokunin.project import Project, open_project
from shokunin.task import Task
from shokunin.tasks import Codec
from shokunin.tasks import kind as kind_of

FOLDER = "distilled"
"""In the task's folder: the journal, the rows, the summary."""
SAMPLE = 200
"""Questions by whose length the others' is reckoned."""
MOST_REASONS = 20
FEW = 20
"""Fewer rows than this say little about a teacher."""

NONE_OF_THESE = "none of the labels, as the teacher says"


@dataclass(frozen=True)
class _Work:
    """What one run works with."""

    place: Project
    dataset: Dataset
    codec: Codec
    desk: Desk
    owner: tuple[Example, ...]
    gate_rows: tuple[Example, ...]
    known: Likeness
    sealed: Likeness
    seed: int
    progress: Progress


def distill(
    data: row_stage.Data,
    teachers: str | Sequence[str],
    *,
    task: Task | None = None,
    name: str | None = None,
    kind: str | None = None,
    inputs: Sequence[str] | None = None,
    target: str | None = None,
    test: str | Path | Sequence[Mapping[str, Any]] | None = None,
    unlabelled: str | Path | Sequence[Mapping[str, Any]] | None = None,
    rows: int | None = None,
    extend_by: int = 0,
    budget: float | None = None,
    judge: str | None = None,
    gate_rows: int = ROWS,
    options: Options | None = None,
    forecast_only: bool = False,
    yes: bool = False,
    seed: int = 0,
    project: str | Path | None = None,
    progress: Progress = silent,
) -> Distilled:
    """Label rows, and make new ones, with one or several large models.

    Args:
        data: rows of which some have answers, a task's folder or its name, or a curated dataset.
        teachers: `UPSTREAM`, `UPSTREAM#MODEL` or `URL#MODEL`; several vote as a committee.
        task: what is asked; by default guessed from the columns, as are `name`, `kind`, `inputs`, `target`.
        name: see `task`.
        kind: see `task`.
        inputs: see `task`.
        target: see `task`.
        test: rows with the owner's answers to seal as the test; by default a part of those in `data`.
        unlabelled: more rows without answers; whatever stands in their answer column is not looked at.
        rows: label at most so many, drawn by chance.
        extend_by: have the first teacher write so many new inputs.
        budget: US dollars that this task may cost in all, earlier runs included; needed where the teacher's price is not 0.
        judge: who decides between free texts that do not agree.
        gate_rows: rows with the owner's answers by which the teacher is judged.
        options: how rows are labelled.
        forecast_only: stop after the first forecast; nothing is asked.
        yes: go on below the gate's "go", and where a price is not known.
        seed: for what is drawn.
        project: the project's folder; by default the current one.
        progress: told how far it is.

    Returns:
        What came of it; `stopped` says why if it is less than what was asked for.

    Raises:
        UsageError: rows, teachers or options cannot be used, or a paid model is asked without a budget; nothing was asked.
    """
    place = open_project(None if project is None else Path(project))
    asked = teacher_list(teachers, place)
    the_judge = None if judge is None else teacher(judge, place)
    everybody = [*asked, *([the_judge] if the_judge is not None else [])]
    check_prices(everybody, place, budget, willing=yes or forecast_only)
    data = _named(data, place)
    dataset, _ = row_stage.curate(
        data, project=place, task=task, name=name, test=test, inputs=inputs, target=target, seed=seed,
        wishes={"kind": kind}, progress=progress,
    )  # fmt: skip
    hide = hiding(everybody, place, dataset.task.name)
    owner = tuple(e for e in dataset.train if e.labelled_by == OWNER)
    if not owner:
        raise UsageError(
            f"the training rows of {dataset.task.name!r} have no answers of the owner's, so no teacher can be judged; "
            "answer a few"
        )
    chosen = options or Options()
    shots = draw(owner, min(chosen.shots, len(owner) - 1), seed)
    candidates = [e for e in owner if e not in shots]
    with ExitStack() as stack:
        scratch = stack.enter_context(folder_in_making(place.work))
        the_kind = kind_of(dataset.task.kind)
        the_kind.prepare(dataset.task, dataset.train, scratch)
        codec = the_kind.codec(dataset.task, scratch)
        journal = stack.enter_context(open_journal(place.tasks / dataset.task.name / FOLDER))
        purse = Purse(journal, UNLIMITED if budget is None else budget)
        example_messages = _examples(shots, codec, dataset.task, hide)
        desk = Desk(codec, asked, purse, chosen, example_messages, the_judge, Bias(), hide)
        learnt, names = (*dataset.train, *dataset.none), dataset.task.inputs
        work = _Work(
            place, dataset, codec, desk, owner, tuple(draw(candidates, gate_rows, seed)),
            Likeness(text_of(e.inputs, names) for e in learnt), of_sealed(dataset.sealed, names), seed, progress,
        )  # fmt: skip
        found, dropped, from_file = rows_to_label(
            data,
            unlabelled,
            dataset,
            codec,
            known=work.known,
            sealed=work.sealed,
            wanted=rows,
            seed=seed,
            progress=progress,
        )
        try:
            return _run(work, found, dropped, from_file, extend_by, budget, forecast_only=forecast_only, yes=yes)
        finally:
            for one in everybody:
                one.client.close()


def teacher_list(named: str | Sequence[str], place: Project) -> list[ServerTeacher]:
    """The teachers of these names, each once.

    Raises:
        UsageError: there are none, or one cannot be asked.
    """
    names = list(dict.fromkeys([named] if isinstance(named, str) else named))
    if not names:
        raise UsageError("no teacher is named; write --from UPSTREAM#MODEL or --from URL#MODEL")
    return [teacher(one, place) for one in names]


def _run(
    work: _Work,
    found: list[Example],
    dropped: Counter[str],
    from_file: int,
    extend_by: int,
    budget: float | None,
    *,
    forecast_only: bool,
    yes: bool,
) -> Distilled:
    desk, journal = work.desk, work.desk.purse.journal
    so_far = Distilled(
        work.dataset.task.name, tuple(t.name for t in desk.teachers), rows_in=len(found) + dropped.total(),
        dropped={**dropped, **({"not asked": len(found)} if found else {})}, owner=len(work.owner),
        folder=work.place.tasks / work.dataset.task.name / FOLDER, warnings=_doubts(work),
    )  # fmt: skip
    if not found and not extend_by:
        raise UsageError(
            "there is nothing to label: every row has an answer, or is dropped "
            f"({', '.join(f'{n:,} × {reason}' for reason, n in dropped.items()) or 'no rows without an answer'}). Give rows with "
            "--unlabelled FILE, or have new ones written with --extend N"
        )
    foreseen = [_foresee(work, found, extend_by, gate=len(work.gate_rows), measured={})]
    cost = total(foreseen[0])
    if forecast_only:
        return _ended(so_far, work, foreseen, "forecast")
    if budget is None and cost is not None and cost.high > 0:
        raise UsageError(
            f"this is expected to cost ${cost.likely:.4f} (between ${cost.low:.4f} and ${cost.high:.4f}); say how much may be "
            "spent at most: --budget USD, or see the whole forecast with --forecast"
        )
    asked: list[Labelled] = []
    for one in label(work.gate_rows, desk, "gate"):
        asked.append(one)
        work.progress("asking the teacher what is known", len(asked), len(work.gate_rows))
    if desk.purse.empty:
        return _ended(so_far, work, foreseen, "budget")
    gate = judge_teacher(work.gate_rows, asked, work.codec, work.dataset.task.metric, work.seed)
    so_far = replace(so_far, gate=gate)
    foreseen.append(_foresee(work, found, extend_by, gate=0, measured=_measured(work)))
    if gate.verdict != "go" and not yes:
        return _ended(so_far, work, foreseen, "gate")
    cost = total(foreseen[1])
    if budget is not None and cost is not None and journal.spent + cost.likely > budget:
        share = max(0.0, budget - journal.spent) / cost.likely
        so_far = replace(
            so_far,
            warnings=(*so_far.warnings, f"the budget is expected to be enough for {share:.0%} of what is left to ask"),
        )
    made = Extension()
    if extend_by:
        made = extend(
            work.owner, extend_by, desk, names=work.dataset.task.inputs, known=work.known, sealed=work.sealed, seed=work.seed,
            progress=work.progress,
        )  # fmt: skip
    writer = desk.teachers[0].name
    new = [Example(one, None, f"written by {writer}:{i}") for i, one in enumerate(made.inputs, 1)]
    kept, reasons = _labelled(work, [*found, *new])
    return _finished(so_far, work, foreseen, made, kept, dropped + reasons, from_file)


def _labelled(work: _Work, rows: Sequence[Example]) -> tuple[list[Labelled], Counter[str]]:
    kept: list[Labelled] = []
    reasons: Counter[str] = Counter()
    for number, one in enumerate(label(rows, work.desk, "label"), 1):
        work.progress("labelling rows", number, len(rows))
        if one.reason is None and one.example.expected in work.codec.none_labels:
            one = replace(one, reason=NONE_OF_THESE)
        if one.reason is None:
            kept.append(one)
        else:
            # Messages of servers may differ each time; after the first few they are counted together.
            known = one.reason in reasons or len(reasons) < MOST_REASONS
            reasons[one.reason if known else one.reason.partition(":")[0]] += 1
    return kept, reasons


def _finished(
    so_far: Distilled,
    work: _Work,
    foreseen: list[tuple[Forecast, ...]],
    made: Extension,
    kept: list[Labelled],
    dropped: Counter[str],
    from_file: int,
) -> Distilled:
    """The outcome with its files, which are there even when the budget did not last."""
    assert so_far.folder is not None and so_far.gate is not None
    rows_in = so_far.rows_in + len(made.inputs)
    about: dict[str, Any] = {
        "rows_in": rows_in, "dropped": dict(dropped), "kept": len(kept), "written": len(made.inputs),
        "teachers": list(so_far.teachers), "gate": {"verdict": so_far.gate.verdict, "score": so_far.gate.score.value},
    }  # fmt: skip
    extension: dict[str, Any] = {}
    if made.written or made.calls:
        extension = {
            "written": made.written,
            "kept": len(made.inputs),
            "dropped": dict(made.dropped),
            "calls": made.calls,
        }
    stopped = "budget" if work.desk.purse.empty else None
    outcome = replace(so_far, rows_in=rows_in, kept=len(kept), dropped=dict(dropped), extended=extension)
    if kept:
        dataset = extended(work.dataset, kept, about, from_file=from_file)
        rows = so_far.folder / "rows.jsonl"
        write_rows(rows, dataset, kept)
        agreement = round(sum(one.agreement for one in kept) / len(kept), 4)
        outcome = replace(outcome, dataset=keep_dataset(dataset, work.place), rows=rows, agreement=agreement)
    return _ended(outcome, work, foreseen, stopped)


def _ended(so_far: Distilled, work: _Work, foreseen: list[tuple[Forecast, ...]], stopped: str | None) -> Distilled:
    """The outcome with what was spent, and its summary on disk."""
    journal, desk = work.desk.purse.journal, work.desk
    known = all(t.price is not None for t in (*desk.teachers, *([desk.judge] if desk.judge is not None else [])))
    outcome = replace(
        so_far, foreseen=tuple(foreseen), stopped=stopped, spent=round(journal.spent, 9) if known else None,
        bought=journal.bought, reused=journal.reused, judge=desk.bias.facts() if desk.bias.pairs else {},
    )  # fmt: skip
    assert outcome.folder is not None
    if stopped != "forecast":
        write_json(outcome.folder / "summary.json", outcome.to_dict())
        write_text(outcome.folder / "summary.md", summary_markdown(outcome))
    return outcome


def _named(data: row_stage.Data, place: Project) -> row_stage.Data:
    """A task of the project by its name: its folder."""
    if isinstance(data, (str, Path)) and not Path(data).exists() and place.task_file(str(data)).is_file():
        return place.task_file(str(data)).parent
    return data


def _examples(
    shots: Sequence[Example], codec: Codec, task: Task, hide: Callable[[Inputs], Inputs]
) -> tuple[dict[str, str], ...]:
    """Labelled rows as an exchange of messages, in the task's own wording."""
    told: list[dict[str, str]] = []
    for e in shots:
        asked = codec.ask_chat(hide(e.inputs))
        told += [m for m in asked if m["role"] not in ("system", "developer")]
        told.append({"role": "assistant", "content": codec.write_chat(Answer(e.expected, 1.0, OWNER), task.template)})
    return tuple(told)


def _foresee(
    work: _Work, rows: Sequence[Example], extend_by: int, *, gate: int, measured: Mapping[str, list[Measured]]
) -> tuple[Forecast, ...]:
    """What is still to be bought: replies that the journal has cost nothing."""
    desk, journal = work.desk, work.desk.purse.journal
    to_label = [*work.gate_rows[:gate], *rows]
    sampled = to_label[:: max(1, len(to_label) // SAMPLE)] or list(work.owner[:SAMPLE])
    answers = [e.expected or "" for e in work.owner[:SAMPLE]]
    sample = [next(desk.questions(e.inputs)) for e in sampled if work.codec.problem(e.inputs) is None]
    draws = desk.options.best_of
    made: list[Forecast] = []
    for one in desk.teachers:
        new = 0
        for example in to_label:
            new += sum(journal.peek(q.key(one.name)) is None for q in desk.questions(example.inputs))
        calls = Range.exactly(new + draws * extend_by)
        made.append(
            forecast(one.name, sample, calls, one.price, answers=answers, measured=measured.get(one.name, ()))
        )  # fmt: skip
    if extend_by:
        writer = desk.teachers[0]
        asks = [
            a.question
            for a in islice(requests(work.owner, extend_by, desk, work.dataset.task.inputs, work.seed), SAMPLE)
        ]
        written = [text_of(e.inputs, work.dataset.task.inputs) * 4 for e in work.owner[:SAMPLE]]
        needed = extend_by / 4
        calls = Range(1.3 * needed, needed, 3 * needed)
        made.append(forecast(writer.name, asks, calls, writer.price, purpose="extend", answers=written))
    if desk.judge is not None:
        candidates = min(MOST, draws * len(desk.teachers))
        most = candidates * (candidates - 1) * (len(rows) + extend_by + gate)
        asks = [question(q.messages, a, a) for q, a in zip(sample, answers * len(sample), strict=False)]
        calls = Range(most / 2, 0.0, most)
        made.append(forecast(desk.judge.name, asks, calls, desk.judge.price, purpose="judge", answers=["A"]))
    return tuple(made)


def _measured(work: _Work) -> dict[str, list[Measured]]:
    """The tokens of the gate's calls, by teacher."""
    journal: Journal = work.desk.purse.journal
    found: dict[str, list[Measured]] = {}
    for one in work.desk.teachers:
        for example in work.gate_rows:
            for q in work.desk.questions(example.inputs):
                reply = journal.peek(q.key(one.name))
                if reply is not None:
                    found.setdefault(one.name, []).append(Measured(q.size, reply.tokens_in, reply.tokens_out))
    return found


def _doubts(work: _Work) -> tuple[str, ...]:
    if len(work.gate_rows) >= FEW:
        return ()
    return (f"the teacher is judged on {len(work.gate_rows)} rows alone; its score has a wide interval",)
