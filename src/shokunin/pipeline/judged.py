"""The rows that rungs are judged by: none of them was one that the rung was fitted on, and all rungs meet the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shokunin import metrics
from shokunin.answer import Inputs
from shokunin.dataset import Example
from shokunin.forms import Raw, TextLessons
from shokunin.metrics import Interval
from shokunin.tasks import Codec


@dataclass(frozen=True, eq=False)
class Judged:
    """Rows with the right answers, and what an answer to them is worth.

    Attributes:
        examples: n rows.
        codec: knows what is right.
        metric: the task's.
        groups: shape (n,); rows of one group count as one draw.
        lessons: the rows with their labels, where the answers are labels; else None.
    """

    examples: tuple[Example, ...]
    codec: Codec
    metric: str
    groups: npt.NDArray[np.int64]
    lessons: TextLessons | None

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def inputs(self) -> list[Inputs]:
        """What is asked."""
        return [e.inputs for e in self.examples]

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Which label is right, shape (n,); only where the answers are labels."""
        assert self.lessons is not None
        return self.lessons.labels

    @property
    def names(self) -> tuple[str, ...]:
        """The labels; only where the answers are labels."""
        assert self.lessons is not None
        return self.lessons.names

    def score(self, raw: Raw, seed: int) -> Interval:
        """The task's metric."""
        if self.lessons is None:
            return self.codec.scores(self._expected, self.values(raw), list(self.groups), seed=seed)[self.metric]
        given = _best(raw)
        if self.metric == "macro_f1":
            return metrics.macro_f1(self.labels, given, self.groups, seed=seed)
        return metrics.accuracy(given == self.labels, self.groups)

    def worse(self, a: Raw, b: Raw, seed: int) -> float:
        """One-sided p-value of "a is not worse than b"; rows of one group count as one draw."""
        if self.lessons is None:
            values = self.values(a), self.values(b)
            return self.codec.compare(self._expected, *values, list(self.groups), seed=seed).p_worse
        first, second = _best(a), _best(b)
        if self.metric == "macro_f1":
            return metrics.macro_f1_worse(self.labels, first, second, self.groups, seed=seed)
        right = first == self.labels, second == self.labels
        return metrics.compare_accuracy(*right, self.groups, seed=seed).p_worse

    def values(self, raw: Raw) -> list[str | None]:
        """The answers in the raw outputs."""
        return [answer.value for answer in self.codec.decode(raw, "", self.inputs)]

    def right(self, raw: Raw) -> npt.NDArray[np.bool_]:
        """Which answers are right, shape (n,)."""
        pairs = zip(self._expected, self.values(raw), strict=True)
        return np.fromiter((self.codec.correct(e, v) for e, v in pairs), bool, len(self))

    @property
    def _expected(self) -> list[str]:
        return [e.expected or "" for e in self.examples]


def judged_by(examples: Sequence[Example], codec: Codec, metric: str, *, labels: bool) -> Judged:
    """The rows, all with an answer; `labels` says whether the answers are labels out of a fixed set."""
    lessons = codec.lessons(examples) if labels else None
    assert lessons is None or isinstance(lessons, TextLessons)
    groups = np.asarray([e.group for e in examples], dtype=np.int64)
    return Judged(tuple(examples), codec, metric, groups, lessons)


def _best(raw: Raw) -> npt.NDArray[np.int64]:
    assert isinstance(raw, np.ndarray)
    return np.asarray(raw.argmax(axis=1), dtype=np.int64)
