"""The specialist beside the large model on the same rows: recorded answers or live ones, compared pair by pair."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from shokunin import metrics
from shokunin.answer import Answer, Predictor
from shokunin.dataset import Example
from shokunin.errors import DataError
from shokunin.progress import Progress, silent
from shokunin.prove.evaluate import ask, compare_cases, scores
from shokunin.prove.wording import LEVEL, metric_name, p_value
from shokunin.report import Case
from shokunin.task import Task
from shokunin.tasks import Judge

Recorded = Mapping[str, str | None] | Sequence[str | None]


def recorded_answers(
    recorded: Recorded, examples: Sequence[Example], *, name: str, known: Collection[str] = ()
) -> list[Answer]:
    """Answers that were kept earlier, one a row.

    Args:
        recorded: by origin (`file:row`) or by the row's number in it (`"17"`), or a list as long as `examples`.
        examples: the rows they belong to.
        name: whose answers they are.
        known: all labels there are, if they are known.

    Raises:
        DataError: a list of another length, not one row is among the recorded, or not one answer is a known label.
    """
    if isinstance(recorded, Mapping):
        found = [recorded.get(e.origin, recorded.get(e.origin.rpartition(":")[2])) for e in examples]
        if examples and all(value is None for value in found):
            raise DataError(
                f"none of the {len(recorded):,} recorded answers of {name!r} belongs to the rows to prove; "
                f"expected keys like {examples[0].origin!r}"
            )
    elif len(recorded) != len(examples):
        raise DataError(
            f"{len(recorded):,} recorded answers of {name!r} for {len(examples):,} rows; one a row is needed"
        )
    else:
        found = list(recorded)
    found = [value.strip() if value is not None else None for value in found]
    if known and found and not any(value in known for value in found):
        first = next((value for value in found if value), "")
        raise DataError(
            f"not one of the {len(found):,} recorded answers of {name!r} is a label; the first is {first[:80]!r}, "
            f"expected one like {sorted(known)[0]!r}"
        )
    missing = "no answer was recorded"
    return [Answer(v, 1.0, name) if v else Answer(None, 0.0, name, problem=missing, sure=False) for v in found]


def live_answers(predictor: Predictor, examples: Sequence[Example], progress: Progress = silent) -> list[Answer]:
    """The answers of a predictor that is asked now."""
    return ask(predictor, examples, progress)


def compare_against(
    cases: Sequence[Case],
    answers: Sequence[Answer],
    *,
    name: str,
    task: Task,
    judge: Judge,
    live: bool,
    seed: int = 0,
) -> tuple[dict[str, Any], list[Case]]:
    """The paired comparison, and the cases with the other's answer in `against`.

    Returns:
        `name`, `live`, `rows`, `answered`, `scores` (the other's, with intervals), `difference` (the specialist's score
        minus the other's), `p` (two-sided), `agreement`, `p50_ms`, `cost`, `together` (sure answers kept, the rest
        passed on: `passed_on`, `scores`, `difference` to the other alone, `p`) and `sentence`.
    """
    theirs = [
        replace(c, value=a.value, confidence=a.confidence, correct=_right(c, a, judge), sure=True, problem=a.problem)
        for c, a in zip(cases, answers, strict=True)
    ]
    together = [ours if ours.sure else other for ours, other in zip(cases, theirs, strict=True)]
    alone, both = (compare_cases(first, theirs, judge, seed=seed) for first in (cases, together))
    seconds = sorted(a.seconds for a in answers if a.problem is None)
    about = {
        "name": name,
        "live": live,
        "rows": len(cases),
        "answered": sum(a.problem is None for a in answers),
        "scores": _plain(scores(theirs, judge, seed=seed)),
        "difference": asdict(alone.difference),
        "p": alone.p,
        "agreement": asdict(metrics.accuracy(_agree(cases, theirs, judge), [c.group for c in cases], seed=seed)),
        "p50_ms": 1000 * seconds[len(seconds) // 2] if live and seconds else None,
        "cost": sum(a.cost for a in answers),
        "together": {
            "passed_on": sum(not c.sure for c in cases) / len(cases),
            "scores": _plain(scores(together, judge, seed=seed)),
            "difference": asdict(both.difference),
            "p": both.p,
        },
        "sentence": _sentence(alone, name, task),
    }
    return about, [replace(c, against=a.value) for c, a in zip(cases, answers, strict=True)]


def _right(case: Case, answer: Answer, judge: Judge) -> bool:
    return answer.problem is None and judge.correct(case.expected, answer.value)


def _agree(ours: Sequence[Case], theirs: Sequence[Case], judge: Judge) -> list[bool]:
    """Where both say the same by the task's measure, whatever the spelling."""
    return [
        a.value is not None and b.value is not None and judge.correct(b.value, a.value)
        for a, b in zip(ours, theirs, strict=True)
    ]


def _plain(found: Mapping[str, metrics.Interval]) -> dict[str, dict[str, float]]:
    return {name: asdict(interval) for name, interval in found.items()}


def _sentence(found: metrics.Comparison, name: str, task: Task) -> str:
    gap = found.difference
    points = f"{abs(100 * gap.value):.1f} points"
    side, way = ("better", "higher") if gap.value > 0 else ("worse", "lower")
    ends = f"{100 * gap.low:+.1f} to {100 * gap.high:+.1f}".replace("-", "−")
    span = f"(95 % interval {ends}, {p_value(found.p)})"
    metric = metric_name(task.metric)
    if found.p >= LEVEL:
        return f"The specialist and {name} cannot be told apart on these rows: {metric} {points} {way} {span}."
    return f"The specialist is measurably {side} than {name}: {metric} {points} {way} {span}."
