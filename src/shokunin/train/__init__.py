"""The shelf of learners: one form in, weights out; a learner knows no task, kind or dataset.

A learner is a module with the names of `Learner`. To add one: write the file and add a line to `LEARNERS`, at its place on the
ladder: from the cheapest to serve to the dearest.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from pydantic import BaseModel

from shokunin.errors import MissingExtraError, UsageError
from shokunin.forms import Form
from shokunin.progress import Progress
from shokunin.weights import Weights

LEARNERS = {
    "baseline": "shokunin.train.baseline",
    "text_linear": "shokunin.train.text_linear",
    "encoder_head": "shokunin.train.encoder_head",
    "encoder_lora": "shokunin.train.encoder_lora",
    "field_candidates": "shokunin.train.field_candidates",
    "field_tagger": "shokunin.train.field_tagger",
    "nearest_answer": "shokunin.train.nearest_answer",
    "answer_templates": "shokunin.train.answer_templates",
    "causal_lora": "shokunin.train.causal_lora",
    "normal_windows": "shokunin.train.normal_windows",
    "forecast_residual": "shokunin.train.forecast_residual",
    "last_readings": "shokunin.train.last_readings",
    "boosted_trees": "shokunin.train.boosted_trees",
}

EATS: dict[str, Form] = {
    "baseline": "labelled_text",
    "text_linear": "labelled_text",
    "encoder_head": "labelled_text",
    "encoder_lora": "labelled_text",
    "field_candidates": "labelled_fields",
    "field_tagger": "labelled_fields",
    "nearest_answer": "conversation",
    "answer_templates": "conversation",
    "causal_lora": "conversation",
    "normal_windows": "series_window",
    "forecast_residual": "series_window",
    "last_readings": "series_window",
    "boosted_trees": "series_window",
}
"""Which form each learner eats, so that those of another kind of work need not be imported; the contract suite checks it."""

EXTRA_OF = {"torch": "train", "transformers": "train", "peft": "train"}
"""Which extra a library comes with."""


class Learner(Protocol):
    """A training method, checked structurally: a module with these names. Lessons are of the form that it eats."""

    EATS: Form
    EXTRA: str | None
    """The extra that its libraries come with, or None for the base install."""
    Options: type[BaseModel]

    def forecast(self, lessons: Any, options: BaseModel) -> float:
        """About how many seconds `fit` needs on this machine; measured on a few lessons where that is cheap.

        A limit of time among the options is not taken into account: whoever asks wants to know what the limit would cut.

        Raises:
            LessonsError: it is plain already that it cannot learn from these lessons.
        """

    def fit(self, lessons: Any, options: BaseModel, folder: Path, *, seed: int, progress: Progress) -> Weights:
        """Learn from `lessons` and write the weights into the existing, empty `folder`.

        Raises:
            LessonsError: it cannot learn from these lessons; another learner may. The ladder then leaves it out.
            UsageError: the options cannot work.
            MissingExtraError: a library is not installed.
        """


def learner(name: str) -> Learner:
    """The learner of that name.

    Raises:
        UsageError: there is none.
        MissingExtraError: its libraries are not installed.
    """
    if name not in LEARNERS:
        raise UsageError(f"unknown learner {name!r}; expected one of {', '.join(LEARNERS)}")
    try:
        return cast(Learner, import_module(LEARNERS[name]))
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in EXTRA_OF:
            raise
        raise MissingExtraError(library, EXTRA_OF[library]) from error
