"""The kind `classify_text`: a text gets one label out of a fixed set, or "none of these"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from shokunin import metrics
from shokunin.answer import Answer, Inputs
from shokunin.calibration import Calibration, calibration_from_dict
from shokunin.dataset import Example
from shokunin.errors import ArtefactError, TaskError
from shokunin.files import read_json, write_json
from shokunin.forms import Form, Lessons, Raw, TextLessons
from shokunin.metrics import Comparison, Interval
from shokunin.task import NONE, Task
from shokunin.tasks import chat
from shokunin.template import Template
from shokunin.template.labels import find_label, plain_question

FORMS: tuple[Form, ...] = ("labelled_text",)
LABELS = True
HUB_TASK = "text-classification"
SHOWN_SCORES = 5
LONGEST = 100_000
"""Characters of one text that are looked at; no learner of this kind reads further."""


def check(task: Task, folder: Path = Path()) -> None:
    """A classification has no options of its own.

    Raises:
        TaskError: the task has some.
    """
    if task.options:
        raise TaskError(f"task {task.name!r} of kind {task.kind!r} has no options; take out {sorted(task.options)}")


def settle(task: Task, rows: Sequence[Mapping[str, str]]) -> Task:
    """The task as it is."""
    return task


def gather(task: Task, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterable[Example]:
    """One row is one example; an empty label is an example that nobody has answered yet."""
    for origin, row in rows:
        label = str(row.get(task.target) or "").strip()
        yield Example({name: str(row.get(name) or "") for name in task.inputs}, label or None, origin)


def prepare(task: Task, examples: Sequence[Example], side_files: Path) -> None:
    """Write `labels.json`: the names in the order of the model's outputs."""
    names = sorted({e.expected for e in examples if e.expected is not None and e.expected not in task.none_labels})
    write_json(side_files / "labels.json", names)


def codec(task: Task, side_files: Path) -> TextCodec:
    """The codec, from `labels.json` and, once it is there, `calibration.json`.

    Raises:
        ArtefactError: a side file is damaged.
    """
    names = read_json(side_files / "labels.json")
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise ArtefactError(f"{str(side_files / 'labels.json')!r} is not a list of names")
    path = side_files / "calibration.json"
    calibration = calibration_from_dict(read_json(path)) if path.exists() else Calibration()
    return TextCodec(task, tuple(names), calibration)


def described(options: Mapping[str, Any], labels: Sequence[str]) -> tuple[str, Sequence[str]]:
    """What it does, for its card."""
    return f"It gives a text one of {len(labels):,} labels: {{}}.", labels


class TextCodec:
    """Wording, decoding and chat for texts with labels."""

    def __init__(self, task: Task, names: tuple[str, ...], calibration: Calibration) -> None:
        self._task = task
        self._names = names
        self._index = {name: i for i, name in enumerate(names)}
        self._calibration = calibration

    @property
    def calibration(self) -> Calibration:
        """The numbers that turn raw scores into confidence and decisions."""
        return self._calibration

    @property
    def none_labels(self) -> tuple[str, ...]:
        """`none_of_these`, which is what this codec says, and the task's own spellings."""
        return tuple(dict.fromkeys((NONE, *self._task.none_labels)))

    @property
    def hints(self) -> Mapping[str, Any]:
        """None."""
        return {}

    def lessons(self, examples: Sequence[Example], form: Form = "labelled_text") -> Lessons:
        """The examples as `labelled_text`; all must have a known label."""
        texts = tuple(self.encode([e.inputs for e in examples]))
        labels = np.asarray([self._index[e.expected or ""] for e in examples], dtype=np.int64)
        return TextLessons(texts, labels, self._names, np.asarray([e.group for e in examples], dtype=np.int64))

    def encode(self, batch: Sequence[Inputs], form: Form = "labelled_text") -> list[str]:
        """One text an input: the only field, or the fields under each other, named."""
        return [chat.input_text(self._task, row)[:LONGEST] for row in batch]

    def problem(self, inputs: Inputs) -> str | None:
        """Why this input cannot be answered, or None."""
        return chat.problem(inputs, self._task.inputs)

    def decode(self, raw: Raw, answered_by: str, batch: Sequence[Inputs] = ()) -> list[Answer]:
        """Answers from raw log-scores of shape (n, k).

        The confidence is the largest softmax of the scores over the temperature. A row whose best score stays below the scope
        threshold is answered "none of these" with what is left, and is never sure: the promise was made about labels.
        """
        assert isinstance(raw, np.ndarray)
        probabilities = softmax((raw / self._calibration.temperature).astype(np.float64), axis=1)
        best = probabilities.argmax(axis=1)
        return [
            self._answer(p, int(i), float(r.max()), answered_by)
            for p, i, r in zip(probabilities, best, raw, strict=True)
        ]

    def correct(self, expected: str, value: str | None) -> bool:
        """Whether the label is right; every spelling of "none of these" is the same answer."""
        none = self.none_labels
        return value is not None and (value == expected or (value in none and expected in none))

    def scores(
        self, expected: Sequence[str], given: Sequence[str | None], groups: Sequence[Any], *, seed: int = 0
    ) -> dict[str, Interval]:
        """Accuracy and macro-F1; every spelling of "none of these" is one class."""
        truth, answers = self._classes(expected, given)
        right = [e == g for e, g in zip(truth, answers, strict=True)]
        return {
            "accuracy": metrics.accuracy(right, groups, seed=seed),
            "macro_f1": metrics.macro_f1(truth, answers, groups, seed=seed),
        }

    def compare(
        self,
        expected: Sequence[str],
        a: Sequence[str | None],
        b: Sequence[str | None],
        groups: Sequence[Any],
        *,
        seed: int = 0,
    ) -> Comparison:
        """Two predictors' answers to the same rows by the task's metric."""
        truth, first = self._classes(expected, a)
        return metrics.compare(self._task.metric, truth, first, self._classes(expected, b)[1], groups, seed=seed)

    def trivial(self, examples: Sequence[Example]) -> str:
        """The commonest label."""
        return Counter(e.expected or "" for e in examples).most_common(1)[0][0]

    def phrased(self, messages: Sequence[Mapping[str, Any]]) -> Template | None:
        """The wording that fits; one that is hardly more than a slot does not count, as every bare text fits it."""
        return chat.phrased(self._task, messages)

    def read_chat(self, messages: Sequence[Mapping[str, Any]]) -> Inputs:
        """The slots of the wording that fits; in other requests the last user message, for several fields a JSON object.

        Raises:
            TaskError: there is no user message with text.
        """
        return chat.read_chat(self._task, messages)

    def write_chat(self, answer: Answer, wording: Template | None = None) -> str:
        """The label and nothing else; or the label in the reply pattern of the wording."""
        if answer.value is None or wording is None:
            return answer.value or ""
        unknown = answer.value == NONE and NONE not in self._task.none_labels and self._task.none_labels
        return wording.write(self._task.none_labels[0] if unknown else answer.value)

    def ask_chat(self, inputs: Inputs, wording: Template | None = None) -> list[dict[str, str]]:
        """The wording filled in; without any, or where it has slots that are no input, the plain question."""
        template = wording or self._task.template
        if template is None or not chat.fits(template, inputs):
            declines = self._calibration.scope_threshold is not None
            return plain_question(inputs, (*self._names, NONE) if declines else self._names)
        return template.render(inputs)

    def read_reply(self, reply: str, wording: Template | None = None) -> str | None:
        """The label in the reply pattern of the wording; where the reply has another shape, the one that it names."""
        template = wording or self._task.template
        answer = None if template is None else template.read(reply)
        return find_label(reply if answer is None else answer, (*self._names, *self.none_labels))

    def _answer(self, p: npt.NDArray[np.float64], best: int, score: float, answered_by: str) -> Answer:
        top = np.argsort(-p, kind="stable")[:SHOWN_SCORES]
        scores = {self._names[i]: float(p[i]) for i in top}
        confidence = float(p[best])
        limit, promise = self._calibration.scope_threshold, self._calibration.promise
        out_of_scope = limit is not None and score < limit
        sure = not out_of_scope and (promise is None or confidence >= promise.threshold)
        if out_of_scope:
            return Answer(NONE, 1 - confidence, answered_by, sure=False, scores=scores)
        return Answer(self._names[best], confidence, answered_by, sure=sure, scores=scores)

    def _classes(self, expected: Sequence[str], given: Sequence[str | None]) -> tuple[list[str], list[str | None]]:
        """Both with one spelling of "none of these", so that an answer is right exactly when it is equal."""
        none = dict.fromkeys(self.none_labels, NONE)
        return [none.get(e, e) for e in expected], [None if g is None else none.get(g, g) for g in given]
