"""Discovering: logs → tasks, what each costs, what a specialist would save; and the folders of those worth training."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from shokunin.cost import Price, price_book, unknown_prices
from shokunin.discover.answers import CHAT
from shokunin.discover.counts import Counts
from shokunin.discover.found import Found
from shokunin.discover.groups import Grouping, draw
from shokunin.discover.naming import distinct, name_of, words_of
from shokunin.discover.read_traffic import read_traffic
from shokunin.discover.recorded_exchange import call_of_exchange
from shokunin.discover.tally import Row, Tally
from shokunin.errors import DataError, UsageError
from shokunin.pipeline.handing_over import WORTH, write_tasks
from shokunin.pipeline.judging import REST, Judged, Setting, judge, judge_rest, task_of
from shokunin.pipeline.rehearsing import LEARNERS
from shokunin.progress import Progress, silent
from shokunin.project import Project, open_project
from shokunin.recorded.call import Call
from shokunin.traffic.reading import count, read
from shokunin.traffic.replay import settle
from shokunin.traffic.store import Store, open_store
from shokunin.train import learner

DAY = 86_400.0


class Source(Protocol):
    """Calls that can be gone through several times, all records counted."""

    counts: Counts
    done: int
    total: int

    def __iter__(self) -> Iterator[Call]: ...


@dataclass(frozen=True)
class Discovery:
    """What was found in a log.

    Attributes:
        records: `in`, `used`, and by reason what was `set_aside`, with the first places.
        tasks: the tasks, the largest saving first.
        days: how long a time the log covers; None where it does not say and nobody did.
        notes: what the figures rest on, in sentences.
        written: the folders that were made.
        prices_as_of: the day of the price book, where an amount rests on it.
    """

    records: Mapping[str, Any]
    tasks: tuple[Found, ...]
    days: float | None
    notes: tuple[str, ...]
    written: tuple[Path, ...] = ()
    prices_as_of: str = ""


def discover(
    logs: Sequence[str | Path] = (),
    *,
    project: str | Path | None = None,
    write: bool = False,
    prices: Mapping[str, Price] | None = None,
    model: str | None = None,
    days: float | None = None,
    max_error: float = 0.05,
    budget: float = 2.0,
    learners: Sequence[str] = LEARNERS,
    seed: int = 0,
    progress: Progress = silent,
) -> Discovery:
    """Find the work in recorded traffic that is worth a specialist.

    Args:
        logs: files and folders with recorded calls; none: the project's own record.
        project: the project's folder; by default the current one.
        write: make a folder in `tasks/` for every task that is worth training, or nearly.
        prices: prices of models, before those of the project and of the price book.
        model: the model that was asked where the log does not name one.
        days: how long a time the log covers; by default its timestamps say.
        max_error: what a specialist is to promise.
        budget: minutes that the rehearsal of one task may take.
        learners: the rungs that rehearsals try.
        seed: of all draws.
        progress: told how far it is.

    Raises:
        DataError: there is no log, or nothing in it that can be used.
        UsageError: the price of a model is not known, or a number is none that can be; nothing was written.
        ProjectError: a task's folder is there already; nothing was written.
    """
    for name in learners:
        learner(name)
    place = open_project(None if project is None else Path(project))
    own = {**place.prices, **(prices or {})}
    if days is not None and not days > 0:
        raise UsageError(f"`days` is how long a time the log covers, more than 0, not {days!r}")
    if not 0 < max_error < 1:
        raise UsageError(f"`max_error` is a share between 0 and 1, not {max_error!r}")
    if not budget > 0:
        raise UsageError(f"`budget` is minutes for the rehearsal of one task, more than 0, not {budget!r}")
    with _source(place, logs) as source:
        sample = draw(_told(source, "reading the log", progress), seed=seed)
        grouping = Grouping(sample, progress)
        tallies, rest, span = _count(source, grouping, seed, progress)
        _ask_for_prices([*tallies, rest], own, model)
        length, notes = _length(span, days)
        setting = Setting(place, own, model, length, max_error, budget, learners, seed)
        judged: list[Judged] = []
        for number, (group, tally) in enumerate(zip(grouping.groups, tallies, strict=True), 1):
            if tally.records:
                told = _numbered(progress, number, len(tallies))
                judged.append(judge(group, tally, setting, told))
        if rest.records:
            judged.append(judge_rest(rest, setting))
        ranked = _named(judged)
        found = tuple(one.found for one in ranked)
        notes += _notes(found, [*tallies, rest])
        written: tuple[Path, ...] = ()
        if write:
            handed = [
                (one.found, one.group, task_of(one.found.name, one.group, one.answers, max_error))
                for one in ranked
                if one.group is not None
                and one.answers is not None
                and one.found.verdict in WORTH
                and (one.found.rehearsal or one.found.verdict == "TRY")
            ]
            written = write_tasks(place, handed, grouping, _told(source, "writing the rows", progress), progress)
    return Discovery(_records(source.counts), found, length, tuple(notes), written, price_book().as_of)


@dataclass
class _FromStore:
    """The project's own record as a source."""

    store: Store
    counts: Counts = field(default_factory=Counts)
    done: int = 0
    total: int = 0

    def __enter__(self) -> _FromStore:
        self.total = count(self.store)
        if not self.total:
            raise DataError(
                "the project's record of traffic is empty; serve for a while, or name logs: shokunin discover LOGS"
            )
        return self

    def __exit__(self, *raised: object) -> None:
        self.store.close()

    def __iter__(self) -> Iterator[Call]:
        self.counts, self.done = Counts(), 0
        for exchange in read(self.store):
            self.done += 1
            call = call_of_exchange(exchange)
            if isinstance(call, str):
                self.counts.put_aside(call, exchange.id)
            else:
                self.counts.used += 1
                yield call


def _source(place: Project, logs: Sequence[str | Path]) -> Any:
    from contextlib import nullcontext

    if logs:
        return nullcontext(read_traffic([Path(log) for log in logs]))
    url = place.gateway.database_url()
    store = open_store(place.traffic, url)
    settle(place.traffic, store)
    return _FromStore(store)


def _told(source: Source, what: str, progress: Progress) -> Iterator[Call]:
    for number, call in enumerate(source):
        if number % 500 == 0:
            progress(what, source.done, source.total)
        yield call


def _count(
    source: Source, grouping: Grouping, seed: int, progress: Progress
) -> tuple[list[Tally], Tally, tuple[float, float] | None]:
    """The counts of each task and of what belongs to none, and the first and last moment."""
    rng = random.Random(seed)
    tallies, rest = [Tally() for _ in grouping.groups], Tally()
    first, last = float("inf"), float("-inf")
    for call in _told(source, "counting", progress):
        place = grouping.place(call)
        tally = tallies[place] if place >= 0 else rest
        tally.count(call)
        tally.time(call.seconds, rng)
        if call.timestamp is not None:
            first, last = min(first, call.timestamp), max(last, call.timestamp)
        if place >= 0 and (at := tally.place_of_row(rng)) is not None:
            tally.keep(at, Row(call.id, grouping.groups[place].inputs(call), None if call.local else call.reply))
    return tallies, rest, (first, last) if last > first else None


def _ask_for_prices(tallies: Sequence[Tally], own: Mapping[str, Price], model: str | None) -> None:
    """Stop where the price of a model that the log names is not known.

    Raises:
        UsageError: which, and how to give it.
    """
    calls: Counter[str] = Counter()
    for tally in tallies:
        for name, spend in tally.by_model.items():
            if (name or model) and spend.priced < spend.calls:
                calls[name or str(model)] += spend.calls - spend.priced
    told = unknown_prices(calls, own, option="--price MODEL=INPUT,OUTPUT")
    if told is not None:
        raise UsageError(told)


def _length(span: tuple[float, float] | None, days: float | None) -> tuple[float | None, list[str]]:
    """The days that a log covers, and what to say of them."""
    if days is not None:
        return days, []
    if span is None:
        return None, [
            "the log does not say when the calls were made, so they are taken for those of one month; --days says how long it was"
        ]
    length = (span[1] - span[0]) / DAY
    if length < 1:
        return 1.0, [f"the log covers {24 * length:.1f} hours, which are taken for one day; --days says otherwise"]
    return length, []


def _named(judged: Sequence[Judged]) -> list[Judged]:
    """With names, and in the order of what would be saved, then of what is spent."""
    said = ["\n".join(w.said for w in one.group.wordings) if one.group else "" for one in judged]
    rare: Counter[str] = Counter()
    for text in said:
        rare.update(words_of(text))
    names = []
    for one, text in zip(judged, said, strict=True):
        workload, n = next(iter(one.tally.workloads.most_common(1)), ("", 0))
        usual = workload if 2 * n > one.tally.records else ""
        if one.group is None or (one.found.kind == CHAT and not usual):
            names.append("chat" if one.group else REST)
        else:
            names.append(name_of(text, one.found.kind, one.found.labels, usual, rare, len(said)))
    named = []
    for one, name in zip(judged, distinct(names), strict=True):
        following = f"shokunin train tasks/{name}" if one.found.verdict in ("TRAIN", "TRY") else ""
        named.append(replace(one, found=replace(one.found, name=name, next_command=following)))
    return sorted(named, key=lambda one: _rank(one.found))


def _rank(found: Found) -> tuple[int, float, float, int]:
    order = ("TRAIN", "TRY", "COLLECT MORE", "LEAVE").index(found.verdict)
    return order, -(found.money.saving or 0), -(found.money.cost or 0), -found.records


def _notes(found: Sequence[Found], tallies: Sequence[Tally]) -> list[str]:
    notes = []
    unnamed = sum(
        tally.by_model[""].calls for tally in tallies if "" in tally.by_model and not tally.by_model[""].priced
    )
    if unnamed and any(one.money.cost is None for one in found):
        notes.append(
            f"{unnamed:,} calls do not say which model answered, so what they cost is not known; --model NAME says it"
        )
    estimated = sum(tally.estimated for tally in tallies)
    if estimated:
        notes.append(f"tokens of {estimated:,} calls are not in the log and were estimated from their text")
    return notes


def _records(counts: Counts) -> dict[str, Any]:
    plain = counts.to_dict()
    aside = plain["set_aside"]
    return {
        "in": plain["in"],
        "used": plain["used"],
        "set_aside": sum(one["records"] for one in aside),
        "set_aside_reasons": aside,
    }


def _numbered(progress: Progress, number: int, of: int) -> Progress:
    def told(what: str, done: float, total: float | None) -> None:
        progress(f"task {number} of {of}: {what}", done, total)

    return told
