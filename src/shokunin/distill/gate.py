"""The teacher gate: before money is spent, the teacher answers a few rows whose answers the owner knows."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from shokunin.dataset import Example
from shokunin.distill.label import Labelled
from shokunin.metrics import Interval, mean

GO, IMPROVE = 0.80, 0.60
"""From which scores on the verdict is go, and improve. For go the interval, too, must lie above what improve asks: a teacher
right in 13 of 16 rows passed by luck, and what learnt from it was worse than what learnt from the owner's 20 rows alone
(docs/distill.md)."""
ROWS = 50
SHOWN = 10

Verdict = Literal["go", "improve", "rethink"]
_MEANS = {
    "go": "its answers are worth learning from",
    "improve": "too many of its answers are wrong; show it examples (--shots), a better prompt in the task's template, or ask a "
    "better model",
    "rethink": "most of what it says would have to be unlearnt; ask another model, or label by hand",
}
_TOO_FEW = (
    "{rows} rows are too few to tell; its true score may be as low as {low:.2f}. Give the gate more rows whose answers you know "
    "(--gate), or ask a better model"
)


class Scored(Protocol):
    """What the gate needs of a kind's codec."""

    def correct(self, expected: str, value: str | None) -> bool:
        """Whether an answer is right."""

    def scores(
        self, expected: Sequence[str], given: Sequence[str | None], groups: Sequence[Any], *, seed: int = 0
    ) -> dict[str, Interval]:
        """The kind's metrics."""


@dataclass(frozen=True)
class Gate:
    """What the teacher is worth.

    Attributes:
        rows: how many it was asked.
        metric: the task's.
        score: by the task's metric, with its interval; rows without an answer count as wrong.
        kept: the share of rows to which it gave an answer that would have been kept.
        right_of_kept: of those the share that is right; None where there are none.
        verdict: go, improve or rethink.
        wrong: some rows that it got wrong, as (input, the owner's answer, the teacher's).
    """

    rows: int
    metric: str
    score: Interval
    kept: float
    right_of_kept: Interval | None
    verdict: Verdict
    wrong: tuple[tuple[str, str, str | None], ...]

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        lucky = self.verdict == "improve" and self.score.value >= GO
        return (
            f"{self.verdict}: {_TOO_FEW.format(rows=self.rows, low=self.score.low) if lucky else _MEANS[self.verdict]}"
        )


def draw(examples: Sequence[Example], count: int, seed: int) -> list[Example]:
    """At most `count` examples, as evenly over the answers as there are rows of them, in an order of chance."""
    by_answer: defaultdict[str, list[Example]] = defaultdict(list)
    chance = random.Random(seed)
    for example in chance.sample(list(examples), len(examples)):
        by_answer[example.expected or ""].append(example)
    answers = chance.sample(sorted(by_answer), len(by_answer))
    drawn: list[Example] = []
    for place in range(max(map(len, by_answer.values()), default=0)):
        drawn += [by_answer[a][place] for a in answers if place < len(by_answer[a])]
        if len(drawn) >= count:
            break
    return drawn[:count]


def judge_teacher(asked: Sequence[Example], got: Sequence[Labelled], codec: Scored, metric: str, seed: int) -> Gate:
    """The gate's verdict.

    Args:
        asked: one or more rows with the owner's answers.
        got: what came of the same rows.
        codec: of the kind.
        metric: the task's.
        seed: for the interval.
    """
    expected = [e.expected or "" for e in asked]
    given = [one.example.expected if one.reason is None else None for one in got]
    groups = [e.group for e in asked]
    score = codec.scores(expected, given, groups, seed=seed)[metric]
    kept = [(e, g) for e, g in zip(expected, given, strict=True) if g is not None]
    right = [codec.correct(e, g) for e, g in kept]
    wrong = [
        (_text(one.example), e, g)
        for one, e, g in zip(got, expected, given, strict=True)
        if g is None or not codec.correct(e, g)
    ]
    sure = score.value >= GO and score.low >= IMPROVE
    verdict: Verdict = "go" if sure else "improve" if score.value >= IMPROVE else "rethink"
    return Gate(
        rows=len(asked),
        metric=metric,
        score=score,
        kept=len(kept) / len(asked),
        right_of_kept=mean([float(r) for r in right], seed=seed) if right else None,
        verdict=verdict,
        wrong=tuple(wrong[:SHOWN]),
    )


def _text(example: Example) -> str:
    text = " / ".join(" ".join(value.split()) for value in example.inputs.values())
    return text if len(text) <= 120 else text[:119] + "…"
