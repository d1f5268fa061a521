"""Predictor and sealed rows to scores, cases and a verdict.

Every row becomes a case, also one that could not be answered: that is a wrong answer. Nothing is averaged that was not
looked at row by row, and a comparison is always paired.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from shokunin import metrics
from shokunin.answer import Answer, Predictor
from shokunin.calibration import Calibration
from shokunin.dataset import Example
from shokunin.metrics import Interval
from shokunin.progress import Progress, silent
from shokunin.prove.wording import LEVEL, metric_name, percent, round_percent
from shokunin.report import Case
from shokunin.task import Task
from shokunin.tasks import Judge

BATCH = 64
WORST_PAIRS = 20
SHOWN_ANSWER = 60


@dataclass(frozen=True)
class Evaluation:
    """What came of asking a predictor every row.

    Attributes:
        cases: one a row, in the order of the rows.
        scores: the kind's metrics with 95 % intervals; an unanswered row is wrong.
        worst_pairs: the commonest confusions, most frequent first: `expected`, `given`, `count`.
        calibration: `ece`, `temperature` if known, the reliability `bins`, and `aurc`, the area under `risk_coverage`.
        risk_coverage: pairs (share answered, share of those wrong), at most 200.
        given: the answers given without asking the large model: `rows`, `coverage_here`, `error_here` and its interval.
        scope: how well "none of these" is told apart, where such rows exist: `auroc`, `rows`, `declined`, `lost`.
    """

    cases: list[Case]
    scores: dict[str, Interval]
    worst_pairs: list[dict[str, Any]]
    calibration: dict[str, Any]
    risk_coverage: list[tuple[float, float]]
    given: dict[str, Any]
    scope: dict[str, Any] | None


def evaluate(
    predictor: Predictor,
    examples: Sequence[Example],
    *,
    judge: Judge,
    none_labels: Sequence[str] = (),
    temperature: float | None = None,
    progress: Progress = silent,
    seed: int = 0,
) -> Evaluation:
    """Ask every row, keep every case, and score.

    Args:
        predictor: who is asked.
        examples: rows with an expected answer.
        judge: knows whether a value is right for an expected one.
        none_labels: spellings of "none of these".
        temperature: of the predictor's calibration, to be shown in the report.
        progress: told after each batch.
        seed: of the bootstrap.

    Raises:
        ValueError: there are no rows, one has no expected answer, or the predictor did not answer every row.
    """
    answers = ask(predictor, examples, progress)
    cases = [_case(e, a, judge) for e, a in zip(examples, answers, strict=True)]
    confidence, right = [c.confidence for c in cases], [c.correct for c in cases]
    bins = [asdict(b) for b in metrics.reliability_bins(confidence, right)]
    ece = metrics.expected_calibration_error(confidence, right)
    aurc = metrics.area_under_risk_coverage(confidence, right)
    return Evaluation(
        cases=cases,
        scores=scores(cases, judge, seed=seed),
        worst_pairs=_worst_pairs(cases),
        calibration={"ece": ece, "aurc": aurc, "temperature": temperature, "bins": bins},
        risk_coverage=metrics.risk_coverage(confidence, right),
        given=_given(cases),
        scope=_scope(cases, answers, none_labels),
    )


def ask(predictor: Predictor, examples: Sequence[Example], progress: Progress = silent) -> list[Answer]:
    """The answers to all rows, in batches.

    Raises:
        ValueError: the predictor gave fewer or more answers than it was asked for.
    """
    answers: list[Answer] = []
    for start in range(0, len(examples), BATCH):
        batch = [e.inputs for e in examples[start : start + BATCH]]
        given = predictor.predict(batch)
        if len(given) != len(batch):
            raise ValueError(f"the predictor gave {len(given)} answers to {len(batch)} inputs")
        answers.extend(given)
        progress("asking the rows", len(answers), len(examples))
    return answers


def scores(cases: Sequence[Case], judge: Judge, *, seed: int = 0) -> dict[str, Interval]:
    """The kind's metrics over cases, with their intervals."""
    return judge.scores([c.expected for c in cases], [c.value for c in cases], [c.group for c in cases], seed=seed)


def baseline_scores(trivial: str, evaluation: Evaluation, *, judge: Judge, seed: int = 0) -> dict[str, Any]:
    """The trivial answer on the same rows: one that needs no reading, such as the commonest label of the training rows.

    Returns:
        `label`, `scores` with intervals, and `p`: how likely the specialist would look so much better by chance.
    """
    always = [_case_of(c, trivial, judge) for c in evaluation.cases]
    found = compare_cases(evaluation.cases, always, judge, seed=seed)
    plain = {name: asdict(i) for name, i in scores(always, judge, seed=seed).items()}
    return {"label": trivial, "scores": plain, "difference": asdict(found.difference), "p": found.p_better}


def compare_cases(a: Sequence[Case], b: Sequence[Case], judge: Judge, *, seed: int = 0) -> metrics.Comparison:
    """Two predictors' cases of the same rows by the task's metric."""
    return judge.compare(
        [c.expected for c in a], [c.value for c in a], [c.value for c in b], [c.group for c in a], seed=seed
    )


def verdict(evaluation: Evaluation, baseline: dict[str, Any], task: Task) -> tuple[str, list[str]]:
    """`pass` or `fail`, and why in plain sentences.

    It passes when the lower end of the task metric's interval reaches `task.target_score`, if one is set, and it is
    measurably better than the trivial baseline.
    """
    name, score = metric_name(task.metric), evaluation.scores[task.metric]
    trivial = baseline["scores"][task.metric]["value"]
    beats = baseline["p"] < LEVEL
    is_it = "is" if beats else "is not"
    reasons = [
        f"It {is_it} measurably better than always answering {_shortly(baseline['label'])}: "
        f"{name} {percent(score.value)} against {percent(trivial)}."
    ]
    reached = task.target_score is None or score.low >= task.target_score
    if task.target_score is not None:
        low, target = percent(score.low), round_percent(task.target_score)
        reasons.append(
            f"Even the lower end of its {name}, {low}, reaches the target of {target}."
            if reached
            else f"The lower end of its {name}, {low}, does not reach the target of {target}."
        )
    unanswered = sum(c.problem is not None for c in evaluation.cases)
    if unanswered:
        rows = "row" if unanswered == 1 else "rows"
        reasons.append(f"{unanswered:,} {rows} could not be answered and count as wrong.")
    return ("pass" if beats and reached else "fail"), reasons


def threshold(calibration: Calibration, evaluation: Evaluation) -> dict[str, Any]:
    """The promise made on validation rows, and how it came out on these rows.

    Returns:
        `value`, `coverage`, `bound`, `confidence`, `rows`, `exact`, `reason`; and `coverage_here`, `error_here` with
        its interval.
    """
    made = calibration.promise
    if made is None:
        promised: dict[str, Any] = dict.fromkeys(("value", "coverage", "bound", "confidence", "rows", "exact"))
        promised["reason"] = "no threshold was chosen"
    else:
        promised = asdict(made)
        promised["value"] = promised.pop("threshold")
    return promised | evaluation.given


def _shortly(answer: str) -> str:
    shown = repr(answer)
    return shown if len(shown) <= SHOWN_ANSWER else f"{shown[: SHOWN_ANSWER - 1]}…"


def _case(example: Example, answer: Answer, judge: Judge) -> Case:
    if example.expected is None:
        raise ValueError(f"{example.origin} has no expected answer; only rows that have one can be scored")
    answered = answer.problem is None
    value = answer.value if answered else None
    return Case(
        origin=example.origin,
        inputs=dict(example.inputs),
        expected=example.expected,
        value=value,
        confidence=answer.confidence if answered else 0.0,
        correct=answered and judge.correct(example.expected, value),
        sure=answered and answer.sure,
        group=example.group,
        problem=answer.problem,
        details=dict(answer.details),
    )


def _case_of(case: Case, value: str | None, judge: Judge) -> Case:
    """The same row, answered otherwise."""
    return Case(
        case.origin, case.inputs, case.expected, value, 1.0, judge.correct(case.expected, value), True, case.group
    )


def _worst_pairs(cases: Sequence[Case]) -> list[dict[str, Any]]:
    pairs = Counter((c.expected, c.value) for c in cases if not c.correct)
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0][0], item[0][1] or ""))
    return [{"expected": e, "given": g, "count": n} for (e, g), n in ordered[:WORST_PAIRS]]


def _given(cases: Sequence[Case]) -> dict[str, Any]:
    right = [c.correct for c in cases if c.sure]
    groups = [c.group for c in cases if c.sure]
    share = metrics.accuracy(right, groups) if right else None
    error = None if share is None else Interval(1 - share.value, 1 - share.high, 1 - share.low)
    return {
        "coverage_here": len(right) / len(cases),
        "error_here": None if error is None else error.value,
        "error_here_low": None if error is None else error.low,
        "error_here_high": None if error is None else error.high,
    }


def _scope(cases: Sequence[Case], answers: Sequence[Answer], none_labels: Sequence[str]) -> dict[str, Any] | None:
    belongs = np.asarray([c.expected not in none_labels for c in cases])
    if belongs.all() or not belongs.any():
        return None
    known = np.asarray([_in_scope(a, none_labels) for a in answers])
    declined = np.asarray([c.value in none_labels for c in cases])
    return {
        "auroc": asdict(metrics.auroc(known[belongs], known[~belongs])),
        "rows": int((~belongs).sum()),
        "declined": float(declined[~belongs].mean()),
        "lost": float(declined[belongs].mean()),
    }


def _in_scope(answer: Answer, none_labels: Sequence[str]) -> float:
    """How much speaks for one of the labels: the largest probability of one."""
    of_labels = [p for name, p in answer.scores.items() if name not in none_labels]
    if of_labels:
        return max(of_labels)
    return 1 - answer.confidence if answer.value in none_labels else answer.confidence
