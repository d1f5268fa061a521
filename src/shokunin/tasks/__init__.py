"""The shelf of task kinds: what each kind knows and no one else does.

A kind is the module of its name here, with the names of `Kind`. To add one: write the file, and add its line to
`shokunin.task.KINDS`, the table of kinds and what each is measured by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import numpy.typing as npt

from shokunin.answer import Answer, Inputs
from shokunin.calibration import Calibration
from shokunin.dataset import Example
from shokunin.errors import TaskError
from shokunin.forms import Form, Lessons, Raw
from shokunin.metrics import Comparison, Interval
from shokunin.series.sent import Shape
from shokunin.task import KINDS, Task
from shokunin.template import Template


class Judge(Protocol):
    """What knows whether answers are right: the kind's codec."""

    def correct(self, expected: str, value: str | None) -> bool:
        """Whether an answer is right."""

    def scores(
        self, expected: Sequence[str], given: Sequence[str | None], groups: Sequence[Any], *, seed: int = 0
    ) -> dict[str, Interval]:
        """The kind's metrics with 95 % intervals; None is a row without an answer."""

    def compare(
        self,
        expected: Sequence[str],
        a: Sequence[str | None],
        b: Sequence[str | None],
        groups: Sequence[Any],
        *,
        seed: int = 0,
    ) -> Comparison:
        """Two predictors' answers to the same rows by the task's metric, paired."""


class Codec(Judge, Protocol):
    """Everything that must be the same in training, proof and serving (the skew rule)."""

    @property
    def calibration(self) -> Calibration:
        """The numbers that turn raw scores into confidence and decisions."""

    @property
    def none_labels(self) -> tuple[str, ...]:
        """Every spelling of "none of these", first the one that the specialist itself gives."""

    @property
    def hints(self) -> Mapping[str, Any]:
        """What the task tells a learner that has an option of that name, such as the `database` that answers are run on."""

    def lessons(self, examples: Sequence[Example], form: Form = ...) -> Lessons:
        """What a learner is handed that eats this form; by default the first that the kind gives."""

    def encode(self, batch: Sequence[Inputs], form: Form = ...) -> list[Any]:
        """What an engine is handed for weights of this form: one an input.

        Raises:
            TaskError: an input lacks a field.
        """

    def problem(self, inputs: Inputs) -> str | None:
        """Why this input cannot be answered, or None."""

    def decode(self, raw: Raw, answered_by: str, batch: Sequence[Inputs] = ()) -> list[Answer]:
        """Answers from an engine's raw outputs, one a row; `batch` are the inputs they belong to, where they are at hand."""

    def trivial(self, examples: Sequence[Example]) -> str:
        """The answer that needs no reading, from the training rows: whatever does not beat it has learnt nothing."""

    def phrased(self, messages: Sequence[Mapping[str, Any]]) -> Template | None:
        """The wording of the task that a chat request has, so that its reply must have that wording's shape; None: another."""

    def read_chat(self, messages: Sequence[Mapping[str, Any]]) -> Inputs:
        """The input fields in a chat request: what stands in the slots of the task's wording that it has, if it has one.

        Raises:
            TaskError: there is no user message, or it lacks a field.
        """

    def write_chat(self, answer: Answer, wording: Template | None = None) -> str:
        """The reply to a chat request: the answer, or what the application got from a large model for this wording."""

    def ask_chat(self, inputs: Inputs, wording: Template | None = None) -> list[dict[str, str]]:
        """The messages that ask a large model for the answer: in this wording, by default the most used; else plainly."""

    def read_reply(self, reply: str, wording: Template | None = None) -> str | None:
        """The answer that a large model's reply to this wording means, by default the most used; None: none that there is."""


class AnswerCodec(Codec, Protocol):
    """The codec of a kind whose answers are not labels out of a fixed set."""

    def evidence(self, raw: Raw, batch: Sequence[Inputs] = ()) -> npt.NDArray[np.float64]:
        """The log-odds, before calibration, that each answer is right; shape (n,)."""


@runtime_checkable
class WrittenCodec(Codec, Protocol):
    """The codec of a kind whose answers are written texts: of two that differ one may be the better, which a judge can say.

    They can also be given while they are written.
    """

    @property
    def streams(self) -> bool:
        """Whether this task's can be: not where the whole answer is looked at before it is given."""

    def certain(self, written: str) -> str:
        """What of the answer is certain, whatever is written after this."""


@runtime_checkable
class Verifier(Protocol):
    """The codec, too, of a kind that sees of some answers that they cannot be right, without knowing the right one."""

    def verify(self, inputs: Inputs, value: str) -> str | None:
        """What is wrong with an answer as such, or None."""


@runtime_checkable
class HistoryCodec(Codec, Protocol):
    """The codec of a kind whose input is the newest part of a history, which the server may know already.

    What reads readings answers everything itself: they are shown to no other model.
    """

    @property
    def shape(self) -> Shape:
        """What a window of the history has to look like."""


class Kind(Protocol):
    """A task kind, checked structurally: a module with these names."""

    FORMS: tuple[Form, ...]
    """What it can give to learners, the first by default."""
    LABELS: bool
    """Whether the answers are labels out of a fixed set, each of which has to be learnt; else the codec is an `AnswerCodec`."""
    HUB_TASK: str | None
    """What model hubs call such work; None: they have no word for it."""

    def check(self, task: Task, folder: Path = ...) -> None:
        """Do nothing if the task's options are what this kind needs.

        Args:
            task: the task.
            folder: the project's; relative paths among the options are relative to it. By default the current one.

        Raises:
            TaskError: one is unknown, missing or wrong; the message says what to write.
        """

    def settle(self, task: Task, rows: Sequence[Mapping[str, str]]) -> Task:
        """The task with the options that nobody gave and that some of the rows show.

        Asked first with rows of all sides, since the rows cannot be gathered without, and again with those of the training side
        alone, whose answer is the one that counts.

        Raises:
            TaskError: one that is needed is not to be seen.
        """

    def gather(self, task: Task, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterable[Example]:
        """Examples from (origin, raw row) pairs."""

    def prepare(self, task: Task, examples: Sequence[Example], side_files: Path) -> None:
        """Write the side files that the codec needs into the existing folder."""

    def codec(self, task: Task, side_files: Path) -> Codec:
        """The codec, from the task and its side files."""

    def described(self, options: Mapping[str, Any], labels: Sequence[str]) -> tuple[str, Sequence[str]]:
        """What a specialist does, by its task's settled options: a sentence, with `{}` where names are put, and the names."""


def kind(name: str) -> Kind:
    """The kind of that name.

    Raises:
        TaskError: there is none.
    """
    if name not in KINDS:
        raise TaskError(f"unknown kind {name!r}; expected one of {', '.join(KINDS)}")
    return cast(Kind, import_module(f"{__name__}.{name}"))
