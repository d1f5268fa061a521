"""Predictors and a report for the tests of this folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from shokunin.answer import Answer, Inputs
from shokunin.calibration import Calibration, Promise
from shokunin.dataset import Example
from shokunin.metrics import wilson
from shokunin.prove.against import compare_against, recorded_answers
from shokunin.prove.evaluate import baseline_scores, evaluate, threshold, verdict
from shokunin.report import Report, Rung
from shokunin.task import Task
from shokunin.tasks.classify_text import TextCodec

NONE = ("none_of_these", "oos")
TASK = Task("inquiries", target_score=0.6)
PROMISE = Promise(0.5, 0.8, 0.05, 0.95, 300, True, None, 240, 5)


class Scripted:
    """Answers a text by what a table says: (value, confidence), or a problem."""

    def __init__(self, table: Mapping[str, tuple[str, float] | str], *, sure_from: float = 0.5) -> None:
        self.table = table
        self.sure_from = sure_from
        self.batches: list[int] = []

    def predict(self, batch: Sequence[Inputs]) -> list[Answer]:
        self.batches.append(len(batch))
        return [self._answer(inputs["text"]) for inputs in batch]

    def _answer(self, text: str) -> Answer:
        said = self.table[text]
        if isinstance(said, str):
            return Answer(None, 0.0, "inquiries@1", problem=said, sure=False)
        value, confidence = said
        return Answer(value, confidence, "inquiries@1", sure=confidence >= self.sure_from, scores={value: confidence})


def judge(metric: str = "accuracy") -> TextCodec:
    """What knows whether a label is right, by this metric."""
    return TextCodec(replace(TASK, metric=metric, none_labels=NONE), (), Calibration())


def examples(rows: Sequence[tuple[str, str]]) -> list[Example]:
    return [Example({"text": text}, label, f"rows.csv:{i}", group=i) for i, (text, label) in enumerate(rows, 2)]


def report(
    labels: Sequence[str] = ("refund", "parcel", "invoice"),
    *,
    text: str = "row",
    promise: Promise | None = PROMISE,
    against: bool = True,
    task: Task = TASK,
    problem: str | None = None,
    **fields: Any,
) -> Report:
    """A report made by the real functions from 90 rows, a few of the answers to the last label wrong."""
    return replace(_made(tuple(labels), text, promise, against, task, problem), **fields)


@cache
def _made(
    labels: tuple[str, ...], text: str, promise: Promise | None, against: bool, task: Task, problem: str | None
) -> Report:
    rows = [(f"{text} {i}", labels[i % len(labels)]) for i in range(90)]
    table: dict[str, tuple[str, float] | str] = {
        t: (label, 0.35 + 0.65 * (i / 90)) if i % 9 != 8 or i == 80 else (labels[0], 0.9 if i == 89 else 0.3 + i / 900)
        for i, (t, label) in enumerate(rows)
    }
    if problem is not None:
        table[rows[0][0]] = problem
    asked = examples(rows)
    found = evaluate(Scripted(table), asked, judge=judge(task.metric), none_labels=NONE, temperature=1.3)
    trivial = baseline_scores(labels[0], found, judge=judge(task.metric))
    outcome, reasons = verdict(found, trivial, task)
    other, cases = None, found.cases
    if against:
        answers = recorded_answers(
            [label if i % 7 else None for i, (_, label) in enumerate(rows)], asked, name=labels[1]
        )
        other, cases = compare_against(
            found.cases, answers, name=labels[1], task=task, judge=judge(task.metric), live=False
        )
    ladder = [
        Rung("baseline", wilson(30, 90), 0.0001, 0.5, 0.01, 0.01, 120),
        Rung("text_linear", wilson(80, 90), None, 0.0, 1.5, 0.4, 40_000, True),
        Rung(labels[0], None, note=f"not tried: {labels[0]}"),
    ]
    plain: dict[str, Any] = {
        "specialist": "inquiries", "version": 3, "kind": "classify_text", "created": "2026-01-02T03:04:05Z", "verdict": outcome,
        "reasons": reasons, "rows": 90, "metric": task.metric, "scores": found.scores, "baseline": trivial, "ladder": ladder,
        "why_chosen": f"text_linear beats {labels[0]}", "threshold": threshold(Calibration(promise=promise), found),
        "calibration": found.calibration, "risk_coverage": found.risk_coverage, "worst_pairs": found.worst_pairs,
        "scope": found.scope, "latency_ms": {"p50": 0.4, "p95": 0.9, "p99": 2.1}, "throughput": 2500.0, "size_bytes": 40_000,
        "peak_memory_bytes": 120_000_000,
        "dataset": {"digest": "ab" * 32, "train": 500, "validation": 100, "test": 90, "labels": 3, "facts": {
            "rows": {"in": 700, "used": 690, "set_aside": {labels[0]: 10}},
            "leaks": {"exact": 2, "near": 1, "action": "taken out"},
        }},
        "openings": 2, "machine": {"processor": "a processor", "cores": 2, "memory_bytes": 8_000_000_000, "system": "Linux",
                                   "python": "3.11", "libraries": {"numpy": "2.0"}},
        "against": other, "replay": {"rows": 90, "disagreements": 0}, "cases": cases,
    }  # fmt: skip
    return Report(**plain)
