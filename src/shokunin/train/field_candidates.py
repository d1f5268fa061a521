"""field_candidates: learned anchor words and boosted trees over what a document offers for each field; seconds to fit.

The method is told in `shokunin.fields.learn_scalar`, that for lists in `shokunin.fields.line_items`.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from shokunin.errors import UsageError
from shokunin.fields.learn_scalar import Fitting
from shokunin.fields.learning import learn
from shokunin.fields.stored import save_models
from shokunin.forms import FieldLessons, Form, Lessons
from shokunin.progress import Progress
from shokunin.weights import Weights

EATS: Form = "labelled_fields"
EXTRA: str | None = None


class Options(BaseModel):
    """How to fit.

    Attributes:
        C: inverse regularisation strength of the words' linear layer.
        max_features: at most so many words and pieces of words a field.
        rounds: trees a field.
        num_leaves: of a tree.
        learning_rate: of the trees.
        memory: keep the values that past rows gave to text fields, and prefer their spelling; without it no value that the
            document does not hold letter for letter is ever given.
        max_documents: of more documents an even sample is learned from; memory grows with them, by about 0.4 MB each.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    C: float = Field(default=0.5, gt=0)
    max_features: int = Field(default=60_000, ge=100)
    rounds: int = Field(default=150, ge=1, le=5_000)
    num_leaves: int = Field(default=15, ge=2, le=1_024)
    learning_rate: float = Field(default=0.06, gt=0, le=1)
    memory: bool = True
    max_documents: int = Field(default=3_000, ge=10)


def forecast(lessons: Lessons, options: BaseModel) -> float:
    """From measured fits: the time grows with the characters of the documents and, less, with the trees."""
    known, chosen = cast(FieldLessons, lessons), cast(Options, options)
    characters = sum(len(line.text) for document in known.documents for line in document.lines)
    fields = sum(max(len(field.parts), 1) for field in known.fields)
    used = min(1.0, chosen.max_documents / max(len(known), 1))
    return 0.5 + used * fields * (characters * 1.2e-5 + len(known) * chosen.rounds * 1e-5)


def fit(lessons: Lessons, options: BaseModel, folder: Path, *, seed: int, progress: Progress) -> Weights:
    """Write `fields.json`, `signs.safetensors` and the trees of each field.

    Raises:
        LessonsError: there are too few documents, or none has a value.
    """
    chosen = cast(Options, options)
    if not isinstance(lessons, FieldLessons):
        raise UsageError(f"field_candidates learns from {EATS}, not from {lessons.form}")
    drawn = np.sort(np.random.default_rng(seed).permutation(len(lessons))[: chosen.max_documents])
    fitting = Fitting(
        C=chosen.C,
        max_features=chosen.max_features,
        rounds=chosen.rounds,
        leaves=chosen.num_leaves,
        learning_rate=chosen.learning_rate,
        memory=chosen.memory,
    )
    models = learn(lessons.take(drawn), fitting, seed=seed, progress=progress)
    save_models(models, folder)
    facts = {
        "learner": "field_candidates",
        "options": chosen.model_dump(),
        "documents": len(drawn),
        "never_found": [model.field.name for model in models if model.signs is None],
    }
    return Weights(folder, EATS, "field_candidates", facts=facts)
